"""A machine that is too small, said in one line: what ran out (memory, disk, files, permission), where, and what to
do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from instdata.util.atomic import number_of
from instdata.util.errors import BuildError, InstdataError, OutOfTime
from instdata.util.paths import cache_address, cache_folder, home

# Bytes of address space, most of it never touched: of commands that build or train, and of those that read and write.
LEAST, LIGHT = 2 << 30, 1 << 30
LEAST_SECONDS = 5  # of the processor, for libraries alone, where they are read for the first time
AGAIN = "what was done is kept: run the same command again to go on"
# The linker's and numpy's words where a library does not fit under ulimit -v.
NO_ROOM = re.compile(r"(?i)cannot allocate memory|failed to map segment|malloc of size|unable to allocate|out of memory|bad.alloc|failed to launch worker thread|memory allocation")  # fmt: skip  # noqa: E501
LIBRARY = re.compile(r"(?i)shared object|cannot open|\.so\b")


def enough(heavy: bool) -> None:
    """Raise BuildError where `ulimit -v` or `ulimit -t` leave less than a command's libraries take: the loader
    or OpenBLAS would abort the process, without a word that helps. Where processor time is bounded, OutOfTime
    is raised a second before the system kills. `heavy`: it loads a build's or a network's libraries."""
    bound, least = _bound(), LEAST if heavy else LIGHT
    if bound is not None and bound < least:
        raise BuildError(
            f"out of memory ({_memory()}): its libraries alone need {least >> 20:,} MB of address space; a higher "
            "ulimit -v, or none (fewer --jobs do not help here)"
        )
    if (seconds := _seconds()) is not None:
        if seconds < LEAST_SECONDS:
            raise BuildError(
                f"out of processor time (ulimit -t gives {seconds} s): its libraries alone may need {LEAST_SECONDS} s; "
                "a higher ulimit -t, or none"
            )
        _warned(seconds)


def _seconds() -> int | None:
    """What `ulimit -t` gives a process, in seconds of the processor; None where it is unbounded."""
    return _soft("RLIMIT_CPU")


def _soft(name: str) -> int | None:
    """This process's soft limit of a kind; None where it is unbounded, or the system has none."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(getattr(resource, name))[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _warned(seconds: int) -> None:
    """Raise OutOfTime in the main thread when the time is used up; the system kills a second later at the earliest."""
    import resource
    import signal

    def told(number: int, frame: Any) -> None:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # it comes every second from now on
        raise OutOfTime(f"out of processor time (ulimit -t gives {seconds} s): a higher ulimit -t, or none; {AGAIN}")

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if seconds == hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds - 1, hard))
    with suppress(ValueError):  # in another thread than the main one nobody is warned
        signal.signal(signal.SIGXCPU, told)


def trouble(error: BaseException, folder: Path | None = None, elsewhere: str = "--out") -> str | None:
    """One line about an error that the machine's limits explain; None for every other error.

    `folder`: where was written, for errors that name no file. `elsewhere`: the option that moves it."""
    if error.__class__.__name__ == "BrokenProcessPool":
        seconds = _seconds()
        spent = f" or its processor time (ulimit -t gives {seconds} s)" if seconds is not None else ""
        return (
            f"a worker process was killed, most likely by the system for its memory{spent}: fewer --jobs, or a machine "
            f"with more memory ({_memory()}); {AGAIN}"
        )
    text = str(error)
    if isinstance(error, MemoryError) or NO_ROOM.search(text) or (_bound() and LIBRARY.search(text)):
        return f"out of memory ({_memory()}): fewer --jobs, a higher ulimit -v, or a larger machine; {AGAIN}"
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return f"this system gives no more threads or processes: a higher ulimit -u, or fewer --jobs; {AGAIN}"
    if not isinstance(error, OSError):
        return None
    number = number_of(error)
    place = str(error.filename or folder or "")
    return _told(number, place, elsewhere) if number else None


def _told(number: int, place: str, elsewhere: str) -> str | None:
    """The line for an error number of the system."""
    where = f"{place}: " if place else ""
    if number in (errno.ENOSPC, errno.EDQUOT):
        free = f"{_free(place) / 1e6:,.1f} MB free" if place else "none free"
        return f"{where}the disk is full ({free}): make room there, or {_choice(place, elsewhere, 'disk')}; {AGAIN}"
    if number == errno.EFBIG:
        return f"{where}files may not grow larger here: a higher ulimit -f; {AGAIN}"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        why = "the file system is read-only" if number == errno.EROFS else "no permission"
        return f"{where}cannot be written, {why}: allow it, or {_choice(place, elsewhere, 'folder')}"
    if number in (errno.EMFILE, errno.ENFILE):
        return f"too many files are open: a higher ulimit -n; {AGAIN}"
    if number == errno.EAGAIN:
        return f"this system gives no more threads or processes: a higher ulimit -u, or fewer --jobs; {AGAIN}"
    return None


def _choice(place: str, elsewhere: str, kind: str) -> str:
    """What moves a place elsewhere."""
    cache = "INSTDATA_CACHE_COPY" if cache_address() else "INSTDATA_CACHE"
    for name, folder in ((cache, cache_folder()), ("INSTDATA_HOME", home())):
        if place and Path(place).absolute().is_relative_to(folder.absolute()):
            elsewhere = name
    return f"choose another {kind} ({elsewhere})" if elsewhere else "work on a copy elsewhere"


def _free(place: str) -> int:
    """Bytes free where a file is or would be."""
    path = Path(place).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _bound() -> int | None:
    """What `ulimit -v` leaves this process, in bytes; None where it is unbounded."""
    return _soft("RLIMIT_AS")


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
