"""Compiled kernels: where numba keeps them, how they run on all cores, how they are warmed at install time.

Kernels are single-threaded and release the GIL; `on_all_cores` runs them over slices in a thread pool. Each slice
writes its own part of the output, so results do not depend on the number of threads, nothing breaks under fork or
spawn, and they compile several times faster than numba's own parallel loops.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from instdata.util import paths as places
from instdata.util.progress import part

T = TypeVar("T")
ROOMS = ("corpus", "read", "steps/ability", "steps/dedup", "steps/quality", "train")  # where kernels lie


def home() -> Path:
    """The folder of compiled kernels: $INSTDATA_HOME/kernels, by default ~/.cache/instdata/kernels."""
    return places.home() / "kernels"


@cache
def folder(room: str) -> Path | None:
    """Where the kernels of one of ROOMS are cached; None where that cannot be written. numba knows when the file of a
    kernel changes, but not when that of another which it calls does, or whose constants it holds: so the folder is
    named after all files of the room with kernels and what they import of it, and after this one."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources(room))).hexdigest()[:12]
    path = home() / f"{room.replace('/', '-')}-{digest}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) and all(map(_ours, (path, path.parent))) else None


def _sources(room: str) -> list[Path]:
    """This file, and those of a room that make its kernels."""
    package = Path(__file__).parents[1]
    texts = {path: path.read_text("utf-8") for path in (package / room).rglob("*.py")}
    found: set[Path] = set()
    waiting = [path for path, text in texts.items() if re.search("^@(jit|inner)$", text, re.MULTILINE)]
    while waiting:
        path = waiting.pop()
        found.add(path)
        names = re.findall(r"^from instdata\.([\w.]+) import", texts[path], re.MULTILINE)
        others = {package / f"{name.replace('.', '/')}.py" for name in names} & texts.keys()
        waiting += others - found
    return [Path(__file__), *sorted(found)]


def _ours(path: Path) -> bool:
    """Whether only this user writes here: numba unpickles and runs what it finds in its cache."""
    if not hasattr(os, "geteuid"):
        return True
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def jit(function: Callable[..., Any]) -> Any:
    """Compile with numba, cached on disk (in memory only where the folder cannot be written)."""
    place = folder("/".join(function.__module__.split(".")[1:-1]))
    if place:
        os.environ["NUMBA_CACHE_DIR"] = str(place)  # read when numba is imported
    import numba

    if place:
        numba.config.CACHE_DIR = str(place)
    return numba.njit(cache=bool(place), nogil=True, error_model="numpy")(function)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call, as a part of each that does; Python, which calls it rarely, runs it as it
    stands. It gets nothing that Python would call it by, nor a place in the cache of its own."""
    from numba.extending import register_jitable

    return register_jitable(error_model="numpy", no_cfunc_wrapper=True)(function)


def threads() -> int:
    """How many kernels run at once: $NUMBA_NUM_THREADS, by default the cores that this process may use."""
    if wanted := os.environ.get("NUMBA_NUM_THREADS"):
        return max(1, int(wanted))
    return places.cores()


def on_all_cores(work: Callable[[Any], T], items: Iterable[Any], what: str = "") -> list[T]:
    """`work` of every item, in the order of the items; where they have a name (`what`), people are told how far it
    is."""
    items = list(items)
    if len(items) < 2 or threads() == 1:
        return _told(map(work, items), len(items), what)
    with ThreadPoolExecutor(min(threads(), len(items))) as pool:
        return _told(pool.map(work, items), len(items), what)


def _told(found: Iterable[T], total: int, what: str) -> list[T]:
    done: list[T] = []
    for one in found:
        done.append(one)
        part(len(done), total if what else 0, what)
    return done
