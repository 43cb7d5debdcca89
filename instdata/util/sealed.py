"""Cache files with a seal: a checksum beside each, checked before its content is used. What does not match its seal, or
has none, is as good as not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from instdata.util.atomic import digest, write_text
from instdata.util.mirrored_cache import mirror

SEAL = ".sha256"  # what the name of a file's seal ends in: a sum that processors do by themselves
TRANSFERS = 16  # files that are fetched at once
MOST = 1 << 16  # files of which is known whether they are sound
Checked = dict[Path, tuple[int, ...]]  # files that were found sound, as they were then
_known: dict[Path, tuple[tuple[int, ...], bool]] = {}


def seal(path: Path) -> None:
    """Write the checksum of a file that was just written beside it."""
    write_text(_seal_of(path), digest(path))
    if there := mirror():
        there.send(path, _seal_of(path))


def sealed(path: Path) -> str:
    """The checksum that a file was sealed with: names its content."""
    if (there := mirror()) and not _seal_of(path).exists():
        there.bring(path, _seal_of(path))
    return _seal_of(path).read_text()


def discard(path: Path) -> None:
    """Remove a sealed file that holds what its name does not say."""
    path.unlink(missing_ok=True)
    _seal_of(path).unlink(missing_ok=True)
    if there := mirror():
        there.forget(_seal_of(path), path)


def sound(path: Path) -> bool:
    """Whether a file is there and is what was sealed. Reads it once a process, and again where it was written since."""
    try:
        status, beside = path.stat(), _seal_of(path).stat()
    except OSError:
        there = mirror()
        return bool(there and there.bring(path, _seal_of(path)) and path.exists() and sound(path))
    written = (status.st_mtime_ns, status.st_size, status.st_ino, beside.st_mtime_ns, beside.st_ino)
    before = _known.get(path)
    return before[1] if before and before[0] == written else _learned(path, written, _same(path))


def all_sound(paths: Iterable[Path]) -> list[bool]:
    """`sound` of each; what is to be fetched from an address comes side by side."""
    if mirror() is None:
        return [sound(path) for path in paths]
    with ThreadPoolExecutor(TRANSFERS) as pool:
        return list(pool.map(sound, paths))


def checked(paths: Iterable[Path]) -> Checked:
    """The files among these that are sound, for another process of the same work, which need not read them to know."""
    return {path: _known[path][0] for path in paths if sound(path)}


def trust(known: Checked) -> None:
    """Take another process's word for files, for as long as they are as it saw them."""
    for path, written in known.items():
        _learned(path, written, True)


def _learned(path: Path, written: tuple[int, ...], is_sound: bool) -> bool:
    if len(_known) >= MOST:
        _known.clear()
    _known[path] = written, is_sound
    return is_sound


def _same(path: Path) -> bool:
    try:
        return _seal_of(path).read_text("latin-1") == digest(path)
    except OSError:
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + SEAL)


def write_sealed_json(path: Path, value: Any) -> None:
    """A JSON file that holds its own checksum."""
    text = json.dumps(value, ensure_ascii=False)
    write_text(path, json.dumps({"sum": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), "value": text}))
    if there := mirror():
        there.send(path)


def read_sealed_json(path: Path) -> Any:
    """What `write_sealed_json` wrote; None where it is not there or not the same."""
    if not path.exists() and (there := mirror()):
        there.bring(path)
    try:
        found = json.loads(path.read_bytes())
        text = found["value"]
        same = found["sum"] == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return json.loads(text) if same else None
