"""An answer without the thoughts of the model that gave it."""

from __future__ import annotations

import re

from instdata.read.thoughts import take_out
from instdata.util.thought_marks import ANALYSIS, CHANNEL_END, CLOSES, FINAL, FRAME, MARKS, OPENS

# `</think>` alone closes what the prompt opened; harmony's mark of an end also ends what is no thought.
CLOSED = re.compile(
    "|".join(f"{opens}.*?{closes}" for opens, closes in (*MARKS, (ANALYSIS, CHANNEL_END))), re.IGNORECASE | re.DOTALL
)
OPENED = re.compile(f"{OPENS}|{ANALYSIS}", re.IGNORECASE)
ENDED = re.compile(CLOSES, re.IGNORECASE)
ANSWER = re.compile(rf"{FRAME}|{FINAL}|<\|return\|>", re.IGNORECASE)


def without_thoughts(answer: str) -> str | None:
    """The answer without thoughts, wherever they stand in it; None where it ends within them and says nothing
    outside."""
    if "<" not in answer and "[" not in answer and "◁" not in answer:
        return answer
    _, said = take_out(answer)
    said = CLOSED.sub("", said)
    closes = list(ENDED.finditer(said))
    if closes:  # opened by the prompt
        said = said[closes[-1].end() :]
    opens = OPENED.search(said)
    if opens:
        said = said[: opens.start()]
        if not said.strip():
            return None
    return ANSWER.sub("", said)
