"""What a reference of the scorer `number` means: one plain number, mathematics beyond one, or neither; never its last
digit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from instdata.score.extract.number import Number, numbers, plain_text
from instdata.score.extract.phrases import found
from instdata.score.extract.stated_result import (
    CHAIN,
    ITEM,
    SENTENCE,
    Stated,
    assigns_several,
    final_part,
    of_part,
    settled,
    single_number,
    stated,
    without_remarks,
    worked_out,
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What a reference of the scorer `number` means: its number; else an expression for math-verify; else why
    neither."""

    number: Number | None = None
    expression: str | None = None
    problem: str | None = None


@cache
def reference_of(text: str) -> Reference:
    """One plain number, stated as such or the only one that the reference's conclusion holds or works out; never one of
    several. What is written as mathematics (2√3, (1, 2), x^2 + 1) is an expression."""
    plain = plain_text(settled(text.replace("：", ":")))
    part = stated(plain)
    if part is not None and not numbers(part.text) and not _mathematics(part.text):
        part = None
    said = part.text if part is not None else None
    if said is not None or not PROSE.search(plain):
        alone = without_remarks(said if said is not None else plain)
        if _mathematics(alone):
            return Reference(expression=_original(text)) if _expression(alone) else _several(text)
    source, found = (part.text, of_part(part, plain)) if part is not None else ("", [])
    if not found:
        source, found = _conclusion(plain)
    if not found:
        return Reference(problem="the reference holds no number")
    if not found[0].plain:
        return _several(text)
    source = ITEM.sub("", without_remarks(source))
    aside = next((m.start() for m in [_aside(source)] if m and numbers(source[: m.start()])), len(source))
    others = {n.value for n in numbers(source[:aside]) if n.plain} - {n.value for n in found}
    if (others and not _settles(source, plain, found[0])) or (part is None and _says_otherwise(plain, source, found)):
        return _several(text)
    return Reference(number=found[0])


def _several(text: str) -> Reference:
    short = " ".join(text.split())
    return Reference(
        problem=f"the reference is not one plain number: {short if len(short) <= 60 else short[:59] + '…'}"
    )


def _conclusion(plain: str) -> tuple[str, list[Number]]:
    """(the last sentence that holds a number, its number)"""
    pieces = [p for p in SENTENCE.split(plain) if p and numbers(ITEM.sub("", p), words=not re.search(r"\d", plain))]
    return (pieces[-1], of_part(Stated(pieces[-1], open=True), plain)) if pieces else ("", [])


def _aside(text: str) -> re.Match[str] | None:
    return found("aside").search(text)


def _says_otherwise(plain: str, source: str, mine: list[Number]) -> bool:
    """Whether the last sentence is no conclusion, and the one before it is one, of another number."""
    begins = found("conclusion", before=r"^[\s*\d.、]*")
    pieces = [p for p in SENTENCE.split(plain) if re.search(r"[^\d\s]", p) and numbers(ITEM.sub("", p))]
    if len(pieces) < 2 or begins.match(pieces[-1]) or CHAIN.search(pieces[-1]) or not begins.match(pieces[-2]):
        return False
    before = numbers(pieces[-2])
    return bool(before) and not {n.value for n in before} & {n.value for n in mine}


def _settles(source: str, whole: str, number: Number) -> bool:
    """Whether one of several numbers is surely meant: it ends the sentence's chain of equations, or it is the last
    value that was worked out, and the sentence says no other result beside it."""
    if re.search(r"余|剩余|remainder|分别|respectively", source) or (
        re.search(r"\d[^,;]{0,12}[,;]\s?\S{1,8}[为是:]?\s?\d[^=]*$", source) and "=" not in source
    ):
        return False
    if CHAIN.search(source):
        single = [single_number(link, i == 0) for i, link in enumerate(CHAIN.split(source))]
        return any(n and n.value == number.value for n in single) or bool(found("rounded").search(source))
    worked = worked_out(whole)
    return bool(worked) and worked[-1] == number.value


PROSE = re.compile(r"[\u4e00-\u9fff]|(?<![\\A-Za-z])(?!sqrt)[A-Za-z]{4,}")
# In what is mathematics beyond one number with its unit.
SYMBOLS = re.compile(r"[\^√π±<>≤≥∞∪∩|_]|\\[a-zA-Z]+|\d\s?[xyznkabcpqi](?![A-Za-z])|(?<![A-Za-z])[xyznkabcpq]\s?[-+*/^(]|\b(?:log|ln|sin|cos|tan|sqrt)\b", re.IGNORECASE)  # fmt: skip
UNIT_POWER = re.compile(r"(\d\s?(?:[A-Za-z米]{1,6}/)?(?:[kcdmμn]?m|s|ft|in|yd|mi|米|秒))\s?\^\s?\{?-?\d\}?")


def _mathematics(text: str) -> bool:
    """Whether a text that is a value is more than one number with its unit: symbols, or several numbers with little
    else."""
    bare = UNIT_POWER.sub(r"\1", text).strip(" $.。")
    mine = numbers(bare, words=False)
    shown = bare
    for n in reversed(mine):
        shown = f"{shown[: n.start]}0{shown[n.end :]}" if n.plain else shown
    if SYMBOLS.search(shown):
        return True
    if any(not n.plain for n in mine):
        return True
    if len(mine) < 2 or CHAIN.search(bare):
        return len(mine) > 1 and assigns_several(bare)
    between = "".join(bare[a.end : b.start] for a, b in zip(mine, mine[1:]))
    return bool(re.fullmatch(r"[\s,;:()\[\]{}+*/×÷-]*", between))


def _expression(text: str) -> bool:
    """Whether it can be given to math-verify: mathematics, not prose."""
    return len(text) <= 200 and not PROSE.search(text)


def _original(text: str) -> str:
    """The expression as it was written, not as plain_text made it."""
    return final_part(settled(text)) or text.strip()
