"""Labels and sketches by an engine that spans machines: a shard a task, and the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from instdata.build import build, prepare
from instdata.util.engine import Engine
from instdata.util.paths import cache_folder
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


def test_data_files_are_written_by_the_engine_whatever_fits_in_memory(bench: Any, monkeypatch: Any) -> None:
    """A task a shard and a task a file, over many small buckets as over one, here and elsewhere: the same bytes, and
    nothing stays in the cache."""
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    monkeypatch.setattr("instdata.corpus.write_data_files.ROW_GROUP", 70)
    bench.jsonl("a.jsonl", corpus(600))
    steps = [{"holdout": {"per_ability": 3}}, {"quality": {"rules": "default"}}]
    content = {"sources": [{"path": "a.jsonl"}], "steps": steps, "subsets": SUBSETS}
    seen = []
    for engine, bucket in ((Engine(), 1 << 30), (Engine(), 5_000), (far := Elsewhere(), 5_000)):
        monkeypatch.setattr("instdata.corpus.write_data_files.BUCKET", bucket)
        out = bench.folder / f"out{len(seen)}"
        seen.append(fingerprint(build(prepare(bench.recipe(**content), fresh=True), out, engine).path))
    assert seen[0] == seen[1] == seen[2]
    files = len(list((bench.folder / "out0" / "data").iterdir()))
    shards = len(list(cache_folder().glob("shards/*/*-*[0-9].parquet")))
    assert files == 5 and far.asked.count("DataFile.write") == files
    assert shards > 3 and far.asked.count("ShardRows.write") == shards
    assert not list((cache_folder() / "scores").glob(".tmp-*"))
