"""Cache files with a seal: a checksum beside each, checked before its content is used. What does not match its seal, or
has none, is as good as not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from instdata.util.atomic import write_text
from instdata.util.mirrored_cache import mirror

SEAL = ".sum"  # what the name of a file's seal ends in
TRANSFERS = 16  # files that are fetched at once


def seal(path: Path) -> None:
    """Write the checksum of a file that was just written beside it."""
    write_text(_seal_of(path), _sum(path))
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
    return _sound(path, (status.st_mtime_ns, status.st_size, status.st_ino, beside.st_mtime_ns, beside.st_ino))


def all_sound(paths: Iterable[Path]) -> list[bool]:
    """`sound` of each; what is to be fetched from an address comes side by side."""
    if mirror() is None:
        return [sound(path) for path in paths]
    with ThreadPoolExecutor(TRANSFERS) as pool:
        return list(pool.map(sound, paths))


@lru_cache(maxsize=1 << 16)
def _sound(path: Path, written: tuple[int, ...]) -> bool:
    try:
        return _seal_of(path).read_bytes() == _sum(path).encode()
    except OSError:
        return False


def _sum(path: Path) -> str:
    total = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            total.update(data)
    return total.hexdigest()


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
