"""What a person sees while a build runs: lines that fit, and no silence."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from instdata.corpus.said import fitting
from instdata.util.progress import Heartbeat, counter


def test_silence_is_broken_and_talk_is_not() -> None:
    said: list[str] = []
    with Heartbeat(said.append, every=0.05) as beat:
        time.sleep(0.2)
        assert not said, "nothing is being done yet"
        beat.doing = "dedup"
        time.sleep(0.3)
        assert said and all(line.startswith("dedup: still at work, ") for line in said)
    n = len(said)
    time.sleep(0.2)
    assert len(said) == n, "it ends with the work"


def test_a_moving_bar_is_no_silence() -> None:
    said: list[str] = []
    with Heartbeat(said.append, every=0.4) as beat, counter("labels", 3, True) as advance:
        beat.doing = "labels"
        time.sleep(1.2)
        advance()
        assert not said


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=20), st.integers(1, 10**6), min_size=1, max_size=9))
def test_reasons_are_cut_whole(reasons: dict[str, int]) -> None:
    drops = f"{sum(reasons.values()):,} dropped ({', '.join(f'{r} {n:,}' for r, n in reasons.items())})"
    line = fitting("1,000 kept, 12 quarantined", drops, 50)
    assert line.count("(") == line.count(")") and len(line) <= max(50, len("1,000 kept, 12 quarantined, ") + 17)
    assert line.startswith("1,000 kept, 12 quarantined, ") and "…)" not in line.partition("(")[0]
