"""A batch of rows as the rules see it: prompts and responses as Arrow columns, and the few ways in which rules look at them.

Every pattern runs in RE2 (Arrow's kernels), so no text can make one slow; texts are looked at up to LIMIT characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.read.language import detect

LIMIT = 100_000  # characters of a text that rules look at
HEAD = 400  # characters in which a refusal or a request for more shows itself
ASK = 600  # characters of a prompt in which the task is stated


@dataclass
class Text:
    """Prompts and responses (string arrays; a response is null or blank where the row is an instruction only)."""

    prompts: pa.Array
    responses: pa.Array

    def __len__(self) -> int:
        return len(self.prompts)

    def only(self, rows: np.ndarray, rule: Callable[[Text], np.ndarray]) -> np.ndarray:
        """A rule's mask over all rows, asked of `rows` (a mask) alone."""
        found = np.zeros(len(self), bool)
        at = np.flatnonzero(rows)
        if len(at):
            index = pa.array(at)
            found[at] = rule(Text(self.prompts.take(index), self.responses.take(index)))
        return found

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Every character of every response, one after another: (code points uint32, number of the row int32)."""
        texts = self.response
        lengths = np.asarray(pc.utf8_length(texts)).astype(np.int64)
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        data = bytes(texts.buffers()[2][offsets[0] : offsets[-1]]) if offsets[-1] > offsets[0] else b""
        return np.frombuffer(data.decode().encode("utf-32-le"), np.uint32), np.repeat(
            np.arange(len(texts), dtype=np.int32), lengths
        )

    @cached_property
    def prompt(self) -> pa.Array:
        return pc.utf8_slice_codeunits(pc.fill_null(self.prompts, ""), 0, LIMIT)

    @cached_property
    def response(self) -> pa.Array:
        return pc.utf8_slice_codeunits(pc.fill_null(self.responses, ""), 0, LIMIT)

    @cached_property
    def chars(self) -> np.ndarray:
        """Characters of the whole response, without white space around it (int64)."""
        return np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(self.responses, "")))).astype(np.int64)

    @cached_property
    def prompt_chars(self) -> np.ndarray:
        return np.asarray(pc.utf8_length(self.prompt)).astype(np.int64)

    @cached_property
    def answered(self) -> np.ndarray:
        return self.chars > 0

    @cached_property
    def head(self) -> pa.Array:
        return pc.utf8_slice_codeunits(self.response, 0, HEAD)

    @cached_property
    def tail(self) -> pa.Array:
        """The last characters of the whole response."""
        return pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(pc.fill_null(self.responses, "")), -80)

    @cached_property
    def ask(self) -> pa.Array:
        return pc.utf8_slice_codeunits(self.prompt, 0, ASK)

    @cached_property
    def line(self) -> pa.Array:
        """The prompt's first line: the instruction without its input."""
        return pc.struct_field(pc.extract_regex(self.ask, r"^\s*(?P<line>[^\n]*)"), "line")

    @cached_property
    def code(self) -> np.ndarray:
        """The task or the response is about code, markup or data formats."""
        return has(self.ask, CODE_ASKED) | has(self.response, CODE_SHOWN)

    @cached_property
    def prompt_language(self) -> tuple[np.ndarray, np.ndarray]:
        """(code or None, confidence) of each prompt's first line: what follows may be material in any language."""
        lang, confidence = detect(self.line)
        return np.array(lang.to_pylist(), object), confidence

    @cached_property
    def response_language(self) -> tuple[np.ndarray, np.ndarray]:
        """(code or None, confidence) of each response."""
        lang, confidence = detect(self.responses)
        return np.array(lang.to_pylist(), object), confidence


CODE_ASKED = (
    r"(?i)\b(html|css|xml|json|yaml|sql|code|coding|program|programming|script|function|regex|regular expression|"
    r"javascript|java|python|php|c\+\+|c#|markdown|latex|algorithm|snippet|tags?|web ?(page|site|form|app\w*)|query|api|url|svg|"
    r"compile|command|class|method|react|django|bash|shell|loop|variable|array|data structure|website|https?)\b|"
    r"代码|程序|编程|脚本|函数|网页|网站|标签|正则|算法|编码|命令|查询|数组|变量|表格|界面|应用"
)
CODE_SHOWN = (
    r"```|(?m:^\s*(def \w+\(|import \w+|from \w+ import|class \w+|public |private |#include|function \w+\(|SELECT |"
    r"<\?xml|<!DOCTYPE|<html|const |let |var |return\b|for ?\(|while ?\(|if ?\())"
)


def has(texts: pa.Array, pattern: str) -> np.ndarray:
    """Where a pattern occurs."""
    return np.asarray(pc.match_substring_regex(texts, pattern))


def count(texts: pa.Array, pattern: str) -> np.ndarray:
    """How often a pattern occurs."""
    return np.asarray(pc.count_substring_regex(texts, pattern)).astype(np.int64)


def among(candidates: np.ndarray, test: Callable[..., bool], *columns: pa.Array) -> np.ndarray:
    """The candidates for which `test(*texts)` holds: for the few rows that need Python."""
    result = np.zeros(len(candidates), bool)
    at = np.flatnonzero(candidates)
    index = pa.array(at)
    for row, values in zip(at, _rows(columns, index), strict=True):
        result[row] = test(*values)
    return result


def _rows(columns: tuple[pa.Array, ...], index: pa.Array) -> Iterator[tuple[str, ...]]:
    return zip(*(column.take(index).to_pylist() for column in columns), strict=True)
