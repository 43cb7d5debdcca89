"""The checksums of a build's files: SHA256SUMS, a list that `sha256sum --check` reads too, written last and checked
before a file is used. What is not as it was written is never read as if it were. run.json, and the report that shows
what stands in it, are other bytes each time: their sums are in run.json itself, so that the same build has the same
list."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from instdata.util.atomic import digest, write_text
from instdata.util.errors import DamagedInput, InputError
from instdata.util.paths import MOST
from instdata.util.safe_text import escaped

SUMS = "SHA256SUMS"
SIGNATURE = ".sig"  # what the name of its signature ends with (publish/signature.py)
LIST = (SUMS, SUMS + SIGNATURE)
RUN, REPORT = "run.json", "report.html"
VOLATILE = (RUN, REPORT)  # of these run.json has the sums, under "sha256"
TOLD = '"checksums"'  # the manifest's key that says that there is a list
TEXTS = (SUMS, RUN, "manifest.json", "recipe.yaml", "README.md")
LINE = re.compile(r"([0-9a-f]{64})  ([^\n\\]+)\n")
AGAIN = "take it from a copy, or run the same `instdata build` again: it is made anew"


def write_sums(folder: Path) -> None:
    """List every file of a folder that holds nothing but a build, and hidden ones."""
    files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.name not in (*LIST, *VOLATILE)]
    names = [p.as_posix() for p in files if not any(part.startswith(".") for part in p.parts)]
    write_text(folder / SUMS, "".join(f"{digest_once(folder / name)}  {name}\n" for name in sorted(names)))
    for name in VOLATILE:
        if (folder / name).is_file():
            write_sum(folder, name)


def write_sum(folder: Path, name: str) -> None:
    """One of VOLATILE was written: run.json of a build with a list gets its sum."""
    if (folder / SUMS).is_file() and (folder / RUN).is_file():
        run = json.loads((folder / RUN).read_text("utf-8"))
        sum_ = _own(run) if name == RUN else digest(folder / name)
        run["sha256"] = {**run.get("sha256", {}), name: sum_}
        write_text(folder / RUN, escaped(json.dumps(run, ensure_ascii=False, indent=2)) + "\n")


def _own(run: dict[str, Any]) -> str:
    """The digest of what run.json says, but for the sums."""
    said = json.dumps({k: v for k, v in run.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def sums_of(folder: Path) -> dict[str, str] | None:
    """The sha256 of a build's files by name; None of one that was built before there was a list. Raises DamagedInput
    where the list is not there any more, or is none."""
    path = folder / SUMS
    if not regular(path):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path}: this is no file (a pipe, a device or a folder): a build has a file there")
        manifest = folder / "manifest.json"
        if regular(manifest) and TOLD in manifest.read_text("utf-8", "replace"):
            raise _damaged(path, "the list of this build's checksums is gone")
        return None
    run = folder / RUN
    return _all_sums(path, _written(path), run, _written(run) if regular(run) else ())


@lru_cache(maxsize=256)
def _all_sums(path: Path, written: tuple[int, ...], run: Path, run_written: tuple[int, ...]) -> dict[str, str]:
    """The list's sums and those in run.json, read once as they are; of run.json one that nothing has, where it is gone
    or its sums cannot be read."""
    listed = _read(path)
    try:
        sums = json.loads(run.read_text("utf-8"))["sha256"] if run_written else {}
        return listed | {RUN: ""} | {str(name): str(sum_) for name, sum_ in sums.items() if name in VOLATILE}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return listed | {RUN: ""}


def _written(path: Path) -> tuple[int, ...]:
    """What is another number when a file was written again."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read(path: Path) -> dict[str, str]:
    text = path.read_text("utf-8", "replace")
    found = {name: sha256 for sha256, name in LINE.findall(text)}
    if not found or LINE.sub("", text):
        raise _damaged(path, "the list of this build's checksums is damaged")
    return found


def part(folder: Path, name: str) -> Path:
    """The path of a build's file that is about to be read, which is what the build wrote, or is not there and was not
    written. Raises DamagedInput where it is another, or gone; InputError where it is no file, or a link that leads out
    of the build. Bytes are read once a process, and again where they were written since."""
    path = folder / name
    sums = sums_of(folder)
    if why := wrong(folder, name, sums):
        raise _damaged(path, why)
    return path


def wrong(folder: Path, name: str, sums: dict[str, str] | None) -> str | None:
    """What is wrong with a file of a build; None where nothing is. Raises InputError as `part` does."""
    path = folder / name
    try:
        path.stat()
    except OSError:
        if path.is_symlink():
            raise InputError(f"{path}: a link to nowhere, no file of a build") from None
        return "it is gone" if sums and name in sums else None
    if not regular(path):
        raise InputError(f"{path}: this is no file (a pipe, a device or a folder): a build has a file there")
    if not inside(folder, name):
        raise InputError(f"{path}: a link that leads out of the build, to {os.path.realpath(path)}: put the file there")
    if sums is None:
        return None
    if name not in sums:
        return f"no file of this build ({SUMS} does not list it)"
    same = digest_once(path) == sums[name]
    return None if same else f"its bytes are not those that the build wrote ({RUN if name in VOLATILE else SUMS})"


def parts(folder: Path, names: Collection[str]) -> list[Path]:
    """`part` of each name."""
    return [part(folder, name) for name in names]


def unlisted(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    """The files of a build's folder and of its data/ that it did not write, hidden ones and links included."""
    for path in sorted([*folder.iterdir(), *((folder / "data").iterdir() if (folder / "data").is_dir() else ())]):
        name = path.relative_to(folder).as_posix()
        if name not in sums and name not in LIST and not path.name.startswith(".") and not path.is_dir():
            yield name


def inside(folder: Path, name: str) -> bool:
    """Whether a name leads to a place within a build's folder, or within the Hub's cache of one, which is links."""
    home = folder.resolve()
    home = home.parent.parent if home.parent.name == "snapshots" else home
    try:
        return (folder / name).resolve().is_relative_to(home)
    except (OSError, ValueError):  # a name that no file can have
        return False


def regular(path: Path) -> bool:
    """Whether a regular file is there, so that opening it does not wait for anybody. Raises InputError for one that is
    read as one text and too large for that."""
    if not path.is_file():
        return False
    if path.name in TEXTS and (size := path.stat().st_size) > MOST:
        raise InputError(f"{path}: {size >> 20:,} MB, which no build writes there: {AGAIN}")
    return True


def running_sha256(paths: list[Path]) -> list[str]:
    """For each k from 0, the sha256 of the bytes of the first k files, one after the other."""
    sha = hashlib.sha256()
    found = [sha.hexdigest()]
    for path in paths:
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                sha.update(data)
        found.append(sha.hexdigest())
    return found


def digest_once(path: Path) -> str:
    """sum_of a file: its bytes are read once a process, and again where they were written since."""
    return _digest(path, _written(path))


@lru_cache(maxsize=1 << 14)
def _digest(path: Path, written: tuple[int, ...]) -> str:
    return sum_of(path)


def sum_of(path: Path) -> str:
    """What `sums_of` has of a file that is as it was written."""
    if path.name != RUN:
        return digest(path)
    try:
        return _own(json.loads(path.read_text("utf-8")))
    except (ValueError, AttributeError, RecursionError):
        return "not JSON"


def _damaged(path: Path, why: str) -> DamagedInput:
    return DamagedInput([(str(path), None, f"{why}: {AGAIN}")])
