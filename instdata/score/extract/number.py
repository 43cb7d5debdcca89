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
FORMAL = dict(
    zip("零壹贰叁肆伍陆柒捌玖拾佰仟萬億兩", "零一二三四五六七八九十百千万亿两")
)  # on cheques, and traditional ones
# 1万2千, 3亿5000万: Arabic figures with Chinese units, added up.
MIXED = re.compile(r"(?<![\d.,])(?:\d{1,8}(?:\.\d{1,8})?\s?[亿万千百]){1,4}\d{0,8}(?![\d.克米瓦卡赫焦帕伏])")
PART = re.compile(r"(\d+(?:\.\d+)?)\s?([亿万千百]?)")
# 两个半小时, 3年半: a half behind the unit.
HALVED = re.compile(rf"((?<!\d)\d{{1,9}}|[{_CHINESE}]{{1,6}})(个|年|天|倍|斤|里|周|公里)半(?![径数导个])")
POWER_OF_TEN = re.compile(r"(?<![\w.^×*/])(?<![×x*]\s)10\s?\^\s?\{?\s?(\d{1,3})\}?(?![\w.]|\s?[-+×*/^])")
# What small models go on with behind their answer, and what assistants say last.
RUN_ON = re.compile(
    r"\n[ \t]{0,4}(?:Question|Problem|Q|Human|User|问题|题目|用户)[ \t]{0,4}\d{0,3}[ \t]{0,4}[:：]", re.IGNORECASE
)
FAREWELL = re.compile(
    r"(?<=[。！!.\n])[^。！!.\n]{0,12}(?:希望(?:这|以上|我的|能|对)|如果(?:你|您)(?:还|有)|祝(?:你|您)|\bI hope\b|\bhope (?:this|that|it)\b"
    r"|\blet me know\b|\bfeel free\b)[^\n]{0,300}\s{0,9}\Z",
    re.IGNORECASE,
)
# The same result said again: 1.5千米，也就是1500米.
AGAIN = re.compile(
    r"也就是|亦即|即为|即|换句话说|\bi\.e\.,?|\bthat is,?|\bor equivalently\b|\bin other words,?", re.IGNORECASE
)
# 千克, 千米 and the like are units, not thousands.
NUMBER = re.compile(
    rf"(?P<sign>(?<![A-Za-z0-9)\]%])[-−]\$?|(?:(?<=[=:])|(?<=[=:]\s)|\A)[-−–]\s?|负|\b(?:minus|negative)\s)?\$?(?<![A-Za-z0-9_^.,])"
    rf"(?:(?P<whole>\d{{1,9}})(?:\s|又)(?=\d+/\d))?"
    rf"(?P<main>{_ONE})(?:\s?/\s?(?P<below>\d+)(?![\d/]))?(?:[eE](?P<e>[-+]?\d{{1,3}})\b|\s?[×x*]\s?10\^\{{?(?P<power>[-−+]?\d{{1,3}})\}}?)?"
    rf"(?P<percent>\s?(?:%|percent\b|per cent\b))?"
    rf"(?:\s?(?P<times>百万|千万|万亿|[百千万亿](?![克米瓦卡赫焦帕伏]))|\s(?P<word>hundred|thousand|million|billion|trillion)\b)?"
    rf"|(?P<minus>负)?(?P<per>百分之)?(?:(?P<units>[{_CHINESE}]{{1,12}})又)?(?P<chinese>[{_CHINESE}]{{1,40}}(?:点[{_CHINESE[:11]}]{{1,40}})?)(?:分之(?P<over>[{_CHINESE}]{{1,40}}))?",
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
    text = re.sub(r"(?<=\d)[\u00a0\u2007\u2009\u202f'’](?=\d{3}(?!\d))", "", text)  # thousands
    text = re.sub(r"(?<=\d)\s?(?=\\[dt]?frac)", " ", text)  # 3\\frac{1}{2} is a mixed fraction
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("{,}", ",").replace("\\%", "%")
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\s?\{([^{}\\]{0,200})\}", r" \1 ", text)
    text = re.sub(r"\\times|\\cdot", "×", re.sub(r"\\[,;!:]", "", text)).replace("\\$", "$")
    text = FRACTION.sub(r"\1\2/\3", text)
    text = POWER_OF_TEN.sub(lambda m: "1" + "0" * int(m[1]), text)
    # 1,5 is one and a half in most of Europe; a comma before three digits separates thousands.
    text = re.sub(r"(?<![\d.,(\[{])(\d{1,9}),(\d{1,2})(?![\d,)\]}]|\.\d)", r"\1.\2", text)
    return _chinese_spellings(text)


def _chinese_spellings(text: str) -> str:
    """Other ways to write Chinese numbers: 廿, 壹佰, 1万2千, 两个半."""
    text = text.replace("廿", "二十").replace("卅", "三十")
    formal = "".join(FORMAL)
    text = re.sub(f"[{formal}]{{2,}}", lambda m: "".join(FORMAL[c] for c in m[0]), text)
    text = MIXED.sub(lambda m: _added_up(m[0]), text)

    def halved(m: re.Match) -> str:
        value = Fraction(m[1]) if m[1].isdigit() else chinese_value(m[1])
        return m[0] if value is None else f"{float(value + Fraction(1, 2)):g}{m[2]}"

    return HALVED.sub(halved, text)


def _added_up(text: str) -> str:
    """3亿5000万 -> 350000000; 1万5 -> 15000; text with one unit only stays."""
    parts = [(Fraction(n), TIMES[u] if u else 0) for n, u in PART.findall(text)]
    if len(parts) < 2 or any(0 < a[1] < b[1] and b[1] != 10**4 for a, b in zip(parts, parts[1:])):
        return text
    total, last = Fraction(0), 1
    for value, unit in parts:
        if unit == 0 and value < 10 and last > 10:
            unit = last // 10  # 1万5
        total, last = total + value * (unit or 1), unit or 1
    return str(total) if total.denominator == 1 else text


def settled(answer: str) -> str:
    """An answer without what stands behind it: the next question of a model that goes on, an assistant's farewell."""
    run_on = RUN_ON.search(answer)
    if run_on and NUMBER.search(answer[: run_on.start()]):
        answer = answer[: run_on.start()]
    return FAREWELL.sub("", answer)


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


def final_numbers(answer: str) -> list[Number]:
    """The number that an answer ends with, and what its last sentence says it is in other words (1.5 km, that is 1500 m);
    empty where it has none."""
    text = settled(answer)
    first = final_number(text)
    if first is None:
        return []
    part = final_part(plain_text(text)) or ""
    again = (_last(piece) for piece in AGAIN.split(part)[1:])
    return [first, *(n for n in again if n is not None)]


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
    if match["units"] and not match["over"]:
        return None
    if match["over"]:  # 三分之二: the lower number comes first
        above = chinese_value(match["over"])
        if not value or above is None:
            return None
        value = above / value
        if match["units"]:  # 一又二分之一
            more = chinese_value(match["units"])
            if more is None:
                return None
            value += more
    places = None if match["over"] else len(match["chinese"].partition("点")[2])
    return Number(-value if match["minus"] else value, bool(match["per"]), places, alone)


def chinese_value(text: str) -> Fraction | None:
    """三百零五 = 305, 两万三千 = 23000, 一百二 = 120, 二〇二三 = 2023, 三点五 = 3.5; None for what is no number (百千)."""
    whole, _, decimals = text.partition("点")
    if decimals and not all(c in DIGITS for c in decimals):
        return None
    rest = Fraction(int("".join(str(DIGITS[c]) for c in decimals)), 10 ** len(decimals)) if decimals else Fraction(0)
    if len(whole) > 1 and all(c in DIGITS for c in whole):
        return int("".join(str(DIGITS[c]) for c in whole)) + rest
    if len(whole) > 1 and whole[-1] in DIGITS and DIGITS[whole[-1]] and whole[-2] in "百千万亿":
        whole += {"百": "十", "千": "百", "万": "千", "亿": "千万"}[whole[-2]]  # 一百二 is 一百二十
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
