"""Mathematics beyond one number, compared by math-verify (extra `math`): 2√3, (1, 2), x^2 + 1, [0, 1)."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from functools import cache
from typing import Any

from instdata.score.extract.stated_result import final_part, settled

SECONDS = 3  # for one comparison; kept by a signal, hence in the main thread only
LONGEST = 300  # characters of an expression
TOO_LARGE = re.compile(r"\^\s?\{?-?\d{4,}|\^[^,;=]{0,20}\^|\d{60,}|!\s?!|\d{4,}\s?!")  # takes for ever to work out
MATH = re.compile(r"\$\$?([^$]{1,300})\$\$?|\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]", re.DOTALL)


def available() -> bool:
    """Whether math-verify is installed."""
    from importlib.util import find_spec

    return find_spec("math_verify") is not None


def readable(expression: str) -> bool:
    """Whether math-verify reads the expression."""
    return bool(_parsed(expression))


def same(reference: str, answer: str) -> tuple[bool, str]:
    """(whether the answer's expression equals the reference, the expression that was looked at). Of an answer it is
    what it states as its result, else its last formula, else its last line."""
    text = settled(answer)
    wanted = _parsed(reference)
    for candidate in _candidates(text):
        got = _parsed(candidate)
        if got:
            return _equal(wanted, got), candidate
    return False, ""


def _candidates(text: str) -> list[str]:
    part = final_part(text)
    formulas = [next(g for g in m.groups() if g) for m in MATH.finditer(part or text)]
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return [c for c in (formulas[-1] if formulas else None, part, lines[-1] if lines else None) if c]


@cache
def _parsed(expression: str) -> tuple[Any, ...]:
    """What math-verify makes of an expression, by its grammar of LaTeX only: its other reader evaluates Python."""
    text = _latex(expression)
    if not text or len(text) > LONGEST or TOO_LARGE.search(text) or re.search(r"[\u4e00-\u9fff]", text):
        return ()
    from math_verify import LatexExtractionConfig, parse

    with _quiet():
        found = parse(f"${text}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=_limit())
    return tuple(found)


def _equal(wanted: tuple[Any, ...], got: tuple[Any, ...]) -> bool:
    from math_verify import verify

    with _quiet():
        return bool(verify(list(wanted), list(got), timeout_seconds=_limit()))


def _limit() -> int | None:
    return SECONDS if threading.current_thread() is threading.main_thread() else None


@contextlib.contextmanager
def _quiet() -> Any:
    """math-verify logs every expression that it cannot read."""
    log = logging.getLogger("math_verify")
    was, log.disabled = log.disabled, True
    parser = logging.getLogger("math_verify.parser")
    grader = logging.getLogger("math_verify.grader")
    before = parser.disabled, grader.disabled
    parser.disabled = grader.disabled = True
    try:
        yield
    finally:
        log.disabled = was
        parser.disabled, grader.disabled = before


def _latex(text: str) -> str:
    """An expression in plain letters (2*sqrt(3), 2√3, x² ≥ 1) as LaTeX."""
    text = text.strip().strip("$").strip(" .。*`")
    text = re.sub(r"^\\[\[(]|\\[\])]$", "", text).strip()
    text = re.sub("[⁰¹²³⁴-⁹]+", lambda m: "^{" + m[0].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")) + "}", text)
    text = re.sub(r"(?<!\\)sqrt\s?\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"√\s?\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"√\s?(\d+(?:\.\d+)?|[a-z])", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<!\\)\b(?:pi)\b|π", r"\\pi ", text)
    text = re.sub(r"(?<!\\)\b(sin|cos|tan|log|ln)\b", r"\\\1", text)
    text = re.sub(r"\*\*|\^\s?\((-?\d+)\)", lambda m: "^" if m[1] is None else f"^{{{m[1]}}}", text)
    for plain, latex in (("×", r"\times "), ("*", r"\cdot "), ("·", r"\cdot "), ("÷", r"\div "), ("≤", r"\le "),
        ("≥", r"\ge "), ("<=", r"\le "), (">=", r"\ge "), ("∞", r"\infty "), ("∪", r"\cup "),
        ("±", r"\pm ")):  # fmt: skip
        text = text.replace(plain, latex)
    return text
