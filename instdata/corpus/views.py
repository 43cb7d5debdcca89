"""Named views of a row: steps look at a row through these, never at everything joined.

system, given (passage, input, tools, earlier turns), asked (what the last user turn wants, its options), prompt (all
before the last answer), reasoning, answer (the last answer without its reasoning), answers (every assistant turn),
full.

All work on a messages array, list<struct<role, content, …>>, whichever optional turn fields it has. The text of a turn
is its content and the calls it makes, one JSON object a line; its reasoning is apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.util.thought_marks import CLOSES, FRAME, OPENS

VIEWS = ("system", "given", "asked", "prompt", "reasoning", "answer", "answers", "full")
# Reasoning that stands inside an answer, as models mark it, and what marks the rest as the answer.
THOUGHT = rf"(?si)^\s*{OPENS}(?P<thought>.*?){CLOSES}\s*"
ANSWER_MARK = rf"(?i)^(?:<answer>|{FRAME})\s*|\s*(?:</answer>|{FRAME})\s*$"


@dataclass(frozen=True)
class _Turns:
    """All turns of some rows, one after the other: `row` is the row of each, `ends` where each row's turns end, from
    0."""

    values: pa.StructArray
    roles: pa.Array
    row: np.ndarray
    ends: np.ndarray

    def are(self, role: str) -> np.ndarray:
        return np.asarray(pc.fill_null(pc.equal(self.roles, role), False))

    def last(self, mask: np.ndarray) -> np.ndarray:
        """The number of each row's last turn of those in the mask, -1 where it has none."""
        found = np.full(len(self.ends) - 1, -1, np.int64)
        found[self.row[mask]] = np.flatnonzero(mask)  # ascending: the last one stays
        return found

    def answer(self) -> np.ndarray:
        """The number of each row's last turn where it is the assistant's, else -1."""
        last = self.ends[1:] - 1
        some = (np.diff(self.ends) > 0) & (len(self.row) > 0)
        answered = np.zeros(len(last), bool)
        answered[some] = self.are("assistant")[last[some]]
        return np.where(answered, last, -1)

    def optional(self, name: str) -> pa.Array | None:
        """An optional field of the turns; None where no turn has it."""
        at = self.values.type.get_field_index(name)
        if at < 0:
            return None
        found = self.values.field(at)
        return None if found.null_count == len(found) else found

    def joined(self, texts: pa.Array, mask: np.ndarray) -> pa.Array:
        """For each row, the texts of its turns in the mask, joined by a newline (never null)."""
        counts = np.bincount(self.row[mask], minlength=len(self.ends) - 1)
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), texts.filter(pa.array(mask))), "\n")


def _turns(messages: pa.Array) -> _Turns:
    offsets = np.asarray(messages.offsets).astype(np.int64)
    values = messages.values.slice(offsets[0], offsets[-1] - offsets[0])
    row = np.repeat(np.arange(len(messages)), np.diff(offsets))
    return _Turns(values, values.field("role"), row, offsets - offsets[0])


def _texts(turns: _Turns) -> pa.Array:
    """The text of each turn: its content, and the calls it makes."""
    contents = turns.values.field("content")
    calls = turns.optional("tool_calls")
    if calls is None:
        return contents
    offsets = np.asarray(calls.offsets)
    function = calls.values.slice(offsets[0], offsets[-1] - offsets[0]).field("function")
    name, arguments = pc.fill_null(function.field("name"), ""), pc.fill_null(function.field("arguments"), "{}")
    shown = pc.binary_join_element_wise('{"name": "', name, '", "arguments": ', arguments, "}", "")
    lines = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), shown), "\n")
    return beside(contents, lines)


def beside(a: pa.Array, b: pa.Array) -> pa.Array:
    """Two texts joined by a newline; where one is empty, the other. (binary_join_element_wise with null_handling="skip"
    leaves out the rows of which all parts are null.)"""
    none = pc.make_struct(pc.equal(b, ""), pc.equal(a, ""))
    return pc.case_when(none, a, b, pc.binary_join_element_wise(a, b, "\n"))


