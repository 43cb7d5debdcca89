"""Reasoning that stands inside an answer: taken out when a row is read, put back where a format has no field for it."""

from __future__ import annotations

import re

from instdata.util.thoughts import ANALYSIS, CHANNEL_END, FINAL, FIRST, FRAMES, MARKS, either

# (?s): a trace has many lines. Only what an answer begins with is its reasoning; the same tags further on are text.
TAGGED = re.compile(r"\s*" + either(f"{opens}(.*?){closes}" for opens, closes in MARKS) + r"\s*", re.S | re.I)
FRAMED = re.compile(either(rf"{a}\s*(.*?)\s*(?:{z}\s*)?" for a, z in FRAMES) + r"\Z", re.S | re.I)
# gpt-oss's harmony: the analysis channel, then the final one.
CHANNELS = re.compile(
    rf"\s*{ANALYSIS}(?P<thought>.*?){CHANNEL_END}\s*{FINAL}(?P<answer>.*?)(?:<\|(?:return|end)\|>)?\s*\Z",
    re.S,
)
CLOSED = re.compile(
    r"\A(?P<thought>(?:(?!<think).)+?)\n?</think>\s*\n(?P<answer>.*)\Z", re.S
)  # its opening stood in the prompt


def may_hold(content: str) -> bool:
    """Whether an answer may hold reasoning: a quick look."""
    return "</think>" in content or content.lstrip().startswith(FIRST)


def take_out(content: str) -> tuple[str | None, str]:
    """(reasoning, answer without it) of an assistant's text; None where it holds none."""
    if not may_hold(content):
        return None, content
    found = CHANNELS.match(content)
    if found:
        return found["thought"].strip(), found["answer"].strip()
    found = TAGGED.match(content)
    if found:
        answer = content[found.end() :]
        framed = FRAMED.match(answer)
        return _inner(found).strip(), _inner(framed) if framed else answer
    found = CLOSED.match(content)
    if found:
        return found["thought"].strip(), found["answer"]
    return None, content


def _inner(found: re.Match[str]) -> str:
    """What stands between the marks that matched."""
    return next(text for text in found.groups() if text is not None)


def put_back(reasoning: str | None, content: str) -> str:
    """The answer with its reasoning inside, as the most used models write it."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content
