"""From the scores of two arms to verdicts: what a filter did to each ability, and to their mean.

An effect is `with - without`, averaged over items and seeds. Its variance has two parts: items, known well from the
many of them, and seeds, of which there are three to five. The seeds' part is therefore pooled: over abilities, in units
of each one's scale, and over the A/A arm; an ability's own weighs in. docs/statistics.md says what this rests on and
how it fares in simulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from instdata.score.metric import MACRO, Metric, metric_of
from instdata.util import stats
from instdata.util.errors import InputError
from instdata.util.stats import ALPHA, Crossed

VERDICTS = ("better", "worse", "equivalent", "undecided")
FEW = 8  # items below which an ability gets no verdict: with 2, half of all verdicts were false (docs/statistics.md)


@dataclass(frozen=True)
class Contrast:
    """Scores of an ability under two arms, [seeds, items] each, of the same items and the same seeds; NaN is missing.
    weights [items]: bytes of the reference for bits, else ones. cluster [items]: codes of what items share, a passage
    or a source document; None where each stands alone. An aa contrast shares its `without` with the main one."""

    ability: str
    without: np.ndarray
    with_: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray | None = None


@dataclass(frozen=True)
class Effect:
    """What is known of one ability. Values are in the metric's unit; low..high is the 95 % interval of `effect`; p_holm
    is adjusted for looks and abilities, so that 0.05 is its threshold at every look; mde is the effect that would get a
    verdict 8 times in 10. None where there is nothing to say it from. n: items with a score in every cell of both arms,
    missing: those without; clusters: of these items, n_effective: as many independent items would say as much. worst,
    best: the effect where missing scores speak against `with`, and for it. why: what kept a verdict back."""

    ability: str
    metric: str
    unit: str
    without: float | None
    with_: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_holm: float | None
    n: int
    seeds: int
    mde: float | None
    verdict: str
    se: float | None = None
    df: float | None = None
    missing: int = 0
    clusters: int | None = None
    n_effective: float | None = None
    worst: float | None = None
    best: float | None = None
    why: str | None = None

    def plain(self) -> dict[str, Any]:
        """The keys of effects.json."""
        found = {("with" if k == "with_" else k): v for k, v in asdict(self).items()}
        # JSON knows no infinity, and beyond a million a t distribution is a normal one.
        return found | {"df": None if self.df is None else min(self.df, 1e6)}


@dataclass(frozen=True)
class _Ability:
    """A contrast that can be tested: its differences and what the seeds did to it, in units of its scale."""

    contrast: Contrast
    without: float
    with_: float
    difference: Crossed
    scale: float
    n: int
    n_effective: float

    @property
    def few(self) -> str | None:
        """Why nothing is said of it."""
        return "too few items" if self.n < FEW else "too few clusters" if self.difference.n < FEW else None


@dataclass(frozen=True)
class SeedNoise:
    """Pooled seed variance of a difference, in squared units of scale. own: what the seeds add beyond item-by-seed
    noise, at least 0. spread: variance of seed means, noise included. df: degrees of freedom of spread. with_aa:
    whether the aa arm's is in it."""

    own: float
    spread: float
    df: float
    with_aa: bool = False


def decide(
    contrasts: Sequence[Contrast], aa: Sequence[Contrast] = (), *, look: int = 1, looks: int = 1,
    levels: tuple[float, float] | None = None, metric: str = "bits", margin: float | None = None,
    lower_is_better: bool | None = None,
) -> list[Effect]:  # fmt: skip
    """Effects of the contrasts in their order, then of their mean, "macro", where there are two abilities or more.

    `aa` only lends its seed variance; for verdicts on it call decide(aa, ...), so that it stands on its own noise. An
    ability with fewer than FEW items, or clusters, gets no verdict and is not in the family. look counts from 1 to
    looks; each look has one seed more than the one before; or `levels`: the nominal levels of this look, two-sided for
    a difference and one-sided for equivalence (sequential_looks.py). margin is a share of the control's value for bits,
    absolute for scores. Scores that are missing in some cells only may be anything from 0 to 1: a verdict has to hold
    for the worst and the best. Raises InputError for fewer than two seeds or arrays that do not fit."""
    kind = metric_of(metric)
    margin = kind.margin if margin is None else margin
    lower = kind.lower_is_better if lower_is_better is None else lower_is_better
    levels = levels or levels_of(_seeds([*contrasts, *aa]), look, looks)
    found = _decided(contrasts, aa, levels, metric, margin, lower)
    worlds = [{e.ability: e for e in _decided(c, aa, levels, metric, margin, lower)} for c in _worlds(contrasts, kind)]
    return [_bounded(e, [w[e.ability] for w in worlds if e.ability in w]) for e in found]