def split(messages: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(prompt, response): the turns before the last answer joined by a newline (never null), and that answer's text
    (null where the last turn is not the assistant's)."""
    turns = _turns(messages)
    texts, answer = _texts(turns), turns.answer()
    answered = answer >= 0
    response = texts.take(pa.array(np.where(answered, answer, 0), mask=~answered))
    if np.all(np.diff(turns.ends) == 2) and answered.all():
        return texts.take(pa.array(turns.ends[:-1])), response
    in_prompt = np.ones(len(turns.row), bool)
    in_prompt[answer[answered]] = False
    return turns.joined(texts, in_prompt), response


def system_of(messages: pa.Array) -> pa.Array:
    """The first turn's content where it is the system's, else null."""
    turns = _turns(messages)
    is_system = turns.are("system")
    some = np.diff(turns.ends) > 0
    first = np.where(some, turns.ends[:-1], 0)
    some = some & (is_system[first] if len(is_system) else False)
    return turns.values.field("content").take(pa.array(first, mask=~some))


def reasoning_of(messages: pa.Array) -> pa.Array:
    """The reasoning of the last answer, null where it has none. (That which stands inside an answer: thought_of.)"""
    turns = _turns(messages)
    reasoning = turns.optional("reasoning_content")
    if reasoning is None:
        return pa.nulls(len(messages), pa.string())
    answer = turns.answer()
    return reasoning.take(pa.array(np.maximum(answer, 0), mask=answer < 0))


def thought_of(answers: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(reasoning, answer without it) of assistant texts; reasoning is null where there is none."""
    thought = pc.struct_field(pc.extract_regex(answers, THOUGHT), "thought")
    if thought.null_count == len(thought):
        return thought, answers
    rest = pc.replace_substring_regex(answers, THOUGHT, "", max_replacements=1)
    return thought, pc.if_else(pc.is_valid(thought), pc.replace_substring_regex(rest, ANSWER_MARK, ""), rest)


def answers_of(messages: pa.Array) -> pa.Array:
    """All assistant turns without their reasoning, joined by a newline (never null)."""
    turns = _turns(messages)
    return turns.joined(thought_of(_texts(turns))[1], turns.are("assistant"))


def asked_and_given(messages: pa.Array, span: pa.Array, tools: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(asked, given) of each row (never null).

    asked: the last user turn; of it only bytes [start, end) where `span` says so. given: the rest of that turn, every
    other turn before the last answer but the system's, and the tools."""
    turns = _turns(messages)
    texts, ask, answer = _texts(turns), turns.last(turns.are("user")), turns.answer()
    asking = np.zeros(len(turns.row), bool)
    asking[ask[ask >= 0]] = True
    asked = turns.joined(texts, asking)
    before = ~asking & ~turns.are("system")
    before[answer[answer >= 0]] = False
    given = turns.joined(texts, before)
    if span.null_count < len(span):
        head, asked, tail = _cut(asked, span)
        given = beside(beside(given, head), tail)
    if tools.null_count < len(tools):
        given = beside(pc.fill_null(tools, ""), given)
    return asked, given


def _cut(texts: pa.Array, span: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """(before, in, after) the bytes [start, end) of each text, without the line breaks between them; all of a text is
    `in` where its span is null."""
    length = np.asarray(pc.binary_length(texts)).astype(np.int64)
    start = np.asarray(pc.fill_null(span.field("start"), 0)).astype(np.int64)
    end = np.where(np.asarray(span.is_valid()), np.asarray(pc.fill_null(span.field("end"), 0)), length)
    base = _offsets(texts)[:-1]

    def piece(a: np.ndarray, b: np.ndarray) -> pa.Array:
        a, b = np.minimum(a, length), np.minimum(b, length)
        ends = np.stack([base + a, base + np.maximum(a, b)], axis=1).astype(np.int32).ravel()
        # Pieces and what lies between them, by turns, are strings over the same bytes.
        both = pa.StringArray.from_buffers(max(len(ends) - 1, 0), pa.py_buffer(ends), texts.buffers()[2])
        return pc.utf8_trim(both.take(pa.array(np.arange(0, len(ends), 2))), "\n")

    none = np.zeros(len(length), np.int64)
    return piece(none, start), piece(start, end), piece(end, length)


def _offsets(texts: pa.Array) -> np.ndarray:
    """Where each text of a string array starts in its buffer, and where the last one ends."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    return offsets[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
