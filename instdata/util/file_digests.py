"""What large files are called by their bytes: all of them are read, once as long as they are not written again."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from instdata.util.atomic import digest
from instdata.util.paths import cache_folder
from instdata.util.sealed import read_sealed_json, write_sealed_json

SMALL = 1 << 20  # bytes of files up to which a note of their digest costs more than to read them
SETTLED = 1.0  # seconds since a file was written last: before, a write at once after it may leave the same time


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    return _remembered("file", [path], lambda: digest(path))


def files_digest(paths: Sequence[Path]) -> str:
    """One digest (32 hex digits) over the names, sizes and bytes of files, in their order."""

    def read() -> str:
        total = hashlib.sha256()
        for path in paths:
            total.update(f"{path.name}:{path.stat().st_size}:".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        return total.hexdigest()[:32]

    return _remembered("files", paths, read)


def _remembered(kind: str, paths: Sequence[Path], read: Callable[[], str]) -> str:
    """What `read` says, or said when the files had the same sizes, numbers and times (of which no program can set the
    last). Where nothing can be written, they are read each time."""
    name = hashlib.sha256("\n".join([kind, *(str(p.resolve()) for p in paths)]).encode()).hexdigest()[:40]
    note = cache_folder() / "digests" / f"{name}.json"
    now = _stamps(paths)
    if sum(stamp[0] for stamp in now) <= SMALL:
        return read()
    found = read_sealed_json(note)
    if isinstance(found, list) and found[0] == now:
        return str(found[1])
    made = read()
    last = max((stamp[-1] for stamp in now), default=0) / 1e9
    if _stamps(paths) == now and time.time() - last > SETTLED:
        with contextlib.suppress(OSError):
            write_sealed_json(note, [now, made])
    return made


def _stamps(paths: Sequence[Path]) -> list[list[int]]:
    stats = [path.stat() for path in paths]
    return [[s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for s in stats]
