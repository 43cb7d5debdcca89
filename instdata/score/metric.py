"""What a metric is: its unit, its direction, what counts as no difference."""

from __future__ import annotations

from dataclasses import dataclass

MACRO = "macro"  # the mean over abilities, among the abilities
ACCURACY = "accuracy"  # answers that are right, each by its ability's scorer, among the metrics


@dataclass(frozen=True)
class Metric:
    """How a metric is read. margin: what counts as no difference. sd_item, sd_seed: what planning assumes of a paired
    difference, over items (averaged over the seeds) and over seeds. All three are shares of the control's value where
    `relative`. 0.245 is measured on judged scores; the other three are guesses to be replaced by a first run's.
    doubling: what a doubling of data is published to bring, at most: BELLE's mean score grows by .019 (Ji et al. 2023,
    table of 0.2M to 2M); bits by 2 % (our own curve, docs/results/2026-11-20-smollm2-cpu)."""

    unit: str
    margin: float
    relative: bool
    lower_is_better: bool
    sd_item: float
    sd_seed: float
    doubling: float


BITS = Metric(
    "bits per byte", 0.01, True, True, sd_item=0.06, sd_seed=0.01, doubling=0.02
)  # measured: docs/statistics.md
SCORE = Metric("score", 0.02, False, False, sd_item=0.245, sd_seed=0.01, doubling=0.019)
PAIRS = Metric(
    "share of comparisons won", 0.02, False, False, sd_item=0.5, sd_seed=0.01, doubling=0.019
)  # no share varies more


def metric_of(name: str) -> Metric:
    """bits, pairs, or one of the scores from 0 to 1."""
    return {"bits": BITS, "pairs": PAIRS}.get(name, SCORE)
