"""Steps: third-party ones, raising ones, filter, sample, mix; scored once, decided often."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instdata.build import prepare
from instdata.steps import base as steps
from instdata.steps import score_shards
from instdata.steps.base import Scores, Step, Threshold, Verdicts, drop, keep
from instdata.util.errors import InputError
from tests.conftest import rows

EXAMPLE = Path(__file__).parents[1] / "example_step"


class Counted(Step):
    """A step that writes down how many rows it scored."""

    kind: ClassVar[str] = "counted"
    scored: ClassVar[list[int]] = []

    most: int = Threshold(1000)
    unit: str = "chars"

    def score(self, rows):
        Counted.scored.append(len(rows))
        if "boom" in rows.prompt.to_pylist():
            raise RuntimeError("boom is too much")
        return {"length": pc.utf8_length(rows.prompt), "_hidden": pa.array([[1]] * len(rows))}

    def decide(self, scores):
        return drop(scores.length > self.most, "too_long")


class Broken(Step):
    kind: ClassVar[str] = "broken"
    scope: ClassVar[str] = "corpus"

    def score(self, rows):
        return {"wrong": pa.array([1])}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Steps of this file under their kinds, as an entry point would have it."""
    mine = {kind: EntryPoint(kind, f"{__name__}:{kind.title()}", steps.GROUP) for kind in ("counted", "broken")}
    known = {**steps.kinds(), **mine}
    monkeypatch.setattr(steps, "kinds", lambda: known)
    monkeypatch.setattr("instdata.recipe.load.kinds", lambda: known)
    steps.step_class.cache_clear()
    Counted.scored.clear()
    yield
    steps.step_class.cache_clear()


def ledger(done):
    return {r["rid"].split(":")[1]: r for r in pq.read_table(done.path / "ledger.parquet").to_pylist()}


def test_a_third_party_step_by_entry_point(bench, monkeypatch):
    monkeypatch.undo()  # the real registry
    monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache"))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    steps.kinds.cache_clear()
    try:
        bench.jsonl(
            "a.jsonl", [{"instruction": "a", "output": "STOP SHOUTING"}, {"instruction": "b", "output": "all calm"}]
        )
        done = bench.build(sources=[{"path": "a.jsonl"}], steps=["shout"])
        assert {
            k: (r["verdict"], r["reason"], round(r["score_shout_capitals"], 2)) for k, r in ledger(done).items()
        } == {
            "0": ("dropped", "shouting", 1.0),
            "1": ("kept", None, 0.0),
        }
    finally:
        steps.kinds.cache_clear()


def test_the_docs_show_the_tested_step():
    shown = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs/steps.md").read_text(), re.S)
    assert (EXAMPLE / "instdata_shout.py").read_text() in shown


def test_scores_are_computed_once_and_decided_often(bench):
    bench.jsonl("a.jsonl", rows(40))
    content = {"sources": [{"path": "a.jsonl"}]}
    first = bench.build(**content, steps=[{"counted": {"most": 33}}])
    assert Counted.scored == [40] and first.manifest["totals"]["dropped"] == 30
    again = bench.build(**content, steps=[{"counted": {"most": 34}}])
    assert Counted.scored == [40] and again.manifest["totals"]["dropped"] == 0
    bench.build(**content, steps=[{"filter": {"where": "true"}}, {"counted": {"most": 33}}])
    assert Counted.scored == [40]
    bench.build(**content, steps=[{"counted": {"most": 33, "unit": "words"}}])
    assert Counted.scored == [40, 40]


def test_a_second_identical_build_does_nothing(bench):
    bench.jsonl("a.jsonl", rows(40))
    content = {"sources": [{"path": "a.jsonl"}], "steps": ["counted"]}
    assert bench.build(**content).changed
    before = {p: p.stat().st_mtime_ns for p in bench.folder.glob("out/**/*.parquet")}
    assert not bench.build(**content).changed
    assert {p: p.stat().st_mtime_ns for p in bench.folder.glob("out/**/*.parquet")} == before
    (bench.folder / "out/ledger.parquet").unlink()
    assert bench.build(**content).changed
    bench.jsonl("a.jsonl", rows(41))
    assert bench.build(**content).changed


