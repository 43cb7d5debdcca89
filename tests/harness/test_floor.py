"""Win rates at equal lengths, and the floor under which a judge may not decide."""

from __future__ import annotations

import numpy as np
import pytest

from instdata.compare.effect import Effect
from instdata.compare.judge_floor import below, floored
from instdata.judge.length import win_rate


def world(rng, items: int, seeds: int, better: float, likes_long: float, longer: float):
    """Comparisons of a judge that likes long answers (by `likes_long` a log unit) with answers that are exp(longer)
    times as long on average and better by `better` on the logit scale."""
    item, seed = (a.ravel() for a in np.meshgrid(np.arange(items), np.arange(seeds), indexing="ij"))
    ratio = longer + 0.4 * rng.standard_normal(len(item))
    logit = better + likes_long * ratio + 0.8 * rng.standard_normal(items)[item]
    wins = (rng.random(len(item)) < 1 / (1 + np.exp(-logit))).astype(float)
    mine = ["x" * max(1, round(200 * np.exp(r))) for r in ratio]
    return wins, mine, ["x" * 200] * len(item), item, seed


def test_a_judge_that_likes_long_answers_is_seen_through():
    found = win_rate(*world(np.random.default_rng(0), 150, 3, better=0.0, likes_long=2.0, longer=0.7))
    assert found.raw > 0.68 and found.longer > 0.6
    assert found.low < 0.5 < found.high and found.slope > 1


def test_an_answer_that_is_better_wins_at_equal_lengths_too():
    found = win_rate(*world(np.random.default_rng(1), 150, 3, better=1.2, likes_long=1.0, longer=-0.4))
    assert found.controlled > found.raw and found.low > 0.5


def test_intervals_hold_the_truth_in_200_worlds():
    """Nothing better, no taste for length, half of the noise the item's: 95 % intervals hold a half."""
    rng = np.random.default_rng(2)
    held = [(r := win_rate(*world(rng, 40, 3, 0.0, 0.0, 0.2))).low <= 0.5 <= r.high for _ in range(200)]
    assert np.mean(held) >= 0.92


def test_verdicts_that_are_all_alike_leave_room():
    texts = ["a b c"] * 10
    found = win_rate(np.ones(10), texts, texts, np.arange(10), np.zeros(10))
    assert found.raw == 1 and 0.5 < found.low < 1 and found.longer is None
    assert win_rate(np.ones(3), ["a"] * 3, ["b"] * 3, np.zeros(3), np.arange(3)) is None
    separated = win_rate(np.array([1.0, 1, 0, 0]), ["xxxx", "xxxxx", "x", "x"], ["xx"] * 4, np.arange(4), np.zeros(4))
    assert np.isfinite([separated.low, separated.high, separated.slope]).all()


def test_missing_verdicts_are_left_out_of_rates():
    texts = ["a"] * 4
    found = win_rate(np.array([1.0, np.nan, 0.0, 1.0]), texts, texts, np.arange(4), np.zeros(4))
    assert found.n == 3 and found.raw == pytest.approx(2 / 3)


def test_a_judge_below_the_floor_does_not_decide():
    wins = win_rate(*world(np.random.default_rng(1), 150, 3, better=1.2, likes_long=0.0, longer=0.0))
    steady, flips = {"swapped": 40, "flip_rate": 0.05}, {"swapped": 40, "flip_rate": 0.5}
    assert below(steady, wins) is None and "order" in below(flips, wins)
    assert below({"swapped": 4, "flip_rate": 1.0}, wins) is None  # four pairs tell nothing
    long = win_rate(*world(np.random.default_rng(0), 150, 3, better=0.0, likes_long=2.0, longer=0.7))
    assert "equal lengths" in below(steady, long)
    effect = Effect("essay", "pairs", "share", 0.5, 0.7, 0.2, 0.1, 0.3, 0.001, 20, 3, 0.1, "better")
    assert floored([effect], "order")[0].verdict == "undecided" and floored([effect], None) == [effect]
