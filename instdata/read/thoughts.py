"""Reasoning that stands inside an answer: taken out when a row is read, put back where a format has no field for it."""

from __future__ import annotations

import re

from instdata.read.harmony import is_harmony, turns
from instdata.util.thought_marks import FIRST, FRAMES, OPENS, either, span

CLOSES = ("</think>", "◁/think▷", "[/THINK]", "</seed:think>")  # of thoughts whose opening a chat template gives
END = re.compile(either(map(re.escape, CLOSES)))
QUOTES = frozenset("`'\"“”‘’«»()[]<>*_")  # around a mark that is talked about
# (?s): an answer has many lines. Only what an answer begins with is its reasoning; the same tags further on are text.
FRAMED = re.compile(either(rf"{a}\s*(.*?)\s*(?:{z}\s*)?" for a, z in FRAMES) + r"\Z", re.S | re.I)
OPENED = re.compile(rf"\s*{OPENS}", re.I)


def may_hold(content: str) -> bool:
    """Whether an answer may hold reasoning: a quick look."""
    return any(mark in content for mark in CLOSES) or content.lstrip().startswith(FIRST)


def take_out(content: str) -> tuple[str | None, str]:
    """(reasoning, answer without it) of an assistant's text; None where it holds none."""
    if not may_hold(content):
        return None, content
    if is_harmony(content):
        said = turns(content) or []
        if len(said) == 1 and said[0]["role"] == "assistant" and "tool_calls" not in said[0]:
            return said[0].get("reasoning_content", ""), said[0]["content"]
    found = span(content)
    if found:
        start, end, after = found
        answer = content[after:].lstrip()
        framed = FRAMED.match(answer)
        return _unwrapped(content[start:end].strip()), next(
            t for t in framed.groups() if t is not None
        ) if framed else answer
    for mark in END.finditer(content):  # its opening stood in the prompt
        thought, answer = content[: mark.start()], content[mark.end() :]
        if thought.strip() and _ends(thought, answer):
            return (None, content) if "<think" in thought else (thought.strip(), answer.lstrip())
    return None, content


def _ends(thought: str, answer: str) -> bool:
    """Whether a mark between these texts ends a thought, and is not talked about ("the tag </think> ends it"): it ends
    a line or a sentence, or stands there without a blank."""
    told = answer.lstrip(" \t")
    if told[:1] == "\n":
        return True
    if not told or thought[-1] in QUOTES or answer[0] in QUOTES:
        return False
    return thought.rstrip()[-1] in ".。!！?？…" or not (thought[-1].isspace() or answer[0].isspace())


def _unwrapped(thought: str) -> str:
    """A thought without marks that all of it stands in once more, or that it opens once more."""
    while again := OPENED.match(thought):
        inner = span(thought)
        if inner and thought[inner[2] :].strip():
            return thought
        thought = thought[again.end() : inner[1] if inner else None].strip()
    return thought


def unclosed(content: str) -> bool:
    """Whether an answer begins with reasoning that never ends."""
    return may_hold(content) and OPENED.match(content) is not None


def put_back(reasoning: str | None, content: str) -> str:
    """The answer with its reasoning inside, as the most used models write it."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content
