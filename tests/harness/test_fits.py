"""Growth curves: shapes recovered, labels earned, intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from instdata.grow.curve_fit import curve, fit
from instdata.score.score_table import cells_of
from instdata.util.errors import InputError


def grid(rungs, seeds):
    """(rows, seeds) of every cell."""
    return [r for _ in range(seeds) for r in rungs], [s for s in range(seeds) for _ in rungs]


def ladder(truth, rungs, seeds=3, items=60, rng=None, slopes=0.0, rest=0.05, runs=0.003):
    """rows, seeds, scores [cells, items] around a curve `truth(rows)`; items differ in level and slope."""
    rng = rng or np.random.default_rng(0)
    level, own = rng.normal(0, 0.15, items), rng.standard_t(4, items) * slopes
    rows, which = grid(rungs, seeds)
    values = [
        truth(r) + level + own * np.log2(r / rungs[0]) + rng.normal(0, runs) + rng.normal(0, rest, items) for r in rows
    ]
    return rows, which, np.array(values)


def line(slope):
    return lambda rows: 0.4 + slope * np.log2(rows / 100)


DOUBLING = [100 * 2**k for k in range(6)]


@pytest.mark.parametrize("kind", ["flat", "log-linear", "saturating"])
def test_each_shape_is_found_and_predicted(kind):
    truth = {"flat": lambda r: 0.5, "log-linear": line(0.03), "saturating": lambda r: 0.8 - 0.4 * (r / 100) ** -0.9}[
        kind
    ]
    f = fit(*ladder(truth, DOUBLING))
    assert f.kind == kind and f.rungs == 6 and f.seeds == 3 and f.n == 60
    value, low, high = f.predict(400)
    assert low < value < high and low <= truth(400) <= high and value == pytest.approx(truth(400), abs=0.05)
    assert f.label == {"flat": "flat", "log-linear": "growing", "saturating": "saturating"}[kind]


def test_four_rungs_are_too_few_to_say_saturating():
    f = fit(*ladder(lambda r: 0.8 - 0.4 * (r / 100) ** -1.5, DOUBLING[:4]))
    assert "saturating" not in f.aicc and f.kind == "log-linear" and f.label == "growing"


def test_two_rungs_have_no_slope():
    f = fit(*ladder(line(0.05), DOUBLING[:2]))
    assert (f.kind, f.slope, f.low, f.label) == (None, None, None, "undecided")
    with pytest.raises(InputError, match="needs 3 sizes, there are 2"):
        f.predict(100)


def test_noise_is_undecided_not_flat():
    f = fit(*ladder(lambda r: 0.5, DOUBLING[:3], seeds=2, items=10, rest=0.3, runs=0.05))
    assert f.label == "undecided" and f.low < 0 < f.high


def test_bits_grow_downwards_and_flat_is_relative_to_them():
    rows, seeds, values = ladder(line(0.03), DOUBLING)
    up, down = fit(rows, seeds, values), fit(rows, seeds, -values, lower_is_better=True)
    assert down.slope == pytest.approx(-up.slope) and (up.label, down.label) == ("growing", "growing")
    assert (
        fit(rows, seeds, -values).label == "falling"
        and fit(rows, seeds, values, lower_is_better=True).label == "falling"
    )
    # A slope that is not shown: within a quarter of what BELLE grows by, but not within a thousandth.
    quiet = ladder(lambda r: 0.9, DOUBLING, items=40, slopes=0.006, rest=0.003, runs=0.001)
    assert fit(*quiet).label == "flat" and fit(*quiet, lower_is_better=True, margin=0.001).label != "flat"


def test_the_base_model_is_left_out():
    rows, seeds, values = ladder(line(0.03), DOUBLING)
    with_base = fit([0, *rows], [0, *seeds], np.vstack([values[:1] - 5, values]))
    assert with_base.slope == fit(rows, seeds, values).slope and 0 not in with_base.rows


def test_missing_items_and_unfinished_seeds_are_left_out():
    rows, seeds, values = ladder(line(0.03), DOUBLING)
    holes = values.copy()
    holes[3, 7] = np.nan
    assert fit(rows, seeds, holes).n == 59
    part = fit(rows[:-1], seeds[:-1], values[:-1])
    assert part.seeds == 2 and part.slope == fit(rows[:12], seeds[:12], values[:12]).slope
    with pytest.raises(InputError, match="no seed has a run of every size"):
        fit([100, 200, 400], [0, 1, 0], values[:3])
    with pytest.raises(InputError, match="two runs of 100 rows"):
        fit([100, 100], [0, 0], values[:2])
    with pytest.raises(InputError, match="no item has a score"):
        fit(rows, seeds, np.full_like(values, np.nan))


def test_macro_is_the_mean_of_its_abilities():
    a, b = (ladder(line(s), DOUBLING, rng=np.random.default_rng(i)) for i, s in enumerate((0.01, 0.05)))
    macro = fit(a[0], a[1], [a[2], b[2]], [None, None])
    assert macro.slope == pytest.approx((fit(*a).slope + fit(*b).slope) / 2) and macro.n == 120
    assert macro.high - macro.low < max(f.high - f.low for f in (fit(*a), fit(*b)))


def test_weights_make_a_ratio_of_sums():
    rows, seeds, values = ladder(line(0.03), DOUBLING, items=20)
    w = np.random.default_rng(1).uniform(1, 9, 20)
    assert fit(rows, seeds, values, w).means == pytest.approx((values @ w / w.sum()).reshape(3, 6).mean(0))


def test_the_same_fit_every_time():
    a, b = (fit(*ladder(line(0.02), DOUBLING)) for _ in range(2))
    assert a.plain() == b.plain() and a.predict(5000) == b.predict(5000)


def test_a_saturating_curve_is_the_least_squares_one():
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(2)
    y = 0.8 - 0.4 * (np.array(DOUBLING) / 100) ** -0.6 + rng.normal(0, 0.01, 6)
    best, _ = curve_fit(lambda r, c, a, b: c - a * (r / 100) ** -b, DOUBLING, y, p0=(0.8, 0.4, 0.6))
    at = np.array([150.0, 3000.0, 6400.0])
    assert curve("saturating", DOUBLING, y, at) == pytest.approx(best[0] - best[1] * (at / 100) ** -best[2], abs=2e-3)


@pytest.mark.parametrize(
    ("rungs", "seeds", "slopes", "means"),
    [(3, 3, 0.01, False), (4, 3, 0.0, False), (7, 2, 0.01, False), (4, 3, 0.0, True), (5, 1, 0.0, True)],
)
def test_the_slope_interval_holds_the_truth(rungs, seeds, slopes, means):
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(250):
        rows, which, values = ladder(
            line(0.02), DOUBLING[:1] + [100 * 2**k for k in range(1, rungs)], seeds, 40, rng, slopes
        )
        f = fit(rows, which, values.mean(1) if means else values)
        inside.append(f.low <= 0.02 <= f.high)
    assert 0.92 <= np.mean(inside) <= 0.99, np.mean(inside)


def test_flat_is_claimed_wrongly_at_most_as_said():
    """A slope right at the margin is called flat in at most 5 % of the experiments."""
    rng = np.random.default_rng(4)
    labels = [fit(*ladder(line(0.02), DOUBLING, 3, 40, rng, 0.01)).label for _ in range(300)]
    assert labels.count("flat") <= 0.05 * 300 + 3 * (0.05 * 0.95 * 300) ** 0.5


def test_cells_of_scores():
    rows = [
        {"cell": f"c{r}-{s}", "item": i, "ability": a, "value": None if (r, s, i) == (100, 1, "y") else r + s,
        "weight": 2.0,
         "rows": r, "seed": s, "config": str(r)}
        for a in ("math", "code") for r in (200, 100) for s in (0, 1) for i in ("x", "y")
    ]  # fmt: skip
    found = cells_of(pa.Table.from_pylist(rows))
    assert list(found) == ["code", "math"]
    c = found["math"]
    assert (c.rows.tolist(), c.seeds.tolist()) == ([100, 200, 100, 200], [0, 0, 1, 1])
    assert c.configs == ["100", "200", "100", "200"]
    assert np.isnan(c.values[2, 1]) and c.values[3].tolist() == [201, 201] and c.weights.tolist() == [2, 2]
