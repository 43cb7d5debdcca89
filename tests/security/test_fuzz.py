"""The fuzzer finds what it is for: a line that is reached by steps, and a parser that breaks there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.security import fuzz


def test_coverage_leads_to_a_fault_that_chance_does_not_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def parse(text):\n    at = 0\n"
    for n, piece in enumerate(["```json\n", "答案是", "[INST]", "&a"]):
        source += f"    if {piece!r} not in text[at:]: return {n}\n    at = text.index({piece!r}, at)\n"
    source += "    raise KeyError('found')\n"
    space: dict = {}
    exec(compile(source, fuzz.OURS + "stand_in.py", "exec"), space)
    monkeypatch.setitem(fuzz.PARSERS, "steps", lambda text, rng: space["parse"](text))
    count, _, broke, kept = fuzz.fuzz("steps", 2, 1, tmp_path)
    assert count > 100 and broke and "found" in broke[0], count
    assert kept >= 3 and len(list(tmp_path.glob("*.txt"))) == kept
    again = fuzz.fuzz("steps", 0.3, 2, tmp_path)  # what was kept is tried first
    assert again[2]


def test_texts_are_made_of_what_was_kept_and_stay_short() -> None:
    rng = random.Random(3)
    assert all(len(fuzz.made(["abc" * 900], rng)) <= fuzz.LONGEST for _ in range(200))
