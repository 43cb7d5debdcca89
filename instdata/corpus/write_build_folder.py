"""The build folder: one writer at a time, files whole or not there, the manifest last."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instdata.util.atomic import whole
from instdata.util.checksums import regular
from instdata.util.errors import BuildError, InputError
from instdata.util.redaction import redacted
from instdata.util.remote_address import no_url
from instdata.util.safe_text import escaped

LOCK = ".instdata.lock"
OURS = re.compile(r"(\d\d-.+|holdout)\.parquet")  # what a build calls its data files


def is_build(folder: Path) -> bool:
    """Whether a folder is a whole build, not one that only has something like a manifest: what is there may be
    replaced."""
    if not regular(folder / "manifest.json"):
        return False
    try:
        found = json.loads((folder / "manifest.json").read_text("utf-8"))
        names = [name for config in found["configs"].values() for name in config["files"]]
        whole = {"recipe_sha256", "schema_version", "totals", "steps"} <= set(found) and bool(names)
        ours = all(OURS.fullmatch(n.removeprefix("data/")) for n in names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return whole and ours and all((folder / n).is_file() for n in [*names, "ledger.parquet", "recipe.yaml"])


def _no_links(folder: Path) -> None:
    """Raise InputError where a link in the folder would lead writing elsewhere."""
    for name in (LOCK, "data"):
        if (folder / name).is_symlink():
            raise InputError(
                f"{folder / name}: this is a link to {os.readlink(folder / name)}, where nothing of a build belongs; "
                f"remove it, or choose another folder (--out)"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time per folder: of a build, a run, curves, an ablation. The system frees the lock when its
    owner dies. Raises BuildError if it is taken, InputError where the folder is not empty and neither a build nor
    locked before: what is there may be replaced."""
    new = not no_url(folder).exists()
    folder.mkdir(parents=True, exist_ok=True)
    _no_links(folder)
    if any(folder.iterdir()) and not (folder / LOCK).exists() and not is_build(folder):
        raise InputError(
            f"{folder}: this folder is not empty, and instdata did not write it (no {LOCK}); choose a new or empty "
            f"one (--out)"
        )
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BuildError(
                f"{folder}: another instdata process ({file.read().strip() or '?'}) is writing here; wait for it, or "
                f"choose another folder"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except BaseException:
            if new and [p.name for p in folder.iterdir()] == [LOCK]:  # nothing came of it: nothing stays
                (folder / LOCK).unlink()
                folder.rmdir()
            raise


def write_json(path: Path, value: Any, hide: bool = False) -> None:
    """Indented JSON, keys as given, hidden characters escaped; with `hide`, without secrets. (What is published is not
    redacted but refused.)"""
    with whole(path, "w") as file:
        file.write(escaped(json.dumps(redacted(value) if hide else value, ensure_ascii=False, indent=2)))
        file.write("\n")


def move_into_place(staged: Path, out: Path) -> None:
    """Put a finished build into its folder: the manifest leaves first and comes back last, so that a folder with a
    manifest is whole. Files of an older build that the new one does not have go."""
    (out / "manifest.json").unlink(missing_ok=True)
    (out / "data").mkdir(exist_ok=True)
    new = sorted(p.relative_to(staged) for p in staged.rglob("*") if p.is_file())
    for old in [
        *(p for p in (out / "data").iterdir() if OURS.fullmatch(p.name)),
        out / "report.html",
        out / "dropped.parquet",
    ]:
        if old.relative_to(out) not in new:
            old.unlink(missing_ok=True)
    for name in sorted(new, key=lambda p: p.name == "manifest.json"):
        os.replace(staged / name, out / name)
    shutil.rmtree(staged, ignore_errors=True)
