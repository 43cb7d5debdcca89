"""Sketches kept with their shards: made once, held once, and never another build than from nothing."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from instdata.build import Build, build, prepare
from instdata.corpus.corpus import CorpusRows
from instdata.steps.dedup import dedup, sketch_shards
from instdata.steps.dedup.api import find_in
from instdata.steps.dedup.minhash import scheme
from tests.conftest import Bench
from tests.core.test_build import SUBSETS, corpus, fingerprint


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each row was sketched for dedup, by its answer."""
    seen: Counter[str] = Counter()
    real = sketch_shards._sketched

    def counted(view: str, s: Any, rows: Any) -> Any:
        seen.update(rows.response.to_pylist())
        return real(view, s, rows)

    monkeypatch.setattr(sketch_shards, "_sketched", counted)
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    return seen


def built(bench: Bench, out: str, fresh: bool = False, **options: Any) -> Build:
    # A step before it drops rows of most shards, other ones where its bound is another.
    steps = [{"filter": {"where": f"source_row % 17 <> {options.pop('without', 3)}"}}, {"dedup": options}]
    recipe = bench.recipe(sources=[{"path": "*.jsonl", "name": "s"}], steps=steps, subsets=SUBSETS)
    return build(prepare(recipe, fresh=fresh), bench.folder / out)


def from_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, str]:
    """What a machine makes that has built nothing before."""
    with monkeypatch.context() as other:
        other.setenv("INSTDATA_CACHE", str(bench.folder / "nothing"))
        return fingerprint(built(bench, "from-nothing", fresh=True, **options).path)


def test_only_rows_that_are_new_are_sketched(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(700)
    made[695]["instruction"] = made[3]["instruction"] + " !"  # a new row that is near an old one
    bench.jsonl("a.jsonl", made[:690])
    one = built(bench, "one")
    assert sum(sketched.values()) == 690 and one.manifest["steps"][1]["dropped"] > 20
    bench.jsonl("b.jsonl", made[690:])
    sketched.clear()
    more = built(bench, "more")
    assert sum(sketched.values()) == 10 and set(sketched) == {r["output"] for r in made[690:]}
    assert fingerprint(more.path) == from_nothing(bench, monkeypatch)


def test_what_decides_over_copies_sketches_nothing(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.jsonl("a.jsonl", corpus(300))
    bench.jsonl("old/o.jsonl", corpus(9)[7:])
    built(bench, "one")
    for i, options in enumerate(
        ({"threshold": 0.9}, {"keep": "longest"}, {"max_memory": "2KB"}, {"without": 5}, {"across": ["old/o.jsonl"]})
    ):
        sketched.clear()
        again = fingerprint(built(bench, f"again{i}", **options).path)
        assert not sketched, options
        assert again == from_nothing(bench, monkeypatch, **options), options


def test_what_shapes_a_sketch_makes_it_anew(bench: Bench, sketched: Counter[str], monkeypatch: Any) -> None:
    bench.jsonl("a.jsonl", corpus(300))
    built(bench, "one")
    for i, options in enumerate(
        ({"threshold": 0.4}, {"view": "full"}, {"ngram": 7}, {"num_perm": 160}, {"script": "keep"}, {"method": "exact"})
    ):
        sketched.clear()
        built(bench, f"other{i}", **options)
        assert sum(sketched.values()) == 300, options
    monkeypatch.setattr(sketch_shards, "VERSION", sketch_shards.VERSION + 1)
    sketched.clear()
    built(bench, "version", keep="longest")
    assert sum(sketched.values()) == 300
    sketched.clear()
    built(bench, "fresh", fresh=True)
    assert sum(sketched.values()) == 300


def test_keys_are_held_once_and_text_only_of_rows_that_share_a_band(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of shards come and go one at a time, and of rows that were sketched before only the copies are read."""
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    letters = np.random.default_rng(0).integers(97, 123, (900, 100), dtype=np.uint8)
    letters[:, ::7] = ord(" ")
    texts = [bytes(row).decode() for row in letters]
    texts[800] = texts[10] + " again"
    bench.jsonl("a.jsonl", [{"instruction": text, "output": str(i)} for i, text in enumerate(texts)])
    alive: list[weakref.ref] = []
    most, held = [], []
    real, load = CorpusRows.scored, sketch_shards.RowTexts.load

    def watched(self: CorpusRows, *how: Any, **more: Any) -> Any:
        for table in real(self, *how, **more):
            alive.append(weakref.ref(table))
            yield table
            del table
            most.append(sum(ref() is not None for ref in alive))

    def loaded(self: Any, rows: np.ndarray) -> None:
        load(self, rows)
        held.append((rows.tolist(), self.held, self._file))

    monkeypatch.setattr(CorpusRows, "scored", watched)
    monkeypatch.setattr(sketch_shards.RowTexts, "load", loaded)
    for keep in ("first", "longest"):
        content = {"sources": [{"path": "a.jsonl", "format": "alpaca"}], "subsets": {"sizes": ["100%"]}}
        done = bench.build(out=keep, steps=[{"dedup": {"max_memory": "100KB", "keep": keep}}], **content)
        assert done.manifest["totals"]["dropped"] == 1
    assert len(alive) > 10 and max(most) <= 1
    [(_, size, file), (rows, again, none)] = held
    assert size <= 25_000 and file is not None, "what comes by lies in a file where memory is short"
    assert rows == [10, 800] and again < 1000 and none is None


@pytest.mark.parametrize("count", [1, 700])
def test_a_corpus_is_searched_as_a_list_of_texts_is(count: int) -> None:
    from instdata.corpus.rows import MESSAGES, Rows

    texts = [row["instruction"] for row in corpus(count)]
    talks = [[{"role": "user", "content": t}, {"role": "assistant", "content": "x"}] for t in texts]
    rows = Rows(pa.table({"messages": pa.array(talks, MESSAGES)}))
    made = ("full", 0.7, 128, 5, False, False)
    whole, blank = sketch_shards.sketch_rows(made, rows, [], 1 << 16, None)
    assert not blank.any() and whole.valid.all()
    found = find_in(whole, scheme(*made[1:]), np.arange(count), 0.7, 0.7, "minhash")
    wanted = dedup([f"{t}\nx" for t in texts])
    assert found.pairs.equals(wanted.pairs) and (count == 1 or len(found.pairs) > 20)
