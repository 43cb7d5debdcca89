"""The row: its views over every layout of messages, its id, and what builds keep of it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.corpus.rows import MESSAGES, SPAN, TURNS, Rows, message_id, told, turns_array, with_fields
from instdata.corpus.views import VIEWS

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "call it"},
    {"role": "tool", "content": "T", "tool_call_id": "1"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "Pässage\n\nWhat?"},
    {"role": "assistant", "content": "B", "reasoning_content": "Hm."},
]
PLAIN = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHOWN = '{"name": "f", "arguments": {"x": 1}}'


def rows(*talks, **columns) -> Rows:
    return Rows(pa.table({"messages": turns_array(talks), **columns}))


def test_views_tell_the_parts_of_a_row_apart():
    start = len("Pässage\n\n".encode())
    span = pa.array([{"start": start, "end": start + 5}, None, None], SPAN)
    got = rows(TALK, PLAIN, PLAIN[:1], asked_span=span, tools=pa.array(["[1]", None, None]))
    assert {v: got.view(v).to_pylist() for v in VIEWS} == {
        "system": ["S", None, None],
        "given": [f"[1]\nfirst\n{SHOWN}\nT\nA\nPässage", "", ""],
        "asked": ["What?", "q", "q"],
        "prompt": [f"S\nfirst\n{SHOWN}\nT\nA\nPässage\n\nWhat?", "q", "q"],
        "reasoning": ["Hm.", None, None],
        "answer": ["B", "a", None],
        "answers": [f"{SHOWN}\nA\nB", "a", ""],
        "full": [f"[1]\nS\nfirst\n{SHOWN}\nT\nA\nPässage\n\nWhat?\nHm.\nB", "q\na", "q"],
    }
    assert got.response.to_pylist() == ["B", "a", None]


def test_views_of_data_files_are_those_of_shards():
    """Whichever optional fields the messages have, and wherever a slice begins."""
    talks = [PLAIN, TALK, PLAIN[:1], [], TALK[:5]]
    wide = Rows(pa.table({"messages": turns_array(talks)}))
    seen = [{k: v for k, v in t.items() if k in ("role", "content", "reasoning_content", "tool_calls")} for t in TALK]
    few = Rows(pa.table({"messages": pa.array([PLAIN, seen, PLAIN[:1], [], seen[:5]])}))
    for view in VIEWS:
        assert wide.view(view).to_pylist() == few.view(view).to_pylist()
        assert Rows(wide.table.slice(1, 3)).view(view).to_pylist() == wide.view(view).to_pylist()[1:4]


def test_reasoning_that_stands_in_an_answer_is_seen_too():
    got = rows([PLAIN[0], {"role": "assistant", "content": "<think>Hm.</think>a"}])
    assert (got.view("reasoning").to_pylist(), got.view("answer").to_pylist()) == (["Hm."], ["a"])


text = st.text(max_size=20)


@given(st.lists(st.tuples(text, text, text), min_size=1, max_size=6))
def test_a_span_cuts_bytes_as_python_does(parts):
    talks = [[{"role": "user", "content": "".join(p)}, PLAIN[1]] for p in parts]
    ends = [(len(a.encode()), len((a + b).encode())) for a, b, _ in parts]
    span = pa.array([{"start": s, "end": e} for s, e in ends], SPAN)
    got = rows(*talks, asked_span=span)
    assert got.view("asked").to_pylist() == [b.strip("\n") for _, b, _ in parts]
    given_ = ["\n".join(t for t in (a.strip("\n"), c.strip("\n")) if t) for a, _, c in parts]
    assert got.view("given").to_pylist() == given_


def test_plain_ids_are_what_they_were():
    assert message_id(PLAIN) == message_id([("user", "q"), ("assistant", "a")]) == "e5e0708a310b2c6c1ae5bdd9f8755cc2"
    assert message_id([{**t, "weight": 0.0, "extra": "{}", "name": None} for t in PLAIN]) == message_id(PLAIN)


def test_ids_are_of_all_that_the_model_sees():
    def changed(at, **new):
        return message_id([{**t, **(new if i == at else {})} for i, t in enumerate(TALK)])

    other = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 2}'}}
    ids = [message_id(TALK), message_id(TALK, "[1]"), message_id(TALK, "[2]"), changed(2, tool_calls=[other]),
        changed(2, tool_calls=[]),
           changed(2, reasoning_content=""), changed(6, reasoning_content="Hm"), changed(3, name="f"),
           changed(3, tool_call_id="2"),
           changed(6, content="C")]  # fmt: skip
    assert len(set(ids)) == len(ids)


def test_turns_are_told_without_what_they_lack():
    (back,) = turns_array([TALK]).to_pylist()
    assert [told(t) for t in back] == TALK
    assert told({"role": "user", "content": "q", "weight": 0.0, "extra": '{"x":1}', "name": None}) == {"role": "user",
        "content": "q", "weight": 0}  # fmt: skip


@pytest.mark.parametrize("kind", [MESSAGES, TURNS])
def test_messages_change_their_fields_only(kind):
    wide = turns_array([TALK, [], PLAIN])
    got = with_fields(wide.slice(1), kind)
    assert got.type == kind and [[t["content"] for t in row] for row in got.to_pylist()] == [[], ["q", "a"]]
    assert with_fields(with_fields(wide, MESSAGES), TURNS).to_pylist()[2] == turns_array([PLAIN]).to_pylist()[0]