def _worlds(contrasts: Sequence[Contrast], kind: Metric) -> list[list[Contrast]]:
    """The contrasts with missing scores filled in against `with`, and for it; none where none is missing. An item that
    lacks its score in every cell was never scored, and is out of both arms; bits have no worst case."""

    def filled(c: Contrast, with_: float, without: float) -> Contrast:
        never = np.isnan(c.without).all(0) & np.isnan(c.with_).all(0)
        a, b = (np.where(np.isnan(x) & ~never, v, x) for x, v in ((c.without, without), (c.with_, with_)))
        return replace(c, without=a, with_=b)

    if kind.relative:
        return []
    cells = [np.isnan(np.concatenate([c.without, c.with_])) for c in contrasts]
    if not any((c.any(0) & ~c.all(0)).any() for c in cells):
        return []
    return [[filled(c, *ends) for c in contrasts] for ends in ((0.0, 1.0), (1.0, 0.0))]


def _bounded(e: Effect, worlds: list[Effect]) -> Effect:
    """The effect, with what it is in the worst and the best case, and its verdict if that stands in both."""
    values = [w.effect for w in worlds if w.effect is not None]
    if not values:
        return e
    stands = all(w.verdict == e.verdict for w in worlds)
    why = e.why if stands else "missing scores could change it"
    return replace(e, worst=min(values), best=max(values), verdict=e.verdict if stands else "undecided", why=why)


def _decided(
    contrasts: Sequence[Contrast],
    aa: Sequence[Contrast],
    levels: tuple[float, float],
    metric: str,
    margin: float,
    lower: bool,
) -> list[Effect]:
    """See decide."""
    kind, seeds = metric_of(metric), _seeds([*contrasts, *aa])
    level, margin_level = levels
    tested = {c.ability: t for c in contrasts if (t := _ability(c, kind)) is not None}
    others = {c.ability: c for c in aa}
    pairs = [(t, others.get(a)) for a, t in tested.items()]
    noise = seed_noise(pairs)
    known = {t.contrast.ability: _known(t, _moderated(t, c, noise), seeds) for t, c in pairs}
    if len(tested) > 1:
        known[MACRO] = _macro(pairs, noise)
    # One family: the abilities share half of the error, their mean has the other half.
    total = _together(tested.values())
    judged = [name for name in known if (tested[name].few if name in tested else total["why"]) is None]
    weights = [max(1, len(judged) - 1) if name == MACRO else 1 for name in judged]
    p = stats.holm([min(1.0, stats.t_test(*known[name]) * ALPHA / level) for name in judged], weights)
    p_of, share_of = dict(zip(judged, p)), dict(zip(judged, np.array(weights) / sum(weights or [1])))

    def effect(name: str, without: float, with_: float, counts: dict[str, Any]) -> Effect:
        value, se, df = known[name]
        limit = margin * abs(without) if kind.relative else margin
        same = stats.equivalence_test(value, se, df, limit) <= margin_level
        shown = "better" if (value < 0) == lower else "worse"
        few = name not in p_of
        verdict = "undecided" if few else shown if p_of[name] <= ALPHA else "equivalent" if same else "undecided"
        mde = None if few else stats.minimum_detectable(se, df, level * share_of[name])
        low, high = stats.t_interval(value, se, df)
        span = (low, high) if kind.relative else (max(low, -without), min(high, 1 - without))  # shares stay in 0..1
        return Effect(
            name, metric, kind.unit, without, with_, value, *span, p_of.get(name), seeds=seeds, mde=mde,
            verdict=verdict,
            se=se, df=df, **counts,
        )  # fmt: skip

    found = []
    for c in contrasts:
        if (t := tested.get(c.ability)) is not None:
            found.append(effect(c.ability, t.without, t.with_, _together([t]) | {"why": t.few}))
        else:
            n, none = int(_usable(c).sum()), (None,) * 6
            lost = len(c.weights) - n
            found.append(
                Effect(
                    c.ability, metric, kind.unit, *none, n, seeds, None, "undecided", missing=lost, why="too few items"
                )
            )
    if MACRO in known:
        without, with_ = (float(np.mean([getattr(t, side) for t, _ in pairs])) for side in ("without", "with_"))
        found.append(effect(MACRO, without, with_, total))
    return found


def _together(tested: Iterable[_Ability]) -> dict[str, Any]:
    """What is counted of some abilities together."""
    every = list(tested)
    n, clusters = sum(t.n for t in every), sum(t.difference.n for t in every)
    clustered = any(t.contrast.cluster is not None for t in every)
    return {
        "n": n, "clusters": clusters if clustered else None, "n_effective": sum(t.n_effective for t in every),
        "missing": sum(len(t.contrast.weights) for t in every) - n,
        "why": None if min(n, clusters) >= FEW else "too few items",
    }  # fmt: skip


