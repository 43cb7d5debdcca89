"""overrides: a person's decisions about single rows count, are written down, and name rows that exist."""

import json
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from instdata.cli.main import app
from instdata.corpus.rows import message_id
from instdata.publish.verify import verify
from instdata.steps.overrides_file import append, read_lines
from instdata.util.errors import InputError

RECORDS = [{"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(12)]


@pytest.fixture
def decide(bench):
    """Builds RECORDS with these lines as the overrides file."""
    records = [
        *RECORDS,
        {"instruction": "Design a logo.", "output": "<nooutput>"},
        {"instruction": "Hi?", "output": ""},
    ]
    bench.jsonl("a.jsonl", records)

    def run(lines, steps=("overrides", "quality"), **content):
        bench.jsonl("fixes.jsonl", lines)
        named = [{"overrides": "fixes.jsonl"} if s == "overrides" else s for s in steps]
        return bench.build(sources=[{"path": "a.jsonl"}], steps=named, **content)

    return run


def ledger(done):
    return {r["source_row"]: r for r in pq.read_table(done.path / "ledger.parquet").to_pylist()}


def test_each_action(decide):
    identity = message_id([("user", "Name river 1."), ("assistant", "River 1")])
    done = decide(
        [
            {"rid": "a/a.jsonl:0", "action": "drop", "who": "ann", "why": "dull"},
            {"id": identity, "action": "relabel", "value": "math", "why": "a number"},
            {"rid": "a/a.jsonl:2", "action": "edit", "value": "The Rhine", "why": "no river"},
            {"rid": "a/a.jsonl:12", "action": "keep", "why": "an example of nothing"},
            {"rid": "a/a.jsonl:13", "action": "keep", "why": "no answer yet"},
        ],
        taxonomy="belle",
    )
    rows = ledger(done)
    assert (rows[0]["step"], rows[0]["reason"]) == ("overrides", "override")
    assert json.loads(rows[0]["evidence"]) == {
        "rule": "override",
        "action": "drop",
        "who": "ann",
        "why": "dull",
        "line": 1,
    }
    assert (rows[1]["ability"], rows[3]["ability"]) == ("math", "unknown")
    assert rows[2]["id"] == message_id([("user", "Name river 2."), ("assistant", "The Rhine")])
    edit = json.loads(rows[2]["evidence"])["changes"][0]["edits"][0]
    assert (edit["before"], edit["after"], edit["why"]) == ("River 2", "The Rhine", "no river")
    assert rows[12]["verdict"] == "kept"  # quality would drop it
    assert json.loads(rows[12]["evidence"])["overrides"][0]["action"] == "keep"
    assert (rows[13]["step"], rows[13]["reason"]) == ("close", "no_response")  # no word makes an answer
    data = {r["id"]: r["origin"] for r in pq.read_table(done.path / "data/00-full.parquet").to_pylist()}
    assert data[rows[2]["id"]] == "human-revised"
    assert Counter(data.values())["human-revised"] == 1
    assert verify(done.path)["ok"]
    assert done.manifest["totals"] == {"in": 14, "generated": 0, "kept": 12, "dropped": 2, "quarantined": 0}


def test_the_later_line_counts_and_earlier_drops_stay(decide, capsys):
    lines = [{"rid": "a/a.jsonl:0", "action": a} for a in ("drop", "keep")]
    assert ledger(decide(lines))[0]["verdict"] == "kept"
    assert ledger(decide(lines[::-1]))[0]["verdict"] == "dropped"
    late = decide([{"rid": "a/a.jsonl:12", "action": "keep"}], steps=("quality", "overrides"))
    assert ledger(late)[12]["reason"] == "empty_response"


def test_a_row_that_clean_changed_is_found_by_either_id(decide, bench):
    bench.jsonl("a.jsonl", [{"instruction": "x", "output": "Ri\u200bver"}, *RECORDS])
    bench.jsonl("fixes.jsonl", [])
    old, new = (message_id([("user", "x"), ("assistant", a)]) for a in ("Ri\u200bver", "River"))
    for line in ({"id": old}, {"id": new}, {"rid": "a/a.jsonl:0", "id": old}, {"rid": "a/a.jsonl:0", "id": new}):
        bench.jsonl("fixes.jsonl", [{**line, "action": "drop"}])
        done = bench.build(sources=[{"path": "a.jsonl"}], steps=["clean", {"overrides": "fixes.jsonl"}])
        assert ledger(done)[0]["reason"] == "override"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"rid": "a/a.jsonl:99", "action": "drop"}, 'fixes.jsonl:1: no row has the rid "a/a.jsonl:99"'),
        ({"id": "0" * 32, "action": "keep"}, "no row has the id"),
        ({"rid": "a/a.jsonl:1", "id": "0" * 32, "action": "keep"}, "has another text now"),
        ({"rid": "a/a.jsonl:1", "action": "dorp"}, 'Did you mean "drop"'),
        ({"rid": "a/a.jsonl:1", "action": "edit"}, "value is the new answer"),
        (
            {"rid": "a/a.jsonl:1", "action": "edit", "value": [{"role": "me", "content": "x"}]},
            "value is the new answer",
        ),
        ({"rid": "a/a.jsonl:1", "action": "relabel", "value": "mth"}, 'Did you mean "math"'),
        ({"action": "drop"}, "id or rid is missing"),
        ({"rid": 3, "action": "drop"}, "rid: text is needed"),
        ({"rid": "a/a.jsonl:1", "action": "drop", "wy": "x"}, 'Did you mean "why"'),
        ([1], "a line is an object"),
    ],
)
def test_bad_lines(decide, line, says):
    with pytest.raises(InputError, match=re.escape(says)) as e:
        decide([line], taxonomy="belle")
    assert "fixes.jsonl:1" in str(e.value)


