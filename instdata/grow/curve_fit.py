"""Growth curves: how an ability's score moves with rows, fitted to cells (one training run each: rows x seed).

Three shapes in x = rows: flat; log-linear, a + b log2 x; saturating, c - a x^-b (a power law with a floor for the
error). AICc chooses, saturating only from five rungs on. Nothing is smoothed. The base model, rows = 0, is left out:
there is no zero on a logarithmic axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from instdata.score.metric import BITS, SCORE
from instdata.util import stats
from instdata.util.errors import InputError

KINDS = {"flat": 1, "log-linear": 2, "saturating": 3}  # and how many parameters each has
SLOPE_RUNGS, SATURATING_RUNGS = 3, 5
EXPONENTS = np.geomspace(0.03, 3.0, 120)  # the grid on which b is searched; c and a follow by least squares
DRAWS = 400
FLAT = 0.25  # of what a doubling brings elsewhere: who grows by less than that does not grow


@dataclass(frozen=True)
class Fit:
    """A fitted curve. slope: change per doubling of rows in the metric's unit, with its 95 % interval; None below three
    rungs. label: growing | saturating | flat | falling | undecided. rows: the rungs; means: their scores [rungs],
    averaged over seeds; cov: variance of `means` [rungs, rungs] with df degrees of freedom."""

    kind: str | None
    label: str
    slope: float | None
    low: float | None
    high: float | None
    rungs: int
    seeds: int
    n: int
    rows: tuple[int, ...]
    means: np.ndarray = field(repr=False)
    cov: np.ndarray = field(repr=False)
    df: float
    aicc: dict[str, float]
    lower_is_better: bool

    @cached_property
    def sampled(self) -> np.ndarray:
        """Rung means as they might have come out [DRAWS, rungs], multivariate t: for intervals of whatever follows from
        the curve. The same every time."""
        rng = np.random.default_rng(0)
        values, vectors = np.linalg.eigh(self.cov)
        noise = rng.standard_normal((DRAWS, self.rungs)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        return self.means + noise / np.sqrt(rng.chisquare(self.df, DRAWS) / self.df)[:, None]

    def predict(self, rows: float) -> tuple[float, float, float]:
        """(value, low, high) of the curve at so many rows, 95 %. Raises InputError where nothing could be fitted."""
        if self.kind is None:
            raise InputError(f"a curve needs {SLOPE_RUNGS} sizes, there are {self.rungs}")
        at = np.array([float(rows)])
        value = float(curve(self.kind, self.rows, self.means, at)[0])
        low, high = np.quantile(curve(self.kind, self.rows, self.sampled, at)[:, 0], [0.025, 0.975])
        return value, float(low), float(high)

    def plain(self) -> dict[str, Any]:
        """The keys of summary.json's fits."""
        return {k: getattr(self, k) for k in ("slope", "low", "high", "kind", "label", "rungs", "seeds", "n", "aicc")}


def fit(
    rows: Sequence[int] | np.ndarray, seeds: Sequence[int] | np.ndarray, values: np.ndarray | Sequence[np.ndarray],
    weights: np.ndarray | Sequence[np.ndarray] | None = None, *, lower_is_better: bool = False,
    margin: float | None = None,
) -> Fit:  # fmt: skip
    """The growth curve of one ability, or of the mean over several.

    rows, seeds: [cells]. values: [cells] means, or [cells, items] scores with weights [items]; or, for the macro mean,
    a list of such, one per ability. Items missing (NaN) in some cell are left out, seeds that lack a rung too. Items
    given, the slope's interval is clustered by item and by seed; means only, by seed alone: it then holds for these
    items. With one seed the scatter around the log-linear line stands in for the seeds. margin: slopes within it are
    flat where a test of equivalence says so; default a quarter of the published growth, which is
    0.019 a doubling for scores, 2 % of the mean for bits (score/metric.py).
    Raises InputError where there is no cell with rows or a seed twice.
    """
    groups = [np.asarray(v, float) for v in (values if isinstance(values, (list, tuple)) else [values])]
    weight: list[Any] = list(weights) if isinstance(weights, (list, tuple)) else [weights] * len(groups)
    rungs, order = _complete(np.asarray(rows), np.asarray(seeds))
    x = np.log2(np.array(rungs, float))
    runs, cov, item_df, noise, items = np.zeros(order.shape), np.zeros((len(x), len(x))), np.inf, 0.0, 0
    for values_, weight_ in zip(groups, weight):
        cube = values_[order][..., None] if values_.ndim == 1 else values_[order]  # [seeds, rungs, items]
        means, part, rest, n, df = _profile(cube, weight_)
        runs, cov, noise = runs + means / len(groups), cov + part / len(groups) ** 2, noise + rest / len(groups) ** 2
        items, item_df = items + n, min(item_df, df)
    return _fitted(rungs, x, runs, cov, item_df, noise, items, lower_is_better, margin)


