"""Small changes that make a good answer wrong and leave it fluent: the fine-grained distractors of DoIT (Song et al.,
arXiv 2310.19651), there made by hand.

Each kind of change is a function from an answer (and its question) to the changed answers that it can make.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

SEEN = 6000  # characters of an answer that changes are looked for in
HAN = "\u3400-\u9fff"


@dataclass(frozen=True)
class Change:
    """A changed answer, the kind of change, and how surely it makes the answer wrong: 3 contradicts the question or the
    rest of the answer, 2 states something else, 1 probably does."""

    kind: str
    text: str
    sure: int


@dataclass(frozen=True)
class Answer:
    """An answer on its way to be changed: its text, its question, the stretches of it that are code."""

    text: str
    question: str
    code: tuple[tuple[int, int], ...]
    rng: random.Random

    def in_code(self, at: int) -> bool:
        return any(start <= at < end for start, end in self.code)

    def swap(self, kind: str, start: int, end: int, new: str, sure: int) -> Change:
        return Change(kind, self.text[:start] + new + self.text[end:], sure)

    def anchored(self, word: str) -> bool:
        """Whether the question, or the answer elsewhere, holds the same word: then another one contradicts it."""
        return count(word, self.question) + count(word, self.text) > 1


def count(word: str, text: str) -> int:
    """How often a word stands in a text; words of unspaced scripts anywhere, others as whole words."""
    count, at = 0, text.find(word)
    while at >= 0:
        sides = text[max(0, at - 1) : at] + text[at + len(word) : at + len(word) + 1]
        count += not (word[0].isascii() and re.search(r"[A-Za-z0-9_]", sides))
        at = text.find(word, at + 1)
    return count


CODE_LINE = re.compile(
    r"^\s*(?:def \w+\(|class \w+[:({]|import \w+|from \w+ import|#include|public |private |function \w+\(|(?:let|const|var) \w+ ?=|SELECT\s|"
    r"for ?\(|while ?\(|if ?\(|return\b.*;|print\(|\w+ = .*\(.*\)|</?[a-z]+\d?[ >])",
    re.MULTILINE,
)


def code_in(text: str) -> Iterator[tuple[int, int]]:
    """The stretches of a text that are code: fenced blocks, or all of it where several lines look like code."""
    fences = [m.start() for m in re.finditer(r"^[ \t]*```", text[:SEEN], re.MULTILINE)]
    if fences:
        yield from zip(fences[::2], [*fences[1::2], len(text)])
    elif len(CODE_LINE.findall(text[:SEEN])) >= 2 or (CODE_LINE.match(text) and re.search(r"[;{}()=]", text)):
        yield 0, len(text)


# ---- numbers

FIGURE = re.compile(
    r"(?<![A-Za-z0-9_.,#/\\^:-])(?P<n>\d{1,3}(?:,\d{3})+|\d{1,12})(?P<tail>\.\d{1,6})?(?![A-Za-z0-9_/-]|[.,:]\d)(?P<unit>\s?(?:%|°|percent|per cent|degrees)|st\b|nd\b|rd\b|th\b)?"
)
# What a number only counts: the places of a list, steps, versions.
PLACE = re.compile(
    r"(?:step|chapter|section|part|figure|table|no\.|version|question|example|tip|week|day|slide|scene|act|input|output|option|item|team|group|person|player|level|python|windows|html|css|web|sql server|第|步骤|输入|输出|选项|案例|人物|方案|片段|句子|文本|问题|例|图|表|方法|建议)\s?$",
    re.IGNORECASE,
)


def numbers(a: Answer) -> Iterator[Change]:
    """One number is another one: as many digits, but for the sign of a power nothing near its value."""
    for m in FIGURE.finditer(a.text[:SEEN]):
        before = a.text[max(0, m.start() - 14) : m.start()]
        listed = re.match(r"[.)、:：）\]】]\s*\S", a.text[m.end() : m.end() + 4]) and re.search(
            r"(?:^|\n)\s*[(（\[【*#]{0,3}$", a.text[max(0, m.start() - 14) : m.start()]
        )
        if listed or PLACE.search(before) or m["unit"] in ("st", "nd", "rd", "th"):
            continue
        new = _other_number(m["n"], m["tail"] or "", bool(m["unit"]), a.rng)
        if new is None:
            continue
        whole = m["n"] + (m["tail"] or "")
        sure = (
            3
            if a.anchored(whole) or re.search(r"[=＝]\s?$", before) or (m.start() < 2 and len(a.text) < 24)
            else 2
            if len(m["n"]) > 2 or m["unit"] or m["tail"]
            else 1
        )
        yield a.swap("number", m.start(), m.start() + len(whole), new, sure)


def _other_number(whole: str, tail: str, share: bool, rng: random.Random) -> str | None:
    """Another number of the same shape; None for 0 and 1, which seldom can be others."""
    value = int(whole.replace(",", ""))
    if value < 2 and not tail:
        return None
    if whole.startswith("0"):
        return whole + "." + _other_digit(tail[1:], rng) if tail else None
    if 1000 <= value <= 2100 and "," not in whole and not tail:  # a year
        return str(value + rng.choice([-30, -20, -10, 10, -3, -2, 2, 3][: 7 if value > 2000 else 8]))
    if value < 10:
        return str(rng.choice([n for n in (value - 1, value + 1, value + 2) if 2 <= n <= 9 and n != value])) + tail
    at = (
        next(i for i in range(2) if whole[i].isdigit())
        if len(whole) < 3
        else rng.choice([0, 1 if whole[1].isdigit() else 2])
    )
    new = (
        whole[:at]
        + rng.choice([d for d in ("123456789" if at == 0 else "0123456789") if 1 <= abs(int(d) - int(whole[at])) <= 3])
        + whole[at + 1 :]
    )
    return (new if not share or value > 100 or int(new) <= 100 else str(value - 10)) + tail


def _other_digit(digits: str, rng: random.Random) -> str:
    at = next((i for i, d in enumerate(digits) if d != "0"), 0)
    return digits[:at] + rng.choice([d for d in "123456789" if d != digits[at]]) + digits[at + 1 :]


CHINESE_COUNT = re.compile(
    rf"(?<![{HAN}第])[两三四五六七八九](?=[个种名位年天次倍条只]|部分|方面|大类)|(?<=[有共分为约每了])[两三四五六七八九](?=[个种名位年天次倍条只]|部分|方面|大类)"
)


def chinese_numbers(a: Answer) -> Iterator[Change]:
    """三个 is 四个."""
    for m in CHINESE_COUNT.finditer(a.text[:SEEN]):
        new = a.rng.choice([c for c in "两三四五六七八九" if c != m[0]])
        yield a.swap("number", m.start(), m.end(), new, 2)


# ---- operators, in code and between figures

OPERATORS = {
    "+": "-", "-": "+", "*": "+", "×": "÷", "÷": "×", "/": "*", "<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "!=", "!=": "==", "&&": "||",
    "||": "&&", "++": "--", "--": "++", "+=": "-=", "-=": "+=", "and": "or", "or": "and", "True": "False", "False": "True", "true": "false",
    "false": "true", "max": "min", "min": "max", "ASC": "DESC", "DESC": "ASC", "AND": "OR", "OR": "AND", "MAX": "MIN", "MIN": "MAX",
}  # fmt: skip
IN_CODE = re.compile(
    r"(?<= )(?:[+\-*/<>]|<=|>=|==|!=|&&|\|\||\+=|-=|and|or|AND|OR)(?= )|(?<=[\w)\]])(?:[+*]|==|!=|<=|>=)(?=[\w(])|\b(?:True|False|true|false|ASC|DESC|(?:max|min|MAX|MIN)(?=\())\b|(?:\+\+|--)(?=[;)])"
)
IN_SUM = re.compile(r"(?<=[\dxyab)])(\s?)([+\-×÷*/])(?=\s?[\dxyab(][^\n]{0,60}[=＝])")


def operators(a: Answer) -> Iterator[Change]:
    """One operator, or one truth value, is its contrary."""
    if a.code:
        for m in IN_CODE.finditer(a.text[:SEEN]):
            line = a.text[a.text.rfind("\n", 0, m.start()) + 1 : m.start()]
            if (
                a.in_code(m.start())
                and not re.match(r"\s*(?:#|//|\*|\"\"\"|--)", line)
                and line.count('"') % 2 == 0
                and line.count("'") % 2 == 0
            ):
                yield a.swap("operator", m.start(), m.end(), OPERATORS[m[0]], 3)
    for m in IN_SUM.finditer(a.text[:SEEN]):
        if not a.in_code(m.start()):
            yield a.swap("operator", m.start(2), m.end(2), OPERATORS[m[2]], 3)
