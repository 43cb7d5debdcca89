"""Queries over the table of scores."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.grow.curve_fit import fit
from instdata.score.score_table import SCHEMA, cells_of, groups, summary
from instdata.util.errors import InputError
from tests.harness.known import paired_difference


def table(
    values: np.ndarray, metric: str = "exact", ability: str = "a", weights: list[float] | None = None
) -> pa.Table:
    """Scores [seeds, items] of one size as rows of scores.parquet, the last seed first."""
    rows = [
        {"cell": f"m/all/8/s{s}", "model": "m", "arm": "all", "config": "8", "rows": 8, "tokens": 0, "seed": s,
        "suite": "holdout"}
        | {"item": f"{ability}{i:03d}", "ability": ability, "metric": metric,
        "value": None if math.isnan(v) else float(v)}
        | {"weight": weights[i] if weights else 1.0, "chance": 0.5, "prompt": "", "answer": "", "reason": ""}
        for s, mine in reversed(list(enumerate(values)))
        for i, v in enumerate(mine)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_groups_come_in_order_and_hold_every_row():
    scores = pa.concat_tables([table(np.ones((2, 3)), m, a) for m, a in (("f1", "b"), ("exact", "b"), ("f1", "a"))])
    found = list(groups(scores, ["metric", "ability"]))
    assert [tuple(g.values()) for g, _ in found] == [("exact", "b"), ("f1", "a"), ("f1", "b")]
    assert sum(len(t) for _, t in found) == len(scores)


def test_cells_are_in_the_order_of_seeds_whatever_that_of_the_rows():
    values = np.arange(36.0).reshape(12, 3)
    cells = cells_of(table(values))["a"]
    assert cells.seeds.tolist() == list(range(12)) and (cells.values == values).all()


def test_an_interval_is_that_of_stats():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(2, 0.3, (3, 20)), rng.integers(1, 90, 20).astype(float).tolist()
    point = summary(table(values, "bits", weights=weights))[0]
    known = paired_difference(values, np.array(weights))
    assert (point["value"], point["n"], point["seeds"]) == (pytest.approx(known.value), 20, 3)
    assert (point["low"], point["high"]) == (pytest.approx(known.low), pytest.approx(known.high))


@given(st.integers(1, 3), st.integers(2, 9), st.sampled_from([0.0, 1.0]))
def test_equal_shares_are_no_certainty_and_stay_within_bounds(seeds, items, value):
    for point in summary(table(np.full((seeds, items), value))):
        assert 0 <= point["low"] <= point["value"] <= point["high"] <= 1
        assert point["high"] - point["low"] > 1 / items


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, math.nan]), min_size=4, max_size=4), min_size=1, max_size=3))
def test_missing_scores_are_counted_never_zero(rows):
    values = np.array(rows)
    known = np.isfinite(values).all(0)
    point = summary(table(values))[0]
    assert (point["n"], point["missing"], point["chance"]) == (known.sum(), 4 - known.sum(), 0.5)
    assert point["value"] == (pytest.approx(values[:, known].mean()) if known.any() else None)


def test_a_curve_of_equal_shares_is_not_called_flat_for_want_of_movement():
    rows, seeds = [8, 16, 32] * 2, [0] * 3 + [1] * 3
    few, many = (fit(rows, seeds, np.ones((6, n))) for n in (4, 400))
    assert few.label == "undecided" and few.low < 0 < few.high
    assert many.label == "flat"
    halves = fit(rows, seeds, np.tile([0.0, 1.0], (6, 1)))  # each item stays what it was
    assert halves.label == "undecided" and halves.low < 0 < halves.high


def arms(rows: dict[str, list[int]], seeds: int = 3) -> pa.Table:
    """An ablation's scores at size 64 of ability a, a value that tells arm, seed and item; `rows` of each arm by
    seed."""
    parts = []
    for n, (arm, of) in enumerate(rows.items()):
        values = np.arange(seeds)[:, None] * 10.0 + np.arange(4) + n / 100
        scores = table(values, "bits").to_pandas()
        scores["arm"], scores["config"] = arm, "64"
        scores["rows"] = [of[s] for s in scores["seed"]]
        scores["cell"] = [f"m/{arm}/64/s{s}" for s in scores["seed"]]
        parts.append(pa.Table.from_pandas(scores, schema=SCHEMA))
    return pa.concat_tables(parts)


def test_arms_are_paired_seed_by_seed_whatever_rows_they_have():
    """Matched in tokens, an arm has other row counts in every seed."""
    from instdata.compare.arm_contrasts import contrasts

    scores = arms({"with": [64, 64, 64], "without": [66, 61, 63], "aa": [60, 70, 65]})
    [main], [aa] = contrasts(scores, "bits", "64")
    assert main.with_ - main.without == pytest.approx(-0.01) and aa.with_ - aa.without == pytest.approx(0.01)
    lacking = scores.filter(pa.array([not (a == "aa" and s == 1) for a,
        s in zip(scores["arm"].to_pylist(), scores["seed"].to_pylist())]))  # fmt: skip
    with pytest.raises(InputError, match="other seeds"):
        contrasts(lacking, "bits", "64")


def test_an_arms_seeds_make_one_point_of_its_curve():
    from instdata.compare.ablation_results import arm_curves as _curves

    points = _curves(arms({"with": [64, 64, 64], "without": [66, 61, 63], "aa": [60, 70, 65]})).to_pylist()
    assert len(points) == 3 * 2 and all((p["rows"], p["seeds"], p["n"]) == (64, 3, 4) for p in points)


def test_the_headline_is_an_ability_of_which_something_is_known():
    from instdata.compare.ablation_results import Looked
    from instdata.compare.effect import Contrast, decide
    from instdata.compare.equivalence_margin import Margin

    rng = np.random.default_rng(0)
    base = rng.normal(1, 0.1, (3, 50))
    few = Contrast("code", base[:, :1], base[:, :1], np.ones(1))
    many = Contrast("math", base, base - 0.3 + rng.normal(0, 0.01, base.shape), np.ones(50))
    effects = decide([few, many])
    looked = Looked(1, 1, [], (0.05, 0.05), Margin(0.01, "", 0.02), None, effects, [])
    assert [e.ability for e in effects] == ["code", "math"]
    assert looked.headline.ability == "math" and looked.decided
