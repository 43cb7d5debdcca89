"""Agreement and shares, against other implementations and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from instdata.util.agreement import Share, coefficients, cohen, stratified, wilson


@given(st.integers(1, 400), st.data())
def test_wilson_is_statsmodels(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    low, high = proportion_confint(hits, n, 0.05, "wilson")
    found = wilson(hits, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_a_sample_that_is_all_there_is_has_no_error() -> None:
    assert wilson(3, 4, 4) == Share(0.75, 0.75, 0.75, 4)
    assert wilson(30, 40, 50).width < wilson(30, 40, 5000).width < wilson(30, 40).width + 1e-9
    assert wilson(0, 0).width == 1


def test_strata_weigh_by_size() -> None:
    found = stratified([wilson(9, 10, 900), wilson(1, 10, 100)], [900, 100])
    assert found.value == pytest.approx(0.82) and found.low < 0.82 < found.high and found.n == 20
    # A stratum that nobody looked at widens the whole.
    assert stratified([wilson(9, 10, 900), wilson(0, 0, 100)], [900, 100]).width > found.width


def test_the_interval_covers() -> None:
    """Of samples from strata whose shares are known, about 95 % of the intervals hold the whole's share."""
    rng, sizes, truth = np.random.default_rng(0), [500, 300, 50], [0.97, 0.6, 0.1]
    whole = float(np.average(truth, weights=sizes))
    hits = 0
    for _ in range(400):
        shares = []
        for size, p in zip(sizes, truth):
            n = min(30, size)
            shares.append(wilson(int(rng.hypergeometric(round(size * p), size - round(size * p), n)), n, size))
        found = stratified(shares, sizes)
        hits += found.low <= whole <= found.high
    assert hits >= 0.93 * 400


@given(st.lists(st.integers(0, 30), min_size=9, max_size=9))
def test_kappa_is_statsmodels(cells: list[int]) -> None:
    table = np.array(cells).reshape(3, 3)
    found = cohen(table)
    if found is None:
        assert (table > 0).sum() <= 1
    else:
        assert found == pytest.approx(cohens_kappa(table).kappa, abs=1e-9)


def test_krippendorffs_own_example() -> None:
    """Four coders, twelve units, missing values: nominal alpha is 0.743 (Krippendorff 2011, section C)."""
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    counts = np.array([[sum(r[i] == k for r in rows) for k in range(1, 6)] for i in range(12)])
    assert coefficients(counts)["krippendorff"] == pytest.approx(0.743, abs=0.001)


def test_gwets_own_example() -> None:
    """118 agreed absent, 2 agreed present, 5 apart (Gwet 2002, table 2): kappa 0.43, AC1 0.95."""
    counts = np.array([[2, 0]] * 118 + [[0, 2]] * 2 + [[1, 1]] * 5)
    found = coefficients(counts)
    assert found["percent"] == pytest.approx(0.96)
    assert found["ac1"] == pytest.approx(0.9568, abs=0.001) and found["ac1_low"] < found["ac1"] < found["ac1_high"]
    assert cohen(np.array([[118, 5], [0, 2]])) == pytest.approx(0.4296, abs=0.01)


def test_what_is_not_defined_is_none() -> None:
    assert coefficients(np.zeros((0, 3)))["percent"] is None
    found = coefficients(np.array([[2, 0, 0]] * 5))
    assert found["percent"] == 1 and found["krippendorff"] is None and found["ac1"] == 1
    assert coefficients(np.array([[1, 0, 0]] * 5))["items"] == 0 and cohen(np.zeros((3, 3))) is None
