"""A build as it is told while it runs: a line a step, with what was kept, why rows went, and how long it took."""

from __future__ import annotations

import time

from instdata.corpus.row_states import Tally
from instdata.util.progress import Heartbeat

CLOSE = "at the end"  # what people read for the pseudo-step `close`, which drops what still has no answer


class Clock:
    """Says a line a step, and remembers how long it took."""

    def __init__(self, beat: Heartbeat):
        self.beat, self.last = beat, time.monotonic()  # the wall clock may jump
        self.laps: dict[str, float] = {}

    def lap(self, name: str, told: str, drops: str = "", **counts: int) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self.last, 3)
        told += "".join(f", {n:,} {word}" for word, n in counts.items() if n)
        shown = CLOSE if name == "close" else name
        self.beat.say(f"{shown:<14} {fitting(told, drops, 50):<50} took {now - self.last:6.1f} s")
        self.last = now


def told_of(tally: Tally) -> tuple[str, str]:
    """What a step kept, and what it dropped."""
    counts = {"added": tally.added, "quarantined": tally.quarantined}
    kept = f"{tally.kept:,} kept" + "".join(f", {n:,} {word}" for word, n in counts.items() if n)
    return kept, told_drops(tally) if tally.dropped else ""


def told_drops(tally: Tally) -> str:
    most = sorted(tally.reasons.items(), key=lambda r: -r[1])
    return f"{tally.dropped:,} dropped ({', '.join(f'{reason} {n:,}' for reason, n in most)})"


def fitting(told: str, drops: str, width: int) -> str:
    """A line and its reasons, as many as fit: `9 kept, 5 dropped (echo 3, …)`. `instdata build -v` lists them all."""
    if not drops:
        return told
    head, _, rest = drops.removesuffix(")").partition(" (")
    reasons = rest.split(", ")
    for n in range(len(reasons), 0, -1):
        shown = ", ".join(reasons[:n] + ["…"] * (n < len(reasons)))
        line = f"{told}, {head} ({shown})"
        if len(line) <= width:
            return line
    return f"{told}, {head}"
