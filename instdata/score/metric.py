"""What a metric is: its unit, its direction, what counts as no difference."""

from __future__ import annotations

from dataclasses import dataclass

MACRO = "macro"  # the mean over abilities, among the abilities


@dataclass(frozen=True)
class Metric:
    """How a metric is read. margin: what counts as no difference. sd_item, sd_seed: what planning assumes of a paired
    difference, over items (averaged over the seeds) and over seeds. All three are shares of the control's value where
    `relative`. 0.245 is measured on judged scores; the other three are guesses to be replaced by a first run's."""

    unit: str
    margin: float
    relative: bool
    lower_is_better: bool
    sd_item: float
    sd_seed: float


BITS = Metric("bits per byte", 0.01, True, True, sd_item=0.06, sd_seed=0.01)  # measured: docs/statistics.md
SCORE = Metric("score", 0.02, False, False, sd_item=0.245, sd_seed=0.01)
PAIRS = Metric("share of comparisons won", 0.02, False, False, sd_item=0.5, sd_seed=0.01)  # no share varies more


def metric_of(name: str) -> Metric:
    """bits, pairs, or one of the scores from 0 to 1."""
    return {"bits": BITS, "pairs": PAIRS}.get(name, SCORE)
