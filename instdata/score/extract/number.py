"""The number that an answer ends with, as a fraction: Arabic, with thousands and decimals, fractions, percent, LaTeX, Chinese."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 400  # digits; no answer has more, and longer ones cost more than they are worth
DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000}
TIMES = {
    "百": 10**2, "千": 10**3, "万": 10**4, "百万": 10**6, "千万": 10**7, "亿": 10**8, "万亿": 10**12,
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip

_CHINESE = "零〇一二两三四五六七八九十百千万亿"
_ONE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
# 千克, 千米 and the like are units, not thousands.
NUMBER = re.compile(
    rf"(?P<sign>(?<![A-Za-z0-9)\]%])[-−]\$?|负|\b(?:minus|negative)\s)?\$?(?<![A-Za-z0-9_^.,])"
    rf"(?:(?P<whole>\d{{1,9}})(?:\s|又)(?=\d+/\d))?"
    rf"(?P<main>{_ONE})(?:\s?/\s?(?P<below>\d+)(?![\d/]))?(?:[eE](?P<e>[-+]?\d{{1,3}})\b|\s?[×x*]\s?10\^\{{?(?P<power>[-−+]?\d{{1,3}})\}}?)?"
    rf"(?P<percent>\s?(?:%|percent\b|per cent\b))?"
    rf"(?:\s?(?P<times>百万|千万|万亿|[百千万亿](?![克米瓦卡赫焦帕伏]))|\s(?P<word>hundred|thousand|million|billion|trillion)\b)?"
    rf"|(?P<minus>负)?(?P<per>百分之)?(?P<chinese>[{_CHINESE}]{{1,40}}(?:点[{_CHINESE[:11]}]{{1,40}})?)(?:分之(?P<over>[{_CHINESE}]{{1,40}}))?",
    re.IGNORECASE,
)
FRACTION = re.compile(r"\\[dt]?frac\s?\{\s?([-−]?)\s?([\d.,]{1,40})\s?\}\s?\{\s?([\d.,]{1,40})\s?\}")
UNREAL = re.compile(r"\s?(?:\^|√|π|\\sqrt|\\pi|sqrt)")  # behind or before a number: it is a part of something else
# Where an answer says that it is one. The last of them counts.
MARKER = re.compile(
    r"####|\bfinal\s{1,3}answer\b|\banswer[*_]{0,3}\s?(?:is|was|would\sbe|should\sbe|=|:)|答案|(?:^|\n)[ *#]{0,8}(?:答|解答|回答)[*]{0,3}:",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:[\s*_`$:=,\"'“”(\[{]|\\\(|\\\[|应该|应当|就|是|为|约|大约|\b(?:is|about|approximately|therefore|thus|simply)\b)*",
    re.IGNORECASE,
)
_END = re.compile(r"[。！？!?；;]|\.(?=\s|$)|\bbecause\b|\bsince\b|因为|由于", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number as it was written: its value, whether a percent sign followed, how many decimal places it showed (None
    for a fraction), and whether it stood alone (not in 2√3 or 3^4)."""

    value: Fraction
    percent: bool = False
    places: int | None = 0
    plain: bool = True


