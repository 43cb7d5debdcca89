"""Rows by band keys: the same pairs as comparing all of them, however they were added."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from instdata.steps.dedup import band_buckets
from instdata.steps.dedup.band_buckets import Buckets, Heap
from instdata.steps.dedup.character_tables import buffers

KEYS = arrays(np.uint32, st.tuples(st.just(3), st.integers(1, 30)),
    elements=st.integers(0, 12) | st.integers(0, 2**32 - 1))  # fmt: skip


@given(KEYS, KEYS, st.lists(st.integers(1, 9), max_size=10))
@settings(max_examples=60, deadline=None)
def test_pairs_that_share_a_key(held, asked, cuts):
    start, band_buckets.START = band_buckets.START, 4
    try:
        grown = Buckets(3)
        at = 0
        for cut in [*cuts, held.shape[1]]:
            grown.add(np.ascontiguousarray(held[:, at : at + cut]))
            at += cut
    finally:
        band_buckets.START = start
    wanted = sorted(
        (q, r) for q in range(asked.shape[1]) for r in range(held.shape[1]) if (asked[:, q] == held[:, r]).any()
    )
    found = grown.sharing(np.ascontiguousarray(asked))
    assert [(int(f) >> 32, int(f) & 0xFFFFFFFF) for f in found] == wanted


def test_more_pairs_than_there_is_room_for():
    same = np.full((2, 5000), 7, np.uint32)
    grown = Buckets(2)
    grown.add(same)
    assert len(grown.sharing(same[:, :3])) == 15_000


@given(st.lists(st.text(max_size=40), min_size=1, max_size=40), st.data())
@settings(max_examples=50, deadline=None)
def test_texts_come_back(texts, data):
    heap = Heap()
    for start in range(0, len(texts), 7):
        heap.append(*buffers(pa.array(texts[start : start + 7], pa.large_string())))
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=20))
    got, ends = heap.fetch(np.array(rows, np.int64))
    assert [bytes(got[a:b]).decode() for a, b in zip(ends, ends[1:])] == [texts[r] for r in rows]