def levels_of(seeds: int, look: int, looks: int) -> tuple[float, float]:
    """The nominal levels of this look, with `seeds` seeds: two-sided for a difference, one-sided for equivalence."""
    if not 1 <= look <= looks:
        raise InputError(f"look {look} of {looks}: looks count from 1")
    if seeds < 2:
        raise InputError(
            "one seed says nothing about the next one: a verdict needs two at least, better three (--seeds 3)"
        )
    if seeds - look < 1:
        raise InputError(f"look {look} with {seeds} seeds: the first look would have had fewer than two")
    fractions = tuple((seeds - look + k) / (seeds - look + looks) for k in range(1, looks + 1))
    one, two = (stats.spending_levels(fractions, a)[look - 1] / sides for a, sides in ((ALPHA, 1), (2 * ALPHA, 2)))
    return one, two


def _seeds(contrasts: Sequence[Contrast]) -> int:
    """How many seeds they all have. Raises InputError where arrays do not fit."""
    if not contrasts:
        raise InputError("nothing to compare: no ability has scores under both arms")
    for c in contrasts:
        if c.without.shape != c.with_.shape or c.without.shape[1:] != np.shape(c.weights) or c.without.ndim != 2:
            raise InputError(f"{c.ability}: both arms need scores of the same items and seeds, and a weight per item")
    counts = sorted({len(c.without) for c in contrasts})
    if len(counts) > 1:
        raise InputError(f"the arms have {' and '.join(map(str, counts))} seeds: finish the missing cells first")
    return counts[0]


def _usable(c: Contrast) -> np.ndarray:
    """Items that have a score in every cell, and weight."""
    return np.isfinite(c.without).all(0) & np.isfinite(c.with_).all(0) & (np.asarray(c.weights) > 0)


def _ability(c: Contrast, kind: Metric) -> _Ability | None:
    """The contrast's statistics, or None with fewer than two items. Scale: the control's value for bits, for scores the
    items' standard deviation in both arms (what 0..1 leaves room for)."""
    kept = _usable(c)
    if kept.sum() < 2:
        return None
    a, b, w = c.without[:, kept], c.with_[:, kept], np.asarray(c.weights, float)[kept]
    share = w / w.sum()
    without, with_ = float((a @ share).mean()), float((b @ share).mean())
    scale = abs(without) if kind.relative else float(np.sqrt((a.mean(0).var(ddof=1) + b.mean(0).var(ddof=1)) / 2))
    alone = difference = stats.crossed(b - a, w)
    n_effective = stats.effective_n(w, alone)
    if c.cluster is not None:
        means, sizes = stats.by_cluster(b - a, w, c.cluster[kept])
        if len(sizes) < 2:
            return None
        difference = stats.crossed(means, sizes)
        n_effective = stats.effective_n(w, alone, difference)
    if not kind.relative:
        difference = stats.if_one_moved(difference)
    return _Ability(c, without, with_, difference, scale, int(kept.sum()), n_effective)


def seed_noise(pairs: Sequence[tuple[_Ability, Contrast | None]]) -> SeedNoise:
    """What seeds do to a difference, pooled over abilities and, where they agree, over both kinds of contrast.

    The aa contrast shares the control, so what it tells beyond the main one is aa - (with + without) / 2, which has 3/4
    of a difference's variance and, for arms alike, no correlation with it. Where an F test at 5 % says that the
    two kinds differ (a filter that keeps most rows moves less than a fresh draw does), the main one stands alone.
    """
    pairs = [(t, c) for t, c in pairs if t.scale > 0]
    own = _pool([([t.difference], t.scale) for t, _ in pairs])
    both = [([t.difference, x], t.scale) for t, c in pairs if (x := _beyond(t.contrast, c)) is not None]
    other = _pool([(x[1:], scale) for x, scale in both])
    if own is None or other is None or own.spread == 0 or other.spread == 0:
        return own or SeedNoise(0.0, 0.0, 1.0)
    upper = float(stats.special().fdtrc(own.df, other.df, own.spread / other.spread))
    pooled = None if min(upper, 1 - upper) < 0.025 else _pool(both)
    return own if pooled is None else replace(pooled, with_aa=True)


