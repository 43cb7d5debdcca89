"""Text kept from one build to the next: never other text than the shards', and read once."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.corpus.corpus import Corpus, Shard
from instdata.steps import kept_texts
from instdata.steps.kept_texts import texts_at
from tests.core.test_walls import corpus_of, shard_file

ROWS = 5  # of each shard


def shards_in(folder: Path) -> list[Shard]:
    return [shard_file(folder / f"s{i}.parquet", [f"text {j} of {i}" for j in range(ROWS)]) for i in range(4)]


def corpus(folder: Path, shards: list[Shard], fresh: bool = False) -> Corpus:
    made = corpus_of(shards)
    return replace(made, context=replace(made.context, cache=folder / "cache", fresh=fresh, build="b"))


def asked(made: Corpus, positions: np.ndarray, at: np.ndarray) -> int:
    """How many rows were read from shards for it; what is given is looked at."""
    read = []
    with pytest.MonkeyPatch.context() as patched:
        real = kept_texts._read
        patched.setattr(kept_texts, "_read", lambda rows, some: read.extend(some.tolist()) or real(rows, some))
        found = {}
        for some, batch in texts_at(made.view(positions), "name", at):
            assert len(some) == len(batch) and not set(some.tolist()) & found.keys()
            found |= zip(some.tolist(), batch.prompt.to_pylist())
    number = positions[at]
    names = [f"text {n % ROWS} of {made.shards[n // ROWS].key[1:]}" for n in number.tolist()]
    assert found == dict(zip(at.tolist(), names))
    return len(read)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_given_is_what_the_shards_hold(data: st.DataObject) -> None:
    """Shards come, go, change places and stand twice; rows die; what is kept is damaged, or not to be used."""
    with tempfile.TemporaryDirectory() as name:
        shards = shards_in(Path(name))
        for _ in range(data.draw(st.integers(2, 5))):
            some = data.draw(st.lists(st.sampled_from(shards), min_size=1, max_size=5))
            made = corpus(Path(name), some, fresh=data.draw(st.booleans()))
            chosen = st.lists(st.integers(0, made.n - 1), unique=True, min_size=1)
            positions = np.sort(np.array(data.draw(chosen), np.int64))
            at = st.lists(st.integers(0, len(positions) - 1), unique=True)
            at_ = np.sort(np.array(data.draw(at), np.int64))
            read = asked(made, positions, at_)
            assert read == len(at_) or not made.context.fresh
            kept = list(Path(name, "cache").rglob("*.parquet"))
            if kept and data.draw(st.booleans()):
                kept[0].write_bytes(kept[0].read_bytes()[:-1] + b"?")


def test_rows_are_read_once_wherever_their_shard_is(tmp_path: Path) -> None:
    shards = shards_in(tmp_path)
    all_rows, at = np.arange(4 * ROWS), np.array([1, 7, 8, 16])
    assert asked(corpus(tmp_path, shards), all_rows, at) == 4
    assert asked(corpus(tmp_path, shards), all_rows, at) == 0
    moved = corpus(tmp_path, [shards[3], shards[0], shards[1]])  # 16 is 1 now, 1 is 6, 7 and 8 are 12 and 13
    assert asked(moved, np.arange(1, 15), np.array([0, 2, 5, 11, 12])) == 1
    assert asked(moved, np.arange(1, 15), np.array([2])) == 0
    assert asked(moved, np.arange(1, 15), np.array([0, 2])) == 1, "what was asked for last is kept, and no more"
    assert asked(corpus(tmp_path, shards, fresh=True), all_rows, at) == 4
    other = corpus(tmp_path, shards)
    assert asked(replace(other, context=replace(other.context, build="other")), all_rows, at) == 4


def test_no_more_is_kept_than_is_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "KEPT", 100)
    for _ in range(2):
        assert asked(corpus(tmp_path, shards_in(tmp_path)), np.arange(4 * ROWS), np.arange(4 * ROWS)) == 4 * ROWS
    assert not (tmp_path / "cache").exists()
