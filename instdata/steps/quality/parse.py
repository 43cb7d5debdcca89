"""Rules that parse: code, JSON, arithmetic. Only rows that claim such content are parsed, and no text over 100,000 characters."""

from __future__ import annotations

import ast
import json
import re
import warnings
from fractions import Fraction

import numpy as np

from instdata.steps.quality.text import LIMIT, Text, among, count, has

FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)


def unbalanced_fence(t: Text) -> np.ndarray:
    return count(t.response, r"(?m)^[ \t]*```") % 2 == 1


OTHER_CODE = r"(?i)\b(java|javascript|typescript|c|ruby|go|golang|php|rust|swift|kotlin|perl|scala|julia)\b|c\+\+|c#"


def invalid_python(t: Text) -> np.ndarray:
    """Python that does not parse: a ```python block, or a whole response that begins like a Python program."""
    fenced = has(t.response, r"(?im)^[ \t]*```[ \t]*(python|py|python3)\b")
    bare = (
        has(t.response, r"^\s*(def [\w\p{Han}]+ ?\(|import \w+|from \w[\w.]* import |class \w+ ?[(:])")
        & has(t.ask, r"(?i)python")
        & ~has(t.ask, OTHER_CODE)
        & ~has(t.response, "```")
    )
    return among(fenced | bare, _bad_python, t.response)


def _bad_python(response: str) -> bool:
    blocks = [body for language, body in FENCE.findall(response) if language.lower() in ("python", "py", "python3")]
    if not blocks and "```" not in response:
        blocks = [response]
    return any(not _parses(block) for block in blocks)


def _parses(source: str) -> bool:
    if len(source) >= LIMIT or re.search(r"^\s*(>>> |\.\.\.\s*$|[%!]\w)|^\s*print +[^(\s=]", source, re.MULTILINE):
        return True  # too long to tell; a session, an excerpt, a notebook, or Python 2
    source = source.replace("\xa0", " ")  # the web's way to indent, not a fault of the code
    lines = (
        re.split(
            r"^\W*(?:output|example|explanation|sample|result|usage|输出|示例|解释|结果)[^\n]*[:：]",
            source,
            maxsplit=1,
            flags=re.MULTILINE | re.IGNORECASE,
        )[0]
        .strip("\n")
        .split("\n")
    )
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    lines = [line[indent:] for line in lines]
    wrong = _syntax_error(lines)
    prose = wrong and re.match(r"\s*[A-Z][\w',-]*( [\w',()-]+){3,}[^=]*[.:!]?\s*$|\s*[^\x00-\x7f]{4}", lines[wrong - 1])
    return wrong is None or (bool(prose) and _syntax_error(lines[: wrong - 1]) is None)


def _syntax_error(lines: list[str]) -> int | None:
    """The number, from 1, of the line at which Python gives up; None where it does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are warnings about the row, not about us
            ast.parse("\n".join(lines))
    except SyntaxError as e:
        return min(max(e.lineno or 1, 1), len(lines))
    except ValueError:
        return 1
    except (RecursionError, MemoryError):
        return None  # nested beyond what the parser takes: not known to be wrong
    return None


JSON_ASKED = r"(?i)\b((in|as|into|to|using|a|an|valid|output|return) (a |an |valid )?json|json (format|object|string|array|representation|document|file))\b|JSON\s?(格式|对象|数组|字符串|形式)|(以|用|为|成)\s?JSON"


def invalid_json(t: Text) -> np.ndarray:
    """JSON asked for, or shown in a ```json block, that does not parse. An answer without any JSON is not judged."""
    fenced = has(t.response, r"(?im)^[ \t]*```[ \t]*json\b")
    asked = (
        has(t.line, JSON_ASKED)
        & has(t.response, r"^\s*(```|[\[{])")
        & ~has(
            t.line,
            r"(?i)\b(parse|python|javascript|function|code|script|java|schema|from json|(given|following|provided|with a|from (the|this|a)( given)?) json|read|jsonp|typescript|program|query)\b|解析|代码|函数",
        )
    )
    return among(fenced | asked, _bad_json, t.response)


def _bad_json(response: str) -> bool:
    blocks = [body for language, body in FENCE.findall(response) if language.lower() in ("json", "")]
    if not blocks:
        body = response.strip()
        if body[:1] not in ("{", "["):
            return False
        blocks = [body]
    return any(not _is_json(block) for block in blocks)


