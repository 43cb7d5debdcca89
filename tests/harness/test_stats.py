"""The statistics: against published values, other packages, and simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.util import stats
from tests.harness.known import paired_difference


def test_boundaries_are_those_of_lan_and_demets():
    from scipy.special import ndtri

    found = [-ndtri(level / 2) for level in stats.spending_levels((0.2, 0.4, 0.6, 0.8, 1.0))]
    # Two-sided 5 %, five equal looks: Reboussin, DeMets, Kim and Lan (2000), table of program ld98.
    assert np.allclose(found, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], atol=2e-4)
    assert stats.spending_levels((1.0,)) == pytest.approx((0.05,))


def test_all_looks_together_err_as_said():
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((40_000, 5)).cumsum(1) / np.sqrt(np.arange(1, 6))
    levels = stats.spending_levels((0.6, 0.8, 1.0))
    from scipy.special import ndtr

    p = 2 * ndtr(-np.abs(steps[:, 2:]))
    assert (p < levels).any(1).mean() == pytest.approx(0.05, abs=0.004)


def test_minimum_detectable_effects_of_the_notes():
    assert stats.minimum_detectable(0.245 / 522**0.5, 521) == pytest.approx(0.030, abs=5e-4)
    assert stats.minimum_detectable(0.245 / 38**0.5, 37) == pytest.approx(0.11, abs=5e-3)


@pytest.mark.parametrize("df", [2.5, 4, 12, 60])
def test_power_is_that_of_the_noncentral_t(df):
    from scipy.stats import nct
    from scipy.stats import t as student

    edge = student.ppf(0.975, df)
    for shift in (1.0, 2.5, 4.0):
        found = stats._powers(np.array([shift]), df, stats.ALPHA)[0]
        assert found == pytest.approx(nct.sf(edge, df, shift) + nct.cdf(-edge, df, shift), abs=2e-3)
    shift = stats.minimum_detectable(2.0, df) / 2.0
    assert nct.sf(edge, df, shift) + nct.cdf(-edge, df, shift) == pytest.approx(0.8, abs=3e-3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
@settings(max_examples=8, deadline=None)  # statsmodels collects garbage at every call
def test_holm_is_that_of_statsmodels(p):
    from statsmodels.stats.multitest import multipletests

    assert np.allclose(stats.holm(p), multipletests(p, method="holm")[1])
    assert np.allclose(stats.holm(p, [3.0] * len(p)), stats.holm(p))


def test_weighted_holm_by_hand():
    # The heavy one stands first by p / weight, 0.02 / 2, against all the weight: 0.01 * 4; then the others without it.
    assert stats.holm([0.03, 0.02, 0.5], [1, 2, 1]) == pytest.approx([0.06, 0.04, 0.5])
    assert stats.holm([]) == []


def test_one_seed_and_equal_weights_give_the_paired_t_test():
    from scipy.stats import ttest_1samp

    d = np.random.default_rng(1).normal(0.1, 1, (1, 30))
    e = paired_difference(d)
    want = ttest_1samp(d[0], 0)
    assert stats.t_test(e.value, e.se, e.df) == pytest.approx(want.pvalue)
    assert (e.low, e.high) == pytest.approx(tuple(want.confidence_interval(0.95)))
    assert paired_difference(d, np.full(30, 7.0)).se == pytest.approx(e.se)


def test_a_weighted_mean_is_a_ratio_of_sums():
    rng = np.random.default_rng(2)
    bits, size = rng.normal(100, 10, (3, 20)), rng.uniform(10, 200, 20)
    assert stats.crossed(bits / size, size).mean == pytest.approx(bits.sum() / (3 * size.sum()))


def test_missing_items_are_left_out():
    d = np.random.default_rng(3).normal(0, 1, (3, 12))
    d[1, 4] = np.nan
    assert paired_difference(d).n == 11
    assert paired_difference(d, np.arange(1.0, 13)) == paired_difference(
        np.delete(d, 4, 1), np.delete(np.arange(1.0, 13), 4)
    )


def test_equivalence_is_two_one_sided_tests():
    from scipy.stats import t as student

    assert stats.equivalence_test(0.01, 0.004, 9, 0.02) == pytest.approx(student.sf(2.5, 9))
    assert stats.equivalence_test(-0.03, 0.004, 9, 0.02) > 0.5
    assert stats.equivalence_test(0.0, 0.0, 9, 0.02) == 0 and stats.t_test(0.0, 0.0, 9) == 1


def _worlds(rng, runs, seeds, items, sd_item, sd_seed, sd_rest, weights):
    """Crossed differences with mean 0 [seeds, items], heavy-tailed items, less noise for longer ones."""
    for _ in range(runs):
        w = rng.lognormal(0, 0.6, items) if weights else np.ones(items)
        item = rng.standard_t(3, items) / 3**0.5 * sd_item * w**-0.25
        yield item + rng.normal(0, sd_seed, (seeds, 1)) + rng.normal(0, sd_rest, (seeds, items)), w


@pytest.mark.parametrize(
    ("seeds", "items", "sd_seed", "weights"),
    [(5, 40, 0.0, False), (5, 40, 0.1, True), (4, 120, 0.05, False), (4, 80, 0.2, True), (8, 60, 0.3, False)],
)
def test_coverage_of_the_t_interval(seeds, items, sd_seed, weights):
    rng = np.random.default_rng(4)
    found = [paired_difference(d, w) for d, w in _worlds(rng, 2000, seeds, items, 0.5, sd_seed, 0.5, weights)]
    inside = np.mean([e.low <= 0 <= e.high for e in found])
    assert 0.93 <= inside <= 0.97, inside


def test_three_silent_seeds_and_few_long_tailed_items_are_on_the_safe_side():
    rng = np.random.default_rng(4)
    found = [paired_difference(d, w) for d, w in _worlds(rng, 2000, 3, 25, 0.5, 0.0, 0.5, True)]
    assert 0.95 <= np.mean([e.low <= 0 <= e.high for e in found]) <= 0.985


@pytest.mark.parametrize("quality", [0.0, 0.6, 0.95])
def test_prediction_powered_mean_holds_the_truth_and_saves(quality):
    rng = np.random.default_rng(7)
    inside, saving = [], []
    for _ in range(800):
        truth = rng.normal(0.5, 0.2, 400)
        cheap = 0.1 + quality * truth + (1 - quality**2) ** 0.5 * rng.normal(0, 0.2, 400)
        e = stats.prediction_powered(truth[:60], cheap[:60], cheap[60:])
        inside.append(e.low <= 0.5 <= e.high)
        saving.append(e.saving)
    assert 0.93 <= np.mean(inside) <= 0.97
    # What theory says of the best weight: 1 - r^2 N / (n + N) of the variance is left.
    assert np.median(saving) == pytest.approx(1 / (1 - quality**2 * 340 / 400), rel=0.12)


def test_a_worthless_judge_costs_nothing():
    y = np.random.default_rng(8).normal(0, 1, 50)
    e = stats.prediction_powered(y, np.ones(50), np.ones(300))
    assert e.tuning == 0 and e.value == pytest.approx(y.mean()) and e.saving == pytest.approx(1)
