"""How far people agree beyond chance, and shares of a sample with their intervals. Counts in, plain values out.

A table of ratings is counts [items, categories]: how many raters put an item in a category. Raters need not be the same
for every item; items with one rating say nothing about agreement and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instdata.util.stats import ALPHA, special

RESAMPLES = 1000  # of items, for the interval of a coefficient


@dataclass(frozen=True)
class Share:
    """A share with its interval; nan where nothing was looked at. n: how many were."""

    value: float
    low: float
    high: float
    n: int

    @property
    def width(self) -> float:
        return self.high - self.low


def wilson(hits: int, n: int, population: int | None = None, level: float = 1 - ALPHA) -> Share:
    """A share of n with Wilson's score interval (1927). population: how many there are in all; a sample that holds much
    of them is worth more, by the finite population factor (Cochran 1977, 2.6), and one that holds all has no error
    left."""
    if n == 0:
        return Share(float("nan"), 0.0, 1.0, 0)
    p = hits / n
    if population is not None and n >= population:
        return Share(p, p, p, n)
    worth = float(n) if population is None else n * (population - 1) / (population - n)
    z2 = float(special().ndtri(0.5 + level / 2)) ** 2
    middle = (p + z2 / (2 * worth)) / (1 + z2 / worth)
    half = np.sqrt(z2 * (p * (1 - p) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return Share(p, float(max(0.0, min(p, middle - half))), float(min(1.0, max(p, middle + half))), n)


def stratified(shares: Sequence[Share], sizes: Sequence[int]) -> Share:
    """The share of a population from its strata's, weighted by their sizes. Its interval puts the strata's together
    (MOVER: Zou, Huang and Zhang 2009, Comput. Stat. Data Anal. 53:1080): right where a stratum has no hit, as Wald's is
    not. A stratum of which nothing was seen counts with its whole range, at a half."""
    weight = np.asarray(sizes, float) / max(1, sum(sizes))
    p = np.array([0.5 if s.n == 0 else s.value for s in shares])
    down = np.array([x - s.low for x, s in zip(p, shares)])
    up = np.array([s.high - x for x, s in zip(p, shares)])
    n = sum(s.n for s in shares)
    if not n:
        return Share(float("nan"), 0.0, 1.0, 0)
    value = float(weight @ p)
    low, high = value - np.sqrt((weight**2) @ down**2), value + np.sqrt((weight**2) @ up**2)
    return Share(value, float(max(0.0, low)), float(min(1.0, high)), n)


def coefficients(counts: np.ndarray, level: float = 1 - ALPHA) -> dict[str, float | int | None]:
    """{items, percent, krippendorff, ac1}, and `<name>_low` and `_high` of each: agreement of counts [items,
    categories].

    percent: the mean over items of the share of pairs of raters that agree. krippendorff: alpha for nominal data
    (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"). ac1: Gwet (2008, BJMSP 61:29), steady where
    nearly all say the same. Intervals: percentile bootstrap over items, from a fixed seed. None: not defined (all said
    one thing, or no item has two ratings)."""
    counts = np.asarray(counts, float)
    counts = counts[counts.sum(1) >= 2]
    items = len(counts)
    if not items:
        return {"items": 0, **{n + end: None for n in ("percent", "krippendorff", "ac1") for end in ENDS}}
    found: dict[str, float | int | None] = {"items": items}
    drawn = np.random.default_rng(0).multinomial(items, np.full(items, 1 / items), RESAMPLES)
    each = _coefficients(counts, np.ones((1, items)))
    many = _coefficients(counts, drawn)
    for name in each:
        found |= _interval(name, float(each[name][0]), many[name], level)
    return found


ENDS = ("", "_low", "_high")


def _interval(name: str, value: float, drawn: np.ndarray, level: float) -> dict[str, float | None]:
    """A coefficient with its percentile interval; None where it is not defined."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(drawn) < RESAMPLES / 2:
        return {name: value if np.isfinite(value) else None, f"{name}_low": None, f"{name}_high": None}
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def _coefficients(counts: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each coefficient for several weightings [resamples, items] of the items; nan where it is not defined."""
    raters = counts.sum(1)
    agree = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))  # [items]
    percent = weights @ agree / weights.sum(1)
    # Krippendorff: observed over expected disagreement of pairable values, an item's pairs weighing 1 / (raters - 1).
    values = weights @ counts  # [resamples, categories]
    n = values.sum(1)
    same = weights @ ((counts * (counts - 1)).sum(1) / (raters - 1))
    observed = n - same
    expected = (n**2 - (values**2).sum(1)) / np.maximum(n - 1, 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.where(expected > 0, 1 - observed / expected, np.nan)
        share = (weights @ (counts / raters[:, None])) / weights.sum(1, keepdims=True)
        chance = (share * (1 - share)).sum(1) / max(1, counts.shape[1] - 1)
        ac1 = np.where(chance < 1, (percent - chance) / (1 - chance), np.nan)
    return {"percent": percent, "krippendorff": alpha, "ac1": ac1}


def cohen(pairs: np.ndarray) -> float | None:
    """Cohen's kappa (1960) of a table [categories, categories] of two raters; None where both always said the same one
    thing, which leaves it undefined."""
    table = np.asarray(pairs, float)
    n = table.sum()
    if not n:
        return None
    chance = float(table.sum(1) @ table.sum(0)) / n**2
    return None if chance >= 1 else float((np.trace(table) / n - chance) / (1 - chance))
