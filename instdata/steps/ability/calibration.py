"""How likely a label is right, for each class by itself and on the rows at hand; and how well such a confidence
holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

BINS = 10
RESAMPLES = 1_000
FEW = 5  # examples a class below which its held-out predictions calibrate nothing
PRIOR_ROWS = 10  # a class: how far the classes' shares are drawn to those of the examples


@dataclass(frozen=True)
class Calibration:
    """Scores to probabilities: softmax of slope * scores, reweighed by the classes' shares of the rows at hand.
    No class is ever surer than n / (n + 1), n its examples (the rule of succession): six examples label nothing."""

    slope: float
    examples: np.ndarray  # int64[classes]: how many of each class were learned from
    shift: np.ndarray  # float64[classes]: share among the rows at hand, over that among the examples
    curve: np.ndarray  # float64[classes, 2]: slope and offset from the log-odds of a label to those of its being right

    def posterior(self, scores: np.ndarray) -> np.ndarray:
        """float64[rows, classes]: how likely each class is the right one; rows add up to 1."""
        p = softmax(self.slope * scores) * self.shift
        return p / p.sum(1, keepdims=True)

    def best(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(class number, confidence) of each row."""
        p = self.posterior(scores)
        best = p.argmax(1)
        slope, offset = self.curve[best].T
        top = sigmoid(slope * log_odds(np.take_along_axis(p, best[:, None], 1)[:, 0]) + offset)
        return best, np.minimum(top, (self.examples / (self.examples + 1))[best])

    def at_hand(self, scores: np.ndarray, rounds: int = 50) -> Calibration:
        """Re-estimate the classes' shares on unlabelled rows by expectation maximisation (Saerens, Latinne,
        Decaestecker 2002), drawn to the examples' by PRIOR_ROWS a class, so that few rows change little."""
        before = (self.examples + 1) / (self.examples + 1).sum()
        p = softmax(self.slope * scores).astype(np.float64)
        pull, shift = PRIOR_ROWS * len(before) * before, np.ones(len(before))
        for _ in range(rounds):
            # einsum and not @, whose sums depend on how many threads it has
            now = 1 / np.einsum("ij,j->i", p, shift)
            share = (shift * np.einsum("i,ij->j", now, p) + pull) / (len(p) + pull.sum())
            shift = share / before
        return replace(self, shift=shift)


def calibrate(held_out: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit to held-out scores: the slope of the softmax by maximum likelihood, then the curve from the best class's
    log-odds to how often it is right (Platt 1999). Both by Newton's method, with invented rows that keep them
    finite."""
    rows, classes = held_out.shape
    smooth = classes / (rows + classes)
    wanted = (1 - smooth) * np.eye(classes)[labels] + smooth / classes
    slope = 1.0
    for _ in range(30):
        p = softmax(slope * held_out)
        mean = (p * held_out).sum(1)
        curvature = (p * held_out**2).sum() - (mean**2).sum() + 1e-3
        slope -= float(np.clip(((p - wanted) * held_out).sum() / curvature, -2, 2))
    slope = max(slope, 1.0)  # a few examples' held-out scores may even point the wrong way
    p = softmax(slope * held_out)
    curve = platt(log_odds(p.max(1)), p.argmax(1) == labels)
    count = np.bincount(labels, minlength=classes)
    return Calibration(slope, count, np.ones(classes), np.tile(curve, (classes, 1)))


def platt(odds: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """(slope, offset) of the logistic curve from log-odds to the chance of being right. Eight invented rows, right as
    often as their log-odds of -2 to 2 say, keep the curve near the identity where there is little to learn from."""
    spread = np.array([-2.0, -1.0, 1.0, 2.0])
    x = np.column_stack([[*odds, *spread, *spread], np.ones(len(odds) + 8)])
    y = np.array([*right, *sigmoid(spread), *sigmoid(spread)], dtype=float)
    w = np.array([1.0, 0.0])
    for _ in range(30):
        p = sigmoid(x @ w)
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2), x.T @ (y - p))
        w += np.clip(step, -1, 1)
    return float(w[0]), float(w[1])


def log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cutoffs(label: np.ndarray, confidence: np.ndarray, classes: int, precision: float) -> np.ndarray:
    """The confidence of each class (float64[classes]) from which its rows are right in `precision` of the cases, as the
    confidences themselves have it: the mean of those kept. Above 1 where no row will do."""
    found = np.full(classes, 2.0)
    for k in range(classes):
        sure = np.sort(confidence[label == k].astype(np.float64))[::-1]
        mean = np.cumsum(sure) / np.arange(1, len(sure) + 1)
        enough = np.flatnonzero(mean >= precision)
        if len(enough):
            found[k] = sure[enough[-1]]
    return found


def too_few(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """The classes with fewer than FEW examples: their confidence is a guess, and capped."""
    return [c for c, n in zip(classes, np.bincount(labels, minlength=len(classes))) if n < FEW]


def calibration_error(confidence: np.ndarray, right: np.ndarray, seed: int = 0) -> tuple[float, float, float] | None:
    """(error, low, high): the mean gap between confidence and accuracy over bins of equal mass, and its 95% interval by
    resampling rows (percentile bootstrap). None for fewer rows than bins. Naeini et al. 2015."""
    if len(right) < BINS:
        return None
    gap = confidence[order := np.argsort(confidence, kind="stable")] - right[order]
    random = np.random.default_rng(seed)
    at = random.integers(0, len(gap), (RESAMPLES, len(gap)))
    at = np.sort(at.astype(np.min_scalar_type(len(gap))), axis=1)  # small numbers are sorted in a third of the time
    low, high = np.quantile(_errors(gap[at]), [0.025, 0.975])
    return float(_errors(gap[None])[0]), float(low), float(high)


def _errors(gaps: np.ndarray) -> np.ndarray:
    """The error of each row of `gaps`, which are in the order of confidence."""
    rows = gaps.shape[1]
    each, larger = divmod(rows, BINS)  # as many bins as are left over have a row more
    starts = np.arange(BINS) * each + np.minimum(np.arange(BINS), larger)
    return np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(1) / rows
