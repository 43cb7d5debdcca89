"""Small statistics, each with its source. Arrays in, plain values out; nothing here knows of abilities or files.

Scores lie in a matrix [seeds, items]: an item is answered once by the model of each seed. Both are samples, of the
prompts one could have asked and of the runs one could have made, and they are crossed: every item meets every seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

ALPHA = 0.05  # two-sided error of every claim, before looks and abilities share it
POWER = 0.8  # a minimum detectable effect is one that would be seen so often


@dataclass(frozen=True)
class Crossed:
    """A weighted mean of [seeds, items] and what its error is made of.

    item_var: variance of the mean from the choice of items (and from item-by-seed noise, averaged over the seeds).
    item_df: degrees of freedom of item_var. seed_means: [seeds]. noise: the variance of one seed's mean that
    item-by-seed noise alone explains; what the seed means vary beyond it is the seeds' own.
    """

    mean: float
    item_var: float
    item_df: float
    seed_means: np.ndarray
    noise: float
    n: int

    @property
    def seeds(self) -> int:
        return len(self.seed_means)

    @property
    def spread(self) -> float:
        """Variance of the seed means, df = seeds - 1; nan with one seed."""
        return float(np.var(self.seed_means, ddof=1)) if self.seeds > 1 else float("nan")


def crossed(values: np.ndarray, weights: np.ndarray | None = None) -> Crossed:
    """Mean and variance parts of values [seeds, items], at least two items, none missing.

    With weights [items] the mean is a ratio of sums (bits over bytes), linearised; squared residuals are divided by
    1 - leverage and the degrees of freedom match the first two moments of the variance (HC2 with the correction of
    Bell and McCaffrey 2002; Imbens and Kolesar 2016). Equal weights give the two-way random-effects analysis of
    variance: item_var = MS(items) / (n S) with n - 1 degrees of freedom (Searle, Casella and McCulloch 1992, ch. 4).
    """
    values = np.atleast_2d(np.asarray(values, float))
    seeds, n = values.shape
    share = np.full(n, 1 / n) if weights is None else np.asarray(weights, float) / np.sum(weights)
    seed_means = values @ share
    mean = float(seed_means.mean())
    item_means = values.mean(0)
    factor = share**2 / np.maximum(1 - share, 1e-12)
    item_var = float(factor @ (item_means - mean) ** 2)
    rest = values - item_means - (seed_means - mean)[:, None]
    noise = float((rest**2 @ factor).sum() / (seeds - 1)) if seeds > 1 else 0.0
    return Crossed(mean, item_var, _leverage_df(share, factor), seed_means, noise, n)


def by_cluster(values: np.ndarray, weights: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of clusters [seeds, clusters] and the clusters' weights [clusters], of values [seeds, items] with weights
    and codes of clusters [items]. Items that share a passage are no independent draws: `crossed` of these is the
    interval of the same mean, robust to whatever they share (Liang and Zeger 1986; for evaluations Miller, arXiv
    2411.00640)."""
    codes = np.unique(cluster, return_inverse=True)[1]
    sizes = np.bincount(codes, weights)
    return np.stack([np.bincount(codes, row * weights) for row in np.atleast_2d(values)]) / sizes, sizes


def effective_n(weights: np.ndarray, alone: Crossed, clustered: Crossed | None = None) -> float:
    """How many independent items of equal weight would say as much: Kish's number, divided by how much wider clusters
    make the variance."""
    kish = float(np.sum(weights) ** 2 / np.sum(np.square(weights)))
    if clustered is None:
        return kish
    known = alone.item_var > 0 and clustered.item_var > 0
    return kish / max(1.0, clustered.item_var / alone.item_var if known else alone.n / clustered.n)


def if_one_moved(found: Crossed) -> Crossed:
    """The same; where no item moved at all, as if one in n had: n quiet items leave room for some (the rule of three
    says up to 3 / n; Hanley and Lippman-Hand 1983). For values on a scale from 0 to 1."""
    still = found.item_var < 1e-18  # rounding
    return replace(found, item_var=1 / found.n**2) if still else found


def _leverage_df(share: np.ndarray, factor: np.ndarray) -> float:
    """Degrees of freedom of sum(factor * residual**2) when residuals are those of a mean with these shares."""
    two = share @ share
    p0, p1, p2 = factor.sum(), factor @ share, factor @ share**2
    first = factor @ (1 - 2 * share + two)
    second = factor**2 @ ((1 - 2 * share + two) ** 2 - (two - 2 * share) ** 2)
    second += p0**2 * two**2 + 2 * p0 * p2 - 4 * two * p0 * p1 + 2 * p1**2
    return float(first**2 / second)


