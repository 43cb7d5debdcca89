"""Plain records read straight into columns become what the long way makes of them, whatever their keys and texts."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.read import parse_blocks as parsing
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
SPEAKERS = ["user", "assistant", "system", "human", "gpt", "tool", "function_call", "Human", "me", ""]
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


def rows(records, format, quick, monkeypatch):
    monkeypatch.setattr(parsing, "PLAIN", parsing_plain if quick else ())
    item = Input("s", "a.jsonl", "a.jsonl", "", format, columns(format, {}), "unknown")
    read = parsing.parse(records, 7, item, None)
    return read.table(item), read.bad, len(read.usual.numbers)


parsing_plain = parsing.PLAIN


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("format", MAINS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_short_way_and_the_long_way_agree(format, json, data):
    main = data.draw(st.sampled_from(MAINS[format]))
    batch = data.draw(st.lists(records(main), min_size=1, max_size=6))
    try:
        given = [orjson.dumps(r) for r in batch] if json else batch
    except TypeError:  # a whole number that JSON's reader would make a float of
        return
    with pytest.MonkeyPatch.context() as patch:
        quick, bad, _ = rows(given, format, True, patch)
        slow, also, none = rows(given, format, False, patch)
    assert bad == also and none == 0
    assert quick.drop_columns("form").equals(slow.drop_columns("form"))
    for row in quick.select(["form", "messages", "meta", "source_row"]).to_pylist():
        back = record_of(row["form"], row["messages"], row | _optional(quick, row), row["meta"])
        assert back == (orjson.loads(given[row["source_row"] - 7]) if json else batch[row["source_row"] - 7])


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
        with pytest.MonkeyPatch.context() as patch:
            table, bad, taken = rows([orjson.dumps(record)] * 3, format, True, patch)
        assert (len(table), bad, taken) == (3, [], 3), format
