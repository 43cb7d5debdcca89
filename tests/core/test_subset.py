"""Ladders: nested, stratified within one row, whatever order the rows came in."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.corpus.interleave import chairman
from instdata.corpus.ladder import ladder, priority
from instdata.corpus.subset_options import Subsets
from instdata.util.errors import InputError

counts = st.lists(st.integers(0, 60), min_size=1, max_size=15).filter(any)


def pool(counts_):
    abilities = np.repeat(np.arange(len(counts_)), counts_)
    ids = pa.array([hashlib.md5(f"{i}".encode()).hexdigest() for i in range(len(abilities))])
    return ids, abilities, [f"ability {i}" for i in range(len(counts_))]


@given(counts)
@settings(deadline=None)
def test_every_prefix_is_within_one_row_of_each_share(n):
    n = np.array(n)
    turns = chairman(n)
    assert np.bincount(turns, minlength=len(n)).tolist() == n.tolist()
    taken = np.cumsum(turns[:, None] == np.arange(len(n)), axis=0)
    # |taken - t * n / N| < 1, in integers
    assert (np.abs(taken * n.sum() - np.arange(1, len(turns) + 1)[:, None] * n) < n.sum()).all()


@given(counts, st.integers(0, 2**63 - 1), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_is_free_of_the_input_order(n, seed, random):
    ids, abilities, names = pool(n)
    first = ladder(ids, abilities, names, None, seed)
    shuffled = list(range(len(abilities)))
    random.shuffle(shuffled)
    # Codes are numbered by first use in a build: names decide, not codes.
    back = list(range(len(names)))
    random.shuffle(back)
    codes = np.array(back)[abilities[shuffled]]
    renamed = [names[back.index(i)] for i in range(len(names))]
    second = ladder(ids.take(pa.array(shuffled)), codes, renamed, None, seed)
    assert (
        ids.take(pa.array(first.order)).to_pylist() == ids.take(pa.array(np.array(shuffled)[second.order])).to_pylist()
    )


@given(counts, st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True))
@settings(deadline=None)
def test_sizes_are_nested_prefixes(n, percents):
    ids, abilities, names = pool(n)
    subsets = Subsets(sizes=[f"{p}%" for p in percents])
    found = ladder(ids, abilities, names, subsets, 0)
    ends = [end for _, end in found.cuts]
    assert ends == sorted(set(ends)) and ends[-1] == len(ids)
    for percent in percents:
        assert ends[found.configs[f"{percent}pct"] - 1] == max(1, int(len(ids) * (percent / 100) + 0.5))
    assert sorted(found.order.tolist()) == list(range(len(ids)))


@given(counts, st.lists(st.integers(1, 70), min_size=1, max_size=5, unique=True))
@settings(deadline=None)
def test_per_ability_ladders_hold_k_of_each(n, sizes):
    ids, abilities, names = pool(n)
    found = ladder(ids, abilities, names, Subsets(per_ability=sizes, on_short="clip"), 0)
    for k in sizes:
        prefix = found.order[: found.cuts[found.configs[f"{k}-per-ability"] - 1][1]]
        assert np.bincount(abilities[prefix], minlength=len(n)).tolist() == [min(k, x) for x in n]
    short = [k for k in sizes if any(0 < x < k for x in n)]
    if short:
        with pytest.raises(InputError, match=f"{short[0]}-per-ability"):
            ladder(ids, abilities, names, Subsets(per_ability=[short[0]]), 0)
        assert any("clipped" in w for w in found.warnings)


def test_a_size_that_the_pool_cannot_fill_says_what_is_missing():
    with pytest.raises(InputError, match=r"the pool has 10; 0.2M needs 200,000 rows"):
        ladder(*pool([5, 5]), Subsets(sizes=["4", "0.2M"]), 0)
    clipped = ladder(*pool([5, 5]), Subsets(sizes=["4", "0.2M"], on_short="clip"), 0)
    assert clipped.cuts == [("4", 4), ("0.2M", 10)] and clipped.configs == {"4": 1, "0.2M": 2, "full": 2}


def test_priorities_depend_on_seed_and_purpose():
    ids = pool([50])[0]
    assert (priority(ids, 0) == priority(ids, 0)).all()
    assert (priority(ids, 0) != priority(ids, 1)).all()
    assert (priority(ids, 0) != priority(ids, 0, "holdout")).all()
    assert len(np.unique(priority(ids, 3))) == 50
