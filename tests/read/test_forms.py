"""Field-level conservation: for every record, in every shape, the row, its meta and its form give the record back."""

from __future__ import annotations

import copy
import json
import re

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instdata.builds import export
from instdata.read.blocks import decode
from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow
from instdata.read.formats import columns, detect
from instdata.read.json_numbers import dumps
from instdata.read.open_sources import Input
from instdata.read.parse_blocks import parse
from instdata.read.source_form import record_of, texts_of, written
from tests.read.test_nested import DOCUMENTS, PREFERRED, STEPS, TREE, held
from tests.read.test_shapes import PLAIN, THOUGHTS
from tests.read.test_vendors import VENDORS

text = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["", "a long answer that is found again in other texts", '{"$": [0]}', "$", '{"notes":["x"]}', *sorted(THOUGHTS)]
)
leaf = (
    text | st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)
value = st.recursive(leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=6)
KEYS = [
    "system",
    "tools",
    "answer",
    "model",
    "category",
    "reasoning",
    "images",
    "id",
    "ability",
    "Score",
    "$",
    "notes",
    "=",
    "raw",
]


HELD = [r for d in DOCUMENTS.values() for r in held(d) if isinstance(r, dict)]
SHAPES = {**PLAIN, **VENDORS, **{str(i): r for i, r in enumerate([*HELD, TREE, STEPS, *(r for r, _, _ in PREFERRED)])}}


@st.composite
def records(draw) -> dict:
    """A record in a known shape, some of its texts replaced and keys of any kind added or taken away."""
    record = copy.deepcopy(SHAPES[draw(st.sampled_from(sorted(SHAPES)))])

    def vary(node):
        if isinstance(node, str):
            return draw(text) if draw(st.integers(0, 3)) == 0 else node
        if isinstance(node, list):
            return [vary(n) for n in node] + ([vary(node[0])] if node and draw(st.booleans()) else [])
        if isinstance(node, dict):
            return {k: vary(n) for k, n in node.items()}
        return node

    record = vary(record)
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True)):
        record[key] = draw(value)
    for key in draw(st.lists(st.sampled_from(sorted(record)), max_size=1)) if draw(st.integers(0, 9)) == 0 else ():
        del record[key]
    return record


@given(st.lists(records(), min_size=1, max_size=80), st.sampled_from(["jsonl", "json"]))
@settings(max_examples=15, deadline=None, suppress_health_check=[*HealthCheck])
def test_every_record_comes_back(bench, batch, suffix):
    """Kept, dropped or unreadable: JSON equal to what came in, in the order in which it came."""
    lines = [orjson.dumps(r) for r in batch]
    data = b"\n".join(lines) if suffix == "jsonl" else b"[" + b",\n".join(lines) + b"]"
    (bench.folder / f"a.{suffix}").write_bytes(data)
    bench.jsonl("good.jsonl", [{"instruction": "x", "output": "kept whatever the others do"}])
    format = "auto" if _detected(batch) else "alpaca"
    done = bench.build(
        sources=[{"path": [f"a.{suffix}", "good.jsonl"], "name": "a", "max_bad": 1.0, "format": format}],
        steps=[{"filter": {"where": "length(response) > 4"}}],
    )
    out = bench.folder / "back.jsonl"
    assert export(done.path, "source", out) == {"written": len(batch) + 1, "left_out": 0}
    back = [json.loads(line) for line in out.read_bytes().split(b"\n") if line]
    assert back[:-1] == [json.loads(line) for line in lines]
    assert done.manifest["fields"] == {"records": len(batch) + 1, "reconstructed": len(batch) + 1}


def _detected(batch) -> bool:
    try:
        return detect([normalise_keys(r) for r in batch]) is not None
    except BadRow:
        return False


@given(st.dictionaries(text, value, max_size=4), st.lists(text.filter(bool), max_size=5))
@settings(max_examples=200)
def test_any_form_gives_its_record_back(record, texts):
    messages = [{"role": "user", "content": t} for t in texts]
    assert texts_of(messages, {}) == texts
    form = written(record, texts, ())
    assert record_of(form, messages, {}, None) == record
    assert record_of(written(record, texts, (), ["cut_back"]), messages, {}, None) == record


