"""Reasoning that stands inside an answer: taken out when a row is read, put back where a format has no field for it."""

from __future__ import annotations

import re

# (?s): a trace has many lines. Only what an answer begins with is its reasoning; the same tags further on are text.
TAGGED = re.compile(
    r"\s*(?:"
    r"<(?P<tag>think|thinking|thought|reasoning|seed:think)>(?P<a>.*?)</(?P=tag)>"
    r"|\[THINK\](?P<b>.*?)\[/THINK\]"
    r"|◁think▷(?P<c>.*?)◁/think▷"
    r"|<\|begin_of_thought\|>(?P<d>.*?)<\|end_of_thought\|>"
    r")\s*",
    re.S,
)
SOLUTION = re.compile(r"<\|begin_of_solution\|>\s*(.*?)\s*(?:<\|end_of_solution\|>\s*)?\Z", re.S)
# gpt-oss's harmony: the analysis channel, then the final one.
CHANNELS = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>(?P<thought>.*?)<\|end\|>\s*"
    r"(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>(?P<answer>.*?)(?:<\|(?:return|end)\|>)?\s*\Z",
    re.S,
)
CLOSED = re.compile(
    r"\A(?P<thought>(?:(?!<think).)+?)\n?</think>\s*\n(?P<answer>.*)\Z", re.S
)  # its opening stood in the prompt
FIRST = ("<", "[", "◁")  # what every tag begins with


def take_out(content: str) -> tuple[str | None, str]:
    """(reasoning, answer without it) of an assistant's text; None where it holds none."""
    if not content.lstrip().startswith(FIRST) and "</think>" not in content:
        return None, content
    found = CHANNELS.match(content)
    if found:
        return found["thought"].strip(), found["answer"].strip()
    found = TAGGED.match(content)
    if found:
        thought = next(found[g] for g in "abcd" if found[g] is not None)
        answer = content[found.end() :]
        solution = SOLUTION.match(answer)
        return thought.strip(), solution[1] if solution else answer
    found = CLOSED.match(content)
    if found:
        return found["thought"].strip(), found["answer"]
    return None, content


def put_back(reasoning: str | None, content: str) -> str:
    """The answer with its reasoning inside, as the most used models write it."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content
