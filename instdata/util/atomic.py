"""Files that appear whole or not at all, and what a file's bytes are called."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ERRNO = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)  # of Arrow, which tells it in words only


def number_of(error: OSError) -> int:
    """The system's number of an error, 0 where there is none."""
    said = ERRNO.search(str(error))
    return error.errno or (int(said[1]) if said else 0)


def digest(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256()
        while data := file.read(1 << 20):
            total.update(data)
        return total.hexdigest()


def umask() -> int:
    """What this process takes from the permissions of new files: read without changing it where the system tells."""
    try:
        with open("/proc/self/status") as file:
            return int(next(line for line in file if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration):
        was = os.umask(0o077)
        os.umask(was)
        return was


@contextmanager
def whole(path: Path, mode: str = "wb") -> Iterator[Any]:
    """Write a file so that it appears complete or not at all: a temporary beside it, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from e  # not the temporary's name, which nobody knows
    try:
        encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~umask())
        os.replace(name, path)
    except BaseException as e:
        Path(name).unlink(missing_ok=True)
        if isinstance(e, OSError) and e.filename is None and number_of(e) in FULL:
            raise OSError(number_of(e), os.strerror(number_of(e)), str(path)) from e  # writing does not say what
        raise


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file so that the copy appears complete or not at all."""
    with open(source, "rb") as there, whole(path) as file:
        shutil.copyfileobj(there, file)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole(path, "w") as file:
        file.write(text)


@contextmanager
def alone(lock: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process at a time inside, by a lock of a file, which is made; `waiting` is called where another one is there.
    The system frees it with its owner, however that one ends. Where no lock can be had, there is none."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: nobody waits there
            pass
        yield
