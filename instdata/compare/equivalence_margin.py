"""What counts as no difference, in doublings of data: a step that does less than a quarter of one is taken for none.

What a doubling brings is read from this build's own curve, and never taken for more than a published one brings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.score.metric import MACRO, Metric, metric_of
from instdata.score.score_table import cells_of
from instdata.util import stats

DOUBLINGS = 0.25


@dataclass(frozen=True)
class Margin:
    """value: a share of the control's value for bits, else absolute. why: in words. doubling: what one brings."""

    value: float
    why: str
    doubling: float


def published(kind: Metric) -> float:
    """A quarter of what a doubling is published to bring: what counts as no difference between arms of one size, which
    have no curve."""
    return DOUBLINGS * kind.doubling


def margin_of(scores: pa.Table, metric: str, control: str, build: Path, doublings: float = DOUBLINGS) -> Margin:
    """The margin of a metric: so many doublings of the growth of the control's own curve (three sizes or more), else of
    the build's (`curves`), where it was shown to grow; else, and at most, of the published growth."""
    kind = metric_of(metric)
    for slope, where in (
        (_own(scores, control, kind), "the control's own curve"),
        (_build(build, metric), "the build's curves"),
    ):
        if slope is not None and slope > 0:
            capped = f", more than the published {kind.doubling:.3g}, which stands" if slope > kind.doubling else ""
            growth = min(slope, kind.doubling)
            why = f"{doublings:g} of a doubling of data, which brings {slope:.4f} on {where}{capped}"
            return Margin(doublings * growth, why, growth)
    why = (
        f"{doublings:g} of a doubling of data at the published {kind.doubling:.3g} a doubling (no curve of three "
        f"sizes here grows)"
    )
    return Margin(doublings * kind.doubling, why, kind.doubling)


def _own(scores: pa.Table, control: str, kind: Any) -> float | None:
    """What a doubling brings to the control's mean over abilities (a share of its value for bits), where its 95 %
    interval over seeds lies above zero."""
    mine = scores.filter(pc.and_(pc.equal(scores["arm"], control), pc.greater(scores["rows"], 0)))
    means: dict[tuple[int, int], list[float]] = {}
    for cells in cells_of(mine).values() if len(mine) else ():
        known = np.isfinite(cells.values).all(0) & (cells.weights > 0)
        if not known.any():
            continue
        by_cell = cells.values[:, known] @ (cells.weights[known] / cells.weights[known].sum())
        for seed, config, value in zip(cells.seeds.tolist(), cells.configs, by_cell):
            means.setdefault((seed, int(config)), []).append(float(value))
    sizes, seeds = sorted({size for _, size in means}), sorted({seed for seed, _ in means})
    if len(sizes) < 3 or len(seeds) < 2 or any((a, b) not in means for a in seeds for b in sizes):
        return None
    runs = np.array([[np.mean(means[a, b]) for b in sizes] for a in seeds])
    x = np.log2(np.array(sizes, float))
    slopes = runs @ (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    up = -slopes / abs(runs.mean()) if kind.relative else slopes * (-1 if kind.lower_is_better else 1)
    low, _ = stats.t_interval(float(up.mean()), float(up.std(ddof=1) / np.sqrt(len(up))), len(up) - 1)
    return float(up.mean()) if low > 0 else None


def _build(build: Path, metric: str) -> float | None:
    """The same of the build's curves: the mean over abilities, all rows, the last model."""
    path = build / "curves" / "summary.json"
    try:
        summary = json.loads(path.read_text("utf-8"))
        model = summary["models"][-1]["name"]
        fits = [
            f
            for f in summary["fits"]
            if (f["model"], f["arm"], f["metric"], f["ability"]) == (model, "all", metric, MACRO)
        ]
        fit = fits[0]
        kind = metric_of(metric)
        up = sorted(-fit[k] if kind.lower_is_better else fit[k] for k in ("low", "high"))
        if up[0] <= 0:
            return None
        return abs(fit["slope"]) / (abs(fit["mean"]) if kind.relative else 1.0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, ZeroDivisionError):
        return None
