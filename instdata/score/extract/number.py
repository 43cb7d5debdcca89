"""The numbers that stand in a text, as fractions: Arabic, with thousands and decimals, fractions, percent, LaTeX,
Chinese, words.

What only looks like numbers (dates, times of day, ratios, ranges, powers of letters) is found too, as no plain number,
so that none of its parts is taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction

LONGEST = 400  # digits; no answer has more, and longer ones cost more than they are worth
DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000}
TIMES = {
    "百": 10**2, "千": 10**3, "万": 10**4, "百万": 10**6, "千万": 10**7, "亿": 10**8, "万亿": 10**12,
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
CHINESE = "零〇一二两三四五六七八九十百千万亿"
NOT_THOUSAND = "(?![克米瓦卡赫焦帕伏字])"  # 千克, 千米 and the like are units, not thousands
_ONE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_MONEY = r"(?:US|CA|HK|NT)?[$€£¥₹]"
TOKEN = re.compile(
    r"(?P<date>(?<![\d.])(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?!\d)|\d{4}年\d{1,2}月(?:\d{1,2}日)?|\d{1,3}(?:\.\d{1,3}){3}(?![\d.])))"
    r"|(?P<clock>(?<![\d.])\d{1,2}:\d{2}(?::\d{2})?(?!\d)(?:\s?[AaPp]\.?[Mm]\b)?|(?<![\d.])\d{1,2}[点时]\d{1,2}分)"
    rf"|(?P<sign>(?<![A-Za-z0-9)\]%}}])[-−]\s?{_MONEY}|(?<![A-Za-z0-9)\]%}}])[-−]|(?:(?<=[=:])|(?<=[=:]\s)|\A)[-−–—]\s?|负|零下|\b(?:minus|negative)\s)?"
    rf"(?:{_MONEY}\s?)?(?P<sign2>(?<=[$€£¥₹])[-−])?(?<![A-Za-z0-9_^.,])"
    rf"(?:(?P<whole>\d{{1,9}})(?:\s|又)(?=\d+/\d))?"
    rf"(?P<main>{_ONE})(?:\s?/\s?(?P<below>\d+)(?![\d/]))?(?:[eE](?P<e>[-+]?\d{{1,3}})\b|\s?[×x*]\s?10\s?\^\s?[{{(]?(?P<power>[-−+]?\d{{1,3}})[)}}]?)?"
    rf"(?P<percent>\s?(?:%|percent\b|per cent\b|percentage points?\b|pct\b))?"
    rf"(?:\s?(?P<times>百万|千万|万亿|千{NOT_THOUSAND}|百(?!帕)|万|亿)|\s(?P<word>hundred|thousand|million|billion|trillion)\b)?"
    rf"|(?P<minus>负|零下)?(?P<per>百分之)?(?:(?P<units>[{CHINESE}]{{1,12}})又)?(?P<chinese>[{CHINESE}]{{1,40}}(?:点[{CHINESE[:11]}]{{1,40}})?)(?:分之(?P<over>[{CHINESE}]{{1,40}}))?",
    re.IGNORECASE,
)  # fmt: skip
# Behind or before a number: it is a part of something else. A letter is a variable, or a factorial's mark of a function.
UNREAL = re.compile(r"\s?(?:\^|√|π|\\sqrt|\\pi|sqrt)|[xyznkabcpqi](?![A-Za-z])|!(?=\s?[-+*/×=])|\([a-z]")
UNREAL_BEFORE = re.compile(r"(?:√|sqrt\s?[({]?|\\sqrt\[?|[√π])\s?$|(?:\b(?:log|ln|sin|cos|tan|lim|exp)\b|\\(?:log|ln|sin|cos|tan|pi))\s?[({]?\s?$", re.I)  # fmt: skip
FRACTION = re.compile(r"\\[dtc]?frac\s?(?:\{\s?([-−]?)\s?([\d.,]{1,40})\s?\}\s?\{\s?([\d.,]{1,40})\s?\}|()(\d)\s?(\d)(?!\d))")  # fmt: skip
FORMAL = dict(zip("零壹贰叁肆伍陆柒捌玖拾佰仟萬億兩", "零一二三四五六七八九十百千万亿两"))  # cheques; traditional ones
# 1万2千, 3亿5000万, 1万零5百: Arabic figures with Chinese units, added up.
MIXED = re.compile(rf"(?<![\d.,])(?:\d{{1,8}}(?:\.\d{{1,8}})?\s?(?:[亿万百]|千{NOT_THOUSAND})零?){{1,4}}\d{{0,8}}(?![\d.克米瓦卡赫焦帕伏])")  # fmt: skip
PART = re.compile(r"(\d+(?:\.\d+)?)\s?([亿万千百]?)零?")
# 两个半小时, 3年半: a half behind the unit. 半个, 一半: a half by itself.
HALVED = re.compile(rf"((?<!\d)\d{{1,9}}|[{CHINESE}]{{1,6}})(个|年|天|倍|斤|里|周|公里)半(?![径数导个])")
HALF = re.compile(rf"(?<![{CHINESE}\d个年天倍斤里周])半(?=[个天年斤里倍]|小时|公里)|一半")
POWER = re.compile(r"(?<![\w.^×*/)}√])(?<![×x*]\s)(\d{1,4})\s?(?:\^|\*\*)\s?[{(]?([-−]?\d{1,3})[)}]?(?![\w.^])")
SPOKEN_DECIMAL = re.compile(
    rf"((?<!\d)\d{{1,4}}|[{CHINESE}]{{1,6}})(米|块)([\d一二三四五六七八九])(?![\d角毛分厘米点百十千万亿个年月日.])"
)
DISCOUNT = re.compile(r"打?([一二三四五六七八九]{1,2}|\d(?:\.\d)?)(折|成)(?![为立功本员就人年长叠])")
WORDS = {w: i for i, w in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"])} | {w: 10 * i for i,
    w in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)}  # fmt: skip
PARTS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourths": 4, "fifths": 5,
    "fifth": 5, "eighths": 8, "tenths": 10}  # fmt: skip
_WORD = "|".join(sorted([*WORDS, "hundred", "thousand", "million", "billion"], key=len, reverse=True))
PART_ALONE = re.compile(
    r"\b(?:a|an) (half|third|quarter|fifth)\b(?! (?:option|choice|one|time|person|answer))", re.IGNORECASE
)
SPOKEN = re.compile(rf"\b(?:(minus|negative)\s)?(?:an?\s(?=hundred|thousand|million))?((?:{_WORD})(?:[-\s](?:and\s)?(?:{_WORD}))*)(?:[-\s]({'|'.join(PARTS)}))?\b", re.I)  # fmt: skip
NO_COUNT = re.compile(r"\b(?:no|any|every|some|this|that|which|each|the|other|another|only|last|first|correct|right|best)\s$", re.I)  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A number as it was written: its value, whether a percent sign followed, how many decimal places it showed (None
    for a fraction), whether it stood alone (not in 2√3, 3:2 or 10-15), and where in the text it stood."""

    value: Fraction
    percent: bool = False
    places: int | None = 0
    plain: bool = True
    start: int = 0
    end: int = 0


