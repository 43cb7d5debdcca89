"""Is the metric valid, and does a small model decide as a large one would? Two cards, over the arms that were trained.

A metric card asks, ability by ability, how far bits of the references, distractors, answers and judge rank the same
cells alike. Of 6,000 released fine-tunings, loss on the target's answers ranked two data choices like the task's score
in .49 to .60 of pairs: so a verdict on bits reads "its references became likelier" until this build's own card says
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell_store import KIND
from instdata.compare.effect import FEW
from instdata.score.metric import ACCURACY, metric_of
from instdata.score.score_table import cells_of

VALID = 0.8  # agreement from which bits speak for the ability
DRAWS = 300
SAME = 1e-9


@dataclass(frozen=True)
class Agreement:
    """How far two ways of scoring agree on which of two cells is better. sign: the share of pairs of cells (those that
    either leaves equal apart) that both order alike, with its 95 % interval over items (or clusters) and cells; rank:
    Spearman's correlation over cells; pairs: of cells; n: items; ordered: pairs that both order, the others being a tie
    in one."""

    ability: str
    metric: str
    against: str
    sign: float | None
    low: float | None
    high: float | None
    rank: float | None
    pairs: int
    n: int
    ordered: int = 0

    @property
    def valid(self) -> bool:
        """Whether a verdict on one may speak for the other."""
        told = self.sign is not None and self.low is not None and self.sign >= VALID and self.low > 0.5
        return told and self.ordered >= FEW

    def plain(self) -> dict[str, Any]:
        return {**self.__dict__, "valid": self.valid}


def metric_card(scores: pa.Table, against: str = "bits") -> list[Agreement]:
    """How far each other metric of a table of scores agrees with `against`, for every ability: over its trained cells,
    those of one seed compared with each other, and of one size where there are several arms: that both metrics grow
    with rows says nothing of how they rank two choices of rows."""
    scores = scores.filter(pc.greater(scores["rows"], 0))
    by_metric = {
        m: cells_of(scores.filter(pc.equal(scores["metric"], m))) for m in scores["metric"].unique().to_pylist()
    }
    base = by_metric.get(against, {})
    found = []
    for metric in sorted(set(by_metric) - {against, "distractor_fine", "distractor_coarse"}):
        for ability, other in by_metric[metric].items():
            if ability in base:
                found.append(
                    _agreement(ability, metric, against, _upward(other, metric), _upward(base[ability], against))
                )
    return sorted(found, key=lambda a: (a.ability, a.metric))


def reads(verdict: str, metric: str, ability: str, card: Sequence[dict[str, Any]]) -> str:
    """A verdict in words: bits speak of references, unless the card shows that they rank cells as what is wanted
    does."""
    if metric != "bits" or verdict not in ("better", "worse"):
        return verdict
    if any(a["ability"] == ability and a["valid"] and KIND.get(a["metric"], ACCURACY) != "distractors" for a in card):
        return verdict
    return "its references became likelier" if verdict == "better" else "its references became less likely"


def transfer_card(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """Decisions at one model against those at another: two results of `ablate` (effects.json) on one metric. {pairs:
    abilities with an effect in both, sign: the share with the same sign, its 95 % interval (Wilson), rank: Spearman,
    decided: abilities with a verdict in both, same_verdict: of these, how many have the same}."""
    mine, other = (
        {e["ability"]: e for e in f["effects"] if e["effect"] is not None and e["ability"] != "macro"}
        for f in (small, large)
    )
    names = sorted(set(mine) & set(other))
    x, y = (np.array([e[n]["effect"] for n in names], float) for e in (mine, other))
    same = int((np.sign(x) == np.sign(y)).sum())
    told = [n for n in names if "undecided" not in (mine[n]["verdict"], other[n]["verdict"])]
    low, high = _wilson(same, len(names))
    return {
        "models": [small.get("model"), large.get("model")], "filters": [small.get("filter"), large.get("filter")],
        "metric": small.get("metric"), "pairs": len(names), "sign": same / len(names) if names else None, "low": low,
        "high": high, "rank": _spearman(x, y), "decided": len(told),
        "same_verdict": sum(mine[n]["verdict"] == other[n]["verdict"] for n in told),
    }  # fmt: skip


def _upward(cells: Any, metric: str) -> Any:
    """[cells, items] scores, more being better, the items' weights and clusters, the cells' seeds, names and sizes."""
    known = np.isfinite(cells.values).all(0) & (cells.weights > 0)
    sign = -1.0 if metric_of(metric).lower_is_better else 1.0
    mine = (sign * cells.values[:, known], cells.weights[known], cells.cluster[known])
    return *mine, cells.seeds, cells.names, cells.configs


def _agreement(ability: str, metric: str, against: str, one: Any, two: Any) -> Agreement:
    shared = [n for n in one[4] if n in set(two[4])]
    at = [[names.index(n) for n in shared] for names in (one[4], two[4])]
    n = min(one[0].shape[1], two[0].shape[1])
    seeds = one[3][at[0]] if shared else np.array([])
    first, second = np.triu_indices(len(shared), 1)
    together = seeds[first] == seeds[second] if shared else np.array([], bool)
    sizes = np.array(one[5], object)[at[0]] if shared else np.array([])
    alike = together & (sizes[first] == sizes[second]) if shared else together
    together = alike if alike.any() else together
    first, second = first[together], second[together]
    draws_of = [np.unique(w[2], return_inverse=True)[1] for w in (one, two)]
    if min(n, *(len(set(d.tolist())) for d in draws_of)) < FEW or not len(first):
        return Agreement(ability, metric, against, None, None, None, None, len(first), n)
    values = [v[0][i] for v, i in zip((one, two), at)]
    means = [v @ w[1] / w[1].sum() for v, w in zip(values, (one, two))]
    sign = _share(means, first, second)
    ordered = int(np.all([abs(m[first] - m[second]) > SAME for m in means], 0).sum())
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):  # items (clusters of them) are drawn anew for each metric, cells together
        drawn = []
        for v, w, unit in zip(values, (one, two), draws_of):
            units = int(unit.max()) + 1
            share = w[1] * np.bincount(rng.integers(0, units, units), minlength=units)[unit]
            drawn.append(v @ share / share.sum())
        weight = np.bincount(rng.integers(0, len(shared), len(shared)), minlength=len(shared)).astype(float)
        draws.append(_share(drawn, first, second, weight))
    known = [d for d in draws if d is not None]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (None, None)
    return Agreement(
        ability, metric, against, sign, None if low is None else float(low), None if high is None else float(high),
        _spearman(*means), len(first), n, ordered,
    )  # fmt: skip


def _share(
    means: Sequence[np.ndarray], first: np.ndarray, second: np.ndarray, weight: np.ndarray | None = None
) -> float | None:
    """The share of pairs that both order alike, of those that both order; pairs weighted by how often their cells were
    drawn."""
    x, y = (m[first] - m[second] for m in means)
    told = (abs(x) > SAME) & (abs(y) > SAME)
    w = np.ones(len(x)) if weight is None else weight[first] * weight[second]
    total = float(w[told].sum())
    return float(w[told & (np.sign(x) == np.sign(y))].sum()) / total if total > 0 else None


def _spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def _wilson(hits: int, n: int) -> tuple[float | None, float | None]:
    if not n:
        return None, None
    z, share = 1.959964, hits / n
    middle, half = share + z**2 / (2 * n), z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
