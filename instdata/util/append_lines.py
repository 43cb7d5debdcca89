"""Files of lines that several processes add to at once, and that nobody rewrites."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def append_lines(path: Path, lines: bytes, whole: Callable[[bytes], bool] = lambda tail: True) -> None:
    """Add lines (each with its newline) and return when the disk has them; the file is locked meanwhile, so that no
    line of another process is lost or cut in two. A last line without a newline gets one, unless `whole` says that it
    is what a process that died left of a line: that goes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        _lock(file)
        tail = _tail(file)
        if tail and not whole(tail):
            file.truncate(file.seek(0, os.SEEK_END) - len(tail))
            tail = b""
        file.write((b"\n" if tail else b"") + lines)
        file.flush()
        os.fsync(file.fileno())


def _lock(file: IO[Any]) -> None:
    """Wait until this process alone has the file; the system frees it with the file's end, or the process's."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock: one at a time there
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _tail(file: IO[bytes]) -> bytes:
    """What follows the last newline."""
    at, tail = file.seek(0, os.SEEK_END), b""
    while at > 0 and b"\n" not in tail:
        step = min(1 << 16, at)
        at -= step
        file.seek(at)
        tail = file.read(step) + tail
    return tail.rpartition(b"\n")[2]
