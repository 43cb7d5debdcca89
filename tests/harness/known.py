"""The plain case by which intervals are checked: one mean of paired differences, out of the parts of util/stats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instdata.util.stats import crossed, error_of, t_interval


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, degrees of freedom and interval."""

    value: float
    se: float
    df: float
    low: float
    high: float
    n: int
    seeds: int


def paired_difference(differences: np.ndarray, weights: np.ndarray | None = None, level: float = 0.95) -> Estimate:
    """The mean of paired differences [seeds, items] with a t interval clustered by item and by seed.

    Variance: items plus seeds (Searle et al. 1992; for language-model evaluation: Miller, arXiv 2411.00640, which
    clusters one way). The seeds' own part is what their means vary beyond item-by-seed noise, at least 0. With one seed
    the interval holds for that run only. Missing (NaN) items are left out.
    """
    kept = np.isfinite(np.atleast_2d(differences)).all(0)
    x = crossed(np.atleast_2d(differences)[:, kept], None if weights is None else weights[kept])
    se, df = error_of(x)
    return Estimate(x.mean, se, df, *t_interval(x.mean, se, df, level), x.n, x.seeds)
