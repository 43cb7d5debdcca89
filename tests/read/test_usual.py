"""Plain records read straight into columns, all at once or one by one, become what the long way makes of them, whatever
their keys and texts."""

from __future__ import annotations

import re

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.read import parse_blocks as parsing
from instdata.read import plain_columns
from instdata.read.fast_path import Usual
from instdata.read.formats import columns
from instdata.read.open_sources import Input
from instdata.read.source_form import record_of

texts = st.sampled_from(
    ["", " ", "Name a tree.", "Oak.", "a\nb", "说说\u3000看", "<b>x</b>", "<think>t</think>a", "x</think>\n\ny", "[1]",
    "Human: a", "人类：你好",
     "{x} %s %d", '"q"', "a\0b", "%(asked)s", "x" * 40, "user",
     "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
) | st.text(st.characters(codec="utf-8"), max_size=12)  # fmt: skip
values = (
    texts
    | st.none()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)  # JSON, which records are given back in, has neither
    | st.booleans()
    | st.lists(texts, max_size=2)
)
KEYS = [
    "id",
    "a",
    "b",
    "$",
    "%",
    "Category",
    "category",
    "system",
    "tools",
    "answer",
    "label",
    "image",
    "meta",
    "_input_chars",
    "text",
    "ü",
]
SPEAKERS = ["user", "assistant", "system", "human", "gpt", "tool", "function_call", "Human", "me", "", None, 7]
turn = st.builds(
    lambda who, key, text, field, more: {who: key, field: text, **more},
    st.sampled_from(["role", "from", "speaker"]), st.sampled_from(SPEAKERS), texts,
    st.sampled_from(["content", "value", "text"]),
    st.sampled_from([{}, {}, {}, {"name": "n"}, {"weight": 0}]),
)  # fmt: skip
talk = st.lists(turn, max_size=5).map(lambda turns: [*turns, {"role": "assistant", "content": "Oak."}]) | values


@st.composite
def records(draw, main):
    fields = {key: draw(talk if key in ("messages", "conversations") else texts) for key in main}
    more = draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=2))
    items = draw(st.permutations([*fields.items(), *((k, v) for k, v in more.items() if k not in fields)]))
    return dict(items)


MAINS = {
    "alpaca": [["instruction", "input", "output"], ["instruction", "output"], ["Instruction", "context", "response"],
    ["指令", "输出"]],
    "prompt_completion": [["prompt", "completion"], ["question", "answer"], ["query", "response"]],
    "messages": [["messages"], ["conversation"]],
    "sharegpt": [["conversations"]],
}  # fmt: skip


ONE_BY_ONE, LONG = 10**9, None  # records with the same keys from which on they are read at once; none are plain


def rows(records, format, least=1):
    item = Input("s", "a.jsonl", "a.jsonl", "", format, columns(format, {}, {"user": ["me", ""]}), "unknown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_columns, "LEAST", least)
        if least is LONG:
            patch.setattr(parsing, "PLAIN", ())
        read = parsing.parse(records, 7, item, None)
    return read.table(item), read.bad, sum(map(len, read.plain))


def file_of(table):
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    return file.getvalue().to_pybytes()


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("format", MAINS)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_three_ways_agree(format, json, data):
    main = data.draw(st.sampled_from(MAINS[format]))
    batch = data.draw(st.lists(records(main), min_size=1, max_size=8))
    batch += data.draw(st.lists(st.sampled_from(batch), max_size=3))
    try:
        given = [orjson.dumps(r) for r in batch] if json else batch
    except TypeError:  # a whole number that JSON's reader would make a float of
        return
    at_once, bad, plain = rows(given, format)
    one_by_one, *same = rows(given, format, ONE_BY_ONE)
    slow, also, none = rows(given, format, LONG)
    assert file_of(at_once) == file_of(one_by_one)
    assert [bad, plain] == same and bad == also and none == 0
    assert at_once.drop_columns("form").equals(slow.drop_columns("form"))
    for row in at_once.select(["form", "messages", "meta", "source_row"]).to_pylist():
        back = record_of(row["form"], row["messages"], row | _optional(at_once, row), row["meta"])
        assert back == (orjson.loads(given[row["source_row"] - 7]) if json else batch[row["source_row"] - 7])


def test_a_record_alone_is_read_in_columns_where_one_is_enough(monkeypatch):
    monkeypatch.setattr(plain_columns, "LEAST", 1)
    usual = Usual("alpaca", columns("alpaca", {}))
    made, others = plain_columns.plain_columns([{"instruction": "Name a tree.", "output": "Oak."}], 0, usual, True)
    assert others == [] and [len(rows) for rows in made] == [1]


@pytest.mark.parametrize("said", ["Ass\u0130stant: hi", "ass\u0131stant: hi", "U\u017fer: hi", "人類: hi"])
def test_a_dialogue_is_one_in_any_letters(monkeypatch, said):
    monkeypatch.setattr(plain_columns, "LEAST", 1)
    usual, record = Usual("alpaca", columns("alpaca", {})), {"instruction": said, "output": "Oak."}
    assert not usual.take(0, record, True)
    assert plain_columns.plain_columns([record], 0, usual, True) == ([], [0])


def test_what_is_blank_to_a_column_is_blank_to_python():
    blank = "".join(c for c in map(chr, range(0x110000)) if c.isspace())
    assert re.fullmatch(f"[{plain_columns.BLANK}]+", blank)
    every = pa.array([c for c in map(chr, range(0x110000)) if not "\ud800" <= c <= "\udfff" and not c.isspace()])
    assert not plain_columns._is(every, f"[{plain_columns.BLANK}]").any()


def _optional(table: pa.Table, row: dict) -> dict:
    at = table["source_row"].to_pylist().index(row["source_row"])
    return table.slice(at, 1).to_pylist()[0]


def test_plain_sets_take_the_short_way():
    plain = {
        "alpaca": {"instruction": "Name a tree.", "input": "One of two.", "output": "Oak.", "id": 3, "tags": ["a"]},
        "prompt_completion": {"question": "Name a tree.", "answer": "Oak."},
        "messages": {"id": "1", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    }
    for format, record in plain.items():
        for least in (1, ONE_BY_ONE):
            table, bad, taken = rows([orjson.dumps(record)] * 3, format, least)
            assert (len(table), bad, taken) == (3, [], 3), format
