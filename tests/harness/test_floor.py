"""Win rates at equal lengths, and the floor under which a judge may not decide."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from instdata.compare.effect import Effect
from instdata.compare.judge_floor import below, by_length, carded, floored, win_rates
from instdata.judge.length_bias import win_rate
from instdata.util.errors import InputError


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


FINE: dict = {"judge": "m", "barred": []}  # a card that bars nothing


def test_a_judge_below_the_floor_does_not_decide():
    steady, flips = {"swapped": 40, "flip_rate": 0.05}, {"swapped": 40, "flip_rate": 0.5}
    assert below("m", FINE, steady) is None and "order" in below("m", FINE, flips)
    assert below("m", FINE, {"swapped": 4, "flip_rate": 1.0}) is None  # four pairs tell nothing
    barred = {"judge": "m", "barred": ["30% of the winners change with the order"]}
    assert below("m", barred, steady).startswith("its card says: 30%")
    assert below("m", None, steady).startswith("this judge was never checked: instdata judge-card --judge m ")
    wins = win_rate(*world(np.random.default_rng(1), 150, 3, better=1.2, likes_long=0.0, longer=0.0))
    long = win_rate(*world(np.random.default_rng(0), 150, 3, better=0.0, likes_long=2.0, longer=0.7))
    assert by_length(wins) is None and by_length(None) is None and "equal lengths" in by_length(long)
    effect = Effect("essay", "pairs", "share", 0.5, 0.7, 0.2, 0.1, 0.3, 0.001, 20, 3, 0.1, "better")
    assert floored([effect], "order")[0].verdict == "undecided" and floored([effect], None) == [effect]
    assert floored([effect], None, wins) == [effect]  # most comparisons are won by the same arm
    assert floored([replace(effect, verdict="worse")], None, wins)[0].verdict == "undecided"
    assert floored([effect], None, long)[0].why == "at equal lengths no winner is shown"


def test_a_judge_that_guesses_does_not_find_arms_alike():
    alike = Effect("essay", "pairs", "share", 0.5, 0.5, 0.0, -0.004, 0.004, 1.0, 900, 3, 0.01, "equivalent")
    (told,) = floored([alike], "its card says: 50% of the winners change with the order")
    assert told.verdict == "undecided" and told.why.startswith("its card says")
    assert floored([alike], None) == [alike]


def graded(likes_long: bool) -> pa.Table:
    """Grades of two arms' answers to 40 items, two seeds: `with` is better, or just longer and liked for it."""
    rng, found = np.random.default_rng(3), []
    for seed in range(2):
        for i in range(40):
            words = {"without": rng.integers(8, 30), "with": rng.integers(8, 60)}
            for arm, n in words.items():
                grade = n / 60 if likes_long else rng.choice([0.25, 0.5]) + 0.5 * (arm == "with")
                own = {"metric": "judge", "config": "64", "arm": arm, "item": f"i{i}", "seed": seed}
                found.append(own | {"value": float(grade), "answer": "x" * int(n), "cluster": None})
    return pa.Table.from_pylist(found)


def test_grades_that_go_by_length_do_not_decide_either():
    fair, long = (win_rates(graded(x), "without", 64, "judge")["with"] for x in (False, True))
    assert fair.raw > 0.8 and by_length(fair) is None
    assert long.raw > 0.6 and "equal lengths" in by_length(long)


def test_a_card_is_read_and_has_to_be_of_this_judge(tmp_path):
    path, said = tmp_path / "card.json", []
    path.write_text(json.dumps({"judge": "m", "barred": ['not shown to beat "longest"']}))
    assert (
        carded("m", path, said.append)["barred"] == ['not shown to beat "longest"'] and "may not decide" in said.pop()
    )
    assert carded("m", None, said.append) is None and "judge-card --judge m --on" in said.pop()
    assert carded(None, None, said.append) is None and not said
    for judge, text, words in (
        ("other", path.read_text(), "the card of m, not of other"),
        (None, path.read_text(), "needs --judge"),
        ("m", "{}", "no judge's card"),
        ("m", "[]", "no judge's card"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            carded(judge, path, said.append)
