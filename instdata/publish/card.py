"""The dataset card: README.md (and README.zh.md) of a build, every figure from the manifest, the ledger and the
rows."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from instdata.corpus.rows import UNKNOWN
from instdata.publish.card_findings import findings, fixed, interval
from instdata.util.atomic import write_text
from instdata.util.redaction import redact
from instdata.util.resources import resource
from instdata.util.safe_text import bounded, plain
from instdata.util.yaml import written_yaml

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
WORDS = {  # verdicts and labels of the harness
    "better": "更好", "worse": "更差", "equivalent": "等价", "undecided": "未定",
    "growing": "增长", "saturating": "饱和", "flat": "平坦", "falling": "下降",
}  # fmt: skip
CARDS = {"README.md": "dataset.md", "README.zh.md": "dataset.zh.md"}


def write_cards(
    folder: Path,
    manifest: dict[str, Any],
    repo: str | None = None,
    run: dict[str, Any] | None = None,
    shown: dict[str, Any] | None = None,
    charts: dict[str, str] | None = None,
) -> None:
    """Write README.md and README.zh.md into a folder that holds recipe.yaml, data/ and ledger.parquet.

    `repo` is where the set is published (default: the recipe's); `run` adds what generation cost; `shown` what
    `findings` reads in the build (default: in this folder); `charts` the paths of pictures in the folder: abilities,
    curves:…, ablation:<name>.
    """
    shown, charts = shown or findings(folder, manifest), charts or {}
    recipe_yaml = (folder / "recipe.yaml").read_text("utf-8")
    recipe = yaml.safe_load(recipe_yaml)
    known = figures(folder, manifest)
    env = environment()
    content = {
        "front": yaml_text(front_matter(recipe, manifest, known["languages"])),
        "name": manifest["name"],
        "manifest": manifest,
        "repo": repo or recipe.get("publish", {}).get("repo") or f"builds/{manifest['name']}",
        "recipe_yaml": recipe_yaml.rstrip(),
        "fence": "`" * max(3, 1 + max(map(len, re.findall("`+", recipe_yaml)), default=0)),
        "options": [*(next(iter(s.values())) for s in recipe.get("steps", [])), {}],  # the pseudo-step close has none
        "license": recipe.get("publish", {}).get("license"),
        "usage": (run or {}).get("usage", {}),
        "chart": charts.get("abilities"),
        "curve_charts": [path for name, path in charts.items() if name.startswith("curves:")],
        "forests": {n.removeprefix("ablation:"): path for n, path in charts.items() if n.startswith("ablation:")},
        "unknown": UNKNOWN,
        "unlabelled": manifest["configs"]["full"]["by_ability"].get(UNKNOWN, 0),
        **shown,
        **known,
        "sources": _sources(recipe, known["by_source"]),
    }
    for name, template in CARDS.items():
        words = WORDS if ".zh." in name else {}
        write_text(folder / name, redact(plain(env.get_template(template).render(content, words=words))))


@cache
def environment() -> Any:
    """Jinja as the cards use it. Markdown is not escaped by itself: templates pass
    what the data says through `cell`."""
    from instdata.util import templates

    env = templates.environment(resource("hub_cards"), Path(__file__).parent, autoescape=False)
    env.filters |= {
        "cell": _cell,
        "n": lambda n: f"{n:,}",
        "percent": lambda part, whole: f"{100 * part / whole:.1f} %" if whole else "0 %",
        "yaml": yaml_text,
        "fixed": fixed,
        "interval": interval,
    }
    return env


def figures(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the card says beyond the manifest: `languages` of full, the most frequent first; `abilities` with rows,
    holdout and mean confidence; `by_source`: rows of full and who wrote them."""
    from instdata.report.build_facts import open_ledger

    configs = manifest["configs"]
    held = configs.get("holdout", {}).get("by_ability", {})
    with open_ledger(folder, manifest) as db:
        languages = db.execute(
            "select lang, count(*) as n from rows where lang is not null group by lang order by n desc, lang"
        ).fetchall()
        known = db.execute(
            "select ability, avg(ability_confidence) filter (not isnan(ability_confidence)) from rows group by ability"
        ).fetchall()
        origins = db.execute(
            "select source, origin, count(*) as n from rows group by all order by source, n desc, origin"
        ).fetchall()
    confidence = dict(known)
    abilities = [
        {"name": name, "rows": rows, "holdout": held.get(name, 0), "confidence": confidence.get(name)}
        for name, rows in configs["full"]["by_ability"].items()
    ]
    by_source: dict[str, dict[str, int]] = {}
    for source, origin, rows in origins:
        by_source.setdefault(source, {})[origin or UNKNOWN] = rows
    return {
        "languages": dict(languages),
        "abilities": sorted(abilities, key=lambda a: (a["name"] == UNKNOWN, -a["rows"], a["name"])),
        "by_source": by_source,
    }


def front_matter(recipe: dict[str, Any], manifest: dict[str, Any], languages: dict[str, int]) -> dict[str, Any]:
    """What the Hub reads: configs, licence, languages, sizes, tags."""
    configs = []
    for name, config in manifest["configs"].items():
        split = "test" if name == "holdout" else "train"
        entry: dict[str, Any] = {"config_name": name, "data_files": [{"split": split, "path": list(config["files"])}]}
        configs.append(entry | ({"default": True} if name == "full" else {}))
    rows = manifest["configs"]["full"]["rows"]
    labelled = any(s["kind"] == "categorize" for s in manifest["steps"])
    hubs = [s["hub"] for s in recipe["sources"] if s.get("hub")]
    front: dict[str, Any] = {"pretty_name": manifest["name"]}
    if recipe.get("publish", {}).get("license"):
        front |= {k: v for k, v in recipe["publish"].items() if k in ("license", "license_name", "license_link") and v}
    if common := [
        lang for lang, n in languages.items() if n >= 0.01 * rows
    ]:  # a guess on a few rows is no language of the set
        front["language"] = common
    front |= {
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated" if labelled else "found"],
        "size_categories": [next((word for limit, word in SIZES if rows < limit), "n>10M")],
        "source_datasets": [f"extended|{h}" for h in hubs] or ["original"],
        "tags": ["instruction-tuning", "instdata", *(["synthetic"] if manifest["totals"]["generated"] else [])],
        "configs": configs,
    }
    return front


def _sources(recipe: dict[str, Any], by_source: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """A line a source: its rows in full, who wrote them, its licence. Rows of no source of the recipe were generated,
    under the terms of the models that wrote them."""
    lines = []
    given = {s["name"]: s for s in recipe["sources"]}
    for name in [*given, *(n for n in by_source if n not in given)]:
        origins = by_source.get(name, {})
        source = given.get(name)
        place = "generated" if source is None else source.get("hub") or "files"
        terms = model_terms(origins) if source is None else source.get("license") or "not stated"
        lines.append(
            {
                "name": name,
                "from": place,
                "rows": sum(origins.values()),
                "origins": ", ".join(origins) or "no row kept",
                "license": terms,
            }
        )
    return lines


def model_terms(origins: dict[str, int]) -> str:
    """The licences of the models that wrote rows, as far as they are known."""
    from instdata.llm.local_models import MODELS

    found = []
    for name in origins:
        model = MODELS.get(name.removeprefix("local:"))
        found.append(f"{name}: {model.licence}" if model else f"{name}: its provider's terms")
    return "; ".join(found) or "no row kept"


def yaml_text(value: Any) -> str:
    """YAML as it stands in cards."""
    return written_yaml(value, width=1000).rstrip()


def _cell(value: Any) -> str:
    """Text for Markdown, in a table or not, whatever the data says."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return re.sub(r"([\\|`*\[\]])", r"\\\1", bounded(text)).replace("<", "&lt;").replace("\n", " ")
