"""Two or more evaluation logs, compared item by item: what differs, how sure that is, and what could have been seen.

Differences are paired by task, item and metric; items of one cluster are one observation (Miller 2024, arXiv 2411.00640);
epochs and seeds are crossed with items (util.stats); all comparisons of a call share one family (Holm 1979).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from instdata.compare.effect import FEW
from instdata.compare.logs import ItemScore
from instdata.util import stats
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

MARGIN = 0.02  # of a score from 0 to 1: what counts as no difference


@dataclass(frozen=True)
class Comparison:
    """What is known of b against a on one task. effect: b - a, low..high its 95 % interval; n items, worth n_effective
    independent ones; p_holm over all comparisons of the call; mde: the effect that would get a verdict 8 times in 10.
    missing: items with a score on one side only."""

    task: str
    metric: str
    a: str
    b: str
    n: int
    n_effective: float
    missing: int
    mean_a: float | None
    mean_b: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_holm: float | None
    mde: float | None
    verdict: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def shared_metric(logs: Sequence[Sequence[ItemScore]], wanted: str | None = None) -> str:
    """The metric to compare: the one asked for, else the first that all logs share. Raises InputError."""
    names = [list(dict.fromkeys(s.metric for s in log)) for log in logs]
    shared = [m for m in names[0] if all(m in other for other in names[1:])]
    if wanted is not None:
        if wanted not in shared:
            known = sorted({m for n in names for m in n})
            raise InputError(
                f"--metric {wanted}: not in every log.{did_you_mean(wanted, known)} They have {', '.join(known)}"
            )
        return wanted
    if not shared:
        raise InputError(f"the logs share no metric: {'; '.join(', '.join(n) for n in names)}")
    return shared[0]


def compare(
    logs: Sequence[Sequence[ItemScore]], names: Sequence[str], metric: str, margin: float = MARGIN
) -> tuple[list[Comparison], int]:
    """(every further log against the first, task by task; how many items of any log had no partner). Raises InputError where
    no item is shared."""
    tables = [_by_task(log, metric) for log in logs]
    found, unpaired = [], 0
    for other, name in zip(tables[1:], names[1:]):
        for task in [t for t in tables[0] if t in other]:
            a, b = tables[0][task], other[task]
            keys = [k for k in a if k in b]
            unpaired += len(a) + len(b) - 2 * len(keys)
            found.append(_one(task, metric, names[0], name, [(a[k], b[k]) for k in keys], margin))
        unpaired += sum(len(v) for t, v in [*tables[0].items(), *other.items()] if t not in other or t not in tables[0])
    if not any(c.n for c in found):
        raise InputError("the logs share no item: they are of other tasks, or name their items otherwise")
    judged = [i for i, c in enumerate(found) if c.p_holm is not None]
    for i, p in zip(judged, stats.holm([found[i].p_holm or 0.0 for i in judged])):
        worse_or_better = "better" if (found[i].effect or 0) > 0 else "worse"
        verdict = worse_or_better if p <= stats.ALPHA else found[i].verdict
        found[i] = replace(found[i], p_holm=p, verdict=verdict)
    return found, unpaired


Runs = dict[int, tuple[float | None, str | None]]  # by epoch or seed: value, cluster


def _by_task(log: Sequence[ItemScore], metric: str) -> dict[str, dict[str, Runs]]:
    found: dict[str, dict[str, Runs]] = defaultdict(lambda: defaultdict(dict))
    for s in log:
        if s.metric == metric:
            found[s.task][s.item][s.run] = (s.value, s.cluster)
    return {t: dict(items) for t, items in found.items()}


def _one(task: str, metric: str, a: str, b: str, pairs: list[tuple[Runs, Runs]], margin: float) -> Comparison:
    """One comparison; its p is not adjusted yet."""
    sides, groups = [], []
    for x, y in pairs:
        left, right = ([v for v, _ in side.values() if v is not None] for side in (x, y))
        if left and right:
            sides.append((float(np.mean(left)), float(np.mean(right))))
            groups.append(next(iter(x.values()))[1])
    n, missing = len(sides), len(pairs) - len(sides)
    if n < 2:
        return Comparison(task, metric, a, b, n, float(n), missing, *[None] * 7, "too few items")
    values = np.array(sides)
    difference = values[:, 1] - values[:, 0]
    apart = stats.paired_difference(difference[None])
    keys = np.array([f"\0{i}" if g is None else g for i, g in enumerate(groups)])
    _, of, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.bincount(of, difference) / sizes
    e = stats.paired_difference(means[None], sizes.astype(float)) if len(sizes) > 1 else apart
    worth = n if e.se == 0 or apart.se == 0 else min(float(n), n * (apart.se / e.se) ** 2)
    shown = {"mean_a": float(values[:, 0].mean()), "mean_b": float(values[:, 1].mean())}
    if min(n, len(sizes)) < FEW:
        return Comparison(
            task, metric, a, b, n, worth, missing, *shown.values(), e.value, e.low, e.high, None, None, "too few items"
        )
    same = stats.equivalence_test(e.value, e.se, e.df, margin) <= stats.ALPHA
    p = stats.t_test(e.value, e.se, e.df)
    mde = stats.minimum_detectable(e.se, e.df)
    return Comparison(
        task, metric, a, b, n, worth, missing, *shown.values(), e.value, e.low, e.high, p, mde,
        "equivalent" if same else "undecided",
    )  # fmt: skip