def plain_text(text: str) -> str:
    """NFKC without its traps: 10² stays a power, 2½ a mixed fraction; LaTeX fractions and thousands as plain ones."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)
    text = re.sub("[⁰¹²³⁴-⁹]+", lambda m: "^" + unicodedata.normalize("NFKC", m[0]), text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("{,}", ",").replace("\\%", "%")
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\s?\{([^{}\\]{0,200})\}", r" \1 ", text)
    text = re.sub(r"\\times|\\cdot", "×", re.sub(r"\\[,;!:]", "", text)).replace("\\$", "$")
    return FRACTION.sub(r"\1\2/\3", text)


def final_part(text: str) -> str | None:
    """What an answer states as its result: the last \\boxed{…}, else what follows its last "####", "answer is", "答案"
    up to the end of the sentence; None where it marks nothing."""
    if (boxed := text.rfind("\\boxed")) >= 0 and (inside := _braces(text, boxed + len("\\boxed"))):
        return inside
    marks = list(MARKER.finditer(text))
    for mark in reversed(marks[-3:]):
        start = _LEAD.match(text, mark.end()).end()
        line = text[start : (text.find("\n", start) + 1 or len(text) + 1) - 1]
        cut = _END.search(line)
        part = (line[: cut.start()] if cut else line).strip(" *_`$)]}\"'“”\t\r")
        if part:
            return part
    return None


def _braces(text: str, at: int) -> str | None:
    """What stands in the braces that open at a place."""
    if at >= len(text) or text[at] != "{":
        return None
    depth = 0
    for i in range(at, min(len(text), at + 2000)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[at + 1 : i].strip() or None
    return None


def final_number(text: str) -> Number | None:
    """The number that an answer ends with; None where it has none. In the part that is marked as the result: what
    follows the last "=", else a number right at its start, else its last; where nothing is marked, the last number.
    Chinese numerals count where there is no Arabic number."""
    text = plain_text(text)
    part = final_part(text)
    if part is not None:
        behind = part[part.rfind("=") + 1 :]
        at_start = NUMBER.match(behind)
        found = _read(at_start, behind) if at_start and at_start["main"] else None
        found = found or _last(behind) or _last(part)
        if found:
            return found
    return _last(text)


def _last(text: str) -> Number | None:
    """The last Arabic number, else the last Chinese one."""
    arabic = chinese = None
    for match in NUMBER.finditer(text):
        if match["main"]:
            arabic = match
        else:
            chinese = match
    match = arabic or chinese
    return _read(match, text) if match else None


def _read(match: re.Match, text: str) -> Number | None:
    if len(match[0]) > LONGEST:
        return None
    alone = not UNREAL.match(text, match.end()) and not re.search(
        r"(?:√|sqrt\s?[({]?)\s?$", text[max(0, match.start() - 8) : match.start()]
    )
    if match["chinese"]:
        return _chinese(match, alone)
    value = Fraction(match["main"].replace(",", ""))
    places: int | None = len(match["main"].partition(".")[2])
    if match["below"]:
        if int(match["below"]) == 0:
            return None
        value, places = value / int(match["below"]), None
    if match["whole"]:
        value += int(match["whole"])
    power = match["e"] or match["power"]
    if power:
        value, places = value * Fraction(10) ** int(power.replace("−", "-")), None
    times = match["times"] or (match["word"] or "").lower()
    if times:
        value, places = value * TIMES[times], 0
    return Number(-value if match["sign"] else value, bool(match["percent"]), places, alone)


def _chinese(match: re.Match, alone: bool) -> Number | None:
    value = chinese_value(match["chinese"])
    if value is None:
        return None
    if match["over"]:  # 三分之二: the lower number comes first
        above = chinese_value(match["over"])
        if not value or above is None:
            return None
        value = above / value
    places = None if match["over"] else len(match["chinese"].partition("点")[2])
    return Number(-value if match["minus"] else value, bool(match["per"]), places, alone)


def chinese_value(text: str) -> Fraction | None:
    """三百零五 = 305, 两万三千 = 23000, 二〇二三 = 2023, 三点五 = 3.5; None for what is no number (百千)."""
    whole, _, decimals = text.partition("点")
    if decimals and not all(c in DIGITS for c in decimals):
        return None
    rest = Fraction(int("".join(str(DIGITS[c]) for c in decimals)), 10 ** len(decimals)) if decimals else Fraction(0)
    if len(whole) > 1 and all(c in DIGITS for c in whole):
        return int("".join(str(DIGITS[c]) for c in whole)) + rest
    total = myriads = section = digit = 0
    seen = False
    for c in whole:
        if c in DIGITS:
            digit, seen = DIGITS[c], True
        elif c in UNITS:
            if (not seen and c != "十") or (digit == 0 and section == 0 and c != "十"):
                return None
            section, digit, seen = section + (digit or 1) * UNITS[c], 0, True
        elif not seen and not section and not myriads:
            return None
        elif c == "万":
            myriads, section, digit = (section + digit) * 10**4, 0, 0
        else:  # 亿
            total, myriads, section, digit = (total + myriads + section + digit) * 10**8, 0, 0, 0
    return total + myriads + section + digit + rest


def same_number(reference: Number, answer: Number) -> bool:
    """Equal as fractions. A percent sign on one side only may be left out or worked out (50% is 50 and 0.5). An answer
    more precise than a reference of two decimals or more is right if it rounds to it."""
    values = {answer.value, answer.value / 100} if answer.percent and not reference.percent else {answer.value}
    wanted = {reference.value, reference.value / 100} if reference.percent and not answer.percent else {reference.value}
    if values & wanted:
        return True
    places = reference.places
    if places is None or places < 2 or (answer.places is not None and answer.places <= places):
        return False
    return abs(answer.value - reference.value) <= Fraction(1, 2 * 10**places) and reference.percent == answer.percent
