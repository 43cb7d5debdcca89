"""Compiled kernels: where numba keeps them, how they run on all cores, how they are warmed at install time.

Kernels are single-threaded and release the GIL; `on_all_cores` runs them over slices in a thread pool. Each slice
writes its own part of the output, so results do not depend on the number of threads, nothing breaks under fork or
spawn, and they compile several times faster than numba's own parallel loops.
"""

from __future__ import annotations

import hashlib
import os
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
def folder() -> Path | None:
    """Where this version's kernels are cached; None where that cannot be written. numba knows when the file of a kernel
    changes, but not when that of another kernel which it calls does: so the folder is named after all files with
    kernels."""
    package = Path(__file__).parents[1]
    files = sorted(p for part in ROOMS for p in (package / part).rglob("*.py"))
    sources = [text for text in (p.read_bytes() for p in files) if b"@jit" in text]
    digest = hashlib.sha256(b"".join(sources)).hexdigest()[:12]
    path = home() / digest
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) and all(map(_ours, (path, path.parent))) else None


def _ours(path: Path) -> bool:
    """Whether only this user writes here: numba unpickles and runs what it finds in its cache."""
    if not hasattr(os, "geteuid"):
        return True
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba, cached on disk (in memory only where the folder cannot be written)."""
    if folder():
        os.environ["NUMBA_CACHE_DIR"] = str(folder())  # read when numba is imported
    import numba

    if folder():
        numba.config.CACHE_DIR = str(folder())
    return numba.njit(cache=bool(folder()), nogil=True, error_model="numpy")(function)


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
