"""A batch of rows as the rules see it: prompts, answers and reasoning as Arrow columns, and the few ways in which rules
look at them. `response` is the view `answer`: the last assistant turn, or any one of them, without its reasoning.

Every pattern runs in RE2 (Arrow's kernels), so no text can make one slow; texts are looked at up to LIMIT characters.
Patterns that are asked of all rows (SOUGHT, here and in the modules of rules) run where a piece that they need stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.corpus.views import thought_of
from instdata.read.language import detect
from instdata.steps.quality.phrases import lists, matcher, pattern
from instdata.steps.quality.piece_search import BEGINNING, Search, search_for
from instdata.steps.quality.repeats import repeats

T = TypeVar("T")
BATCH = 1 << 16  # rows looked at together: each pattern is compiled anew for every batch
LIMIT = 100_000  # characters of a text that rules look at
HEAD = 400  # characters in which a refusal or a request for more shows itself
SHOWN = 200  # characters of a finding that are quoted
ASK = BEGINNING  # characters of a prompt in which the task is stated
# The views that begin another one, and are at most BEGINNING characters of it.
BASES = {"ask": ("prompt", True), "line": ("prompt", True), "head": ("response", True)}


class _Column(cached_property[T]):
    """What a text is worked out to have, a value a row. Some rows of a text take over what is known of all of it."""

    def __get__(self, text: Any, owner: Any = None) -> Any:
        if text is not None and text.knows(name := str(self.attrname)) and name not in vars(text):
            vars(text)[name] = _taken(getattr(text.whole, name), text.at)
        return super().__get__(text, owner)


def _given(text: Text) -> pa.Array:
    """What a text is made with, and some rows of it always know."""
    raise AttributeError


def _taken(column: Any, at: pa.Array) -> Any:
    """Some rows of a column: of Arrow, of numpy, several, or None."""
    if isinstance(column, tuple):
        return tuple(_taken(c, at) for c in column)
    return column if column is None else column[np.asarray(at)] if isinstance(column, np.ndarray) else column.take(at)


class Text:
    """Prompts and responses (string arrays; a response is null or blank where the row is an instruction only), and the
    reasoning before each response (null where there is none; None: no row has any)."""

    prompts, responses, thoughts = (_Column[Any](_given) for _ in range(3))

    def __init__(
        self, prompts: pa.Array, responses: pa.Array, thoughts: pa.Array | None = None, search: Search | None = None
    ):
        self.whole: Text | None = None  # whose rows `at` these are
        self.at = pa.array(np.arange(len(prompts)))
        self.search = search  # for the patterns that are asked of all rows
        vars(self).update(prompts=prompts, responses=responses, thoughts=thoughts)

    @classmethod
    def of(cls, rows: Rows, search: Search | None = None) -> Text:
        """The prompt and the last answer of each row."""
        thoughts = rows.view("reasoning")
        some = thoughts if thoughts.null_count < len(rows) else None
        return cls(rows.view("prompt"), rows.view("answer"), some, search)

    @classmethod
    def of_turns(cls, rows: Rows, search: Search | None = None) -> tuple[Text, np.ndarray, np.ndarray]:
        """(a text for each assistant turn: what came since the turn before it, and its answer; the row that each
        belongs to; its place among the row's assistant turns, from 1). A row without an assistant turn has one without
        answer."""
        messages = rows.messages
        offsets = np.asarray(messages.offsets).astype(np.int64)
        values = messages.values.slice(offsets[0], offsets[-1] - offsets[0])
        contents, row = values.field("content"), np.repeat(np.arange(len(rows)), np.diff(offsets))
        said = np.asarray(pc.fill_null(pc.equal(values.field("role"), "assistant"), False))
        before = np.cumsum(said) - said  # assistant turns before each turn, over all rows
        at = np.flatnonzero(said)
        owner = row[at]
        mine = ~said & (before < len(at))
        mine[mine] = owner[before[mine]] == row[mine]  # turns after a row's last answer belong to none
        counts = np.bincount(before[mine], minlength=len(at))
        ends = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        prompts = pc.binary_join(pa.ListArray.from_arrays(ends, contents.filter(pa.array(mine))), "\n")
        thoughts, answers = thought_of(contents.take(pa.array(at)))
        silent = np.setdiff1d(np.arange(len(rows)), owner)
        alone = rows.view("prompt").take(pa.array(silent))
        nothing = pa.nulls(len(silent), pa.string())
        turn = np.arange(len(at)) - np.searchsorted(owner, owner) + 1
        parts = [prompts, alone], [answers, nothing], [thoughts, nothing]
        prompts, answers, thoughts = map(pa.concat_arrays, parts)
        text = cls(prompts, answers, thoughts, search)
        return text, np.concatenate([owner, silent]), np.concatenate([turn, np.ones(len(silent), np.int64)])

    def take(self, at: np.ndarray) -> Text:
        """Some of the rows; their texts are copied when they are looked at."""
        some = Text.__new__(Text)
        some.whole, some.at, some.search = self, pa.array(at), self.search
        return some

    def knows(self, name: str) -> bool:
        """Whether a column is worked out already, of these rows or of those that they were taken from."""
        return name in vars(self) or (self.whole is not None and self.whole.knows(name))

    def __len__(self) -> int:
        return len(self.at)

    def only(self, rows: np.ndarray, rule: Callable[[Text], np.ndarray]) -> np.ndarray:
        """A rule's mask over all rows, asked of `rows` (a mask) alone."""
        found = np.zeros(len(self), bool)
        at = np.flatnonzero(rows)
        if len(at):
            found[at] = rule(self.take(at))
        return found

    def unless(self, found: np.ndarray, excused: Callable[[Text], np.ndarray]) -> np.ndarray:
        """A mask without the rows that are excused, which is asked of the rows found alone."""
        return found & ~self.only(found, excused)

    def has(self, view: str, regex: str) -> np.ndarray:
        """Where a pattern occurs in a view (prompt, ask, line, response, head, reasoning): where it is one of those
        searched for, only rows with a piece that it needs are looked at."""
        texts = getattr(self, view)
        number = None if self.search is None else self.search.number.get(regex)
        if number is None:
            return has(texts, regex)
        base, beginning = BASES.get(view, (view, False))
        bits = getattr(self, f"{base}_bits")[beginning]
        at = np.flatnonzero(bits >> np.uint64(number) & np.uint64(1))
        found = np.zeros(len(self), bool)
        if len(at):
            found[at] = has(texts if len(at) == len(self) else texts.take(pa.array(at)), regex)
        return found

    def asks(self, view: str, *names: str) -> np.ndarray:
        """Where a phrase of these lists occurs in a view."""
        return self.has(view, pattern(*names))

    def asks_each(self, view: str, name: str) -> np.ndarray:
        """The same for a list whose phrases are slow together: each is looked for by itself."""
        return np.any([self.has(view, regex) for regex in each_phrase(name)], axis=0)

    def anywhere(self, regex: str) -> np.ndarray:
        """Where a pattern occurs in anything that a model reads or learns to write."""
        return np.any([self.has(view, regex) for view in self.learned], axis=0)

    @_Column
    def prompt_bits(self) -> tuple[np.ndarray, np.ndarray]:
        """The patterns that may occur in each prompt, in its beginning; see Search.of."""
        return self._searched.of(self.prompt)

    @_Column
    def response_bits(self) -> tuple[np.ndarray, np.ndarray]:
        return self._searched.of(self.response)

    @_Column
    def reasoning_bits(self) -> tuple[np.ndarray, np.ndarray]:
        return self._searched.of(self.reasoning)

    @property
    def _searched(self) -> Search:
        assert self.search is not None  # `has` asks only then
        return self.search

    @_Column
    def repeats(self) -> tuple[np.ndarray, np.ndarray]:
        """(share of repeated words, whether one character runs on) of each response; see repeats.py."""
        return repeats(self.response)

    @_Column
    def prompt(self) -> pa.Array:
        return _begun(self.prompts)

    @_Column
    def response(self) -> pa.Array:
        return _begun(self.responses)

    @_Column
    def trimmed(self) -> pa.Array:
        """The whole response without white space around it, "" for none."""
        return pc.utf8_trim_whitespace(filled(self.responses))

    @_Column
    def reasoning(self) -> pa.Array | None:
        """The reasoning of each row, "" for none; None where no row has any."""
        return None if self.thoughts is None else _begun(self.thoughts)

    @property
    def learned(self) -> list[str]:
        """The views that a model reads or learns to write: prompt, response, and reasoning where there is any."""
        return ["prompt", "response", *([] if self.reasoning is None else ["reasoning"])]

    @_Column
    def chars(self) -> np.ndarray:
        """Characters of the whole response, without white space around it (int64)."""
        return np.asarray(pc.utf8_length(self.trimmed)).astype(np.int64)

    @_Column
    def prompt_chars(self) -> np.ndarray:
        return np.asarray(pc.utf8_length(self.prompt)).astype(np.int64)

    @_Column
    def answered(self) -> np.ndarray:
        return self.chars > 0

    @_Column
    def head(self) -> pa.Array:
        return pc.utf8_slice_codeunits(self.response, 0, HEAD)

    @_Column
    def tail(self) -> pa.Array:
        """The last characters of the whole response."""
        return pc.utf8_slice_codeunits(self.trimmed, -80)

    @_Column
    def ask(self) -> pa.Array:
        return pc.utf8_slice_codeunits(self.prompt, 0, ASK)

    @_Column
    def line(self) -> pa.Array:
        """The prompt's first line: the instruction without its input."""
        begun = pc.ascii_ltrim(self.ask, "\t\n\f\r ")
        more = pc.match_substring(begun, "\n")
        first = pc.struct_field(pc.extract_regex(begun.filter(more), r"^(?P<line>[^\n]*)"), "line")
        return pc.replace_with_mask(begun, more, first)

    @_Column
    def code(self) -> np.ndarray:
        """The task or the response is about code, markup or data formats."""
        return self.asks("ask", "code") | self.has("response", CODE_SHOWN)

    @_Column
    def prompt_language(self) -> tuple[pa.Array, np.ndarray]:
        """(code or null, confidence) of each prompt's first line: what follows may be material in any language."""
        return detect(self.line)

    @_Column
    def response_language(self) -> tuple[pa.Array, np.ndarray]:
        """(code or null, confidence) of each response."""
        return detect(self.responses)


def filled(texts: pa.Array) -> pa.Array:
    """The texts, "" for null; themselves where none is: filling copies."""
    return pc.fill_null(texts, "") if texts.null_count else texts


def _begun(texts: pa.Array) -> pa.Array:
    """The first LIMIT characters of each text, "" for null; the texts themselves where none has as many bytes."""
    texts = filled(texts)
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    return texts if longest <= LIMIT else pc.utf8_slice_codeunits(texts, 0, LIMIT)


CODE_SHOWN = (
    r"```|(?m:^\s*(?:def \w+\(|import \w+|from \w+ import|class \w+|public |private |#include|function \w+\(|SELECT |"
    r"<\?xml|<!DOCTYPE|<html|const |let |var |return\b|for ?\(|while ?\(|if ?\())"
)


# Patterns, or what gives one or several: lists of phrases are read when they are first used.
Sought = tuple[str | Callable[[], str | tuple[str, ...]], ...]
SOUGHT: Sought = (partial(pattern, "code"), CODE_SHOWN)


def search_of(sought: Sought) -> Search:
    """What these patterns are searched for by."""
    given = [p if isinstance(p, str) else p() for p in sought]
    return search_for(regex for p in given for regex in ([p] if isinstance(p, str) else p))


@cache
def each_phrase(name: str) -> tuple[str, ...]:
    """The pattern of each phrase of a list."""
    return tuple(matcher(phrase) for phrase in lists()[name])


def has(texts: pa.Array, pattern: str) -> np.ndarray:
    """Where a pattern occurs."""
    return np.asarray(pc.match_substring_regex(texts, pattern))


def asks(texts: pa.Array, *names: str) -> np.ndarray:
    """Where a phrase of these lists occurs."""
    return has(texts, pattern(*names))


def count(texts: pa.Array, pattern: str) -> np.ndarray:
    """How often a pattern occurs."""
    return np.asarray(pc.count_substring_regex(texts, pattern)).astype(np.int64)


def among(candidates: np.ndarray, test: Callable[..., Any], *columns: pa.Array) -> np.ndarray:
    """The candidates for which `test(*texts)` finds something: for the few rows that need Python."""
    result = np.zeros(len(candidates), bool)
    at = np.flatnonzero(candidates)
    index = pa.array(at)
    for row, values in zip(at, _rows(columns, index), strict=True):
        result[row] = bool(test(*values))
    return result


Found = dict[str, Any] | None  # what a rule found in a text: {"span": [start, end], "text", …}; None: nothing


def piece(text: str, start: int, end: int) -> dict[str, Any]:
    """A stretch of a text as evidence: its span in characters, and its words, at most SHOWN of them."""
    return {"span": [start, end], "text": text[start : min(end, start + SHOWN)]}


def _rows(columns: tuple[pa.Array, ...], index: pa.Array) -> Iterator[tuple[str, ...]]:
    return zip(*(column.take(index).to_pylist() for column in columns), strict=True)