def _complete(rows: np.ndarray, seeds: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """The rungs, rising, and the cell of each [seeds, rungs], for the seeds that have every rung."""
    cells: dict[int, dict[int, int]] = {}
    for i, (r, s) in enumerate(zip(rows.tolist(), seeds.tolist())):
        if r > 0:
            if r in cells.setdefault(s, {}):
                raise InputError(f"seed {s} has two runs of {r:,} rows: which one is meant?")
            cells[s][r] = i
    rungs = tuple(sorted({r for by_rows in cells.values() for r in by_rows}))
    whole = [s for s in sorted(cells) if len(cells[s]) == len(rungs)]
    if not whole:
        raise InputError("no seed has a run of every size: finish the missing cells first (run it again)")
    return rungs, np.array([[cells[s][r] for r in rungs] for s in whole])


def _profile(cube: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float, int, float]:
    """(means [seeds, rungs], their covariance over items [rungs, rungs], variance of one run's mean from item-by-run
    noise, items, degrees of freedom of the covariance) of scores [seeds, rungs, items]."""
    kept = np.isfinite(cube).all((0, 1))
    cube = cube[..., kept]
    seeds, rungs, n = cube.shape
    if n == 0:
        raise InputError("no item has a score in every run")
    share = (
        np.full(n, 1 / n) if weights is None else np.asarray(weights, float)[kept] / np.sum(np.asarray(weights)[kept])
    )
    means = cube @ share
    if n == 1:
        return means, np.zeros((rungs, rungs)), 0.0, 1, np.inf
    factor = share**2 / np.maximum(1 - share, 1e-12)
    centred = cube.mean(0) - means.mean(0)[:, None]
    rest = cube - cube.mean(0) - (means - means.mean(0))[..., None]
    noise = float((rest**2 @ factor).sum() / ((seeds - 1) * rungs)) if seeds > 1 else 0.0
    return means, (centred * factor) @ centred.T, noise, n, stats.crossed(cube.mean(0), share).item_df


def _fitted(
    rungs: tuple[int, ...], x: np.ndarray, runs: np.ndarray, cov: np.ndarray, item_df: float, noise: float, items: int,
    lower: bool, margin: float | None,
) -> Fit:  # fmt: skip
    """The fit to run means [seeds, rungs]; cov, item_df and noise as in _profile."""
    seeds, count = runs.shape
    means = runs.mean(0)
    if count < SLOPE_RUNGS:
        return Fit(
            None, "undecided", None, None, None, count, seeds, items, rungs, means, cov, float("inf"), {}, lower
        )  # fmt: skip
    line = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    if not lower and np.isfinite(item_df) and line @ cov @ line < 1e-18:  # no item moved: as in stats.if_one_moved
        cov = cov + np.eye(count) / items**2
    spread, free = _scatter(x, runs, line)
    own = max(0.0, spread - noise) / seeds
    level = float(np.var(runs.mean(1), ddof=1)) / seeds if seeds > 1 else 0.0
    total = cov + own * np.eye(count)
    slope, var, item_var = float(line @ means), float(line @ total @ line), float(line @ cov @ line)
    below = item_var**2 / item_df + (spread / seeds * (line @ line)) ** 2 / free
    df = var**2 / below if below > 0 else float(free)
    se = float(np.sqrt(var))
    low, high = stats.t_interval(slope, se, df)
    aicc = _aicc(rungs, runs)
    # A slope that was shown is not called flat for want of cells; too few cells for any AICc: a line.
    shapes = [k for k in aicc if np.isfinite(aicc[k]) and not (k == "flat" and low * high > 0)]
    kind = min(shapes, key=lambda k: (aicc[k], KINDS[k])) if shapes else "log-linear"
    up = (-high, -low) if lower else (low, high)
    published = BITS.doubling * abs(float(means.mean())) if lower else SCORE.doubling
    bound = FLAT * published if margin is None else min(margin, FLAT * published)
    label = "undecided"
    if up[0] > 0:
        label = "saturating" if kind == "saturating" else "growing"
    elif up[1] < 0:
        label = "falling"
    elif stats.equivalence_test(slope, se, df, bound) <= stats.ALPHA:
        label = "flat"
    # The level of the curve is a matter of seeds, too; it moves all rungs together and leaves the slope alone.
    return Fit(kind, label, slope, low, high, count, seeds, items, rungs, means, total + level, df, aicc, lower)


def _scatter(x: np.ndarray, runs: np.ndarray, line: np.ndarray) -> tuple[float, int]:
    """(variance of a run around its rung's mean, its degrees of freedom), seeds' levels taken out; with one seed around
    the log-linear line, so that a bent curve counts as noise."""
    seeds, rungs = runs.shape
    centred = runs - runs.mean(1, keepdims=True)
    if seeds == 1:
        rest = centred[0] - (line @ runs[0]) * (x - x.mean())
        return float(rest @ rest) / (rungs - 2), rungs - 2
    rest = centred - centred.mean(0)
    return float((rest**2).sum()) / ((seeds - 1) * (rungs - 1)), (seeds - 1) * (rungs - 1)


def _aicc(rungs: tuple[int, ...], runs: np.ndarray) -> dict[str, float]:
    """AICc (Hurvich and Tsai 1989) of each shape, fitted to runs with the seeds' levels taken out; infinite where there
    are too few cells for its correction."""
    at = np.array(rungs, float)
    found = {}
    for kind, parameters in KINDS.items():
        if kind == "saturating" and len(rungs) < SATURATING_RUNGS:
            continue
        rest = runs - runs.mean(1, keepdims=True) + runs.mean() - curve(kind, rungs, runs.mean(0), at)
        n, k = runs.size, parameters + runs.shape[0]  # the curve, the noise, and a level for each further seed
        scatter = max(float((rest**2).sum()) / n, 1e-24)
        found[kind] = n * np.log(scatter) + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")
    return found


def curve(kind: str, rungs: Sequence[int], means: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Least squares of a shape to means [..., rungs], evaluated at rows `at` [points]: [..., points]."""
    x, y = np.log2(np.array(rungs, float)), np.asarray(means, float)
    to = np.log2(np.asarray(at, float))
    middle = y.mean(-1, keepdims=True)
    if kind == "flat":
        return np.broadcast_to(middle, (*y.shape[:-1], len(to)))
    if kind == "log-linear":
        line = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
        return middle + (y @ line)[..., None] * (to - x.mean())
    # c - a x^-b: for each b on the grid the rest is a straight line in x^-b; the b with the smallest residual wins.
    basis = 2.0 ** (-EXPONENTS[:, None] * (x - x.min()))  # [grid, rungs]
    centred = basis - basis.mean(1, keepdims=True)
    square = (centred**2).sum(1)
    gain = (y @ centred.T) ** 2 / square  # what each b explains
    best = gain.argmax(-1)
    slope = np.take_along_axis(y @ centred.T / square, best[..., None], -1)
    there = 2.0 ** (-EXPONENTS[best][..., None] * (to - x.min()))
    return middle + slope * (there - basis.mean(1)[best][..., None])
