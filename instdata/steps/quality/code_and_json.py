"""Rules that parse: code and JSON. Only rows that claim such content are parsed, and no text over 100,000
characters."""

from __future__ import annotations

import ast
import json
import re
import warnings

import numpy as np

from instdata.steps.quality.python_faults import first_fault
from instdata.steps.quality.rule_text import LIMIT, Found, Text, among, asks, count, has, piece

FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
FENCE_LINE = r"(?m)^[ \t]*```"


def unbalanced_fence(t: Text) -> np.ndarray:
    odd = t.only(_fences(t), lambda f: count(f.response, FENCE_LINE) % 2 == 1)
    return t.unless(odd, lambda f: asks(f.ask, "fence_asked"))


def _fences(t: Text) -> np.ndarray:
    """Rows in which there may be a code block."""
    return t.only(t.code, lambda f: has(f.response, "```"))


OTHER_CODE = r"(?i)\b(?:java|javascript|typescript|c|ruby|go|golang|php|rust|swift|kotlin|perl|scala|julia)\b|c\+\+|c#"
PROGRAM = r"^\s*(?:def [\w\p{Han}]+ ?\(|import \w+|from \w[\w.]* import |class \w+ ?[(:])"


def invalid_python(t: Text) -> np.ndarray:
    """Python that does not parse: a ```python block, or a whole response that begins like a Python program."""
    fenced = t.only(_fences(t), lambda f: has(f.response, r"(?im)^[ \t]*```[ \t]*(?:python|py|python3)\b"))
    bare = t.only(
        t.has("response", PROGRAM) & ~_fences(t), lambda f: has(f.ask, r"(?i)python") & ~has(f.ask, OTHER_CODE)
    )
    return among(t.unless(fenced | bare, _faulty_wanted), bad_python, t.response)


def _faulty_wanted(t: Text) -> np.ndarray:
    return asks(t.ask, "faulty_wanted")


def bad_python(response: str) -> Found:
    """The first line of Python at which no version of the language goes on, and what is wrong there."""
    blocks = [(m.start(2), m[2]) for m in FENCE.finditer(response) if m[1].lower() in ("python", "py", "python3")]
    if not blocks and "```" not in response:
        blocks = [(0, response)]
    for start, block in blocks:
        fault = _fault(block)
        if fault is not None:
            line, what = fault
            at = start + sum(len(text) + 1 for text in block.split("\n")[: line - 1])
            end = response.find("\n", at)
            return {**piece(response, at, len(response) if end < 0 else end), "line": line, "fault": what}
    return None


EXCERPT = re.compile(r"^\s*(?:>>> |\.\.\.\s*$|[%!]\w)|^\s*print +[^(\s=]", re.MULTILINE)
HEADING = re.compile(
    r"^\W*(?:output|example|explanation|sample|result|usage|输出|示例|解释|结果)[^\n]*[:：]",
    re.MULTILINE | re.IGNORECASE,
)
PROSE = re.compile(r"\s*[A-Z][\w',-]*( [\w',()-]+){3,}[^=]*[.:!]?\s*$|\s*[^\x00-\x7f]{4}")


def _fault(source: str) -> tuple[int, str] | None:
    """(line, what is wrong) of Python that no version of the language takes; None where it parses, or where that is not
    sure: too long to tell, a session, an excerpt, a notebook, Python 2, syntax newer than the Python that runs this."""
    if len(source) >= LIMIT or EXCERPT.search(source):
        return None
    source = source.replace("\xa0", " ")  # the web's way to indent, not a fault of the code
    lines = HEADING.split(source, maxsplit=1)[0].rstrip("\n").split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    lines = [line[indent:] for line in lines]
    wrong = _syntax_error(lines)
    if wrong is None or (PROSE.match(lines[wrong - 1]) and _syntax_error(lines[: wrong - 1]) is None):
        return None
    return first_fault(lines)


def _syntax_error(lines: list[str]) -> int | None:
    """The number, from 1, of the line at which this Python gives up; None where it does not."""
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


JSON_ASKED = (
    r"(?i)\b(?:(?:in|as|into|to|using|a|an|valid|output|return) (?:a |an |valid )?json|"
    r"json (?:format|object|string|array|representation|document|file))\b|JSON\s?(?:格式|对象|数组|字符串|形式)|(?:以|用|为|成)\s?JSON"  # noqa: E501
)


VALUE = r"^\s*(?:```|[\[{])"  # how a response that is JSON begins


def invalid_json(t: Text) -> np.ndarray:
    """JSON asked for, or shown in a ```json block, that does not parse. An answer without any JSON is not judged."""
    fenced = t.only(_fences(t), lambda f: has(f.response, r"(?im)^[ \t]*```[ \t]*json\b"))
    begun = t.has("response", VALUE)
    asked = t.only(begun, lambda f: has(f.line, JSON_ASKED) & ~asks(f.line, "json_read"))
    return among(t.unless(fenced | asked, _faulty_wanted), bad_json, t.response)


def bad_json(response: str) -> Found:
    """The first place at which JSON breaks off."""
    blocks = [(m.start(2), m[2]) for m in FENCE.finditer(response) if m[1].lower() in ("json", "")]
    if not blocks:
        if response.strip()[:1] not in ("{", "["):
            return None
        blocks = [(0, response)]
    for start, block in blocks:
        wrong = _json_fault(block)
        if wrong is not None:
            at = start + wrong
            line = response.rfind("\n", 0, at) + 1
            end = response.find("\n", at)
            shown = piece(response, line, len(response) if end < 0 else end)
            return {**shown, "line": block[:wrong].count("\n") + 1}
    return None


SHORTENED = re.compile(r"\.\.\.|…|\{\{|\$\{|<[\w .-]{1,40}>")  # left out on purpose, or a template
COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/|(?m:^\s*#[^\n]*$)', re.DOTALL)
TRAILING = re.compile(r'("(?:[^"\\\n]|\\.)*")|,(?=\s*[\]}])', re.DOTALL)


def _json_fault(text: str) -> int | None:
    """Where JSON breaks off, in characters; None where it is whole, or of a kind that is not meant to be one JSON
    value: commented, shortened, a value a line, a fragment."""
    if len(text) >= LIMIT or SHORTENED.search(text):
        return None
    plain = COMMENT.sub(lambda m: m[1] or "", text)
    commented = plain != text
    body = (TRAILING.sub(lambda m: m[1] or "", plain) if commented else text).strip()
    fragment = re.match(r'"(?:[^"\\\n]|\\.)*"\s*:', body)
    wrong = _breaks(f"{{{body.rstrip(',')}}}" if fragment else body)
    if wrong is None or _breaks(f"[{body.rstrip(',')}]") is None:
        return None
    lead = len(text) - len(text.lstrip())
    return min(lead + (0 if fragment or commented else wrong), max(len(text) - 1, 0))


def _breaks(text: str) -> int | None:
    """Where a text stops being JSON values, one after the other; words after a value explain it."""
    decoder, at = json.JSONDecoder(strict=False), 0
    while at < len(text):
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError:
            return None
        except json.JSONDecodeError as e:
            if at and text[at] not in ']},:"{[':
                return None
            before = text[: e.pos].rstrip()
            return len(before) - 1 if before.endswith(",") else e.pos  # Pythons differ about a trailing comma
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return None if at else 0


SOUGHT = (PROGRAM, VALUE)
