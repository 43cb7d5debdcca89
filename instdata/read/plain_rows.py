"""Rows of plain records as columns, before they are a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import conversations_of


@dataclass(frozen=True)
class PlainRows:
    """Rows as columns: the number of each row's record and of its turns, all turns one after the other, meta, forms,
    and how many bytes of the last user turn are what is asked where the rest is given (-1: all of it)."""

    numbers: np.ndarray  # int64[rows]
    counts: np.ndarray  # int32[rows]
    roles: pa.Array  # string[turns]
    contents: pa.Array  # string[turns]
    meta: pa.Array  # string[rows]
    forms: pa.Array  # string[rows]
    asked: np.ndarray  # int32[rows]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def ends(self) -> np.ndarray:
        """Where each row's turns end, from 0: int32[rows + 1]."""
        return np.concatenate([np.zeros(1, np.int32), np.cumsum(self.counts, dtype=np.int32)])

    def messages(self) -> pa.Array:
        """The rows' conversations, TURNS."""
        return conversations_of(self.ends, {"role": self.roles, "content": self.contents})

    def ids(self) -> pa.Array:
        """message_id of each row, string."""
        sizes = pc.binary_length(self.contents).cast(pa.string())
        turns = pc.binary_join_element_wise(self.roles, sizes, self.contents, ":")
        text = memoryview(turns.buffers()[2] or b"")
        places = np.frombuffer(turns.buffers()[1], np.int32)[self.ends].tolist()
        digits = b"".join([blake2b(text[a:b], digest_size=16).digest() for a, b in pairwise(places)]).hex().encode()
        ends = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(ends), pa.py_buffer(digits))

    def spans(self) -> pa.Array:
        """Where what is asked stands in the last user turn, SPAN."""
        ends = self.asked
        parts = [pa.array(np.zeros(len(ends), np.int32)), pa.array(np.maximum(ends, 0))]
        return pa.StructArray.from_arrays(parts, names=["start", "end"], mask=pa.array(ends < 0))


def joined(parts: Sequence[PlainRows]) -> PlainRows:
    """Rows one after the other."""
    columns = [[getattr(part, f.name) for part in parts] for f in fields(PlainRows)]
    if len(parts) == 1:
        return parts[0]
    return PlainRows(*(np.concatenate(c) if isinstance(c[0], np.ndarray) else pa.concat_arrays(c) for c in columns))
