"""What other packages load without being asked: Arrow loads pandas at the first list that becomes an array, numba loads
scipy to see whether matrices could be multiplied, and cffi, with a parser of C. Half a second of CPU in each process,
for nothing that a build uses. And what Python's collector does meanwhile, and where Arrow gets its memory.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

NAMES = ("pandas", "scipy", "cffi")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt


def lean() -> None:
    """Spare this process all three. For processes of our own alone, the command's and its workers': in somebody else's,
    their frames and kernels may want them. (What needs pandas by name, as `to_pandas` does, loads it still.)"""
    thrifty()
    import pyarrow as pa

    sys.meta_path.insert(0, ABSENT)
    try:
        pa.array([0])
        for asks in ("numba.np.arraymath", "numba.core.typing.cffi_utils"):
            importlib.import_module(asks)
    finally:
        sys.meta_path.remove(ABSENT)


def thrifty() -> None:
    """Let Arrow take its memory from the C library, and that keep what is given back: a batch's columns then lie where
    the last one's lay. The allocator that Arrow brings asks for pages of 2 MB, and the system clears each anew: a tenth
    of a build's CPU. Before Arrow is first used."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if keep := getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None:
        keep(M_MMAP_THRESHOLD, 32 << 20)
        keep(M_TRIM_THRESHOLD, 256 << 20)


@contextmanager
def unswept() -> Iterator[None]:
    """Where a process of our own starts: what modules hold stays until it ends, so nothing of it is looked through for
    garbage, now or later. A tenth of the CPU of a build of 100 rows."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _Absent(MetaPathFinder):
    """Finds that a module is not there. (Cython takes a None in sys.modules for a module.)"""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in NAMES:  # a part of one that was loaded before, too
            raise ModuleNotFoundError(name, name=name)


ABSENT = _Absent()
