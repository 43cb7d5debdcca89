"""The rule about sums: a stated equation of numbers that is false, and not told as false, supposed, cyclic, or in
another base."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality.phrases import pattern
from instdata.steps.quality.rule_text import LIMIT, Found, Text, among, asks, piece

NUMBER = r"[-−]?\d[\d,]{0,20}(?:\.\d{1,20})?"
SIGN = r"\-+*/×÷−·"
TERM = r"[$￥¥]?" + NUMBER + "%?"
# A whole left side: nothing that it continues comes before it …
BEFORE = (
    rf"(?<![\w.,^√%)\]={SIGN}xX|$:])(?<![{SIGN}xX^=√\d] )(?<!\d, )"
    r"(?<!and )(?<![Dd]ay )(?<![Ww]eek )(?<![Yy]ear )(?<![Ss]tep )"
)
# … and nothing that goes on with the right side after it.
AFTER = (
    rf"(?![\d.]*[ \t]*[{SIGN}^%(√xX]|\d|[\d.]*[A-Za-z]| \d{{3}}\b|[ \t]*(?:R\b|r\b|remainder|余|\.\.\.|…|mod|,\d|:|e[+-]?\d|"  # noqa: E501
    r"万|亿|分|cents?\b|¢|million|billion|thousand))"
)
EQUATION = re.compile(
    rf"{BEFORE}(?P<left>{TERM}(?:[ \t]*(?:[{SIGN}]|[xX](?=[ \t]*\d))[ \t]*{TERM}){{1,12}})[ \t]*=[ \t]*(?P<right>{TERM}){AFTER}"  # noqa: E501
)
HAS_EQUATION = r"\d%?\s*[-+*/×÷xX−·]\s*[$￥¥]?[-−]?\d[\d.,]*%?\s*=\s*[$￥¥]?[-−]?\d"
PLAIN = re.compile(r"[-−]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?%?")  # not 0900, not 0,2
MOST = 200  # equations of a response that are looked at
SENTENCE = 160  # characters around an equation in which words about it stand
END = re.compile(r"[.。!?！？;；\n](?!\d)")
CYCLES = (7, 12, 24, 60, 256, 360)  # days, hours, minutes, bytes, degrees
MODULUS = re.compile(
    r"(?i)(?:mod(?:ulo|ulus)?\.?|z_?|模|除以|base|gf\()\s*(\d{1,4})|(\d{1,4})\s*[- ]?(?:hour|hr|小时|bit|位|进制)"
)
QUOTES = {"“": "”", '"': '"', "「": "」", "『": "』", "‘": "’", "'": "'"}


def false_arithmetic(t: Text) -> np.ndarray:
    """A stated equation of numbers that is false, beyond rounding."""
    candidates = t.unless(t.has("response", HAS_EQUATION) & ~t.code, lambda f: asks(f.ask, "sums_unlike"))
    return among(candidates, false_sum, t.prompt, t.response)


def false_sum(prompt: str, response: str) -> Found:
    """The first false equation that the response states, with `stated` and `computed`."""
    told = false_sums(response)
    if not told or false_sums(prompt):
        return None  # a prompt with such an equation is a puzzle, or asks about the falsehood
    context = pa.array([f"{prompt[:2000]}\n{response[:4000]}"])
    cyclic, other = (asks(context, name)[0] for name in ("sums_cyclic", "sums_bases"))
    moduli = {*CYCLES, *(int(a or b) for a, b in MODULUS.findall(context[0].as_py()))} - {0, 1} if cyclic else set()
    for m, value, stated in told:
        if _told_otherwise(response, m) or any(0 <= stated <= n and (value - stated) % n == 0 for n in moduli):
            continue
        if other and _true_elsewhere(m["left"], m["right"]):
            continue
        return {**piece(response, *m.span()), "stated": m["right"], "computed": _shown(value)}
    return None


def false_sums(text: str) -> list[tuple[re.Match, Fraction, Fraction]]:
    """(equation, value of its left side, of its right side) of those that are false."""
    found = []
    for m in islice(EQUATION.finditer(text[:LIMIT]), MOST):
        values = _false(m["left"], m["right"])
        if values:
            found.append((m, *values))
    return found


def _told_otherwise(text: str, m: re.Match) -> bool:
    """Whether the sentence says that the equation is false, supposed, or somebody's words."""
    before = END.split(text[max(0, m.start() - SENTENCE) : m.start()])[-1]
    after = text[m.end() : m.end() + SENTENCE]
    first = END.search(after)
    after = after[: first.start()] if first else after
    closing = QUOTES.get(text[m.start() - 1 : m.start()])
    quoted = closing is not None and text[m.end() : m.end() + 2].lstrip(".。")[:1] == closing
    around = pc.match_substring_regex(pa.array([f"{before} # {after}"]), pattern("sums_told"))[0].as_py()
    supposed = pc.match_substring_regex(pa.array([before[-14:]]), pattern("sums_if"))[0].as_py()
    return quoted or around or supposed or "≠" in after[:12] or after.lstrip()[:1] in ("✗", "❌", "×")


