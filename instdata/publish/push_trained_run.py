"""Publish a trained run as a Hub model: weights, tokenizer, what it was trained on and how, its scores; as BELLE
released its checkpoints, size by size."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from instdata.builds import recipe_of
from instdata.corpus.write_build_folder import write_json
from instdata.publish.card import environment, yaml_text
from instdata.publish.hub_client import client, writer
from instdata.publish.hub_commit import check_allowed, listed, objected, refuse, repo_name, scratch, send
from instdata.publish.licence_terms import objections
from instdata.publish.secret_scan import in_names, in_texts
from instdata.util.atomic import digest, write_text
from instdata.util.errors import InputError
from instdata.util.redaction import shown

# What a model repository needs to load, and nothing else of the folder: no checkpoint, no optimiser, no pickle.
WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
CONFIGS = (
    "config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
TOKENIZER = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "chat_template.jinja")
CARDS = {"README.md": "model.md", "README.zh.md": "model.zh.md"}
PATH = re.compile(r"(?:/|~/|[A-Za-z]:[\\/])[^\s/\\]+(?:[\\/][^\s/\\]*)+")


def push_run(
    run: Path,
    repo: str | None = None,
    private: bool | None = None,
    dry_run: bool = False,
    allow: Collection[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Publish a trained run as the model `repo`, private unless `private` is False; the same run again changes nothing.

    Returns what push does, and raises what it does.
    """
    check_allowed(allow)
    facts = json.loads((run / "run.json").read_text("utf-8"))
    repo = repo_name(repo, "--repo owner/name: the model's")
    api = client()
    if not dry_run:
        writer(api, repo)
    build = build_of(facts)
    base = base_model(facts)
    found = _objections(facts, build, base)
    if not dry_run:
        refuse(found, allow)
    with scratch(run) as folder:
        weights = _write_files(run, folder)
        scores = _scores(run / "scores.parquet")
        write_json(folder / "scores.json", scores)
        _write_cards(folder, facts, build, base, repo, scores)
        found += in_texts(
            folder, [n for n in listed(folder) if n.endswith((".json", ".jsonl", ".md", ".jinja", ".yaml", ".txt"))]
        )
        found += in_names(listed(folder))
        tag = f"{facts['build']['name']}-{facts['config']}@{weights[:16]}"
        hidden = True if private is None else private
        done = {"kind": "model", "repo": repo, "commit": None, "changed": False, "tag": tag,
            "url": f"{api.endpoint}/{repo}", "summary": "", "files": listed(folder),
            "objections": objected(found, allow), "private": hidden}  # fmt: skip
        if dry_run:
            return done
        refuse(found, allow)
        words = f"{base['name']} trained on {facts['rows']:,} rows of {facts['build']['name']}, size {facts['config']}."
        return done | send(api, repo, "model", folder, tag, hidden, allow, (), lambda remote: words, say)


def build_of(facts: dict[str, Any]) -> dict[str, Any] | None:
    """The build that a run was trained on, where it is still here: its manifest and the dataset that its recipe
    names."""
    folder = Path("builds") / facts["build"]["name"]
    path = folder / "manifest.json"
    if not path.is_file() or digest(path) != facts["build"].get("manifest_sha256"):
        return None
    return {"manifest": json.loads(path.read_text("utf-8")), "recipe": recipe_of(folder)}


def base_model(facts: dict[str, Any]) -> dict[str, Any]:
    """{name, hub, licence} of the model that was trained; licence None where nobody stated it."""
    from instdata.llm.local_models import MODELS

    name = public(str(facts.get("model") or "")).removeprefix("local:")
    known = MODELS.get(name)
    return {
        "name": name,
        "hub": known.repo if known else public(str(facts.get("base_model") or name)),
        "licence": facts.get("license") or (known.licence.lower() if known else None),
    }


