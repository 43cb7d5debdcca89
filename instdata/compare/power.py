"""What an ablation can see, before it runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from instdata.compare.effect import FEW, levels_of
from instdata.score.metric import MACRO, metric_of
from instdata.util import stats

TOGETHER = 0.5  # correlation that planning assumes between the abilities' seed noise


def planned_mde(
    items_by_ability: Mapping[str, int], seeds: int = 3, *, look: int = 1, looks: int = 1, metric: str = "bits",
    sd_item: float | None = None, sd_seed: float | None = None, aa: bool = True, level: float | None = None,
) -> dict[str, float]:  # fmt: skip
    """The effect that decide would give a verdict 8 times in 10, for each ability with FEW items or more, and "macro".

    As a share of the control's value for bits, absolute for scores. An ability is taken to move alone, so it has to
    pass Holm's first step; seed noise is taken to be correlated by TOGETHER. Raises InputError for fewer than two
    seeds.
    """
    kind = metric_of(metric)
    item, run = sd_item or kind.sd_item, kind.sd_seed if sd_seed is None else sd_seed
    items = {a: n for a, n in items_by_ability.items() if n > 1}
    level = levels_of(seeds, look, looks)[0] if level is None else level
    free, count = (seeds - 1) * (2 if aa else 1), max(1, len(items))
    pooled = free / ((1 / free + 1) * (1 + (count - 1) * TOGETHER**2) / count + 1 / free)  # as _pool will find it
    share = level / (2 * count if count > 1 else 1)

    def mde(parts: list[tuple[float, float]], level: float) -> float:
        var, below = sum(v for v, _ in parts), sum(v**2 / d for v, d in parts)
        return stats.minimum_detectable(float(np.sqrt(var)), var**2 / below, level)

    found = {a: mde([(item**2 / n, n - 1), (run**2 / seeds, pooled)], share) for a, n in items.items() if n >= FEW}
    if count > 1:
        parts = [(item**2 / n / count**2, n - 1) for n in items.values()]
        own = run**2 / seeds * (TOGETHER + (1 - TOGETHER) / count)
        found[MACRO] = mde([*parts, (own, free)], level / 2)
    return found
