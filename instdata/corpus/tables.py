"""Tables of shards: those read lately, and some of their rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
import pyarrow as pa

Column = TypeVar("Column", pa.Array, pa.ChunkedArray)


class Recent:
    """Tables by what names their content, those used last, up to `most` bytes: the steps of a small build do not read
    the same text again and again, and a larger one costs no more memory."""

    def __init__(self, most: int):
        self.most, self.bytes = most, 0
        self._tables: OrderedDict[Hashable, pa.Table] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], pa.Table]) -> pa.Table:
        """The table of this key, read where it is not held; each column in one piece."""
        if (held := self._tables.get(key)) is not None:
            self._tables.move_to_end(key)
            return held
        table = read().combine_chunks()
        if table.nbytes <= self.most:
            self._tables[key] = table
            self.bytes += table.nbytes
        while self.bytes > self.most:
            self.bytes -= self._tables.popitem(last=False)[1].nbytes
        return table


def rows_at(table: pa.Table, at: np.ndarray) -> pa.Table:
    """The rows at these places; a stretch of them is no copy."""
    stretch = len(at) and at[-1] - at[0] == len(at) - 1 and (np.diff(at) == 1).all()
    return table.slice(at[0], len(at)) if stretch else table.take(pa.array(at))


def spread(column: Column, at: np.ndarray | None, rows: int) -> Column:
    """A column of the rows `at` as a column of all rows, null elsewhere."""
    if at is None:
        return column
    index = np.full(rows, -1, np.int64)
    index[at] = np.arange(len(at))
    return column.take(pa.array(index, mask=index < 0))
