"""Which files a source means: folders and everything below them, globs, what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from instdata.read.file_kind import SUFFIXES, is_data
from instdata.read.source_options import Source
from instdata.util.errors import DamagedInput, InputError
from instdata.util.paths import cache_folder, expanded
from instdata.util.remote_address import is_url
from instdata.util.remote_files import fetched
from instdata.util.yaml import did_you_mean

NAMED = 3  # files that a line names
MARKS = (".instdata.lock", "ledger.parquet")  # what the folder of a build holds: its rows are nobody's source unasked


def find_files(source: Source, base: Path, say: Callable[[str], None] = lambda line: None) -> list[tuple[Path, str]]:
    """(path, name in rows) of each file of a source, sorted by name. Names are the files' without folder; where two
    are alike, the path below their common folder. `say` gets a line about what was left out.

    Raises InputError with every problem; DamagedInput where all of them are links that point nowhere."""
    found: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    problems: list[tuple[str, int | None, str]] = []
    damaged = 0
    texts: list[str] = []
    for text in source.paths:
        texts += map(str, fetched(text, cache_folder(), say)) if is_url(text) else [text]
    for text in texts:
        given = expanded(text)
        given = given if given.is_absolute() else base / given
        try:
            for path in _matches(given, text, skipped):
                if any(_excluded(path, given, pattern) for pattern in source.exclude):
                    skipped.append((path, "excluded"))
                elif path.is_symlink() and not path.exists():
                    gone = (
                        f"{path}: a link that points nowhere ({os.readlink(path)}): fetch the file, or leave it "
                        f"out by exclude:"
                    )
                    if source.damaged == "keep":
                        say(f"{gone}. Going on without it (damaged: keep)")
                    else:
                        problems.append(("", None, gone))
                        damaged += 1
                else:
                    found.append(path)
        except PermissionError as e:
            problems.append(("", None, f"{e.filename or text}: no permission to read it"))
        except InputError as e:
            problems += e.problems
    if problems:
        raise DamagedInput(problems) if damaged == len(problems) else InputError(problems)
    if not found:
        raise InputError(f"{', '.join(source.paths)}: every file is left out ({_told(skipped)})")
    if skipped:
        say(f"left out: {_told(skipped)}")
    found = sorted({p.resolve(): p for p in found}.values(), key=lambda p: (p.name, str(p)))
    for path in found:
        try:
            path.open("rb").close()
        except OSError as e:
            raise InputError(f"{path}: cannot be read: {e.strerror}") from e
    names = [p.name for p in found]
    if len(set(names)) < len(names):
        parents = [p.resolve().parent.parts for p in found]
        shared = next((i for i, parts in enumerate(zip(*parents)) if len(set(parts)) > 1), min(map(len, parents)))
        names = ["/".join(p.resolve().parts[shared:]) for p in found]
    return sorted(zip(found, names), key=lambda item: item[1])


def _told(skipped: list[tuple[Path, str]]) -> str:
    """2 hidden (._a.jsonl, .b.jsonl), 1 no data file (README.md)"""
    kinds = dict.fromkeys(why for _, why in skipped)
    parts = []
    for kind in kinds:
        names = sorted({p.name for p, why in skipped if why == kind})
        more = ", …" if len(names) > NAMED else ""
        parts.append(f"{len(names):,} {kind} ({', '.join(names[:NAMED])}{more})")
    return ", ".join(parts)


def _excluded(path: Path, given: Path, pattern: str) -> bool:
    root = given if given.is_dir() else given.parent
    below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    inner = pattern.removeprefix("**/")
    inside = f"{inner.rstrip('/')}/*"  # of a folder that is left out
    whole = any(fnmatch(text, p) for text in (path.name, below, path.as_posix()) for p in (pattern, inner))
    return whole or fnmatch(below, inside)


def _matches(given: Path, text: str, skipped: list[tuple[Path, str]]) -> list[Path]:
    if given.is_dir():
        return _data_files(_below(given, skipped), skipped, f"{text}: the folder has no data file ({_kinds()})")
    if given.exists() or given.is_symlink():
        if not is_data(given):
            raise InputError(f"{text}: unknown kind of file; known are {_kinds()}")
        return [given]
    if set("*?[") & set(text):
        anchor = Path(given.anchor) if given.is_absolute() else Path()
        pattern = str(given.relative_to(anchor))
        hidden = any(part.startswith(".") and set("*?[") & set(part) for part in given.parts)
        fixed = len(anchor.parts) + next(i for i, p in enumerate(Path(pattern).parts) if set("*?[") & set(p))
        files = []
        for path in sorted(anchor.glob(pattern)):
            if not hidden and any(part.startswith(".") for part in path.parts[fixed:]):
                skipped.append((path, "hidden"))
            elif path.is_dir() and pattern.endswith("**"):
                continue
            elif path.is_file() or path.is_symlink():
                files.append(path)
        return _data_files(files, skipped, f"{text}: no data file matches")
    near = did_you_mean(given.name, [p.name for p in given.parent.iterdir()]) if given.parent.is_dir() else ""
    raise InputError(f"{text}: no such file or folder.{near}")


def _kinds() -> str:
    return f"{', '.join(SUFFIXES)}, also .gz and .zst, and LogiQA's .txt"


def _data_files(files: list[Path] | Iterator[Path], skipped: list[tuple[Path, str]], none: str) -> list[Path]:
    data = []
    for path in files:
        if is_data(path):
            data.append(path)
        else:
            skipped.append((path, "no data file"))
    if not data:
        raise InputError(none)
    return data


def _below(folder: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    """The files of a folder and of those below it, sorted; links to folders are followed, once each."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        for name in list(folders):
            built = any((here / name / mark).exists() for mark in MARKS)
            if name.startswith(".") or built:
                folders.remove(name)
                skipped.append((here / name, "hidden" if name.startswith(".") else "a build"))
        folders.sort()
        for name in sorted(files):
            if name.startswith("."):
                skipped.append((here / name, "hidden"))
            else:
                yield here / name
