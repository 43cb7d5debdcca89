"""What builds keep of what came in: columns only where used, notes, dropped rows, and files that loaders take."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.builds import export, history
from instdata.corpus.rows import CORPUS, MESSAGES, PUBLISHED
from instdata.publish.verify import verify
from instdata.score.from_build import rows_in_order
from tests.conftest import rows

PLAIN_COLUMNS = [*PUBLISHED.names, "meta"]


def data(done) -> pa.Table:
    return pq.read_table(done.path / "data").sort_by([("source", "ascending"), ("source_row", "ascending")])


def turn_fields(table: pa.Table) -> set[str]:
    return {f.name for f in table.schema.field("messages").type.value_type}


def test_plain_sets_have_the_columns_they_had(bench):
    bench.jsonl("a.jsonl", [*rows(3), {"instruction": "Sort", "input": "b a", "output": "a b", "n": 1}])
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert data(done).schema.names == PLAIN_COLUMNS
    (file,) = (done.path / "data").glob("*.parquet")
    assert pq.read_schema(file).field("messages").type.equals(MESSAGES) and turn_fields(data(done)) == {
        "role",
        "content",
    }
    assert data(done)["meta"].to_pylist() == [None] * 3 + ['{"_input_chars":3,"n":1}']
    assert not (done.path / "dropped.parquet").exists()
    assert set(CORPUS.names) <= {*PLAIN_COLUMNS, "rid"}


def test_turn_fields_reach_the_data_where_used(bench):
    bench.jsonl("a.jsonl", [
        {"messages": [{"role": "user", "content": "Is 91 prime?"},
        {"role": "assistant", "reasoning_content": "7 * 13", "content": "No."}]},
        {"messages": [{"role": "user", "content": "Is 97 prime?"},
        {"role": "assistant", "reasoning": "It is.", "content": None}]},
        {"messages": [{"role": "user", "content": "3+3?"}, {"role": "assistant", "content": "7", "weight": 0},
                      {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "6", "weight": 1}]},
    ])  # fmt: skip
    bench.jsonl("b.jsonl", rows(2))
    done = bench.build(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}])
    assert turn_fields(data(done)) == {"role", "content", "reasoning_content", "weight"}
    assert verify(done.path)["ok"]
    talks = [t for _, t in sorted(zip(*rows_in_order(done.path)), key=str)]
    assert {"role": "assistant", "content": "7", "weight": 0} in [t for talk in talks for t in talk]
    assert {"role": "assistant", "content": "", "reasoning_content": "It is."} in [t for talk in talks for t in talk]
    assert all(v is not None for talk in talks for t in talk for v in t.values())


def test_only_kept_rows_decide_which_columns_there_are(bench):
    tools = {"query": "Weather?", "answers": '[{"name": "w", "arguments": {}}]', "tools": '[{"name": "w"}]'}
    bench.jsonl("a.jsonl", [{"query": "plain question", "answers": "plain answer"}, tools])
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[{"filter": {"where": "tools is null"}}])
    assert data(done).schema.names == PLAIN_COLUMNS and turn_fields(data(done)) == {"role", "content"}
    dropped = pq.read_table(done.path / "dropped.parquet").to_pylist()
    assert [(r["rid"], r["step"], r["reason"], r["tools"]) for r in dropped] == [
        ("a/a.jsonl:1", "filter", "filtered", '[{"name": "w"}]')
    ]
    assert dropped[0]["messages"][1]["tool_calls"][0]["function"] == {"name": "w", "arguments": "{}"}
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert data(done).schema.names == [*PUBLISHED.names, "tools", "meta"] and verify(done.path)["ok"]
    assert not (done.path / "dropped.parquet").exists()  # that of the build before is gone


def test_the_text_of_dropped_rows_needs_no_cache(bench, monkeypatch, tmp_path):
    bench.jsonl("a.jsonl", [*rows(2), {"instruction": "only a question"}])
    done = bench.build(sources=[{"path": "a.jsonl"}])
    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / "empty"))
    (row,) = history(done.path, "a/a.jsonl:2")
    assert row["messages"] == [{"role": "user", "content": "only a question"}] and row["reason"] == "no_response"


def test_turns_after_the_last_answer_are_left_out_and_counted(bench):
    said: list[str] = []
    talk = [{"from": "human", "value": "Name a river."}, {"from": "gpt", "value": "The Danube."}]
    bench.jsonl("d.jsonl", [{"conversations": [*talk, {"from": "human", "value": "thanks"}]},
                            {"conversations": [*talk, {"from": "observation", "value": "ok"}]}, {"conversations": talk},
                            {"conversations": talk[:1]}])  # fmt: skip
    from instdata.build import build, prepare

    plan = prepare(bench.recipe(sources=[{"path": "d.jsonl"}]), say=said.append)
    done = build(plan, bench.folder / "out")
    assert [len(m) for m in data(done)["messages"].to_pylist()] == [2, 2, 2]
    assert done.manifest["sources"][0]["notes"] == {"cut_back": 2}
    assert [line for line in said if line.startswith("source d: 2 conversations end")]


def test_numbers_are_text_as_they_were_written(bench):
    (bench.folder / "a.jsonl").write_text(
        '{"instruction": "Price?", "output": 0.10}\n{"instruction": "Count?", "output": 42}\n{"instruction": "So?", '
        '"output": true}\n'
        '{"instruction": "Big?", "output": 1e3, "meta": {"x": 2.50}}\n'
    )
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert [m[1]["content"] for m in data(done)["messages"].to_pylist()] == ["0.10", "42", "true", "1e3"]
    assert data(done)["meta"].to_pylist()[3] == '{"meta":{"x":2.5}}'


def test_nan_is_nothing_and_said_once(bench):
    table = pa.table({"instruction": ["a", "b", "c"], "output": pa.array([1.5, float("nan"), None])})
    pq.write_table(table, bench.folder / "n.parquet")
    done = bench.build(sources=[{"path": "n.parquet"}])
    assert [m[-1]["content"] for m in data(done)["messages"].to_pylist()] == ["1.5"]
    assert done.manifest["sources"][0]["notes"] == {"nan": 1} and done.manifest["totals"]["dropped"] == 2


def test_classes_and_json_of_the_datasets_library(bench):
    import datasets

    answer = datasets.ClassLabel(names=["A", "B", "C", "D"])
    features = datasets.Features({"question": datasets.Value("string"),
        "choices": datasets.List(datasets.Value("string")), "answer": answer,
                                  "topic": datasets.ClassLabel(names=["math", "cooking"])})  # fmt: skip
    choice = {"question": ["Big?", "Odd?"], "choices": [["ant", "cow"], ["1", "2"]], "answer": [1, 0], "topic": [0, 1]}
    datasets.Dataset.from_dict(choice, features=features).to_parquet(str(bench.folder / "m.parquet"))
    mixed = datasets.Features(
        {"instruction": datasets.Value("string"), "output": datasets.Json(), "x": datasets.List(datasets.Json())}
    )
    texts = {"instruction": ["Quote?", "Legs?"], "output": ['b\n"q"', 8], "x": [["s", 1], []]}
    datasets.Dataset.from_dict(texts, features=mixed).to_parquet(str(bench.folder / "j.parquet"))
    done = bench.build(
        taxonomy="belle", sources=[{"path": "m.parquet", "map": {"ability": "topic"}}, {"path": "j.parquet"}]
    )
    found = data(done).to_pylist()
    assert [r["messages"][1]["content"] for r in found] == ['b\n"q"', "8", "B", "A"]
    assert [r["ability"] for r in found[2:]] == ["math", "unknown"] and found[3]["meta"] == '{"ability":"cooking"}'
    assert found[0]["meta"] == '{"x":["s",1]}'
    export(done.path, "source", bench.folder / "back.jsonl")
    back = [json.loads(line) for line in (bench.folder / "back.jsonl").read_text().splitlines()]
    assert back[0] == {"question": "Big?", "choices": ["ant", "cow"], "answer": 1, "topic": 0}
    assert back[3] == {"instruction": "Legs?", "output": 8, "x": []}


LATE = {  # what only the last of many rows has -> its record, and formats that hold it
    "system": ({"instruction": "zz", "output": "b", "system": "s"},
    ("alpaca", "sharegpt", "messages", "prompt_completion")),
    "history": ({"instruction": "zz", "output": "b", "history": [["q", "a"]]}, ("alpaca", "messages")),
    "calls": ({"query": "zz", "answers": '[{"name": "f", "arguments": {"x": 1}}]', "tools": '[{"name": "f"}]'},
    ("sharegpt", "messages", "prompt_completion")),
    "reasoning": ({"query": "zz", "response": "<think>Hm.</think>b"},
    ("alpaca", "sharegpt", "messages", "prompt_completion")),
}  # fmt: skip


@pytest.mark.parametrize("late", LATE)
def test_what_only_the_last_row_has_loads(bench, late):
    """The datasets library takes columns and types from a file's first 10 MB."""
    import datasets

    record, formats = LATE[late]
    bench.jsonl("a.jsonl", [{"instruction": f"{i} {'x' * 100_000}", "output": "y"} for i in range(120)])
    bench.jsonl("b.jsonl", [record])
    done = bench.build(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}])
    for format in formats:
        out = bench.folder / f"{format}.jsonl"
        assert export(done.path, format, out) == {"written": 121, "left_out": 0}
        loaded = datasets.load_dataset("json", data_files=str(out), split="train", cache_dir=str(bench.folder / "hf"))
        assert len(loaded) == 121
        assert len({tuple(sorted(orjson.loads(line))) for line in out.read_bytes().splitlines()}) == (
            2 if late == "calls" else 1
        )


