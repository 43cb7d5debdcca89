"""How models mark their thoughts in a text: the one table, read by whatever takes thoughts out.

Patterns that Python's re and Arrow's RE2 both know, without groups; letters in either case.
"""

from __future__ import annotations

from collections.abc import Iterable

WORDS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think")
# What opens thoughts, and what closes them.
MARKS = (
    *((rf"<{word}\s*>", rf"</{word}\s*>") for word in WORDS),
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"◁think▷", r"◁/think▷"),  # Kimi
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # Sky-T1, OpenThoughts
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


def either(patterns: Iterable[str]) -> str:
    """A pattern for any of them."""
    return f"(?:{'|'.join(patterns)})"


OPENS, CLOSES = either([opens for opens, _ in MARKS]), either([closes for _, closes in MARKS])
ANALYSIS, FINAL = channel("analysis"), channel(r"final(?:\s[^<]*)?")
FRAME = either([mark for pair in FRAMES for mark in pair])