def _true_elsewhere(left: str, right: str) -> bool:
    """Whether an equation of whole numbers holds in some base, as logic, or as strings joined."""
    numbers, operators = _parts(left)
    digits = [*numbers, right]
    if not all(n.isdigit() for n in digits):
        return False
    joined = set(operators) == {"+"} and "".join(numbers) == right
    logic = set(digits) <= {"0", "1"}
    least = max(int(max(n)) for n in digits) + 1
    bases = range(max(2, least), 17)
    return (
        joined
        or logic
        or any(_evaluate([Fraction(int(n, b)) for n in numbers], operators) == int(right, b) for b in bases)
    )


def _shown(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6g}"


def _parts(left: str) -> tuple[list[str], list[str]]:
    """(numbers, operators) of a left side."""
    tokens = re.findall(NUMBER + rf"%?|[{SIGN}xX]", re.sub(r"[\s$￥¥]", "", left))
    parts: list[str] = []
    for token in tokens:
        # A minus after a number is an operator, which the number's own sign would swallow.
        if parts and re.match(r"[-−]\d", token) and re.match(r".*[\d%]$", parts[-1]):
            parts += ["-", token[1:]]
        else:
            parts.append(token)
    return parts[0::2], parts[1::2]


def _false(left: str, right: str) -> tuple[Fraction, Fraction] | None:
    """(value of `left`, value of `right`) where they differ, allowing for the digits that `right` shows; None where
    they do not, or where it is unclear. Evaluated with fractions, never `eval`."""
    numbers, operators = _parts(left)
    unclear = (
        len(right) > 18
        or any(len(n) > 18 for n in numbers)
        or left.count("/") > 1  # 3 / 1/4 is 12 to some, 3/4 to others
        or ("%" in left and set(operators) & set("+-−/÷"))  # "9 - 10% = 8.1" means a tenth of 9
        or any(not PLAIN.fullmatch(n) for n in numbers)
    )
    if unclear:
        return None
    try:
        value = _evaluate([_fraction(n) for n in numbers], operators)
        stated = _fraction(right)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return None if _holds(value, stated, numbers, operators, right, "%" in left) else (value, stated)


def _holds(
    value: Fraction, stated: Fraction, numbers: list[str], operators: list[str], right: str, share: bool
) -> bool:
    """Whether a stated value is the computed one as people write it."""
    if right.endswith("%") and value * 100 == stated * 10000:
        return True  # 100 - 20 = 80%
    if (stated and stated in (value * 1000, value * 1_000_000)) or (share and stated == value * 100):
        return True  # "5 * 3 = 15,000", in thousands; "1.2 x 100% = 120"
    if not any("." in n for n in numbers) and not any(o in "/÷" for o in operators) and "." not in right:
        return value == stated
    # a unit of the last digit shown (rounded or cut), or, as the terms may be rounded too, half a percent
    unit = Fraction(1, 10 ** len(right.rstrip("%").partition(".")[2])) / (100 if right.endswith("%") else 1)
    return abs(value - stated) < max(unit, abs(value) / 200)


def _fraction(text: str) -> Fraction:
    number = Fraction(text.rstrip("%").replace(",", "").replace("−", "-").strip("$￥¥"))
    return number / 100 if text.endswith("%") else number


def _evaluate(numbers: list[Fraction], operators: list[str]) -> Fraction:
    terms, signs = [numbers[0]], [1]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator in "+-−":
            terms.append(number)
            signs.append(1 if operator == "+" else -1)
        else:
            terms[-1] = terms[-1] / number if operator in "/÷" else terms[-1] * number
    return sum((s * v for s, v in zip(signs, terms, strict=True)), Fraction(0))
