"""The folder that a build goes to: its name, what is there already, and whether it may be replaced."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from instdata.corpus.corpus import versions
from instdata.corpus.write_build_folder import is_build
from instdata.util.checksums import REPORT, SUMS, regular, sums_of, wrong
from instdata.util.errors import DamagedInput, InputError

UNREADABLE = "unreadable.jsonl"  # what a build that stopped at max_bad could not read


def folder_of(name: str, sets: Sequence[str] = (), limit: int | None = None) -> Path:
    """Where a build goes by default: builds/<name>, and for one of other settings than the recipe's a folder of its
    own, so that no trial overwrites the build: builds/<name>@limit-1000."""
    told = [f"limit-{limit}"] if limit is not None else []
    told += [_label(item) for item in sorted(sets) if not item.startswith("name=")]
    label = "@".join(told)
    if len(label) > 60:
        label = f"{label[:40]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
    return Path("builds") / (f"{name}@{label}" if label else name)


def _label(item: str) -> str:
    """KEY=VALUE as a part of a folder's name; where more than = had to go, a digest keeps settings apart (< and >)."""
    label = re.sub(r"[^\w.\-]+", "-", item).strip("-")
    return label if label == item.replace("=", "-", 1) else f"{label}-{hashlib.sha256(item.encode()).hexdigest()[:6]}"


def asked(name: str, file: str | None, sets: list[str], limit: int | None) -> dict[str, Any]:
    """What a build was asked for, as run.json keeps it: which recipe, with which settings beside it."""
    return {"name": name, "recipe": file and Path(file).name, "set": sorted(sets), "limit": limit}


def finished(out: Path, sha256: str, say: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(manifest, run record) of the build in a folder, where it is that of this resolved recipe and of these versions,
    and every file is as it was written; None otherwise, and said where that is for damage."""
    manifest, run = _json(out / "manifest.json"), _json(out / "run.json")
    try:
        sums = sums_of(out)
    except DamagedInput as e:
        say(f"{e.problems[0][0]}: {e.problems[0][2].partition(': ')[0]}: the build is made anew")
        return None
    if not {"recipe_sha256", "versions", "totals", "configs"} <= set(manifest) or not run:
        return None
    if manifest["recipe_sha256"] != sha256 or manifest["versions"] != versions():
        return None
    if sums is None:
        say(f"{out}: built before there was a {SUMS}: the build is made anew")
        return None
    for name in sums:
        # The report may be missing: it needs an extra.
        why = None if name == REPORT and not (out / name).exists() else wrong(out, name, sums)
        if why:
            say(f"{out / name}: {why}: the build is made anew")
            return None
    return manifest, run


def may_replace(out: Path, sha256: str, new: dict[str, Any]) -> None:
    """Raise InputError where a folder holds the build of another recipe, or of other settings beside it (--set,
    --limit), than are asked for; or no build, and files that none wrote. A build of an edited recipe replaces the one
    before."""
    if (out / "manifest.json").exists() and not regular(out / "manifest.json"):
        raise InputError(f"{out / 'manifest.json'}: this is no file (a pipe, a device or a folder); remove it, or choose another folder (--out)")  # fmt: skip  # noqa: E501
    if not is_build(out):
        _no_strangers(out)
        return
    not_another(out, _json(out / "manifest.json"), _json(out / "run.json"), sha256, new)


def not_another(
    place: Path | str, manifest: dict[str, Any], run: dict[str, Any], sha256: str, new: dict[str, Any]
) -> None:
    """Raise InputError where a folder or an address holds the build (its manifest and run record) of something else
    than is asked for."""
    old = run.get("asked")
    old = old if isinstance(old, dict) else {"name": manifest.get("name")} if manifest else {}
    apart = [k for k, v in new.items() if k in old and old[k] != v and (k != "recipe" or (v and old[k]))]
    if apart and manifest.get("recipe_sha256") != sha256:
        raise InputError(
            f"{place}: another build is there ({_told(old, apart)}) than is asked for ({_told(new, apart)}); it is not "
            f"overwritten: choose another folder (--out), or remove that one first"
        )


def _told(settings: dict[str, Any], keys: list[str]) -> str:
    def one(key: str) -> str:
        value = settings[key]
        if key == "set":
            return " ".join(f"--set {item}" for item in value) or "no --set"
        if key == "limit":
            return "no --limit" if value is None else f"--limit {value}"
        return f"{key} {value}"

    return ", ".join(map(one, keys))


def _no_strangers(out: Path) -> None:
    """Raise InputError where there is something that no build wrote. A build that was ended while its files were put in
    place left its list, beside them or where they come from."""
    if any((out / place / SUMS).is_file() for place in ("", ".staged")):
        return
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith(".") and p.name != UNREADABLE)
    if there:
        raise InputError(
            f"{out}: no whole build is here, and instdata did not write {there[0]!r}; choose a new or empty folder "
            f"(--out), or move what is here"
        )


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it is not to be read, or is no object."""
    try:
        found = json.loads(path.read_text("utf-8")) if regular(path) else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
