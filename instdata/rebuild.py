"""Does a build's own recipe give the same bytes again? It is built into a temporary folder, nothing scored from the
cache, and compared file by file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instdata.build import Plan, build, prepare
from instdata.builds import manifest as read_manifest
from instdata.builds import recipe_of
from instdata.corpus.corpus import versions
from instdata.llm.endpoint import LOCAL
from instdata.publish.published_folder import write_publication
from instdata.publish.verify import locate
from instdata.recipe.load import open_document, read_draft
from instdata.util.atomic import digest
from instdata.util.checksums import VOLATILE
from instdata.util.errors import InputError
from instdata.util.paths import cores

# What may differ: when and where it ran; pictures, which fonts and chart libraries shape.
OTHER = (*VOLATILE, "charts/", ".")
SHOWN = 10


def rebuild(
    target: Path | str,
    sources: Path | None = None,
    revision: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Build a finished build, or a published set, again from its recipe.yaml and compare the bytes. `sources` is the
    folder that the recipe's paths start from, by default the one we are in.

    Returns a check as `verify` lists them: {name, detail, problems}. Raises InputError where a source is not there, or
    where a step would ask a model that costs."""
    folder = locate(target, revision)
    manifest, recipe = read_manifest(folder), recipe_of(folder)
    steps = read_draft(*open_document(recipe)).steps
    if paid := [(s.name, model) for _, s in steps for model in s.asks_models if not model.startswith(LOCAL)]:
        name, model = paid[0]
        raise InputError(
            f"{target}: step {name} asks {model} at an endpoint, whose answers cost and change: such a build cannot be "
            "rebuilt. `instdata verify` without --rebuild checks what is there"
        )
    plan = prepare(recipe, jobs=cores(), fresh=True, say=say, base=sources or Path())
    with tempfile.TemporaryDirectory(prefix="instdata-rebuild-") as scratch:
        again = build(plan, Path(scratch) / "build").path
        if "published" in manifest:
            published = Path(scratch) / "published"
            write_publication(again, published, str(target), bool(manifest["published"]["meta"]))
            again = published
        problems = [*_inputs(plan, manifest), *_other_versions(manifest), *_differences(again, folder)]
        files = sum(1 for p in again.rglob("*") if p.is_file())
    return {"name": "rebuild", "detail": f"{files} files built again", "problems": problems}


def _inputs(plan: Plan, manifest: dict[str, Any]) -> list[str]:
    """Sources whose bytes are not those that the build read."""
    then = {(s["name"], f["file"]): f["sha256"] for s in manifest.get("sources", []) for f in s.get("files", [])}
    now = {(i.source, i.file): i.digest for inputs in plan.inputs for i in inputs if not i.hub}
    return [
        f"source {name}: {file} "
        f"{'is new' if was is None else 'is not there' if found is None else 'has other bytes than the build read'}"
        for (name, file), was, found in ((k, then.get(k), now.get(k)) for k in sorted({*then, *now}))
        if was != found
    ]


def _other_versions(manifest: dict[str, Any]) -> list[str]:
    """Programs that are not those of the build: other bytes are then no wonder."""
    here, then = versions(), manifest["versions"]
    return [f"built with {k} {then.get(k)}, here is {here[k]}" for k in here if here[k] != then.get(k)]


def _differences(again: Path, folder: Path) -> list[str]:
    names = sorted(p.relative_to(again).as_posix() for p in again.rglob("*") if p.is_file())
    wrong = []
    for name in (n for n in names if not n.startswith(OTHER)):
        if not (folder / name).is_file():
            wrong.append(f"{name} is missing")
        elif digest(again / name) != digest(folder / name):
            wrong.append(f"{name} has other bytes when it is built again")
    return wrong[:SHOWN] + ([f"and {len(wrong) - SHOWN} more files"] if len(wrong) > SHOWN else [])
