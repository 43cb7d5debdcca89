"""A law of mixtures: what an ability gains from its own rows, and from all others as so many effective rows of its own.

    score_a = level_a + slope_a * log2(own_a + t * (others)),   one t in 0..1 for all abilities

t = 0: no transfer; t = 1: rows are worth as much whatever they teach, and then no mixture is better than another. A
ladder, in which all abilities grow together, cannot tell the two; runs of equal cost and different mixtures can. The
form is that of D-CPT (Que et al. 2024), data mixing laws (Ye et al. 2025) and, for fine-tuning, Li et al. 2025, with
fewer parameters: a handful of runs carries no more.

Half of the runs and half of the items choose a mixture; the other halves, which had no part in the choice, say what it
is worth. So the interval does not suffer from having chosen the best of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instdata.grow.allocate import allocate
from instdata.util import stats
from instdata.util.errors import InputError

TRANSFER = (0.0, 0.03, 0.1, 0.3, 0.6)  # the values of t that are tried; 1 is the law without slopes
POINTS = 200  # of each ability's grid, when a mixture is chosen


@dataclass(frozen=True)
class MixtureRuns:
    """Runs of equal cost. tokens [runs, abilities]: supervised tokens of each ability. mixture [runs]: which mixture.
    chooses [runs]: whether the run is of the half that chooses. values: for each ability its items' scores [runs,
    items], more is better, the items in the order of their ids, NaN where missing; weights: for each ability, of its
    items."""

    abilities: Sequence[str]
    tokens: np.ndarray
    mixture: np.ndarray
    chooses: np.ndarray
    values: Sequence[np.ndarray]
    weights: Sequence[np.ndarray]

    def half(self, chooses: bool) -> MixtureRuns:
        """One half: of the runs, and of every ability's items (each second one)."""
        at, first = self.chooses == chooses, 0 if chooses else 1
        values, weights = [], []
        for v, w in zip(self.values, self.weights):
            kept = np.flatnonzero(np.isfinite(v).all(0) & (w > 0))[first::2]
            values.append(v[np.ix_(at, kept)])
            weights.append(w[kept])
        return MixtureRuns(self.abilities, self.tokens[at], self.mixture[at], self.chooses[at], values, weights)

    @property
    def means(self) -> np.ndarray:
        """[runs, abilities]"""
        return np.stack([v @ (w / w.sum()) for v, w in zip(self.values, self.weights)], 1)


def effective(tokens: np.ndarray, total: np.ndarray | float, transfer: float) -> np.ndarray:
    """log2 of effective tokens for own ones and their run's total."""
    return np.log2(np.maximum(tokens + transfer * (total - tokens), 1.0))


@dataclass(frozen=True)
class Law:
    """Slopes [abilities] of a score by the doubling of effective tokens, shrunk towards 0 by what noise alone would
    make of them (empirical Bayes); t. held_out: the share of the scores' spread over mixtures that the law foretells of
    a mixture that it has not seen (1 less the ratio of squared errors to those of the mean; below 0: the mean foretells
    better)."""

    slopes: np.ndarray
    transfer: float
    held_out: float


