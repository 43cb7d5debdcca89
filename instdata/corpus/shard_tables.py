"""Tables of shards: those read lately, some of their rows, and arrays as their columns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pyarrow as pa

Column = TypeVar("Column", pa.Array, pa.ChunkedArray)


class Recent:
    """Columns of tables by what names their content, those used last, up to `most` bytes: the steps of a small build
    do not read the same text again and again, and a larger one costs no more memory."""

    def __init__(self, most: int):
        self.most, self.bytes = most, 0
        self._columns: OrderedDict[tuple[Hashable, str], pa.ChunkedArray] = OrderedDict()

    def get(self, key: Hashable, names: Sequence[str], read: Callable[[list[str]], pa.Table]) -> pa.Table:
        """Columns of the table of this key, those read that are not held; each in one piece."""
        held = {n: self._columns[key, n] for n in names if (key, n) in self._columns}
        missing = [n for n in names if n not in held]
        if missing:
            table = read(missing).combine_chunks()
            held |= {n: table[n] for n in missing}
        for name in names:
            if (key, name) not in self._columns and held[name].nbytes <= self.most:
                self._columns[key, name] = held[name]
                self.bytes += held[name].nbytes
            elif (key, name) in self._columns:
                self._columns.move_to_end((key, name))
        while self.bytes > self.most:
            self.bytes -= self._columns.popitem(last=False)[1].nbytes
        return pa.table([held[n] for n in names], names=list(names))


def rows_at(table: pa.Table, at: np.ndarray) -> pa.Table:
    """The rows at these places; a stretch of them is no copy."""
    stretch = len(at) and at[-1] - at[0] == len(at) - 1 and (np.diff(at) == 1).all()
    return table.slice(at[0], len(at)) if stretch else table.take(pa.array(at))


def put(table: pa.Table, name: str, at: np.ndarray, values: pa.Array) -> pa.Table:
    """The table with other values of a column in the rows `at`, which ascend."""
    column, ends = table[name], [*at.tolist(), len(table)]
    if len(at) * 16 > len(table):
        index = np.arange(len(table))
        index[at] = len(table) + np.arange(len(at))
        new = pa.concat_arrays([column.combine_chunks(), values]).take(pa.array(index))
    else:  # what lies between is copied as it lies
        parts = column.slice(0, ends[0]).chunks
        for i, (row, end) in enumerate(pairwise(ends)):
            parts += [values.slice(i, 1), *column.slice(row + 1, end - row - 1).chunks]
        new = pa.concat_arrays(parts) if parts else column.combine_chunks()
    return table.set_column(table.column_names.index(name), table.schema.field(name), new)


def spread(column: Column, at: np.ndarray | None, rows: int) -> Column:
    """A column of the rows `at` as a column of all rows, null elsewhere."""
    if at is None:
        return column
    index = np.full(rows, -1, np.int64)
    index[at] = np.arange(len(at))
    return column.take(pa.array(index, mask=index < 0))


def as_bytes(array: np.ndarray) -> pa.FixedSizeBinaryArray:
    """The bytes of each row of a contiguous array."""
    wide = array.itemsize * int(np.prod(array.shape[1:]))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(wide), len(array), [None, pa.py_buffer(array)])


def of_bytes(column: pa.ChunkedArray, kind: type) -> np.ndarray:
    """What `as_bytes` was given, as kind[rows, items]."""
    held = column.combine_chunks()
    wide = held.type.byte_width
    found = np.frombuffer(held.buffers()[1], np.uint8)[held.offset * wide : (held.offset + len(held)) * wide]
    return found.view(kind).reshape(len(held), wide // np.dtype(kind).itemsize)
