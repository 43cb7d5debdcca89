"""What a build computes again when rows are added or changed: counted, and never another build than from nothing."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.build import Build, build, prepare
from instdata.corpus import cached_tables, write_data_files
from instdata.steps import holdout, kept_texts
from instdata.steps.holdout import Holdout
from instdata.util.paths import cache_folder
from tests.conftest import Bench
from tests.core.test_build import SUBSETS, corpus, fingerprint

build_module = import_module("instdata.build")


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the prompt of each row was sketched for the holdout, by its answer."""
    seen: Counter[str] = Counter()
    real = holdout._sketched

    def counted(threshold: float, rows: Any) -> dict[str, Any]:
        seen.update(rows.response.to_pylist())
        return real(threshold, rows)

    monkeypatch.setattr(holdout, "_sketched", counted)
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    return seen


def built(bench: Bench, out: str, fresh: bool = False, **options: Any) -> Build:
    steps = [{"holdout": {"per_ability": 5, **options}}, "dedup"]
    recipe = bench.recipe(sources=[{"path": "*.jsonl", "name": "s"}], steps=steps, subsets=SUBSETS)
    return build(prepare(recipe, fresh=fresh), bench.folder / out)


def from_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, str]:
    """What a machine makes that has built nothing before."""
    with monkeypatch.context() as other:
        other.setenv("INSTDATA_CACHE", str(bench.folder / "nothing"))
        return fingerprint(built(bench, "from-nothing", **options).path)


def held_prompts(done: Build) -> list[str]:
    return [m[0]["content"] for m in pq.read_table(done.path / "data/holdout.parquet")["messages"].to_pylist()]


def test_only_rows_that_are_new_are_sketched_for_the_holdout(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(700)
    bench.jsonl("a.jsonl", made[:690])
    built(bench, "one")
    assert sum(sketched.values()) == 690
    sketched.clear()
    bench.jsonl("b.jsonl", made[690:])
    more = fingerprint(built(bench, "more").path)
    assert sum(sketched.values()) == 10 and set(sketched) == {r["output"] for r in made[690:]}
    assert more == from_nothing(bench, monkeypatch)


def test_a_row_that_was_changed_is_sketched_anew_and_no_other_shard(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(600)
    bench.jsonl("a.jsonl", made[:300])
    bench.jsonl("b.jsonl", made[300:])
    done = built(bench, "one")
    item = held_prompts(done)[0]
    made[450]["instruction"] = item + " !"  # a near copy of what is held out, in place of another text
    bench.jsonl("b.jsonl", made[300:])
    sketched.clear()
    changed = built(bench, "changed")
    assert 0 < sum(sketched.values()) <= 300 and made[450]["output"] in sketched
    assert changed.manifest["steps"][0]["reasons"]["near_holdout"] > done.manifest["steps"][0]["reasons"].get(
        "near_holdout", 0
    )
    assert fingerprint(changed.path) == from_nothing(bench, monkeypatch)


def test_sketches_go_by_what_they_are_made_with(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.jsonl("a.jsonl", corpus(300))
    built(bench, "one")
    sketched.clear()
    built(bench, "fewer", per_ability=3)
    assert not sketched, "other rows are chosen, and none is sketched again"
    assert fingerprint(built(bench, "low", threshold=0.4).path) == from_nothing(bench, monkeypatch, threshold=0.4)
    assert sketched
    sketched.clear()
    monkeypatch.setattr(Holdout, "version", Holdout.version + 1)
    built(bench, "version")
    assert sum(sketched.values()) == 300
    sketched.clear()
    built(bench, "fresh", fresh=True)
    assert sum(sketched.values()) == 300, "made afresh once, though each round of choosing reads them"


def test_text_of_rows_that_were_compared_is_not_read_again(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = kept_texts._read
    monkeypatch.setattr(kept_texts, "_read", lambda rows, at: read.append(len(at)) or real(rows, at))
    made = corpus(700)
    bench.jsonl("b.jsonl", made[:690])
    built(bench, "one")
    first = sum(read)
    read.clear()
    bench.jsonl("a.jsonl", made[690:])  # all rows have other numbers
    more = fingerprint(built(bench, "more").path)
    assert 0 < sum(read) < first / 2, (read, first)
    assert more == from_nothing(bench, monkeypatch)


def test_what_is_kept_and_damaged_is_made_again(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.jsonl("a.jsonl", corpus(300))
    whole = fingerprint(built(bench, "one").path)
    kept = [p for name in ("scores", "kept") for p in (cache_folder() / name).rglob("*.parquet")]
    assert {p.parent.name for p in kept} > {"kept"}
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    sketched.clear()
    assert fingerprint(built(bench, "two").path) == whole
    assert sum(sketched.values()) == 300


def test_no_more_prompts_than_fit_are_held_at_once(
    bench: Bench, sketched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.jsonl("a.jsonl", corpus(300))
    done = fingerprint(built(bench, "one").path)
    monkeypatch.setattr(holdout, "HELD", 4)
    assert done == from_nothing(bench, monkeypatch)


def test_each_shard_is_read_once_for_all_that_is_written_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, sketched: Counter[str]
) -> None:
    bench.jsonl("a.jsonl", corpus(900))
    whole = fingerprint(built(bench, "one").path)
    read: Counter[Path] = Counter()
    real, write = cached_tables.read_cached, build_module._write

    def counted(path: Path, columns: list[str] | None = None) -> pa.Table:
        read[path] += any(name.startswith("messages") for name in columns or ["messages"])
        return real(path, columns)

    def written(*args: Any) -> Any:
        read.clear()
        cached_tables.LATELY.get(
            "nothing", ["n"], lambda names: pa.table({"n": pa.nulls(1 << 20, pa.int64())})
        )  # forget
        return write(*args)

    for module in (cached_tables, write_data_files):
        monkeypatch.setattr(module, "read_cached", counted)
    monkeypatch.setattr(build_module, "_write", written)
    monkeypatch.setattr(cached_tables.LATELY, "most", 100_000)  # a shard or two
    again = built(bench, "two")
    texts = [n for path, n in read.items() if n]
    assert len(texts) > 5 and set(texts) == {1} and again.manifest["totals"]["dropped"]
    assert fingerprint(again.path) == whole
