"""Labels and sketches by an engine that spans machines: a shard a task, and the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from instdata.build import build, prepare
from instdata.util.engine import Engine
from tests.core.test_build import SUBSETS, corpus, fingerprint


class Elsewhere(Engine):
    """Other machines, as far as a task can tell: all that it has arrives by pickle."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def near(self) -> Engine:
        return Engine()

    def map(self, function: Any, items: Any) -> Iterator[Any]:
        for item in items:
            self.asked.append(function.__qualname__)
            there, what = pickle.loads(pickle.dumps((function, item)))
            yield pickle.loads(pickle.dumps(there(what)))


def test_labels_and_sketches_are_made_a_shard_at_a_time_wherever_the_engine_works(bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    bench.jsonl("a.jsonl", corpus(600))
    steps = [{"categorize": {}}, {"holdout": {"per_ability": 3}}, "dedup"]
    content = {"taxonomy": "belle", "sources": [{"path": "a.jsonl"}], "steps": steps, "subsets": SUBSETS}
    seen, shards = [], []
    for engine in (Engine(), far := Elsewhere()):
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / f"cache{len(seen)}"))
        out = bench.folder / f"out{len(seen)}"
        seen.append(fingerprint(build(prepare(bench.recipe(**content)), out, engine).path))
        shards = list((bench.folder / f"cache{len(seen) - 1}" / "shards").rglob("*-*[0-9].parquet"))
    assert seen[0] == seen[1]
    assert len(shards) > 3 and far.asked.count("Scoring.into_cache") == 3 * len(shards)
    # What was scored is not scored again, and nothing is sent.
    again = Elsewhere()
    build(prepare(bench.recipe(**content)), bench.folder / "again", again)
    assert "Scoring.into_cache" not in again.asked