def test_a_missing_file(bench):
    bench.jsonl("a.jsonl", RECORDS)
    with pytest.raises(InputError, match="no such file"):
        bench.build(sources=[{"path": "a.jsonl"}], steps=[{"overrides": "fixes.jsonl"}])


def test_the_commands(decide, bench, monkeypatch):
    done = decide([], taxonomy="belle")
    run = CliRunner().invoke
    identity = ledger(done)[4]["id"]
    told = run(app, ["drop", identity, "--why", "dull", "--who", "bo", "--build", str(done.path), "--json"])
    assert json.loads(told.stdout)["rids"] == ["a/a.jsonl:4"]
    told = run(app, ["relabel", "a/a.jsonl:5", "--ability", "math", "--why", "sums", "--build", str(done.path)])
    assert told.exit_code == 0
    assert run(app, ["keep", "a/a.jsonl:12", "--why", "odd", "--build", str(done.path), "-q"]).stdout == ""
    lines = read_lines(bench.folder / "fixes.jsonl")
    assert [(x.action, x.rid, x.value) for x in lines] == [
        ("drop", "a/a.jsonl:4", None), ("relabel", "a/a.jsonl:5", "math"), ("keep", "a/a.jsonl:12", None),
    ]  # fmt: skip
    assert (lines[0].who, lines[0].why, lines[0].id) == ("bo", "dull", identity)
    text = [json.loads(x) for x in (bench.folder / "fixes.jsonl").read_text().splitlines()]
    rows = ledger(decide(text, taxonomy="belle"))
    assert (rows[4]["reason"], rows[5]["ability"], rows[12]["verdict"]) == ("override", "math", "kept")
    for arguments, says in (
        (["a/a.jsonl:99", "drop", None, "x"], "no row has the id or rid"),
        (["a/a.jsonl:5", "drop", None, " "], "say why"),
        (["a/a.jsonl:5", "relabel", "mth", "x"], 'Did you mean "math"'),
    ):
        with pytest.raises(InputError, match=says):
            append(done.path, *arguments, who=None, file=None)


def test_a_build_without_a_file_gets_one(bench, monkeypatch):
    bench.jsonl("a.jsonl", RECORDS)
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[])
    monkeypatch.chdir(bench.folder)
    told = append(done.path, "a/a.jsonl:1", "drop", None, "dull", "bo", None)
    assert "overrides: fixes.jsonl" in told["hint"]
    assert len(read_lines(bench.folder / "fixes.jsonl")) == 1
