"""One comparison of two logs' scores of the same items: the effect, what its error is made of, and a family's verdicts.

The unit is an item, or a cluster of items where these share a passage: the mean over clusters, weighted by their items,
is a ratio of sums (util/stats.py). docs/compare.md says what the verdicts rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instdata.compare.effect import FEW
from instdata.compare.sequential_looks import OneLook
from instdata.score.metric import Metric
from instdata.util import stats
from instdata.util.stats import ALPHA


@dataclass(frozen=True)
class Matched:
    """Scores of the same items in two logs, [seeds, items], the seeds matched; NaN is missing. cluster [items]: codes
    of the clusters, None where every item stands alone. weights [items]."""

    a: np.ndarray
    b: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray | None = None


@dataclass(frozen=True)
class Known:
    """A mean difference, its error, and the items, clusters and independent items that it rests on."""

    value: float
    se: float
    df: float
    n: int
    clusters: int
    n_effective: float


@dataclass(frozen=True)
class Verdict:
    """What is known of B against A. None where nothing can be said. why: what kept it undecided, where there is a
    reason. missing: items of both logs without a score in one; they are not in n."""

    n: int
    n_effective: float
    clusters: int | None
    seeds: int
    missing: int
    mean_a: float | None
    mean_b: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_holm: float | None
    mde: float | None
    verdict: str
    why: str | None


def decide(
    pairs: Sequence[Matched], kinds: Sequence[tuple[Metric, float | None]], look: OneLook | None = None
) -> list[Verdict]:
    """Verdicts on pairs that are one family; kinds: the metric of each and its margin (None: equivalence is not
    claimed).

    better or worse: Holm's p over the family is at most ALPHA. equivalent: not that, and two one-sided tests, Holm's
    too, put the effect within the margin. Missing scores may be anything on the scale, so both have to hold for the
    worst that they could be. Pairs of fewer than FEW items, or clusters, are not in the family. look: one of several
    at the same question, whose levels p is scaled to, so that ALPHA is its threshold."""
    level, alike = (look.level, look.same) if look else (ALPHA, ALPHA)
    worlds = [_worlds(p) for p in pairs]
    reason = [_too_few(w[0]) for w in worlds]
    family = [i for i, why in enumerate(reason) if why is None]
    p_of = _adjusted(family, [_unlike(worlds[i]) for i in family], level)
    seen = _adjusted(family, [_unlike(worlds[i][:1]) for i in family], level)
    same = _adjusted(family, [_alike(worlds[i], _margin(pairs[i], *kinds[i])) for i in family], alike)

    def verdict(i: int) -> Verdict:
        pair, (kind, _), known, why = pairs[i], kinds[i], worlds[i][0], reason[i]
        word = "undecided"
        if why is None and p_of[i] <= ALPHA:
            word = "better" if (known.value < 0) == kind.lower_is_better else "worse"
        elif why is None and same[i] <= ALPHA:
            word = "equivalent"
        elif why is None and seen[i] <= ALPHA:
            why = "missing scores"
        kept = _kept(pair)
        lost = int((~kept).sum())
        nothing: dict[str, Any] = dict.fromkeys(("mean_a", "mean_b", "effect", "low", "high", "p_holm", "mde"))
        counts = (known.n, known.n_effective, None if pair.cluster is None else known.clusters, len(pair.a), lost)
        if known.n < 2 or known.clusters < 2:
            return Verdict(*counts, **nothing, verdict=word, why=why)
        mean_a, mean_b = (
            float(np.average(side[:, kept].mean(0), weights=pair.weights[kept])) for side in (pair.a, pair.b)
        )
        low, high = stats.t_interval(known.value, known.se, known.df)
        if unit_scale(pair):
            low, high = max(low, -1.0), min(high, 1.0)
        mde = stats.minimum_detectable(known.se, known.df, level / len(family)) if i in p_of else None
        return Verdict(*counts, mean_a, mean_b, known.value, low, high, p_of.get(i), mde, word, why)

    return [verdict(i) for i in range(len(pairs))]


def unit_scale(pair: Matched) -> bool:
    """Whether all scores lie in 0..1."""
    return all(bool(((side >= 0) & (side <= 1) | np.isnan(side)).all()) for side in (pair.a, pair.b))


def _adjusted(family: list[int], p: list[float], level: float) -> dict[int, float]:
    return dict(zip(family, stats.holm([min(1.0, x * ALPHA / level) for x in p])))


def _too_few(known: Known) -> str | None:
    if known.n < FEW:
        return "too few items"
    return "too few clusters" if known.clusters < FEW else None


def _kept(pair: Matched) -> np.ndarray:
    """Items with a score in every seed of both logs."""
    return np.isfinite(pair.a).all(0) & np.isfinite(pair.b).all(0) & (pair.weights > 0)


def _margin(pair: Matched, kind: Metric, margin: float | None) -> float | None:
    kept = _kept(pair)
    if margin is None or not kind.relative:
        return margin
    return margin * abs(float(np.average(pair.a[:, kept].mean(0), weights=pair.weights[kept])))


def _worlds(pair: Matched) -> list[Known]:
    """What is known from the items with scores, then, where some miss, with these filled in against B and for B: by the
    ends of the scale, 0 and 1, or of what was seen where scores leave that."""
    kept = _kept(pair)
    found = [_known(pair, kept)]
    filled = ~(np.isfinite(pair.a).all(0) & np.isfinite(pair.b).all(0))
    if not filled.any() or found[0].n < 2:
        return found
    every = np.concatenate([pair.a, pair.b])
    least, most = (0.0, 1.0) if unit_scale(pair) else (float(np.nanmin(every)), float(np.nanmax(every)))
    for low, high in ((least, most), (most, least)):  # of B, of A
        a = np.where(np.isnan(pair.a), high, pair.a)
        b = np.where(np.isnan(pair.b), low, pair.b)
        found.append(_known(Matched(a, b, pair.weights, pair.cluster), pair.weights > 0))
    return found


def _known(pair: Matched, kept: np.ndarray) -> Known:
    n = int(kept.sum())
    if n < 2:
        return Known(float("nan"), float("nan"), 1.0, n, n, float(n))
    d, w = (pair.b - pair.a)[:, kept], pair.weights[kept]
    rest = stats.if_one_moved if unit_scale(pair) else lambda x: x
    alone = rest(stats.crossed(d, w))
    units, n_effective = alone, stats.effective_n(w, alone)
    if pair.cluster is not None:
        means, sizes = stats.by_cluster(d, w, pair.cluster[kept])
        if len(sizes) < 2:
            return Known(alone.mean, float("nan"), 1.0, n, len(sizes), 1.0)
        units = stats.crossed(means, sizes)
        units, n_effective = rest(units), stats.effective_n(w, alone, units)
    se, df = stats.error_of(units)
    return Known(units.mean, se, df, n, units.n, n_effective)


def _unlike(worlds: list[Known]) -> float:
    """p of "there is no difference", the largest over the worlds; 1 where these do not agree which way it goes."""
    agree = len({np.sign(w.value) for w in worlds}) == 1
    return max(stats.t_test(w.value, w.se, w.df) for w in worlds) if agree else 1.0


def _alike(worlds: list[Known], margin: float | None) -> float:
    return 1.0 if margin is None else max(stats.equivalence_test(w.value, w.se, w.df, margin) for w in worlds)