def _is_json(text: str) -> bool:
    if len(text) >= LIMIT or "..." in text or "…" in text or re.search(r"^\s*//", text, re.MULTILINE):
        return True  # shortened on purpose, or commented
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text.strip())
    except RecursionError:
        return True
    except ValueError:
        return False
    rest = text.strip()[end:].strip()
    return not rest or rest[0] not in ']},:"'  # words after the value explain it; more JSON breaks it


NUMBER = r"[-−]?\d[\d,]{0,20}(?:\.\d{1,20})?"
SIGN = r"\-+*/×÷−·"
TERM = r"[$￥¥]?" + NUMBER + "%?"
EQUATION = re.compile(
    rf"(?<![\w.,^√%)\]={SIGN}xX|$:])(?<![{SIGN}xX^=√\d] )(?<!\d, )(?<!and )(?<![Dd]ay )(?<![Ww]eek )(?<![Yy]ear )(?<![Ss]tep )"  # a whole left side: nothing that it continues
    rf"(?P<left>{TERM}(?:[ \t]*(?:[{SIGN}]|[xX](?=[ \t]*\d))[ \t]*{TERM}){{1,12}})[ \t]*=[ \t]*(?P<right>{TERM})"
    rf"(?![\d.]*[ \t]*[{SIGN}^%(√xX]|\d|[\d.]*[A-Za-z]| \d{{3}}\b|[ \t]*(?:R\b|r\b|remainder|余|\.\.\.|…|mod|,\d|:|e[+-]?\d|万|亿|分|cents?\b|¢|million|billion|thousand))"
)
HAS_EQUATION = r"\d%?\s*[-+*/×÷xX−·]\s*[$￥¥]?[-−]?\d[\d.,]*%?\s*=\s*[$￥¥]?[-−]?\d"


def false_arithmetic(t: Text) -> np.ndarray:
    """A stated equation of numbers that is false, beyond rounding."""
    candidates = has(t.response, HAS_EQUATION) & ~t.code
    excused = has(
        t.ask,
        r"(?i)\b(true or false|incorrect|wrong|error|mistake|false|binary|hexadecimal|hex|octal|modulo|mod|base|boolean|modular|puzzle|pattern|riddle|matrix|vectors?|cross product)\b|错误|是否正确|二进制|十六进制|八进制|判断|找规律|矩阵|进制",
    )
    return among(candidates & ~excused, _states_falsehood, t.response)


PLAIN = re.compile(r"[-−]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?%?")  # not 0900, not 0,2


def _states_falsehood(response: str) -> bool:
    found = EQUATION.finditer(response[:LIMIT])
    return any(_false(m["left"], m["right"]) for m, _ in zip(found, range(200), strict=False))


def _false(left: str, right: str) -> bool:
    """Whether `left` is not `right`, allowing for the digits that `right` shows. Evaluated with fractions, never `eval`."""
    tokens = re.findall(NUMBER + rf"%?|[{SIGN}xX]", re.sub(r"[\s$￥¥]", "", left))
    if any(len(token) > 18 for token in tokens) or len(right) > 18:
        return False
    # A minus after a number is an operator, which the number's own sign would swallow.
    parts: list[str] = []
    for token in tokens:
        if parts and re.match(r"[-−]\d", token) and re.match(r".*[\d%]$", parts[-1]):
            parts += ["-", token[1:]]
        else:
            parts.append(token)
    numbers, operators = parts[0::2], parts[1::2]
    unclear = (
        left.count("/") > 1  # 3 / 1/4 is 12 to some, 3/4 to others
        or ("%" in left and set(operators) & set("+-−/÷"))  # "9 - 10% = 8.1" means a tenth of 9
        or any(not PLAIN.fullmatch(n) for n in numbers)
    )
    if unclear:
        return False
    try:
        value = _evaluate([_fraction(n) for n in numbers], operators)
        stated = _fraction(right)
    except (ValueError, ZeroDivisionError, IndexError):
        return False
    if right.endswith("%") and value * 100 == stated * 10000:
        return False  # 100 - 20 = 80%
    if (stated and stated in (value * 1000, value * 1_000_000)) or ("%" in left and stated == value * 100):
        return False  # "5 * 3 = 15,000", in thousands; "1.2 x 100% = 120"
    if not any("." in n for n in numbers) and not any(o in "/÷" for o in operators) and "." not in right:
        return value != stated
    # a unit of the last digit shown (rounded or cut), or, as the terms may be rounded too, half a percent
    unit = Fraction(1, 10 ** len(right.rstrip("%").partition(".")[2])) / (100 if right.endswith("%") else 1)
    return abs(value - stated) >= max(unit, abs(value) / 200)


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