def test_exports_write_reasoning_and_calls_where_their_format_has_them(bench):
    bench.jsonl("a.jsonl", [
        {"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": "",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
                      {"role": "tool", "tool_call_id": "1", "content": "r"},
                      {"role": "assistant", "content": "<think>Hm.</think>a"}], "tools": '[{"name": "f"}]'},
    ])  # fmt: skip
    done = bench.build(sources=[{"path": "a.jsonl"}])

    def written(format):
        export(done.path, format, bench.folder / "out.json")
        return json.loads((bench.folder / "out.json").read_text())

    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [call]},
             {"role": "tool", "content": "r", "tool_call_id": "1"},
             {"role": "assistant", "content": "a", "reasoning_content": "Hm."}]  # fmt: skip
    assert written("messages") == [{"messages": turns, "tools": '[{"name": "f"}]'}]
    assert written("prompt_completion") == [{"prompt": turns[:3], "completion": turns[3:], "tools": '[{"name": "f"}]'}]
    assert written("sharegpt")[0]["conversations"] == [
        {"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name":"f","arguments":{"x":1}}'},
        {"from": "observation", "value": "r"}, {"from": "gpt", "value": "<think>\nHm.\n</think>\n\na"},
    ]  # fmt: skip
    assert written("alpaca") == []


def test_generated_rows_are_no_records_of_a_source(bench):
    bench.jsonl("a.jsonl", rows(2))
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert done.manifest["fields"] == {"records": 2, "reconstructed": 2}
    forms = pq.read_table(done.path / "forms.parquet")
    assert forms["id"].to_pylist() == sorted(data(done)["id"].to_pylist(), key=forms["id"].to_pylist().index)
    with pytest.raises(Exception, match="takes no --config"):
        export(done.path, "source", bench.folder / "x.jsonl", "holdout")


def test_a_class_of_minus_one_is_no_answer(bench):
    """datasets writes -1 where a row has no label."""
    import datasets

    features = datasets.Features(
        {"instruction": datasets.Value("string"), "output": datasets.ClassLabel(names=["yes", "no"])}
    )
    rows = {"instruction": ["Good?", "Odd?"], "output": [0, -1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(bench.folder / "l.parquet"))
    done = bench.build(sources=[{"path": "l.parquet"}])
    assert [m[-1]["content"] for m in data(done)["messages"].to_pylist()] == ["yes"]
    export(done.path, "source", bench.folder / "back.jsonl")
    assert [json.loads(line)["output"] for line in (bench.folder / "back.jsonl").read_text().splitlines()] == [0, -1]
