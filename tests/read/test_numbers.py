"""Numbers stay what was written: no digit is lost on the way in, in meta, in calls, or on the way back."""

from __future__ import annotations

import json

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.builds import export
from instdata.read.json_numbers import Written, dumps, loads

ODD = ["1267650600228229401496703205376", "-0", "1e400", "-1E-400", "18446744073709551616", "-9223372036854775809",
       "0.1000000000000000055511151231257827", "9" * 5000, "1e99999999999999999999"]  # fmt: skip
PLAIN = ["0.10", "1.0e5", "1E+2", "18446744073709551615", "-9223372036854775808", "-0.0", "42"]


@pytest.mark.parametrize("text", ODD)
def test_what_a_machine_number_would_change_keeps_its_text(text):
    raw = f'{{"a": [{text}], "b": {{"c": {text}}}}}'.encode()
    found = loads(raw)
    assert isinstance(found["a"][0], Written) and found["a"][0] == found["b"]["c"]
    assert dumps(found) == raw.replace(b" ", b"")


@given(st.recursive(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
                    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), v, max_size=3)))  # fmt: skip
def test_any_json_comes_back(value):
    raw = json.dumps(value)
    again = dumps(loads(raw)).decode()
    assert json.loads(again) == value
    assert json.loads(again, parse_int=str) == json.loads(raw, parse_int=str)


@pytest.mark.parametrize("bad", ['{"a": -0, "b": NaN}', '{"a": 1e400', '{"a": 1e400, "b": "\\ud800"}'])
def test_what_is_no_json_is_none_beside_such_numbers_too(bad):
    with pytest.raises((ValueError, TypeError)):
        loads(bad)


def test_numbers_in_a_build(bench):
    """As answers, in meta, as arguments of calls, in a JSON array and in text of a column; and the manifest counts."""
    lines = [f'{{"instruction": "Say {i}.", "output": {n}, "more": [{n}]}}' for i, n in enumerate(ODD + PLAIN)]
    (bench.folder / "a.jsonl").write_text("\n".join(lines))
    big = "98765432109876543210123"
    talk = (
        f'{{"messages": [{{"role": "user", "content": "q"}}, {{"role": "assistant", "content": null, "seed": {big}, '
        f'"tool_calls": [{{"function": {{"name": "f", "arguments": {{"x": {big}}}}}}}]}}, '
        f'{{"role": "tool", "content": {{"x": {big}}}}}, {{"role": "assistant", "content": "a"}}]}}'
    )
    (bench.folder / "b.json").write_text(f"[{talk}]")
    (bench.folder / "c.jsonl").write_text(json.dumps({"messages": json.dumps(json.loads(talk)["messages"])}))
    done = bench.build(sources=[{"path": f} for f in ("a.jsonl", "b.json", "c.jsonl")])
    count = len(lines) + 2
    assert done.manifest["fields"] == {"records": count, "reconstructed": count}
    rows = pq.read_table(done.path / "data").to_pylist()
    said = {r["messages"][0]["content"]: r["messages"][-1]["content"] for r in rows}
    assert [said[f"Say {i}."] for i in range(len(lines))] == ODD + PLAIN
    calls = [t for r in rows for t in r["messages"] if t["tool_calls"] or t["role"] == "tool"]
    assert {t["content"] or t["tool_calls"][0]["function"]["arguments"] for t in calls} == {f'{{"x":{big}}}'}
    out = bench.folder / "back.jsonl"
    export(done.path, "source", out)
    keep = {"parse_int": str, "parse_float": str}
    back = [json.loads(line, **keep) for line in out.read_text().splitlines()]
    given = [json.loads(line, **keep) for line in [*lines, talk, (bench.folder / "c.jsonl").read_text()]]
    assert [b["more"] for b in back[: len(ODD)]] == [g["more"] for g in given[: len(ODD)]]
    assert [b["output"] for b in back[: len(ODD)]] == ODD
    assert [float(b["output"]) for b in back[len(ODD) : len(lines)]] == [float(n) for n in PLAIN]
    assert back[len(lines) :] == given[len(lines) :]
    export(done.path, "sharegpt", out)
    assert out.read_text().count(big) == 4


def test_nan_anywhere_in_a_record_is_said(bench):
    (bench.folder / "a.jsonl").write_text('{"instruction": "q", "output": "a", "score": NaN}\n')
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert done.manifest["sources"][0]["notes"] == {"nan": 1}
    export(done.path, "source", bench.folder / "back.jsonl")
    assert orjson.loads((bench.folder / "back.jsonl").read_bytes())["score"] is None
