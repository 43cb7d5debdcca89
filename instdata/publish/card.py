"""The dataset card: README.md of a build folder, every figure from the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from instdata.corpus import Corpus
from instdata.files import write_text
from instdata.record import UNKNOWN
from instdata.resources import resource

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def write_card(plan: Any, corpus: Corpus, manifest: dict[str, Any], folder: Path) -> None:
    """Write README.md: the Hub's YAML (configs as lists of files), then what the set is and how it came to be."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(loader=FileSystemLoader(resource("hub_cards")), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    env.filters["cell"] = _cell
    text = env.get_template("dataset.md").render(
        front=yaml.safe_dump(front_matter(plan, corpus, manifest), allow_unicode=True, sort_keys=False).rstrip(),
        name=manifest["name"],
        manifest=manifest,
        recipe=plan.recipe,
        recipe_yaml=yaml.safe_dump(plan.recipe.plain(), allow_unicode=True, sort_keys=False).rstrip(),
        abilities=_abilities(corpus, manifest),
        sources=_sources(plan, corpus),
        unknown=UNKNOWN,
    )
    write_text(folder / "README.md", text)


def front_matter(plan: Any, corpus: Corpus, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the Hub reads: configs, licence, languages, tags."""
    configs = []
    for name, config in manifest["configs"].items():
        split = "test" if name == "holdout" else "train"
        entry: dict[str, Any] = {"config_name": name, "data_files": [{"split": split, "path": list(config["files"])}]}
        configs.append(entry | ({"default": True} if name == "full" else {}))
    rows = manifest["configs"]["full"]["rows"]
    langs = sorted({x for x in _column(corpus, "lang") if x})
    front: dict[str, Any] = {"pretty_name": manifest["name"]}
    if plan.recipe.publish.license:
        front["license"] = plan.recipe.publish.license
    if langs:
        front["language"] = langs
    front |= {
        "task_categories": ["text-generation"],
        "size_categories": [next((word for limit, word in SIZES if rows < limit), "n>10M")],
        "tags": ["instruction-tuning", "instdata", *(["synthetic"] if manifest["totals"]["generated"] else [])],
        "configs": configs,
    }
    return front


def _column(corpus: Corpus, name: str) -> set[str | None]:
    """The values of a column over the rows kept."""
    kept = corpus.state.step < 0
    found: set[str | None] = set()
    for shard in range(len(corpus.shards)):
        values = corpus.columns(shard, [name])[name]
        found |= set(values.filter(kept[corpus.span(shard)]).unique().to_pylist())
    return found


def _abilities(corpus: Corpus, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """For each ability: rows in the smallest size, in full and in the holdout, and the mean confidence of its labels."""
    configs = manifest["configs"]
    state = corpus.state
    out = []
    for name, rows in configs["full"]["by_ability"].items():
        mine = (state.step < 0) & (state.ability == corpus.abilities.code(name))
        known = state.confidence[mine]
        known = known[known == known]
        held = configs.get("holdout", {}).get("by_ability", {}).get(name, 0)
        out.append({"name": name, "rows": rows, "holdout": held, "confidence": float(known.mean()) if len(known) else None})
    return sorted(out, key=lambda a: (a["name"] == UNKNOWN, -a["rows"], a["name"]))


def _sources(plan: Any, corpus: Corpus) -> list[dict[str, Any]]:
    rows = [{"name": s.name, "license": s.license or "not stated", "origin": s.origin or "as each row says", "from": s.hub or "files"} for s in plan.recipe.sources]
    made = [{"name": t.name, "license": "the generating model's terms", "origin": ", ".join(sorted(x for x in _column(corpus, "origin") if x and x not in ("human", UNKNOWN))) or "no row kept", "from": "generated"} for t in corpus.done if t.added]
    return rows + made


def _cell(value: Any) -> str:
    """Text for a cell of a Markdown table, whatever the data says."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
