"""An answer without the thoughts of the model that gave it."""

from __future__ import annotations

import re

from instdata.read.thoughts import take_out

# Where thoughts open and close, as models write it; `</think>` alone closes what the prompt opened.
TAGS = [
    (rf"<{word}>", rf"</{word}>")
    for word in ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "reflection", "scratchpad")
] + [
    (r"\[THINK\]", r"\[/THINK\]"), ("◁think▷", "◁/think▷"), (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    ("<unused94>", "<unused95>"), (r"<\|channel>thought", r"<channel\|>"), (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel\|>analysis<\|message\|>", r"<\|end\|>"),
]  # fmt: skip
CLOSED = re.compile("|".join(f"{opens}.*?{closes}" for opens, closes in TAGS), re.IGNORECASE | re.DOTALL)
OPENS = re.compile("|".join(opens for opens, _ in TAGS), re.IGNORECASE)
CLOSES = re.compile("|".join(closes for _, closes in TAGS if closes != r"<\|end\|>"), re.IGNORECASE)
FRAME = re.compile(
    r"<\|(?:begin|end)_of_solution\|>|(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|<\|return\|>|<\|(?:START|END)_RESPONSE\|>",
    re.IGNORECASE,
)


def without_thoughts(answer: str) -> str | None:
    """The answer without thoughts, wherever they stand in it; None where it ends within them and says nothing outside."""
    if "<" not in answer and "[" not in answer and "◁" not in answer:
        return answer
    _, said = take_out(answer)
    said = CLOSED.sub("", said)
    closes = list(CLOSES.finditer(said))
    if closes:  # opened by the prompt
        said = said[closes[-1].end() :]
    opens = OPENS.search(said)
    if opens:
        said = said[: opens.start()]
        if not said.strip():
            return None
    return FRAME.sub("", said)
