"""Can a confidence be taken at its word? Expected calibration error."""

from __future__ import annotations

import numpy as np

BINS = 10
RESAMPLES = 1_000


def calibration_error(confidence: np.ndarray, right: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """(error, low, high): the mean gap between confidence and accuracy over bins of equal mass, and its 95% interval by
    resampling rows (percentile bootstrap). Fewer rows than bins give NaN. Naeini et al. 2015."""
    if len(right) < BINS:
        return float("nan"), float("nan"), float("nan")
    gap = confidence[order := np.argsort(confidence, kind="stable")] - right[order]
    random = np.random.default_rng(seed)
    at = np.sort(random.integers(0, len(gap), (RESAMPLES, len(gap))), axis=1)
    errors = [_error(gap[i]) for i in at]
    low, high = np.quantile(errors, [0.025, 0.975])
    return _error(gap), float(low), float(high)


def _error(gap: np.ndarray) -> float:
    """`gap` in the order of confidence."""
    return float(sum(abs(part.sum()) for part in np.array_split(gap, BINS)) / len(gap))