def plain_text(text: str) -> str:
    """NFKC without its traps: 10² stays a power, 2½ a mixed fraction; LaTeX fractions and thousands as plain ones."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), text)
    text = re.sub(r"(?<=\d)[\u00a0\u2007\u2009\u202f'’](?=\d{3}(?!\d))", "", text)  # thousands
    text = re.sub(r"(?<=\d)\s?(?=\\[dtc]?frac)", " ", text)  # 3\\frac{1}{2} is a mixed fraction
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("{,}", ",").replace("\\%", "%")
    text = re.sub(r"(?<=\d)\\[,;:!]\s?(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"\^\s?\{?\\circ\}?|\\degree\b", "°", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf|textit|mathit|rm|bf|boldsymbol)\s?\{([^{}\\]{0,200})\}", r" \1 ",
        text)  # fmt: skip
    text = re.sub(r"\\times|\\cdot", "×", re.sub(r"\\[,;!:]|\\left|\\right|\\displaystyle", "", text))
    text = re.sub(r"\\(?:approx|simeq)\b", "≈", text).replace("\\$", "$").replace("\\ ", " ")
    text = FRACTION.sub(lambda m: f"{m[1] or ''}{m[2] or m[5]}/{m[3] or m[6]}", text)
    text = re.sub(r"(?<![\d.,])(\d{1,3}(?: \d{3})+)(?![\d.,]*\d| \d)", lambda m: m[1].replace(" ", ""), text)
    # 1,5 and 1.234,5 are written so in most of Europe; a comma before three digits separates thousands.
    text = re.sub(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?!\d)", lambda m: m[1].replace(".", "") + "." + m[2],
        text)  # fmt: skip
    text = re.sub(r"(?<![\d.,(\[{])(\d{1,9}),(\d{1,2})(?![\d,)\]}]|\.\d)", r"\1.\2", text)
    text = re.sub(r"(?<=\d),(?=(?:\d{1,2}|\d{4,})(?!\d))", ", ", text)  # of a list
    text = re.sub(
        r"((?:probability|chance|odds)\b[^.\d]{0,20})(\d{1,9}) (?:in|out of) (\d{1,9})", r"\1\2/\3", text, flags=re.I
    )
    text = POWER.sub(_power, text)
    return _chinese_spellings(text)


def _power(match: re.Match[str]) -> str:
    base, exponent = int(match[1]), int(match[2].replace("−", "-"))
    if base == 0 or abs(exponent) * len(match[1]) > LONGEST:
        return match[0]
    value = Fraction(base) ** exponent
    return str(value)


def _chinese_spellings(text: str) -> str:
    """Other ways to write Chinese numbers: 廿, 壹佰, 1万2千, 两个半, 4分之3, 八折."""
    if not re.search(r"[\u4e00-\u9fff]", text):
        return text
    text = text.replace("廿", "二十").replace("卅", "三十").replace("俩", "两个").replace("仨", "三个")
    formal = "".join(FORMAL)
    text = re.sub(f"[{formal}{CHINESE}]{{2,}}", lambda m: "".join(FORMAL.get(c, c) for c in m[0]), text)
    text = re.sub(r"(?<=\d)[萬億仟佰]", lambda m: FORMAL[m[0]], text)
    text = re.sub(r"百分之\s?\$?(\d+(?:\.\d+)?)\$?%?", r"\1%", text)
    text = re.sub(r"(?<!百)(?<![\d.])(\d{1,6})分之(\d{1,6})(?!\d)", r"\2/\1", text)
    text = SPOKEN_DECIMAL.sub(_spoken_decimal, text)
    text = DISCOUNT.sub(_discount, text)
    text = MIXED.sub(lambda m: _added_up(m[0]), text)

    def halved(m: re.Match[str]) -> str:
        value = Fraction(m[1]) if m[1].isdigit() else chinese_value(m[1])
        return m[0] if value is None else f"{float(value + Fraction(1, 2)):g}{m[2]}"

    return HALF.sub("0.5", HALVED.sub(halved, text))


def _spoken_decimal(match: re.Match[str]) -> str:
    """1米8 is 1.8 m, 三块五 3.5 yuan."""
    whole = Fraction(match[1]) if match[1].isdigit() else chinese_value(match[1])
    return match[0] if whole is None else f"{whole}.{DIGITS.get(match[3], match[3])}{match[2]}"


def _discount(match: re.Match[str]) -> str:
    """八折 is 80 % of the price, 八成 80 % of anything."""
    digits = "".join(str(DIGITS.get(c, c)) for c in match[1]).replace(".", "")
    return f"{Fraction(int(digits), 10 ** len(digits)) * 100}%" if int(digits) else match[0]


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


def numbers(text: str, words: bool = True) -> list[Number]:
    """The numbers of a text that plain_text made, in their order. Chinese numerals count where there is no Arabic
    number, and English words where there is neither."""
    tokens = [(m, _read(m, text)) for m in TOKEN.finditer(text)]
    arabic = [n for m, n in tokens if n and not m["chinese"]]
    if not arabic:
        chinese = [n for m, n in tokens if n]
        return chinese or (_spoken(text) if words else [])
    return _joined(arabic, text)


RANGE = re.compile(r"\s?[^\d\s,.;:=+*/×()]{0,4}\s?(?:[-~–—−]|到|至|to|and(?=\s))\s?\$?")
SUM = re.compile(r"\s?[^\d\s]{0,4}\s?[=+*/×÷]")


def _joined(found: list[Number], text: str) -> list[Number]:
    """The numbers, with those that a range, a ratio or an "or" joins marked as not plain."""
    out = list(found)
    for i, (a, b) in enumerate(zip(found, found[1:])):
        gap = text[a.end : b.start]
        if len(gap) > 12:
            continue
        ranged = 0 <= a.value < b.value and bool(RANGE.fullmatch(gap)) and not SUM.match(text, b.end)
        if ranged and "and" in gap:
            ranged = bool(re.search(r"\bbetween\b[^.]{0,6}$", text[max(0, a.start - 16) : a.start], re.I))
        ratio = gap.strip() == ":" and gap == ":" and not re.search(r"(?:步骤?|第|题|[Ss]tep|[Nn]o\.|[Dd]ay)\s?$",
            text[max(0, a.start - 5) : a.start])  # fmt: skip
        either = re.fullmatch(r"\s?[^\d\s,.;=]{0,3}\s?(?:或者?|or(?: [a-z]\s?=)?|还是)\s?(?:[a-z]\s?=\s?)?", gap)
        if ranged or ratio or (either and not same_number(a, b)):
            out[i], out[i + 1] = replace(out[i], plain=False), replace(out[i + 1], plain=False)
    return out


def _read(match: re.Match[str], text: str) -> Number | None:
    start, end = match.span()
    if match["date"] or match["clock"]:
        return Number(Fraction(0), plain=False, start=start, end=end)
    if len(match[0]) > LONGEST:
        return None
    alone = not UNREAL.match(text, match.end()) and not UNREAL_BEFORE.search(
        text[max(0, match.start() - 8) : match.start()]
    )
    if match["chinese"]:
        found = _chinese(match, alone)
        if found and re.match(r"[多几来余]", text[match.end() : match.end() + 1]):
            found = replace(found, plain=False)  # 三十多 is no number
        return found and replace(found, start=start, end=end)
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
    return Number(
        -value if match["sign"] or match["sign2"] else value, bool(match["percent"]), places, alone, start, end
    )


def _chinese(match: re.Match[str], alone: bool) -> Number | None:
    value = chinese_value(match["chinese"])
    if value is None or (match["units"] and not match["over"]):
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


def _spoken(text: str) -> list[Number]:
    """Numbers in English words. `one` by itself is mostly a pronoun: it counts where it is all there is."""
    out = []
    for m in PART_ALONE.finditer(text):
        out.append(Number(Fraction(1, PARTS[m[1].lower()]), False, None, True, m.start(), m.end()))
    for m in SPOKEN.finditer(text):
        words = re.split(r"[-\s]+", m[2].lower())
        if words == ["one"] and not m[3] and (NO_COUNT.search(text[max(0,
            m.start() - 9) : m.start()]) or len(text) > 40):  # fmt: skip
            continue
        value = _words_value([w for w in words if w != "and"])
        if value is None:
            continue
        number = Fraction(value, PARTS[m[3].lower()]) if m[3] else Fraction(value)
        out.append(Number(-number if m[1] else number, False, None if m[3] else 0, True, m.start(), m.end()))
    return out


def _words_value(words: list[str]) -> int | None:
    total = section = 0
    for word in words:
        if word in WORDS:
            if section % 10 and WORDS[word] < 100 and section % 100 < 20:
                return None  # two three
            section += WORDS[word]
        elif word == "hundred":
            section = (section or 1) * 100
        else:
            total, section = total + (section or 1) * TIMES[word], 0
    return total + section


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