def _objections(facts: dict[str, Any], build: dict[str, Any] | None, base: dict[str, Any]) -> list[tuple[str, str]]:
    """Reasons not to publish: terms of the base model and of the rows. The run goes out under the base model's
    licence."""
    recipe = build["recipe"] if build else facts.get("recipe") or {}
    if not base["licence"]:
        line = f"the licence of the model {base['name']} is not known: add license: to run.json"
        return [("unknown-license", line)]
    terms = (recipe.get("publish") or {}).get("license")
    named = [{"name": s.get("name"), "license": s.get("license") or terms} for s in recipe.get("sources") or []]
    return objections(named, base["licence"])


def _write_files(run: Path, folder: Path) -> str:
    """The run's files without places of this machine and without items' texts; returns the sha256 of the weights."""
    weights = sorted(p for p in run.iterdir() if WEIGHTS.fullmatch(p.name))
    if not weights or not (run / "config.json").is_file():
        raise InputError(f"{run}: no model.safetensors and config.json there: let `instdata train` finish it")
    for path in [*weights, *(run / n for n in TOKENIZER if (run / n).is_file())]:
        _link(path, folder / path.name)
    for name in ("run.json", *CONFIGS):
        if (run / name).is_file():
            write_json(folder / name, public(json.loads((run / name).read_text("utf-8"))))
    if (run / "metrics.jsonl").is_file():
        lines = [public(json.loads(s)) for s in (run / "metrics.jsonl").read_text("utf-8").splitlines() if s.strip()]
        write_text(folder / "metrics.jsonl", "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    return digest(weights[0])


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def public(value: Any) -> Any:
    """JSON without this machine's folders: a string that is an absolute path keeps its last part."""
    if isinstance(value, dict):
        return {k: public(v) for k, v in value.items()}
    if isinstance(value, list):
        return [public(v) for v in value]
    if isinstance(value, str) and PATH.fullmatch(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def _write_cards(
    folder: Path, facts: dict[str, Any], build: dict[str, Any] | None, base: dict[str, Any], repo: str,
    scores: list[dict[str, Any]],
) -> None:  # fmt: skip
    facts = public(facts)
    recipe = build["recipe"] if build else facts.get("recipe") or {}
    recipe_yaml = yaml_text(recipe)
    dataset = (recipe.get("publish") or {}).get("repo")
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    front |= {"license": base["licence"]} if base["licence"] else {}
    front |= {"base_model": base["hub"]} | ({"datasets": [dataset]} if dataset else {})
    front["tags"] = ["instruction-tuning", "instdata"]
    content = {
        "front": yaml_text(front),
        "repo": repo,
        "run": facts,
        "base": base,
        "dataset": dataset,
        "configs": {n: c for n, c in build["manifest"]["configs"].items() if n != "holdout"} if build else {},
        "training": {k: v for k, v in (facts.get("training") or {}).items() if v is not None},
        "counts": facts.get("counts") or {},
        "scores": scores,
        "command": _command(facts, base["name"]),
        "recipe_yaml": recipe_yaml,
        "fence": "`" * max(3, 1 + max(map(len, re.findall("`+", recipe_yaml)), default=0)),
    }
    env = environment()
    for name, template in CARDS.items():
        write_text(folder / name, shown(env.get_template(template).render(content)))


def _command(facts: dict[str, Any], model: str) -> str:
    """The command that trains the same again. A changed training recipe is named `proxy,epochs=1`."""
    recipe, *changes = str((facts.get("training") or {}).get("name") or "proxy").split(",")
    asked = [facts["build"]["name"], "--config", facts["config"], "--model", model, "--recipe", recipe]
    asked += [word for change in changes for word in ("--set", change)]
    return shlex.join(["instdata", "train", *asked, "--seed", str(facts["seed"])])


def _scores(path: Path) -> list[dict[str, Any]]:
    """Score tables without any item's text, one a suite and metric: {suite, metric, lower, rows: [{ability, value, low,
    high, n, missing, chance}]}."""
    if not path.is_file():
        return []
    from instdata.score.metric import metric_of
    from instdata.score.score_table import summary

    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in summary(pq.read_table(path)):
        tables.setdefault((row["suite"], row["metric"]), []).append(row)
    return [
        {"suite": s, "metric": m, "lower": metric_of(m).lower_is_better, "rows": rows}
        for (s, m), rows in tables.items()
    ]
