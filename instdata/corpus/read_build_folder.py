"""A finished build's folder as it is read: its manifest, recipe, run record and data files, each checked before it is
used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from instdata.corpus.manifest_shape import SCHEMA_VERSION, misfit
from instdata.util.checksums import inside, part
from instdata.util.errors import InputError


def manifest(build: Path) -> dict[str, Any]:
    """A build's manifest.json. Raises InputError where it is none, or names files outside of the build; DamagedInput
    where it is not as it was written."""
    path = part(build, "manifest.json")
    try:
        found = json.loads(path.read_text("utf-8"))
        _not_later(path, found)
        names = [name for config in found["configs"].values() for name in config["files"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise InputError(f"{path}: this is no build's manifest ({type(e).__name__}); build it again") from e
    for name in names:
        if not isinstance(name, str) or not inside(build, name):
            raise InputError(f"{path}: it names a file outside of the build: {str(name)[:200]!r}")
    if told := misfit(found):
        raise InputError(f"{path}: this is no build's manifest ({told}); build it again")
    return found


def _not_later(path: Path, found: dict[str, Any]) -> None:
    """Raise InputError where a manifest is of a version that came after this one, whatever its shape."""
    if isinstance(version := found.get("schema_version"), int) and version > SCHEMA_VERSION:
        by = (found.get("versions") or {}).get("instdata", "a later version")
        raise InputError(
            f"{path}: written by instdata {by} (schema {version}; this one reads {SCHEMA_VERSION}): update "
            "instdata, or build it again"
        )


def data_files(build: Path) -> list[Path]:
    """The files that a build's configs are made of, those of held out rows last."""
    configs = manifest(build)["configs"].values()
    return [part(build, name) for name in dict.fromkeys(name for config in configs for name in config["files"])]


def recipe_of(build: Path) -> dict[str, Any]:
    """A build's resolved recipe."""
    return yaml.safe_load(part(build, "recipe.yaml").read_text("utf-8"))


def run_record(build: Path) -> dict[str, Any]:
    """A build's run.json: times, costs, where what was read lies in the cache; nothing where it is not there."""
    path = part(build, "run.json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
