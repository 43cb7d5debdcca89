"""Verdicts on pairs that are kept from one search for the next: never another result, and no pair twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instdata.build import Build, build, prepare
from instdata.corpus.rows import MESSAGES, Rows
from instdata.steps.dedup import kept_verdicts, search
from instdata.steps.dedup.api import find_in
from instdata.steps.dedup.character_tables import prepare as prepared
from instdata.steps.dedup.kept_verdicts import KeptVerdicts
from instdata.steps.dedup.minhash import scheme
from instdata.steps.dedup.result import Deduped
from instdata.steps.dedup.sketch_shards import RowTexts, sketch_rows
from instdata.steps.dedup.typing_errors import counted, spelling, vocabulary
from instdata.steps.dedup.verification import together
from instdata.util.build_context import Context
from instdata.util.engine import Engine, Processes
from tests.conftest import Bench
from tests.core.test_build import corpus, fingerprint

MADE = ("prompt", 0.7, 128, 5, True, False, True, True)
TASK = "Tell me how the {} over there predict the {} before harvest time comes in {} and call getName({})"
RIGHT = TASK.format("farmers", "winter", "the hills", "")
SLIP = RIGHT.replace("winter", "witer")
POOL = [
    TASK.format(who, when, where, what)
    for who in ("farmers", "Farmers", "hunters")
    for when in ("winter", "Winter", "summer")
    for where in ("the hills", "the Hills", "the hills again")
    for what in ("", "x")
] + [SLIP, RIGHT.replace("getName", "getname")]
FRAME = [
    f"The winter of the year in which town number {i} was built, with all its bridges and towers" for i in range(40)
]


def searched(texts: list[str], folder: Path | None, order: np.ndarray | None = None, **context: Any) -> Deduped:
    talks = [[{"role": "user", "content": t}, {"role": "assistant", "content": "x"}] for t in texts]
    rows = Rows(pa.table({"messages": pa.array(talks, MESSAGES)}), Context(**context))
    whole, _ = sketch_rows(MADE, rows, [], 1 << 20, folder)
    order = np.arange(len(texts)) if order is None else order
    return find_in(whole, scheme(*MADE[1:]), order, 0.7, 0.7, "minhash")


def same(one: Deduped, other: Deduped) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("copy_of", "at", "earlier", "similarity")
    )


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each search verified."""
    seen: list[int] = []
    real = search.verified

    def counting(texts: Any, rows: Any, pairs: np.ndarray, *how: Any) -> Any:
        if isinstance(texts, RowTexts):  # not what compiles kernels
            seen.append(len(pairs))
        return real(texts, rows, pairs, *how)

    monkeypatch.setattr(search, "verified", counting)
    return seen


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sets(st.sampled_from(POOL), max_size=14), st.booleans(), st.randoms()), max_size=6))
def test_rows_come_and_go_and_nothing_else_is_found(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[set[str], bool, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    for texts, framed, random in turns:
        some = [*sorted(texts), *(FRAME if framed else ())]
        order = np.array(random.sample(range(len(some)), len(some)), np.int64)
        assert same(searched(some, folder, order), searched(some, None, order))


def test_the_pool_has_copies_contrasts_and_slips(verified: list[int]) -> None:
    """Else the test above shows nothing."""
    found = searched(POOL, None)
    assert len(found.dropped) > 10 and len(found.kept) > 4
    assert not len(searched([RIGHT, SLIP], None).dropped), "too few rows to say which words there are"
    assert searched([*FRAME, RIGHT, SLIP], None).dropped.tolist() == [len(FRAME) + 1]


def test_a_pair_is_verified_once_and_many_files_become_one(
    tmp_path: Path, verified: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_verdicts, "FILES", 3)
    for n in range(10, len(POOL), 8):
        assert same(searched(POOL[:n], tmp_path), searched(POOL[:n], None))
        assert 1 <= len(list(tmp_path.glob("kept/verdicts-*/*.parquet"))) <= 3
    ours, alone = verified[0::2], verified[1::2]
    assert sum(ours) == alone[-1] > 0, "each pair of the last search, once"
    assert len(set(tmp_path.glob("kept/verdicts-*/*"))) == 2 * len(list(tmp_path.glob("kept/*/*.parquet")))
    verified.clear()
    searched(POOL[:n][::-1], tmp_path, np.arange(n)[::-1])
    assert verified == [0], "other numbers of the same rows"
    searched(POOL[:n], tmp_path, fresh=True)
    assert verified == [0, alone[-1]], "afresh"
    searched(POOL[:n], tmp_path)
    assert verified[2:] == [0] and len(list(tmp_path.glob("kept/*/*.parquet"))) == 1


def test_a_damaged_file_is_said_and_made_again(tmp_path: Path, verified: list[int]) -> None:
    said: list[str] = []
    wanted = searched(POOL, tmp_path)
    [path] = tmp_path.glob("kept/verdicts-*/*.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert same(searched(POOL, tmp_path, say=said.append), wanted) and verified[0] == verified[1]
    assert said == ["dedup: 1 cached files of similarities are damaged; they are made again"]
    assert same(searched(POOL, tmp_path, say=said.append), wanted) and verified[2] == 0 and len(said) == 1


@given(st.lists(st.text("abAB .é字", max_size=80), max_size=12))
def test_words_are_counted_as_they_stand(texts: list[str]) -> None:
    data, offsets = prepared(pa.array(texts, pa.string()))
    found = vocabulary(data, offsets)
    wanted = Counter(w.lower() for text in texts for w in {w.lower() for w in re.findall("[A-Za-z]{5,}", text)})
    hashes = {w: spelling(np.frombuffer(w.encode(), np.uint8), 0, len(w)) for w in [*wanted, "zebra"]}
    got = counted(np.array([*hashes.values()], np.uint64), found)
    assert dict(zip(hashes, got.tolist())) == {**wanted, "zebra": 0} and len(found[0]) == len(wanted)


def test_more_words_than_the_table_had_room_for() -> None:
    random = np.random.default_rng(0)
    texts = ["".join(map(chr, random.integers(97, 123, 5))) for _ in range(4000)]
    words, counts = vocabulary(*prepared(pa.array(texts)))
    assert (
        len(words) == len(set(texts))
        and counts.sum() == 4000
        and counts.dtype == np.uint32
        and (np.diff(words.astype(object)) > 0).all()
    )


def built(bench: Bench, out: str, engine: Engine | str = "local", fresh: bool = False, **options: Any) -> Build:
    steps = [{"filter": {"where": options.pop("where", "source_row % 17 <> 3")}}, {"dedup": options}]
    recipe = bench.recipe(sources=[{"path": "*.jsonl", "name": "s"}], steps=steps, subsets={"sizes": ["100%"]})
    return build(prepare(recipe, fresh=fresh), bench.folder / out, engine)


def test_a_build_verifies_pairs_that_no_build_has_seen(
    bench: Bench, verified: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    made = corpus(700)
    made[695]["instruction"] = made[3]["instruction"] + " !"
    bench.jsonl("a.jsonl", made[:690])
    built(bench, "one")
    assert verified[0] > 50
    built(bench, "threshold", threshold=0.9)
    assert len(verified) == 1, "not even searched"
    bench.jsonl("b.jsonl", made[690:])
    verified.clear()
    more = fingerprint(built(bench, "more").path)
    new = verified[0]
    built(bench, "without", where="source_row % 19 <> 3")
    fresh = fingerprint(built(bench, "fresh", fresh=True).path)
    assert 0 < new < verified[2] / 5 and verified[1] < verified[2] and more == fresh


def test_rows_that_were_dropped_say_which_words_there_are(bench: Bench) -> None:
    """A step before dedup changes no word, and a row that it drops need not be read again."""
    task = "Tell me how the farmers over there predict the winter before harvest time comes"
    bench.jsonl("a.jsonl", [{"instruction": t, "output": "x"} for t in (*FRAME, task, task.replace("winter", "witer"))])
    done = built(bench, "out", where="source_row >= 40")
    assert [s["dropped"] for s in done.manifest["steps"][:2]] == [40, 1]


class Elsewhere(Processes):
    """Processes that stand for other machines."""

    def near(self) -> Engine:
        return Engine()


@pytest.mark.parametrize("options", [{}, {"across": ["old/o.jsonl"]}, {"method": "exact"}, {"view": "full"}])
def test_tasks_in_other_processes_find_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    bench.jsonl("a.jsonl", [*corpus(500), *({"instruction": f"{FRAME[0]} {i}", "output": "x"} for i in range(60))])
    bench.jsonl("old/o.jsonl", corpus(30)[20:])
    wanted = fingerprint(built(bench, "near", **options).path)
    monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache-far"))
    with Elsewhere(2, "instdata.steps.worker_preload") as engine:
        assert fingerprint(built(bench, "far", engine, **options).path) == wanted


def test_what_another_build_took_away_is_missing_and_no_error(tmp_path: Path) -> None:
    hashes, rows = np.arange(8, dtype=np.uint64).reshape(4, 2), np.arange(4, dtype=np.int32)
    pairs = np.array([1, 2, 3, 1 << 32 | 2], np.uint64)
    KeptVerdicts(tmp_path, hashes, False, print).keep(rows, pairs, together([]))
    held = KeptVerdicts(tmp_path, hashes, False, print)
    assert not len(held.find(rows, pairs)[1])
    for path in tmp_path.glob("*"):
        path.unlink()
    assert held.find(rows, pairs)[1].tolist() == pairs.tolist()
    held.files *= 9
    held.keep(rows, pairs, together([]))
    assert not len(KeptVerdicts(tmp_path, hashes, False, print).find(rows, pairs)[1])
