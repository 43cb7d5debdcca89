"""How often an answer wins, and how often it would if both were as long: judges like long answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instdata.util.stats import special, t_interval

RIDGE = 1e-3  # keeps the fit finite where length tells all verdicts apart
STEPS = 60


@dataclass(frozen=True)
class WinRate:
    """raw: the share won. controlled: the share at equal lengths, with its 95 % interval. slope: what a log length
    ratio of 1 adds on the logit scale. longer: the share of verdicts for an answer that go to the longer one. n:
    comparisons."""

    raw: float
    controlled: float
    low: float
    high: float
    slope: float
    longer: float | None
    n: int

    def plain(self) -> dict[str, float | int | None]:
        return dict(self.__dict__)


def win_rate(
    wins: np.ndarray, mine: Sequence[str], other: Sequence[str], items: np.ndarray, seeds: np.ndarray
) -> WinRate | None:
    """Of comparisons with wins [n] in 0..1 (a tie is a half), the two answers' texts, and each one's item (or cluster)
    and seed. None below two items.

    A logit of the win on the log ratio of the lengths (the idea of length-controlled AlpacaEval, Dubois et al. 2024,
    arXiv
    2404.04475), its variance clustered by item and by seed (Cameron, Gelbach and Miller 2011: the sum of both less that
    of
    their intersection, never below that of items alone)."""
    known = np.isfinite(wins)
    y, items, seeds = np.asarray(wins, float)[known], np.asarray(items)[known], np.asarray(seeds)[known]
    count = len(np.unique(items))
    if count < 2:
        return None
    lengths = np.array([[len(a) + 1, len(b) + 1] for a, b, k in zip(mine, other, known) if k], float)
    x = np.column_stack([np.ones(len(y)), np.log(lengths[:, 0] / lengths[:, 1])])
    beta = np.zeros(2)
    for _ in range(STEPS):
        p = special().expit(x @ beta)
        bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(2))
        step = bread @ (x.T @ (y - p) - RIDGE * beta)
        beta = beta + np.clip(step, -2, 2)
        if abs(step).max() < 1e-9:
            break
    score = x * (y - special().expit(x @ beta))[:, None]
    by_item = _meat(score, items)
    both = np.array([f"{a}|{b}" for a, b in zip(items, seeds)])
    rest = _meat(score, seeds) - _meat(score, both) if len(np.unique(seeds)) > 1 else np.zeros((2, 2))
    var = (bread @ by_item @ bread)[0, 0] + max(0.0, (bread @ rest @ bread)[0, 0])
    still = max(var, 1 / (count * max(len(y), 1)) if np.ptp(y) == 0 else 0.0)  # all alike proves little
    low, high = t_interval(float(beta[0]), float(np.sqrt(still * count / (count - 1))), count - 1)
    decided = (y != 0.5) & (x[:, 1] != 0)
    longer = float(((y > 0.5) == (x[:, 1] > 0))[decided].mean()) if decided.any() else None
    expit = special().expit
    return WinRate(
        float(y.mean()), float(expit(beta[0])), float(expit(low)), float(expit(high)), float(beta[1]), longer, len(y)
    )


def _meat(score: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """The sum over clusters of the outer products of their summed scores."""
    codes = np.unique(cluster, return_inverse=True)[1]
    sums = np.zeros((codes.max() + 1, score.shape[1]))
    np.add.at(sums, codes, score)
    return sums.T @ sums
