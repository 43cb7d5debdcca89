"""Parts of a row that were taken for something else, or were not missed: found by a stranger's trial."""

from __future__ import annotations

from typing import Any

import pytest

from instdata.read.adapters import adapt, cut_back
from instdata.read.bytes_to_records import Bad
from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow
from instdata.read.formats import columns
from instdata.read.json_records import parse_json


def read(record: dict[str, Any], format: str) -> Any:
    (row,) = adapt(normalise_keys(record), format, columns(format, {}))
    return cut_back(row)


def texts(row: Any) -> list[str]:
    return [t["content"] for t in row.turns]


def test_several_preferred_answers_are_no_conversation():
    several = {"prompt": "What is 2+2?", "chosen": ["4", "four"], "rejected": ["5", "22"]}
    row = read(several, "prompt_completion")
    assert texts(row) == ["What is 2+2?", "4"]
    assert row.columns["rejected"] == [{"role": "assistant", "content": "5"}]
    whole = {"prompt": "Name a cup.", "chosen": ["Name a cup.", "Mug."], "rejected": ["Name a cup.", "Car."]}
    assert texts(read(whole, "prompt_completion")) == ["Name a cup.", "Mug."]


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "Translate into French.", "input": "bread", "output": "pain"},
        {"指令": "翻译成法语。", "输入": "面包", "输出": "pain"},
    ],
)
def test_an_instruction_in_a_file_of_questions_is_missed(record):
    with pytest.raises(BadRow, match="in a file of questions"):
        read(record, "prompt_completion")


@pytest.mark.parametrize("empty", ["", None])
def test_options_keep_their_letters_where_some_are_empty(empty):
    asked = {"question": "Which is a metal?", "A": "iron", "B": empty, "C": None, "D": "wood", "answer": "A"}
    assert texts(read(asked, "prompt_completion")) == ["Which is a metal?\nA. iron\nD. wood", "A"]


@pytest.mark.parametrize(
    ("choices", "answer", "said"),
    [
        (["iron", "wood"], 1, "B"),
        (["iron", "wood"], "1", "B"),
        (["iron", "wood"], -1, None),
        (["iron", "wood"], "7", None),
        (["5", "7"], 7, "7"),
        (["5", "7"], "7", "7"),
        ([1, 2, 3], "2", "2"),
        (["iron", "wood"], "wood", "wood"),
    ],
)
def test_a_number_is_an_option_or_no_answer(choices, answer, said):
    turns = read({"question": "Which?", "choices": choices, "answer": answer}, "prompt_completion").turns
    assert [t["content"] for t in turns if t["role"] == "assistant"] == ([] if said is None else [said])


@pytest.mark.parametrize(("weight", "is_"), [("0", 0.0), ("false", 0.0), (" True ", 1.0), ("0.5", 0.5), (False, 0.0)])
@pytest.mark.parametrize("key", ["weight", "loss", "train"])
def test_a_weight_written_as_text_counts(key, weight, is_):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", key: weight}]
    assert read({"messages": turns}, "messages").turns[-1]["weight"] == is_


def test_what_is_said_before_anybody_asked_is_no_answer():
    greeting = [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "q"}]
    assert read({"messages": greeting}, "messages").turns[-1]["role"] == "user"
    kept = [*greeting, {"role": "assistant", "content": "a"}, {"role": "user", "content": "thanks"}]
    assert texts(read({"messages": kept}, "messages")) == ["hi", "q", "a"]


@pytest.mark.parametrize("format", ["alpaca", "prompt_completion"])
@pytest.mark.parametrize("asked", ["q", "a", "b", "text", "user", "content", "label", "gold", "code", "summary", "cot"])
def test_a_column_that_a_map_names_feeds_its_field_whatever_its_name(format, asked):
    field = {"alpaca": "instruction", "prompt_completion": "prompt"}[format]
    record = {asked: "Feed the cat.", "class": "cats"}
    row = adapt(record, format, columns(format, {field: asked, "ability": "class"}))[0]
    assert (texts(row), row.ability) == (["Feed the cat."], "cats")


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        ('{"a": 1, "x": {"k": 1, "k": 2}}', True),
        ('{"a": [{"role": "user"}, {"role": "user", "role": "system"}]}', True),
        ('{"a" : 1, "b": 2, "b": 3}', True),
        ('{"k": 1, "\\u006b": 2}', True),
        ('{"a": [{"role": "user"}, {"role": "user"}], "x": {"a": 1}}', False),
        (r'{"a": "{\"k\": 1, \"k\": 2}", "b\\": 1, "c": "\":"}', False),
        ('{"a" : 1, "b":{"a":2}}', False),
    ],
)
def test_a_key_that_stands_twice_at_any_depth_is_said(text, doubled):
    assert isinstance(parse_json(text.encode()), Bad) == doubled
