"""What no version of Python takes, by looking at brackets, strings, blocks and indentation alone.

The parser of the Python that runs this knows neither syntax that is newer than it nor Python 2. So its refusal alone
drops nothing: one of these faults must be there too, which are the same in every version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PAIRS = {")": "(", "]": "[", "}": "{"}
STRING = re.compile(r"'''|\"\"\"|'|\"")
FOREIGN = re.compile(r"&&|\|\||\+\+\s*$|\?|^\s*else if\b|[（），：；“”]|\)\s*\{\s*$")
NO_COLON = re.compile(
    r"\s*(?:(?:async )?def \w+\s*\(.*\)(?:\s*->.*)?|class \w+(?:\(.*\))?|for \w[\w, ]* in \S.*|"
    r"(?:if|elif|while) .*(?:[<>]=?|[!=]=|\bin\b|\bnot\b|\bis\b).*|else|try|finally)\s*$"
)
HEADER = re.compile(r"\s*(?:(?:async )?(?:def|for|with)|class|if|elif|else|while|try|except|finally)\b.*:\s*$")
CONTINUES = re.compile(r"\s*(?:elif|else|except|finally|case)\b")  # an excerpt may begin with these


@dataclass
class Logical:
    """A logical line: its number from 1, its indent, its text without strings and comments."""

    number: int
    indent: int
    text: str
    comment_after: bool = False  # comments stand between it and the next logical line


def first_fault(lines: list[str]) -> tuple[int, str] | None:
    """(line from 1, what is wrong there) of the first sure fault, or None."""
    logical, fault = _logical_lines(lines)
    for line in logical:
        if fault and line.number >= fault[0]:
            break
        if FOREIGN.search(line.text):
            return line.number, "not Python"
        if NO_COLON.fullmatch(line.text) and ":" not in line.text:
            return line.number, "a block without a colon"
    inner = _indentation(logical if fault is None else [x for x in logical if x.number < fault[0]])
    return min((f for f in (fault, inner) if f), default=None)


def _logical_lines(lines: list[str]) -> tuple[list[Logical], tuple[int, str] | None]:
    """The logical lines, and the first fault of brackets or strings."""
    found: list[Logical] = []
    opened: list[tuple[str, int]] = []
    quote, begun, current, joined = "", 0, None, False
    for number, line in enumerate(lines, 1):
        text, i = [], 0
        while i < len(line):
            if quote:
                end = _string_end(line, i, quote)
                if end < 0:
                    if len(quote) == 1 and not line.endswith("\\"):
                        return found, (begun, "a string that is not closed")
                    i = len(line)
                    continue
                quote, i = "", end
                text.append("''")
                continue
            char = line[i]
            start = STRING.match(line, i)
            if start:
                quote, begun, i = start[0], number, i + len(start[0])
                continue
            if char == "#":
                if not "".join(text).strip() and found and not opened:
                    found[-1].comment_after = True
                break
            if char in "([{":
                opened.append((char, number))
            elif char in ")]}" and (not opened or opened.pop()[0] != PAIRS[char]):
                return found, (number, "a bracket that was not opened")
            text.append(char)
            i += 1
        if current is not None:
            current.text += " " + "".join(text).strip()
        elif "".join(text).strip() or quote:
            current = Logical(number, len(line) - len(line.lstrip()), "".join(text).rstrip())
            found.append(current)
        joined = line.endswith("\\")
        if not opened and not quote and not joined:
            current = None
    if quote:
        return found, (begun, "a string that is not closed")
    return found, (opened[-1][1], "a bracket that is not closed") if opened else None


def _string_end(line: str, i: int, quote: str) -> int:
    """The place after the string's end on this line, -1 where it has none."""
    while i < len(line):
        if line[i] == "\\":
            i += 2
        elif line.startswith(quote, i):
            return i + len(quote)
        else:
            i += 1
    return -1


def _indentation(logical: list[Logical]) -> tuple[int, str] | None:
    """The first fault of indentation."""
    levels = [logical[0].indent] if logical else []
    for before, line in zip(logical, logical[1:]):
        opens = bool(HEADER.fullmatch(before.text)) or before.text.rstrip().endswith(":")
        if line.indent > before.indent:
            if not opens:
                return line.number, "an indent that nothing opens"
            levels.append(line.indent)
            continue
        if opens and HEADER.fullmatch(before.text) and not before.comment_after:
            return line.number, "a block without lines"
        while levels and levels[-1] > line.indent:
            levels.pop()
        if not levels or levels[-1] != line.indent:
            if CONTINUES.match(line.text) or not levels:
                levels.append(line.indent)
                continue
            return line.number, "an indent like none before"
    return None