def error_of(x: Crossed) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a crossed mean: items plus seeds (Searle et al. 1992; for language-model
    evaluation: Miller, arXiv 2411.00640, which clusters one way). The seeds' own part is what their means vary beyond
    item-by-seed noise, at least 0; with one seed it holds for that run only."""
    return combined([(x.item_var, x.item_df)], *of_seeds(x.seed_means, x.noise))


def of_seeds(seed_means: np.ndarray, noise: float) -> tuple[float, float, float]:
    """What seeds add to the variance of a mean, as `combined` takes it, given each seed's mean and how much
    item-by-seed noise alone makes these vary: nothing with one seed, or where they vary no more than that."""
    seeds = len(seed_means)
    spread = float(np.var(seed_means, ddof=1)) if seeds > 1 else 0.0
    own = max(0.0, spread - noise)
    return (own / seeds, spread / seeds, seeds - 1) if own else (0.0, 0.0, 0.0)


def combined(
    items: Sequence[tuple[float, float]], own: float = 0.0, spread: float = 0.0, seed_df: float = 0.0
) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a mean (Satterthwaite 1946). items: its variance from items, in parts,
    each with its degrees of freedom. The seeds' part is `own`, but it is known only as well as `spread`, from which
    noise was subtracted."""
    var = sum(v for v, _ in items) + own
    below = sum(v**2 / df for v, df in items if v) + (spread**2 / seed_df if seed_df > 0 else 0.0)
    return float(np.sqrt(var)), float(var**2 / below) if below > 0 else float("inf")


