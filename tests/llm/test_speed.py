"""What benchmarks/client.py measures, held against what it must be: minutes, over real HTTP."""

from __future__ import annotations

import pytest

from benchmarks.client import overhead, storm


@pytest.mark.slow
@pytest.mark.parametrize("window", [False, True], ids=["bucket", "whole-seconds"])
def test_a_storm_of_429_is_learned_not_sawed(window):
    """50 requests/s allowed: over the 60 s after a warm-up of 30 s."""
    found = storm(window)
    assert found["share_of_allowed"] >= 0.85 and found["rows_lost"] == 0
    assert found["rate_limited"] < 0.15 * 50 * 95, "what is refused is a small part of what is sent"


@pytest.mark.slow
def test_cache_and_ledger_cost_less_than_two_fifths_of_the_bare_client():
    assert overhead()["share"] >= 0.6
