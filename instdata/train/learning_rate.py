"""Learning-rate schedules: constant, linear, and warm-up, stable, decay (Hu et al. 2024)."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "wsd"]


def learning_rate(
    schedule: Schedule, step: int, total: int, high: float, low: float, warmup: int, decay: float
) -> float:
    """The learning rate of a step (from 0) of `total`: `warmup` steps up to `high`, then by the schedule, ending at
    `low`; `decay` is the share of the steps in which wsd falls."""
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if schedule == "constant":
        return high * warm
    if schedule == "linear":
        left = (total - 1 - step) / max(total - 1, 1)
    else:
        left = (total - step) / (total - stable(total, decay) + 1)
    return (low + (high - low) * min(1.0, left)) * warm


def stable(total: int, decay: float) -> int:
    """wsd: how many of `total` steps precede the decay. Until then a run does not know how long it will be."""
    return total - max(1, math.ceil(decay * total))