def _moderated(t: _Ability, aa: Contrast | None, pooled: SeedNoise) -> SeedNoise:
    """The pooled noise and the ability's own, each by its degrees of freedom, so that an ability that seeds move more
    than others is not taken for an average one (as variances of genes are moderated: Smyth 2004). The degrees of
    freedom stay the pooled ones."""
    if t.scale == 0:
        return pooled
    beyond = _beyond(t.contrast, aa) if pooled.with_aa else None
    own = _pool([([t.difference] if beyond is None else [t.difference, beyond], t.scale)])
    if own is None:
        return pooled
    part = own.df / (own.df + pooled.df)
    return replace(
        pooled, own=part * own.own + (1 - part) * pooled.own, spread=part * own.spread + (1 - part) * pooled.spread
    )


def _beyond(main: Contrast, aa: Contrast | None) -> Crossed | None:
    """What aa tells of seeds beyond the main contrast, scaled to the variance of a difference."""
    if aa is None or aa.without.shape != main.without.shape:
        return None
    kept = _usable(main) & _usable(aa)
    if kept.sum() < 2:
        return None
    rest = (aa.with_ - aa.without - (main.with_ - main.without) / 2)[:, kept] * np.sqrt(4 / 3)
    weights = np.asarray(main.weights, float)[kept]
    if main.cluster is not None:
        rest, weights = stats.by_cluster(rest, weights, main.cluster[kept])
        if len(weights) < 2:
            return None
    return stats.crossed(rest, weights)


def _pool(parts: Sequence[tuple[list[Crossed], float]]) -> SeedNoise | None:
    """Seed variance pooled over abilities, given each one's uncorrelated differences and its scale.

    Abilities of one seed are one model, so their noise is correlated: the pooled spread has free * tr(C)^2 / tr(C^2)
    degrees of freedom, C being the abilities' covariance and `free` those of one ability. Estimated from so few runs
    tr(C^2) comes out too large, the degrees of freedom too few and never above free^2: the safe side.
    """
    if not parts:
        return None
    free = sum(x.seeds - 1 for x in parts[0][0])
    z = np.array([np.concatenate([x.seed_means - x.mean for x in kinds]) / scale for kinds, scale in parts])
    noise = np.array([np.mean([x.noise for x in kinds]) / scale**2 for kinds, scale in parts])
    covariance = z @ z.T / free
    spread = np.diag(covariance)
    # An ability with few items says less: weights by inverse variance, given a first guess at what the seeds add.
    guess = max(0.0, float(np.mean(spread - noise)))
    expected = guess + noise
    weight = 1 / np.maximum(expected / expected.max(), 1e-6) ** 2 if expected.max() > 0 else np.ones(len(parts))
    weight /= weight.sum()
    pooled = float(weight @ spread)
    below = float(weight @ covariance**2 @ weight)
    df = free * pooled**2 / below if below > 0 else float(free)
    return SeedNoise(max(0.0, pooled - float(weight @ noise)), pooled, df)


def _known(t: _Ability, noise: SeedNoise, seeds: int) -> tuple[float, float, float]:
    """(effect, standard error, degrees of freedom) of an ability."""
    own, spread = (v * t.scale**2 / seeds for v in (noise.own, noise.spread))
    items = [(t.difference.item_var, t.difference.item_df)]
    return t.difference.mean, *stats.combined(items, own, spread, noise.df)


def _macro(tested: Sequence[tuple[_Ability, Contrast | None]], pooled: SeedNoise) -> tuple[float, float, float]:
    """The same for the mean over abilities. How far their seed noise adds up shows in the mean itself, so its seed
    variance is the mean's own, with the aa arm's where that was pooled, and at least what independent abilities would
    give."""
    count = len(tested)
    kinds = [_mean_of([t.difference for t, _ in tested])]
    if pooled.with_aa:
        beyond = [x for t, c in tested if (x := _beyond(t.contrast, c)) is not None]
        kinds += [_mean_of(beyond)] if len(beyond) == count else []
    seen = _pool([(kinds, 1.0)])
    apart = sum(t.scale**2 for t, _ in tested) / count**2
    least = replace(pooled, own=pooled.own * apart, spread=pooled.spread * apart)
    noise, seeds = max(filter(None, (seen, least)), key=lambda x: x.own), kinds[0].seeds
    items = [(t.difference.item_var / count**2, t.difference.item_df) for t, _ in tested]
    mean = float(np.mean([t.difference.mean for t, _ in tested]))
    return mean, *stats.combined(items, noise.own / seeds, noise.spread / seeds, noise.df)


def _mean_of(parts: list[Crossed]) -> Crossed:
    """The mean over abilities as far as seeds are concerned."""
    means = np.mean([x.seed_means for x in parts], 0)
    noise = sum(x.noise for x in parts) / len(parts) ** 2
    return Crossed(float(means.mean()), 0.0, 1.0, means, noise, sum(x.n for x in parts))
