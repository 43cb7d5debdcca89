"""JSON as language models write it: read as strictly as it can be, and as leniently as it must.

Python's own reader takes what is valid. The rest is read by a small one that knows what goes wrong: commas too many or
missing, quotes inside of texts, single and Chinese quotes, keys without quotes, comments, LaTeX written with one
backslash (`\\times` is no tab), and texts that are cut off (what is whole before the cut is kept).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

DEEPEST = 60  # levels; what is deeper is no reply but a loop
LONGEST = 400_000  # characters; the lenient reader is written in Python, and no reply is longer


class Object(dict[str, Any]):
    """A JSON object; `others`: what its keys were given before, where one stands there twice."""

    others: dict[str, list[Any]]

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.others = {}
        if len(self) < len(pairs):
            for key, value in pairs:
                if value is not self[key] and value != self[key]:
                    self.others.setdefault(key, []).append(value)


STRICT = json.JSONDecoder(strict=False, object_pairs_hook=Object)
CLOSING = {'"': '"', "'": "'", "“": "”\"“", "”": "”\"“", "‘": "’'", "「": "」", "『": "』", "＂": "＂"}  # fmt: skip
COMMAS, COLONS = ",，", ":："
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# Commands of LaTeX that begin as an escape does. After \t and \n only what is a command as a whole (a tab or a line's
# end before a word is common there); after \b, \f and \r any word, since no text has those characters.
COMMANDS = set(
    [
        "text",
        "textbf",
        "textit",
        "textrm",
        "textsf",
        "texttt",
        "textstyle",
        "tfrac",
        "theta",
        "tan",
        "tanh",
        "tau",
        "times",
        "tilde",
        "therefore",
        "top",
        "triangle",
        "triangleq",
        "to",
        "tag",
        "nabla",
        "neq",
        "neg",
        "ngeq",
        "nleq",
        "notin",
        "nmid",
        "nexists",
        "nsubseteq",
        "nparallel",
        "nolimits",
        "nonumber",
        "newline",
        "newcommand",
        "not",
        "natural",
    ]
)
AMBIGUOUS = re.compile(r"\\[bfr][A-Za-z]|\\[tn][A-Za-z]")
WORD = re.compile(r"[A-Za-z]*")
SKIPPED = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.S)
KEY = re.compile(r"\s*(?:[\"'“”‘「『＂][^\"'“”‘’「」『』＂\n]{1,60}[\"'“”’」』＂]|[\w-]{1,40})\s*[:：]")
BARE_KEY = re.compile(r"[^\W\d][\w -]{0,40}?(?=\s*[:：])")
BARE = re.compile(r"[^,，}\]\n]+")
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class NoJson(ValueError):
    """What stands here is no JSON value, however leniently it is read."""


@dataclass(frozen=True)
class Piece:
    """A JSON value in a text, from `start` to before `end`. `cut`: the text ended inside of it; `value` has what was
    whole, and its last object may lack fields. `twice`: keys with two different values (reply.py finds them)."""

    start: int
    end: int
    value: Any
    cut: bool = False
    twice: frozenset[str] = frozenset()


def find(text: str) -> list[Piece]:
    """The JSON objects and lists in a text, in order; those inside another one belong to it."""
    found: list[Piece] = []
    at, reader = 0, None
    text = text[:LONGEST]
    opening = re.compile(r"[{\[]")
    while match := opening.search(text, at):
        start = match.start()
        try:
            one = _strict(text, start)
        except RecursionError:  # brackets without an end: a loop, in which every further start would cost as much
            return found
        if one is None:
            reader = reader or _Lenient(text)
            one = reader.read(start)
        if one is None:
            at = start + 1
            continue
        found.append(one)
        at = max(one.end, start + 1)
    return found


def _strict(text: str, start: int) -> Piece | None:
    try:
        value, end = STRICT.raw_decode(text, start)
    except ValueError:
        return None
    return None if AMBIGUOUS.search(text, start, end) else Piece(start, end, value)


class _Lenient:
    """A reader of one text. Its steps are bounded, or texts made of brackets alone would take their square in time."""

    def __init__(self, text: str):
        self.text, self.size, self.cut, self.steps = text, len(text), False, 40 * len(text) + 1000

    def read(self, start: int) -> Piece | None:
        self.cut = False
        try:
            value, end = self.value(start, 0)
        except NoJson:
            return None
        return Piece(start, end, value, self.cut) if value or not self.cut else None

    def skip(self, at: int) -> int:
        self.steps -= 1
        if self.steps < 0:
            raise NoJson
        found = SKIPPED.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        if depth > DEEPEST:
            raise NoJson
        c = self.text[at : at + 1]
        if c == "{":
            return self.object(at + 1, depth + 1)
        if c == "[":
            return self.list(at + 1, depth + 1)
        if c in CLOSING and c:
            return self.string(at, False)
        try:
            value, end = STRICT.raw_decode(self.text, at)
            if self.text[self.skip(end) : self.skip(end) + 1] in (",", "，", "}", "]", ""):
                return value, end
        except (ValueError, RecursionError):
            pass
        found = BARE.match(self.text, at)
        if not found:
            raise NoJson
        word = found[0].strip()
        return LITERALS.get(word, word), found.end()

    def next_item(self, at: int, close: str) -> tuple[int, bool]:
        """(where the next item of an object or list begins, False), or (what follows its end, True): behind `close`, or
        where the text breaks off."""
        while True:
            at = self.skip(at)
            if at >= self.size:
                self.cut = True
                return at, True
            if self.text[at] == close:
                return at + 1, True
            if self.text[at] not in COMMAS:
                return at, False
            at += 1

    def object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        pairs: list[tuple[str, Any]] = []
        while True:
            at, ended = self.next_item(at, "}")
            if ended:
                return Object(pairs), at
            if self.text[at] in CLOSING:
                key, at = self.string(at, True)
            elif bare := BARE_KEY.match(self.text, at):
                key, at = bare[0].strip(), bare.end()
            else:
                raise NoJson
            at = self.skip(at)
            if self.cut or at >= self.size:
                self.cut = True
                return Object(pairs), self.size
            if self.text[at] not in COLONS:
                raise NoJson
            at = self.skip(at + 1)
            if at >= self.size:
                self.cut = True
                return Object(pairs), at
            one, at = self.value(at, depth)
            if not self.cut or isinstance(one, (dict, list)):
                pairs.append((key, one))
            if self.cut:
                return Object(pairs), self.size

    def list(self, at: int, depth: int) -> tuple[list[Any], int]:
        value: list[Any] = []
        while True:
            at, ended = self.next_item(at, "]")
            if ended:
                return value, at
            if self.text[at] == "}":
                raise NoJson
            one, at = self.value(at, depth)
            if not self.cut:
                value.append(one)
                continue
            if isinstance(one, list) and one:
                value.append(one)
            return value, self.size

    def string(self, at: int, key: bool) -> tuple[str, int]:
        """A text from its opening quote on. A quote ends it only where JSON goes on after it."""
        closing, parts = CLOSING[self.text[at]], list[str]()
        at += 1
        special = re.compile("[" + re.escape(closing) + r"\\]")
        while found := special.search(self.text, at):
            parts.append(self.text[at : found.start()])
            at = found.start()
            if self.text[at] == "\\":
                piece, at = self.escape(at + 1)
                parts.append(piece)
            elif self.ends(at + 1, key):
                return _joined("".join(parts)), at + 1
            else:
                parts.append(self.text[at])
                at += 1
        self.cut = True
        return "".join([*parts, self.text[at:]]), self.size

    def escape(self, at: int) -> tuple[str, int]:
        c = self.text[at : at + 1]
        if c in ESCAPES and c:
            found = WORD.match(self.text, at)
            word = found[0] if found else ""
            if len(word) > 1 and (c in "bfr" or word in COMMANDS):
                return "\\" + word, at + len(word)
            return ESCAPES[c], at + 1
        if c == "u" and re.match(r"[0-9A-Fa-f]{4}", self.text[at + 1 : at + 5]):
            return chr(int(self.text[at + 1 : at + 5], 16)), at + 5
        return (c, at + 1) if c and c in "\"'\\/“”‘’" else ("\\" + c, at + 1)

    def ends(self, at: int, key: bool) -> bool:
        at = self.skip(at)
        c = self.text[at : at + 1]
        if key:
            return c == "" or c in COLONS
        if c == "":
            return True
        if c in "}]":
            after = self.skip(at + 1)
            return self.text[after : after + 1] not in CLOSING or after > at + 1
        if c in COMMAS:
            after = self.skip(at + 1)
            d = self.text[after : after + 1]
            return d == "" or d in "}]{[" or bool(KEY.match(self.text, after)) or self.in_list(after)
        return bool(KEY.match(self.text, at)) and "\n" in self.text[at - 1 : at]  # a comma forgotten at a line's end

    def in_list(self, at: int) -> bool:
        """Whether a quoted text stands here that ends before a comma or the list's end: the next of a list of texts."""
        return bool(re.match(r"""(["'“＂])[^"'“”＂]*["'”＂]\s*[,，\]]""", self.text[at : at + 2000]))


def _joined(text: str) -> str:
    """Halves of a character outside the basic plane, each escaped, put together; a half alone stays one."""
    if not re.search("[\ud800-\udbff][\udc00-\udfff]", text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
