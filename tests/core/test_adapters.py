"""Formats in and out: what is written reads back as the same conversation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.read.adapters import adapt
from instdata.read.column_names import normalise_keys
from instdata.read.export_formats import write_record
from instdata.read.field_text import BadRow
from instdata.read.formats import columns, detect

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda s: s.strip())
turns = st.lists(st.tuples(text, text), min_size=1, max_size=4)


def read(record, format, mapping=None):
    return adapt(normalise_keys(record), format, columns(format, mapping or {}))[0]


@given(turns, st.none() | text, st.booleans())
def test_every_written_format_reads_back(pairs, system, answered):
    messages = [{"role": "system", "content": system}] if system else []
    for user, assistant in pairs:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    if not answered:
        messages = messages[:-1]
    for format in ("messages", "sharegpt", "prompt_completion", "alpaca"):
        record = write_record(format, messages)
        got = read(record, format).messages
        assert [{"role": r, "content": c} for r, c in got] == messages, format
        assert detect([normalise_keys(record)]) == format


@given(text, text, text)
def test_alpaca_gives_its_input_back(instruction, given_, output):
    record = {"instruction": instruction, "input": given_, "output": output}
    row = read(record, "alpaca")
    messages = [{"role": r, "content": c} for r, c in row.messages]
    assert write_record("alpaca", messages, row.input_chars) == record


@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"Instruction": "a", "Response": "b"}, "alpaca"),
        ({"instruction": "a", "context": "c", "response": "b"}, "alpaca"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "sharegpt"),
        ({"conversations": [{"role": "user", "content": "a"}]}, "messages"),
        ({"prompt": "a", "completion": "b"}, "prompt_completion"),
        ({"question": "a", "answer": "b"}, "prompt_completion"),
        ({"instruction": "a", "instances": [{"input": "", "output": "b"}]}, "seeds"),
        ({"text": "a"}, None),
    ],
)
def test_formats_are_told_apart(record, format):
    assert detect([normalise_keys(record)]) == format


def test_mapped_columns_feed_nothing_else():
    record = {"question": "q", "std_answer": "a", "class": "open qa", "output": "left alone"}
    row = read(record, "alpaca", {"instruction": "question", "output": "std_answer", "ability": "class"})
    assert row.messages == [("user", "q"), ("assistant", "a")]
    assert row.ability == "open qa"


@pytest.mark.parametrize("empty", [None, "", "  \n", "\u3000"])
def test_a_missing_response_is_an_instruction_only(empty):
    assert read({"instruction": "a", "output": empty}, "alpaca").messages == [("user", "a")]


@pytest.mark.parametrize(
    ("record", "format", "says"),
    [
        ({"instruction": {"a": 5}, "output": "b"}, "alpaca", "instruction is an object"),
        ({"instruction": "a", "output": [3]}, "alpaca", "output is a list"),
        ({"instruction": " ", "output": "b"}, "alpaca", "missing or empty"),
        ({"output": "b"}, "alpaca", "missing or empty"),
        ({"instruction": "a\0b", "output": "b"}, "alpaca", "NUL"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages", "unknown role"),
        ({"messages": "hi"}, "messages", "expected a list"),
        ({"messages": []}, "messages", "no user turn"),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages", "no user turn"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "only text parts"),
        ({"messages": [{"role": "user", "content": {"a": 3}}]}, "messages", "an object"),
        ({"conversations": [["human", "a"]]}, "sharegpt", "not an object"),
        ({"messages": {"turn_1": "x"}}, "messages", "turn_1 is no turn"),
        ({"messages": {"turn_1": {"Human": "a"}, "turn_x": {}}}, "messages", "turn_x is no turn"),
        ({"messages": {"turn_1": None}}, "messages", "no user turn"),
        ({"instruction": "a", "instances": []}, "seeds", "empty"),
        ({"instruction": "a", "instances": ["x"]}, "seeds", "something else"),
    ],
)
def test_bad_records_say_what_is_wrong(record, format, says):
    with pytest.raises(BadRow, match=says):
        read(record, format)


def test_seeds_give_one_row_an_instance():
    record = {
        "instruction": "翻译",
        "instances": [{"input": "a", "output": "甲"}, {"input": "b", "output": "乙"}],
        "ability": "translation",
    }
    found = adapt(record, "seeds", columns("seeds", {}))
    assert [c.messages for c in found] == [
        [("user", "翻译\n\na"), ("assistant", "甲")],
        [("user", "翻译\n\nb"), ("assistant", "乙")],
    ]
    assert {(c.origin, c.ability) for c in found} == {("human", "translation")}


def test_roles_of_other_tools_are_known():
    messages = [{"role": "Human", "content": "a"}, {"role": "gpt", "content": "b"}]
    assert read({"messages": messages}, "messages").messages == [("user", "a"), ("assistant", "b")]


def test_no_format_makes_a_target_of_an_answer_that_is_not_learned():
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad", "weight": 0.0}]
    assert write_record("prompt_completion", talk)["completion"][0]["weight"] == 0
    with pytest.raises(ValueError, match="not learned"):
        write_record("alpaca", talk)
