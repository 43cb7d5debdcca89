"""A machine that is too small, said in one line: what ran out (memory, disk, files, permission), where, and what to
do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instdata.util.errors import BuildError, InstdataError
from instdata.util.paths import cache_folder, home

LEAST = 2 << 30  # bytes of address space, most of it never touched
AGAIN = "what was done is kept: run the same command again to go on"
# The linker's and numpy's words where a library does not fit under ulimit -v.
NO_ROOM = re.compile(r"(?i)cannot allocate memory|failed to map segment|malloc of size|unable to allocate|out of memory|bad_alloc")  # fmt: skip  # noqa: E501
LIBRARY = re.compile(r"(?i)shared object|cannot open|\.so\b")
ERRNO = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)  # of Arrow, which tells it in words only


def enough_memory() -> None:
    """Raise BuildError where `ulimit -v` leaves less than the libraries of builds and networks take: the system's
    loader would abort the process on the way, without a word that helps."""
    bound = _bound()
    if bound is not None and bound < LEAST:
        raise BuildError(f"out of memory ({_memory()}): its libraries alone need {LEAST >> 20:,} MB of address space; a higher ulimit -v, or none (fewer --jobs do not help here)")  # fmt: skip  # noqa: E501


def trouble(error: BaseException, folder: Path | None = None) -> str | None:
    """One line about an error that the machine's limits explain; None for every other error.

    `folder`: where was written, for errors that name no file."""
    if error.__class__.__name__ == "BrokenProcessPool":
        return (
            f"a worker process was killed, most likely by the system for its memory: fewer --jobs, or a machine "
            f"with more memory ({_memory()}); {AGAIN}"
        )
    text = str(error)
    if isinstance(error, MemoryError) or NO_ROOM.search(text) or (_bound() and LIBRARY.search(text)):
        return f"out of memory ({_memory()}): fewer --jobs, a higher ulimit -v, or a larger machine; {AGAIN}"
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return f"this system gives no more threads or processes: a higher ulimit -u, or fewer --jobs; {AGAIN}"
    if not isinstance(error, OSError):
        return None
    said = ERRNO.search(text)
    number = error.errno or (int(said[1]) if said else 0)
    place = str(error.filename or folder or "")
    return _told(number, place) if number else None


def _told(number: int, place: str) -> str | None:
    """The line for an error number of the system."""
    where = f"{place}: " if place else ""
    if number in (errno.ENOSPC, errno.EDQUOT):
        free = f"{_free(place) / 1e6:,.1f} MB free" if place else "none free"
        return f"{where}the disk is full ({free}): make room there, or choose another disk ({_choice(place)}); {AGAIN}"
    if number == errno.EFBIG:
        return f"{where}files may not grow larger here: a higher ulimit -f; {AGAIN}"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        why = "the file system is read-only" if number == errno.EROFS else "no permission"
        return f"{where}cannot be written, {why}: allow it, or choose another folder ({_choice(place)})"
    if number in (errno.EMFILE, errno.ENFILE):
        return f"too many files are open: a higher ulimit -n; {AGAIN}"
    if number == errno.EAGAIN:
        return f"this system gives no more threads or processes: a higher ulimit -u, or fewer --jobs; {AGAIN}"
    return None


def _choice(place: str) -> str:
    """What moves a place elsewhere."""
    for name, folder in (("INSTDATA_CACHE", cache_folder()), ("INSTDATA_HOME", home())):
        if place and Path(place).absolute().is_relative_to(folder.absolute()):
            return name
    return "--out"


def _free(place: str) -> int:
    """Bytes free where a file is or would be."""
    path = Path(place).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _bound() -> int | None:
    """What `ulimit -v` leaves this process, in bytes; None where it is unbounded."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _memory() -> str:
    """The bound that counts, in words."""
    bound = _bound()
    if bound is not None:
        return f"ulimit -v gives {bound >> 20:,} MB"
    try:
        return f"this machine has {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 20:,} MB"
    except (ValueError, OSError, AttributeError):
        return "of this machine"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the machine's limits do to work that writes into a folder is told as a BuildError of one line."""
    try:
        yield
    except InstdataError:
        raise
    except Exception as e:
        if line := trouble(e, folder):
            raise BuildError(line) from e
        raise