def test_texts_are_not_kept_twice():
    long = {n: f"{n} " * 40 for n in ("instruction", "input", "output")}
    texts = [f"{long['instruction']}\n\n{long['input']}", long["output"]]
    assert len(written(long, texts, ())) < 150
    belle = {"instruction": f"Human:{long['input']}\nAssistant:", "output": long["output"], "note": "x" * 200}
    assert json.loads(written(belle, [long["input"], long["output"]], ("note",))) == {
        "=": {"instruction": {"$": ["Human:", 0, "\nAssistant:"]}, "output": {"$": [1]}, "note": {"$": "note"}}
    }


def test_what_is_no_json_comes_back_as_it_stood(bench):
    lines = ['{"instruction": "a", "output": "b"}', "not json {", '{"instruction": "c", "output": "d"}']
    (bench.folder / "a.jsonl").write_text("\n".join(lines))
    done = bench.build(sources=[{"path": "a.jsonl", "max_bad": 1.0}])
    out = bench.folder / "back.jsonl"
    export(done.path, "source", out)
    back = out.read_text().splitlines()
    assert back[1] == lines[1] and [json.loads(back[i]) for i in (0, 2)] == [json.loads(lines[i]) for i in (0, 2)]
    export(done.path, "source", bench.folder / "back.json")
    assert json.loads((bench.folder / "back.json").read_text())[1] == lines[1]


def test_tables_csv_and_seeds(bench):
    table = [{"Question": f"q{i}", "Answer": 0.1 * i, "extra": [1, None], "when": None} for i in range(5)]
    pq.write_table(pa.Table.from_pylist(table), bench.folder / "t.parquet")
    (bench.folder / "c.csv").write_text('instruction,output,n\n"a, b",c,1\n,,\n')
    seeds = {
        "instruction": "Sort.",
        "instances": [{"input": "b a", "output": "a b"}, {"input": "b a", "output": "a b"}],
        "is_classification": False,
    }
    bench.jsonl("s.jsonl", [seeds])
    done = bench.build(sources=[{"path": "t.parquet"}, {"path": "c.csv"}, {"path": "s.jsonl"}])
    out = bench.folder / "back.jsonl"
    assert export(done.path, "source", out)["written"] == 8
    back = [json.loads(line) for line in out.read_text().splitlines()]
    assert back == [
        *table,
        {"instruction": "a, b", "output": "c", "n": "1"},
        {"instruction": "", "output": "", "n": ""},
        seeds,
    ]


@pytest.mark.parametrize("limit", [1, 3])
def test_limits_and_several_shards(bench, monkeypatch, limit):
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 200)
    records = [{"instruction": f"task number {i} of many", "output": f"answer {i}"} for i in range(40)]
    bench.jsonl("b.jsonl", records)
    bench.jsonl("a.jsonl", records[:2])
    done = bench.build(sources=[{"path": "b.jsonl"}, {"path": "a.jsonl"}], limit=limit)
    out = bench.folder / "back.jsonl"
    export(done.path, "source", out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [*records[:limit], *records[: min(2, limit)]]


@given(records(), st.sampled_from(["alpaca", "messages", "prompt_completion"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
def test_every_record_is_a_row_or_says_why_not(record, other):
    """Without a build: whatever was changed in it, a record is read and given back, or is bad for a reason in words."""
    raw = orjson.dumps(record)
    format = detect([found]) if isinstance(found := next(decode([raw])), dict) else None
    item = Input("s", "a.jsonl", "a.jsonl", "", format or other, columns(format or other, {}), "unknown")
    read = parse([raw], 0, item, None)
    assert not [error for _, error, _ in read.bad if re.match(r"\w+Error: ", error)]
    for row in read.table(item).to_pylist():
        if row["form"]:
            assert json.loads(dumps(record_of(row["form"], row["messages"], row, row["meta"]))) == json.loads(raw)