def fit_law(runs: MixtureRuns) -> Law:
    """The law of a half's runs. t is the one with the least error left, every ability's in units of its own spread.
    Raises InputError for fewer than four mixtures."""
    if len(set(runs.mixture.tolist())) < 4:
        raise InputError("a law of mixtures needs four of them at least: say --mixtures 6 or more")
    y, total = runs.means, runs.tokens.sum(1, keepdims=True)
    spread = np.maximum(y.var(0, ddof=1), 1e-18)
    fits = []
    for t in TRANSFER:
        slopes, rest, var = _lines(effective(runs.tokens, total, t), y)
        fits.append((float((rest**2 / spread).sum()), t, slopes, var))
    _, transfer, slopes, var = min(fits, key=lambda f: (f[0], f[1]))
    x = effective(runs.tokens, total, transfer)
    signal = max(0.0, float(np.mean(slopes**2 - var)))
    shrunk = slopes * signal / np.maximum(signal + var, 1e-18)
    return Law(shrunk, transfer, _foretold(x, y, runs.mixture, spread))


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(slopes [abilities], residuals [runs, abilities], the slopes' variances) of least squares, ability by ability."""
    xc, yc = x - x.mean(0), y - y.mean(0)
    sxx = np.maximum((xc**2).sum(0), 1e-18)
    slopes = (xc * yc).sum(0) / sxx
    rest = yc - xc * slopes
    return slopes, rest, (rest**2).sum(0) / max(len(y) - 2, 1) / sxx


def _foretold(x: np.ndarray, y: np.ndarray, mixture: np.ndarray, spread: np.ndarray) -> float:
    by_law = by_mean = 0.0
    for m in np.unique(mixture):
        out = mixture == m
        slopes, _, _ = _lines(x[~out], y[~out])
        mean = y[~out].mean(0)
        by_law += float((((y[out] - mean - (x[out] - x[~out].mean(0)) * slopes) ** 2) / spread).sum())
        by_mean += float((((y[out] - mean) ** 2) / spread).sum())
    return 1 - by_law / by_mean if by_mean > 0 else 0.0


def best_mixture(law: Law, low: np.ndarray, high: np.ndarray, budget: int, start: np.ndarray) -> np.ndarray | None:
    """Tokens of each ability [abilities] that the law likes best: `budget` in all, each between what some run had least
    and most of, so that nothing is extrapolated. `start`: shares by which rows that change nothing are given out. None
    where the law shows no slope."""
    if not (law.slopes > 0).any():
        return None
    floor, ceiling = np.floor(low).astype(np.int64), np.floor(high).astype(np.int64)
    gains = {}
    for i, slope in enumerate(law.slopes):
        grid = np.unique(np.linspace(floor[i], max(ceiling[i], floor[i]), POINTS))
        gains[f"{i:06d}"] = (grid, max(slope, 0.0) * effective(grid, float(budget), law.transfer))
    found = np.array(list(allocate(gains, max(budget, int(floor.sum()))).values()), float)
    left = budget - found.sum()
    room = np.maximum(ceiling - found, 0.0)
    while left > 1 and room.sum() > 1:  # rows that no slope asks for, by their present share, as far as there is room
        add = np.minimum(room, left * start * (room > 0) / max(float((start * (room > 0)).sum()), 1e-12))
        found, left, room = found + add, left - add.sum(), room - add
    return found


@dataclass(frozen=True)
class Gain:
    """What moving from one mixture to another changes of the mean score, with its 95 % interval."""

    value: float
    low: float
    high: float
    by_ability: np.ndarray


def gain(judges: MixtureRuns, to: np.ndarray, origin: np.ndarray) -> Gain:
    """The gain of tokens `to` over `origin` [abilities], from runs and items that had no part in choosing.

    At equal cost an ability's score is a function of its own tokens alone, whatever transfers: here a parabola in their
    logarithm, which follows the law for any t and a curve that saturates, and so does not owe its truth to the law. The
    variance has two parts: items, and runs, whose noise is correlated over abilities (one run, one model): with the
    residuals' covariance S and the estimate's weights W it is tr(W S), with nu tr(W S)^2 / tr(W S W S) degrees of
    freedom."""
    y, x = judges.means, np.log2(np.maximum(judges.tokens, 1.0))
    nu, count = len(y) - 3, y.shape[1]
    if nu < 2:
        raise InputError("a gain with an interval needs five runs that judge, at least: more --mixtures or --seeds")
    lever, rest, parts = np.zeros_like(y), np.zeros_like(y), np.zeros(count)
    items, noise = [], 0.0
    for i, (values, weights) in enumerate(zip(judges.values, judges.weights)):
        middle = x[:, i].mean()
        design = np.stack([np.ones(len(y)), x[:, i] - middle, (x[:, i] - middle) ** 2], 1)
        inverse = np.linalg.pinv(design)
        ends = np.log2(np.maximum([to[i], origin[i]], 1.0)) - middle
        change = np.array([0.0, ends[0] - ends[1], ends[0] ** 2 - ends[1] ** 2])
        lever[:, i] = change @ inverse / count  # the estimate is the sum of lever * y
        rest[:, i] = y[:, i] - design @ (inverse @ y[:, i])
        parts[i] = count * lever[:, i] @ y[:, i]
        share = weights / weights.sum()
        each = lever[:, i] @ values
        factor = share**2 / np.maximum(1 - share, 1e-12)
        items.append((float((each - each @ share) ** 2 @ factor), max(1.0, len(share) - 1.0)))
        own = values - design @ (inverse @ values) - rest[:, [i]]
        noise += float((own**2 @ factor).sum()) / nu * float((lever[:, i] ** 2).sum())
    product = (lever.T @ lever) @ (rest.T @ rest / nu)
    spread = float(np.trace(product))
    df = nu * spread**2 / max(float((product * product.T).sum()), 1e-300)
    own_runs = max(0.0, spread - noise)
    se, free = stats.combined(items, own_runs, spread, max(df, 1.0)) if own_runs else stats.combined(items)
    low, high = stats.t_interval(float(parts.mean()), se, free)
    return Gain(float(parts.mean()), low, high, parts)