def test_a_row_that_a_step_raises_on_is_quarantined_alone(bench):
    bench.jsonl("a.jsonl", [*rows(20), {"instruction": "boom", "output": "x"}, *rows(20, note="again")])
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=["counted"])
    row = ledger(done)["20"]
    assert (row["verdict"], row["step"], row["score_counted_length"]) == ("quarantined", "counted", None)
    assert json.loads(row["evidence"]) == {"error": "RuntimeError: boom is too much"}
    assert Counter(r["verdict"] for r in ledger(done).values()) == {"kept": 40, "quarantined": 1}
    (record,) = [json.loads(x) for x in (done.path / "quarantine.jsonl").read_text().splitlines()]
    assert record["source_row"] == 20 and "boom" in record["raw"]
    assert done.manifest["steps"][0]["quarantined"] == 1


@pytest.mark.parametrize("boom", [False, True])
def test_shards_scored_together_are_scored_the_same(bench, monkeypatch, boom):
    """A file a shard; a row that a step raises on costs what it costs where shards are scored one by one."""
    for i in range(4):
        last = {"instruction": "boom" if boom and i == 2 else f"x{i}", "output": "o"}
        bench.jsonl(f"{i}.jsonl", [*rows(5 + i), last])
    kept = {}
    for together, counts in ((0, [6, 7, 8, 9]), (14, [13, 8, 9]), (100, [30])):
        monkeypatch.setattr(Counted, "together", together)
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / f"cache-{together}"))
        Counted.scored.clear()
        done = bench.build(f"b{together}", sources=[{"path": "*.jsonl"}], steps=[{"counted": {"most": 20}}])
        assert Counted.scored == counts or boom
        kept[together] = pq.read_table(done.path / "ledger.parquet").to_pylist()
    assert kept[0] == kept[14] == kept[100]
    assert [r["verdict"] for r in kept[100]].count("quarantined") == boom


def test_a_group_of_shards_is_bounded_in_rows_and_bytes(monkeypatch):
    monkeypatch.setattr(score_shards, "TOGETHER", 50)
    tasks = [
        SimpleNamespace(shard=SimpleNamespace(rows=n, size=size))
        for n, size in [(3, 9), (3, 9), (3, 9), (9, 9), (1, 45), (1, 9)]
    ]
    assert [len(group) for group in score_shards.grouped(tasks, 6)] == [2, 1, 1, 1, 1]
    assert [len(group) for group in score_shards.grouped(tasks, 1000)] == [4, 1, 1]


def test_a_step_that_returns_nonsense_is_named(bench):
    bench.jsonl("a.jsonl", rows(3))
    with pytest.raises(
        Exception, match=r"step broken: score returned columns that are not as long as the 3 rows: wrong \(1\)"
    ):
        bench.build(sources=[{"path": "a.jsonl"}], steps=["broken"])
    assert not (bench.folder / "out/manifest.json").exists()


def test_names_allow_a_kind_twice_and_scores_reach_filters(bench):
    bench.jsonl("a.jsonl", rows(40))
    done = bench.build(
        sources=[{"path": "a.jsonl"}],
        steps=[
            {"counted": {"name": "one"}},
            {"name": "two", "counted": {"most": 33}},
            {"filter": {"where": "score_one_length > 0 and score_two_length < 40 or id = ''"}},
        ],
    )
    assert [s["name"] for s in done.manifest["steps"]] == ["one", "two", "filter"]
    table = pq.read_table(done.path / "data")
    assert {"score_one_length", "score_two_length"} <= set(table.column_names)
    assert not [c for c in table.column_names if "hidden" in c or "keep" in c]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("length(nope) > 1", 'no column "nope"'),
        ("1 = 1; drop table rows", "one expression|not an SQL"),
        ("(select count(*) from read_csv('/etc/passwd')) > 0", "a subquery: the expression must say the same"),
        ("random() < 0.5", r"random\(\): the expression must"),
        ("now() > date '2020-01-01'", r"now\(\)"),
        ("current_date > date '2020-01-01'", "current_date"),
        ("row_number() over () < 3", "a window"),
        ("length(getenv('HOME')) > 0", "getenv|does not exist"),
        ("lang", "is VARCHAR, not true or false"),
        ("length(", "not an SQL expression"),
        ("count(*) > 1", "count|must say the same"),
    ],
)
def test_filters_cannot_misbehave(bench, where, says):
    bench.jsonl("a.jsonl", rows(3))
    with pytest.raises(InputError, match=f"(?i){says}"):
        bench.build(sources=[{"path": "a.jsonl"}], steps=[{"filter": {"where": where}}])


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("length(prompt) > 1 and rows.Lnag = 'en'", 'no column "Lnag". Did you mean "lang"? There are id, '),
        ('lang = "en"', 'no column "en". Text stands in single quotes. There are id, '),
        ("score_lenght_length > 1", 'no column "score_lenght_length". Did you mean "score_length_…"?'),
        ("score_last_length > 1", 'no column "score_last_length". Did you mean '),  # a later step's
        ("list_filter([1], x -> x > y) = [1]", 'no column "y". There are id, '),
    ],
)
def test_a_filter_of_an_unknown_column_is_refused_before_anything_runs(bench, where, says):
    bench.jsonl("a.jsonl", rows(3))
    path = bench.recipe(
        sources=[{"path": "a.jsonl"}],
        steps=[{"counted": {"name": "length"}}, {"name": "few", "filter": {"where": where}},
        {"counted": {"name": "last"}}],
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        prepare(path, online=False)
    ((_, line, message),) = caught.value.problems
    assert message.startswith(f"step few: where: {says}") and message.endswith("prompt, response, score_length_…")
    assert "where" in path.read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    "where",
    [
        "SCORE_Length_length > 1 or rows.LANG = 'en'",
        '"score_my-own_is made by it" = 1',
        "list_filter([1], X -> x > 0) = [1] and len([y for y in [1, 2] if y > length(prompt)]) = 0",
        "meta->>'$.note' = 'x' or meta->'$.note' is null",
    ],
)
def test_a_filter_of_what_may_be_there_is_no_problem(bench, where):
    bench.jsonl("a.jsonl", rows(3))
    steps = [{"counted": {"name": "length"}}, {"counted": {"name": "my-own"}}, {"filter": {"where": where}}]
    assert prepare(bench.recipe(sources=[{"path": "a.jsonl"}], steps=steps), online=False).recipe.steps[2].where


