"""What other packages load without being asked: Arrow loads pandas at the first list that becomes an array, numba loads
scipy to see whether matrices could be multiplied, and cffi, with a parser of C. Half a second of CPU in each process,
for nothing that a build uses. And what Python's collector does meanwhile.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

NAMES = ("pandas", "scipy", "cffi")


def lean() -> None:
    """Spare this process all three. For processes of our own alone, the command's and its workers': in somebody else's,
    their frames and kernels may want them. (What needs pandas by name, as `to_pandas` does, loads it still.)"""
    import pyarrow as pa

    sys.meta_path.insert(0, ABSENT)
    try:
        pa.array([0])
        for asks in ("numba.np.arraymath", "numba.core.typing.cffi_utils"):
            importlib.import_module(asks)
    finally:
        sys.meta_path.remove(ABSENT)


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
