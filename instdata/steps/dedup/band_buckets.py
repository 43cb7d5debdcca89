"""Rows by their band keys, growing: a row is added, and those that share a band with a text are found, at a cost that
does not depend on how many rows there are. Each band has a hash table of chains: the last row of each slot, and the row
before it."""

from __future__ import annotations

import numpy as np

from instdata.steps.dedup.character_tables import frozen
from instdata.steps.dedup.compared_texts import gather
from instdata.util.kernels import inner, jit

START = 1024  # rows that there is room for at first


@inner
def slot_of(key, slots):
    """A slot for a band key; slots is a power of two."""
    return np.int64((key * np.uint32(0x9E3779B1)) >> np.uint32(8)) & (slots - 1)


@jit
def chain(keys, start, stop, last, before):
    """Put rows start … stop into the chains of every band."""
    slots = last.shape[1]
    for band in range(keys.shape[0]):
        for row in range(start, stop):
            slot = slot_of(keys[band, row], slots)
            before[band, row] = last[band, slot]
            last[band, slot] = row


@jit
def sharing(queries, keys, last, before, out):
    """query << 32 | row of every two that share a band's key, as often as they do. Returns how many; only as many as
    fit are written."""
    found, slots = 0, last.shape[1]
    for band in range(queries.shape[0]):
        for q in range(queries.shape[1]):
            key = queries[band, q]
            row = np.int64(last[band, slot_of(key, slots)])
            while row >= 0:
                if keys[band, row] == key:
                    if found < len(out):
                        out[found] = np.uint64(q) << np.uint64(32) | np.uint64(row)
                    found += 1
                row = np.int64(before[band, row])
    return found


class Buckets:
    """Band keys (uint32[bands, rows]) of rows 0, 1, 2, …, in the order in which they were added."""

    def __init__(self, bands: int):
        self.rows = 0
        self._keys = np.empty((bands, START), np.uint32)
        self._before = np.empty((bands, START), np.int32)
        self._last = np.full((bands, 2 * START), -1, np.int32)
        self._out = np.empty(4096, np.uint64)

    def add(self, keys: np.ndarray) -> None:
        """Append rows."""
        start, self.rows = self.rows, self.rows + keys.shape[1]
        if self.rows > self._keys.shape[1]:
            self._grow(start)
        self._keys[:, start : self.rows] = keys
        chain(self._keys, start, self.rows, self._last, self._before)

    def sharing(self, keys: np.ndarray) -> np.ndarray:
        """query << 32 | row (uint64, sorted, each once) of every query and row that share the key of a band."""
        found = sharing(keys, self._keys, self._last, self._before, self._out)
        if found > len(self._out):
            self._out = np.empty(2 * found, np.uint64)
            sharing(keys, self._keys, self._last, self._before, self._out)
        return np.unique(self._out[:found])

    def _grow(self, held: int) -> None:
        """Room for twice as many rows; the chains of those held are made anew, so each row is put in twice on the
        average."""
        room = 1 << int(np.ceil(np.log2(max(self.rows, 2 * self._keys.shape[1]))))
        keys = np.empty((len(self._keys), room), np.uint32)
        keys[:, :held] = self._keys[:, :held]
        self._keys, self._before = keys, np.empty((len(keys), room), np.int32)
        self._last = np.full((len(keys), 2 * room), -1, np.int32)
        chain(self._keys, 0, held, self._last, self._before)


class Heap:
    """Prepared texts one after the other, in buffers that double."""

    def __init__(self) -> None:
        self.rows = 0
        self._data, self._ends = np.empty(1 << 16, np.uint8), np.zeros(START, np.int64)

    def append(self, data: np.ndarray, offsets: np.ndarray) -> None:
        """Add texts: their bytes, and where each starts and the last ends."""
        start, rows = int(self._ends[self.rows]), len(offsets) - 1
        size = int(offsets[-1] - offsets[0])
        self._data = _room(self._data, start, start + size)
        self._ends = _room(self._ends, self.rows + 1, self.rows + rows + 1)
        self._data[start : start + size] = data[offsets[0] : offsets[-1]]
        self._ends[self.rows + 1 : self.rows + rows + 1] = start + (offsets[1:].astype(np.int64) - int(offsets[0]))
        self.rows += rows

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bytes, offsets) of some rows, in the order given."""
        bounds = np.concatenate([[0], np.cumsum(self._ends[rows + 1] - self._ends[rows])])
        out = np.empty(max(1, int(bounds[-1])), np.uint8)
        gather(frozen(self._data[:]), frozen(self._ends[:]), rows, 0, out, bounds)
        return frozen(out), frozen(bounds)


def _room(array: np.ndarray, held: int, wanted: int) -> np.ndarray:
    """The array, or one of twice its size or more with what it held."""
    if wanted <= len(array):
        return array
    larger = np.empty(max(wanted, 2 * len(array)), array.dtype)
    larger[:held] = array[:held]
    return larger