def t_interval(value: float, se: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Student's interval around a value."""
    half = _t_quantile(0.5 + level / 2, df) * se
    return value - half, value + half


def t_test(value: float, se: float, df: float, null: float = 0.0) -> float:
    """Two-sided p of "the value is `null`". Without any variance: 1 where it is, 0 where it is not."""
    if se == 0:
        return float(value == null)
    return 2 * _t_tail(abs(value - null) / se, df)


def equivalence_test(value: float, se: float, df: float, margin: float) -> float:
    """p of "the value lies outside -margin..margin": the larger of two one-sided tests (Schuirmann 1987)."""
    if se == 0:
        return 0.0 if abs(value) < margin else 1.0
    return max(_t_tail((margin - value) / se, df), _t_tail((margin + value) / se, df))


def special() -> Any:
    """scipy.special, imported where it is used: commands without statistics start without it."""
    from scipy import special

    return special


def _t_quantile(p: float, df: float) -> float:
    return float(special().ndtri(p) if df > 1e6 else special().stdtrit(df, p))


def _t_tail(t: float, df: float) -> float:
    return float(special().ndtr(-t) if df > 1e6 else special().stdtr(df, -t))


def holm(p: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """p values adjusted for being several, so that any false claim at all has the nominal probability (Holm 1979; with
    weights, a larger share of the error for some: his section 4).
    statsmodels' multipletests gives the same, unweighted, and collects garbage at each call, a tenth of a second."""
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, float)
    ratio = np.asarray(p, float) / weight
    order = np.argsort(ratio, kind="stable")
    left = np.cumsum(weight[order][::-1])[::-1]  # the weight of the hypotheses not yet rejected
    out = np.empty(len(order))
    out[order] = np.minimum(np.maximum.accumulate(ratio[order] * left), 1.0)
    return [float(x) for x in out]


@lru_cache
def spending_levels(
    fractions: tuple[float, ...], alpha: float = ALPHA, past: tuple[float, ...] = ()
) -> tuple[float, ...]:
    """The two-sided level of each look at information `fractions` (rising, the last is 1), so that all looks together
    err with probability alpha. `past`: the levels of the first looks, which were made already; what they left of alpha
    is spent over the others.

    Lan and DeMets (1983): each side spends 2 - 2 Phi(z(1 - alpha / 4) / sqrt(t)), O'Brien and Fleming's shape. The
    boundary of each look follows from the density of paths that crossed none before (Armitage, McPherson and Rowe
    1969).
    """
    ndtr, ndtri = special().ndtr, special().ndtri
    from scipy.optimize import brentq

    spent = [2 * ndtr(ndtri(alpha / 4) / np.sqrt(t)) for t in fractions]
    levels: list[float] = []
    before, grid, density = 0.0, np.zeros(1), np.ones(1)
    last, end, fixed = 0.0, alpha / 2, (0.0, 0.0)  # what the past looks spent of one side, and would have by this plan
    for number, (t, total) in enumerate(zip(fractions, spent)):
        step = np.sqrt(t - last)

        def crossing(b: float, t: float = t, step: float = step, grid: Any = grid, density: Any = density) -> float:
            return float(density @ ndtr((grid - b * np.sqrt(t)) / step))

        if number < len(past):
            bound = -float(ndtri(past[number] / 2))
            before += crossing(bound)
            fixed = before, total
        else:
            target = fixed[0] + max(0.0, end - fixed[0]) * (total - fixed[1]) / (end - fixed[1])
            wanted = target - before
            bound = brentq(lambda b, w=wanted: crossing(b) - w, 0.0, 12.0) if wanted > 1e-12 else 12.0
            before = max(before, target)
        edge = bound * np.sqrt(t)
        points, mass = _gauss(120)
        new = points * edge
        kernel = np.exp(-0.5 * ((new[:, None] - grid) / step) ** 2) / (step * np.sqrt(2 * np.pi))
        density, grid = (kernel @ density) * mass * edge, new
        levels.append(float(2 * ndtr(-bound)))
        last = t
    return tuple(levels)


@lru_cache
def _gauss(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in -1..1 and weights of Gauss-Legendre quadrature."""
    return np.polynomial.legendre.leggauss(points)


def _powers(shift: np.ndarray, df: float, alpha: float) -> np.ndarray:
    """Power at several effects, in standard errors. The noncentral t as a normal shift over a chi, averaged over 40
    quantiles of the chi (Gauss-Legendre): no region where it breaks down, as the series have."""
    chdtri, ndtr = special().chdtri, special().ndtr
    edge = _t_quantile(1 - alpha / 2, df)
    points, mass = _gauss(40)
    chi = np.sqrt(chdtri(df, (1 + points) / 2) / df) if df < 1e4 else np.ones(40)
    return (ndtr(shift[:, None] - edge * chi) + ndtr(-shift[:, None] - edge * chi)) @ mass / 2


def minimum_detectable(se: float, df: float, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """The effect that a two-sided t test at alpha sees with the wanted power; se in the effect's unit."""
    edge = _t_quantile(1 - alpha / 2, df)
    # Between the boundary itself (power about a half) and twice that and more; the power rises nearly straight there.
    shift = np.linspace(0.5 * edge, 2 * edge + 4, 40)
    return se * float(np.interp(wanted, _powers(shift, df, alpha), shift))


@dataclass(frozen=True)
class PredictionPowered:
    """A mean from a few strong labels and many cheap ones. tuning: weight of the cheap ones, 0..1. saving: strong
    labels that plain averaging would need for the same error, per one that was used."""

    value: float
    se: float
    low: float
    high: float
    tuning: float
    saving: float


def prediction_powered(
    strong: np.ndarray, cheap: np.ndarray, cheap_alone: np.ndarray, level: float = 0.95
) -> PredictionPowered:
    """Mean of strong labels [n] with cheap ones of the same items [n] and of other items [N], none missing, n and N >=
    2.

    Unbiased whatever the cheap labels are worth (Angelopoulos et al., Science 2023, arXiv 2301.09633); `tuning` is the
    variance-optimal weight (Angelopoulos, Duchi and Zrnic, PPI++, arXiv 2311.01453), kept within 0..1.
    """
    y, f, g = (np.asarray(x, float) for x in (strong, cheap, cheap_alone))
    n, many = len(y), len(g)
    spread = np.concatenate([f, g]).var(ddof=1)
    best = np.cov(y, f)[0, 1] / ((1 + n / many) * spread) if spread > 0 else 0.0
    tuning = float(np.clip(best, 0, 1))
    value = float(y.mean() + tuning * (g.mean() - f.mean()))
    var = (y - tuning * f).var(ddof=1) / n + tuning**2 * g.var(ddof=1) / many
    low, high = t_interval(value, float(np.sqrt(var)), n - 1, level)
    saving = float(y.var(ddof=1) / n / var) if var > 0 else 1.0
    return PredictionPowered(value, float(np.sqrt(var)), low, high, tuning, saving)