def test_a_filter_after_a_step_that_cannot_be_read_is_not_blamed(bench):
    bench.jsonl("a.jsonl", rows(3))
    steps = [{"counted": {"mots": 3}}, {"filter": {"where": "score_counted_length > 1"}}]
    with pytest.raises(InputError) as caught:
        prepare(bench.recipe(sources=[{"path": "a.jsonl"}], steps=steps), online=False)
    assert ['unknown key "mots"' in message for _, _, message in caught.value.problems] == [True]


def test_filter_drops_null_and_false(bench):
    bench.jsonl(
        "a.jsonl", [{"instruction": "a", "output": "b"}, {"instruction": "c"}, {"instruction": "dd", "output": "e"}]
    )
    done = bench.build(
        sources=[{"path": "a.jsonl"}], steps=[{"filter": {"where": "length(response) = length(prompt)"}}]
    )
    assert [r["reason"] for r in ledger(done).values()] == [None, "filtered", "filtered"]


@given(
    st.integers(1, 60),
    st.one_of(st.integers(1, 80).map(lambda n: {"rows": n}), st.integers(0, 100).map(lambda p: {"share": p / 100})),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_have_the_size_asked_for(bench, n, options):
    bench.jsonl("a.jsonl", rows(n))
    want = min(n, options["rows"]) if "rows" in options else int(n * options["share"] + 0.5)
    if want == 0:
        with pytest.raises(InputError, match="no row is left to publish: sample"):
            bench.build(sources=[{"path": "a.jsonl"}], steps=[{"sample": options}])
        return
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[{"sample": options}])
    assert done.manifest["totals"]["kept"] == want


def test_mix_reaches_its_weights(bench):
    bench.jsonl("a.jsonl", rows(100))
    bench.jsonl("b.jsonl", rows(30, note=1))
    bench.jsonl("c.jsonl", rows(5, note=2))
    done = bench.build(sources=[{"path": f"{n}.jsonl"} for n in "abc"], steps=[{"mix": {"weights": {"a": 2, "b": 1}}}])
    kept = Counter(
        r["source"] for r in pq.read_table(done.path / "ledger.parquet").to_pylist() if r["verdict"] == "kept"
    )
    assert kept == {"a": 60, "b": 30}
    with pytest.raises(InputError, match='no row has source "z"'):
        bench.build(sources=[{"path": "a.jsonl"}], steps=[{"mix": {"weights": {"z": 2, "a": 1}}}])


def test_verdicts_join_in_order():
    both = drop(pa.array([True, False, True, None]), "first", ['{"a": 1}', None, None, None]) | drop(
        pa.array([True, True, False, False]), "second", ['{"b": 1}', '{"b": 2}', None, None]
    )
    assert both.reason.to_pylist() == ["first", "second", "first", None]
    assert both.evidence.to_pylist() == ['{"a": 1}', '{"b": 2}', None, None]
    assert keep(2).reason.to_pylist() == [None, None]
    assert isinstance(keep(1) | keep(1), Verdicts)
    assert Scores(pa.table({"x": [1.0, None]})).x[0] == 1.0
