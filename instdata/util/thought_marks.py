"""How models mark their thoughts in a text: the one table, read by whatever takes thoughts out.

Patterns that Python's re and Arrow's RE2 both know, without groups; letters in either case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WORDS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think", "analysis",
         "cot", "inner_monologue", "antThinking")  # fmt: skip
# What opens thoughts, and what closes them.
MARKS = (
    *((rf"<{word}(?:\s[^<>]*)?>", rf"</{word}\s*>") for word in WORDS),  # <think time="3s"> too
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"\[REASONING\]", r"\[/REASONING\]"),
    (r"◁think▷", r"◁/think▷"),  # Kimi
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # Sky-T1, OpenThoughts
    (r"<\|begin_of_reasoning\|>", r"<\|end_of_reasoning\|>"),
    (r"<\|think\|>", r"<\|/think\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|channel>thought\b", r"<channel\|>"),  # Gemma
    (r"<unused94>(?:thought\b)?", r"<unused95>"),  # MedGemma
)
FIRST = ("<", "[", "◁")  # what every mark begins with
CHANNEL_END = r"<\|end\|>"  # of gpt-oss's harmony
# What frames the answer behind the thoughts.
FRAMES = (
    (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
    (r"<\|START_RESPONSE\|>", r"<\|END_RESPONSE\|>"),
)


def channel(names: str) -> str:
    """What opens a channel of gpt-oss's harmony: `analysis`, `commentary`, `final`."""
    return rf"(?:<\|start\|>assistant)?<\|channel\|>(?:{names})<\|message\|>"


def _opening(pattern: str) -> re.Pattern[str]:
    return re.compile(r"\s*" + pattern, re.I)


PAIRS = [(_opening(opens), re.compile(f"(?P<opens>{opens})|{closes}", re.I)) for opens, closes in MARKS]


def span(text: str) -> tuple[int, int, int] | None:
    """Where the thoughts that a text begins with start and end, and where what follows their closing mark begins; None
    where it begins with none that end. Thoughts may hold others of their kind; where not every one of those is closed,
    the first closing mark ends them all."""
    for opening, marks in PAIRS:
        first = opening.match(text)
        if first is None:
            continue
        depth, ends = 1, None
        for mark in marks.finditer(text, first.end()):
            depth += 1 if mark["opens"] else -1
            ends = ends or (None if mark["opens"] else mark)
            if depth == 0:
                return first.end(), mark.start(), mark.end()
        if ends is not None:
            return first.end(), ends.start(), ends.end()
    return None


def either(patterns: Iterable[str]) -> str:
    """A pattern for any of them."""
    return f"(?:{'|'.join(patterns)})"


OPENS, CLOSES = either([opens for opens, _ in MARKS]), either([closes for _, closes in MARKS])
ANALYSIS, FINAL = channel("analysis"), channel(r"final(?:\s[^<]*)?")
FRAME = either([mark for pair in FRAMES for mark in pair])
