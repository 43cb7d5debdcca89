"""The table of scores, a row for every cell, item and metric, and the queries over it that everything shown is made
of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.score.item import Item
from instdata.score.metric import MACRO, metric_of
from instdata.score.scorers import chance
from instdata.util.atomic import whole
from instdata.util.stats import Crossed, by_cluster, combined, crossed, if_one_moved, of_seeds, t_interval

SCHEMA = pa.schema(
    [
        ("cell", pa.string()), ("model", pa.string()), ("arm", pa.string()), ("config", pa.string()),
        ("rows", pa.int64()),
        ("tokens", pa.int64()), ("seed", pa.int64()), ("suite", pa.string()), ("item", pa.string()),
        ("ability", pa.string()), ("metric", pa.string()), ("value", pa.float64()), ("weight", pa.float64()),
        ("chance", pa.float64()), ("prompt", pa.string()), ("answer", pa.string()), ("reason", pa.string()),
        ("cluster", pa.string()), ("judge", pa.string()),
    ]
)  # fmt: skip


def score_row(item: Item, metric: str, value: float | None, reason: str, **more: Any) -> dict[str, Any]:
    value = None if value is None or not math.isfinite(value) else float(value)
    return {
        "suite": item.suite, "item": item.id, "ability": item.ability, "metric": metric, "value": value, "weight": 1.0,
        "chance": None if metric == "bits" else chance(item, metric), "prompt": item.question, "answer": None,
        "reason": reason,
        "cluster": item.cluster,
    } | more  # fmt: skip


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all."""
    with whole(path) as file:
        pq.write_table(table, file, compression="zstd")


def groups(table: pa.Table, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """(values of `keys`, the rows that have them) of each combination that occurs, in ascending order."""
    every = table.select(keys).group_by(keys).aggregate([]).to_pylist()
    for group in sorted(every, key=lambda g: tuple(g.values())):
        mine = table
        for column, value in group.items():
            mine = mine.filter(pc.equal(mine[column], value))
        yield group, mine


@dataclass(frozen=True)
class Cells:
    """The runs of one ability by seed and rows: rows, seeds and configs [cells], scores [cells, items] (NaN: missing),
    weights and cluster [items] (of an item that shares nothing its own id); the items ascend by id. names [cells]."""

    rows: np.ndarray
    seeds: np.ndarray
    configs: list[str]
    values: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray
    names: list[str]


def cells_of(scores: pa.Table) -> dict[str, Cells]:
    """The runs of each ability, from rows of scores.parquet that are of one model, arm, suite and metric."""
    if "cluster" not in scores.column_names:  # written before items had clusters
        scores = scores.append_column("cluster", pa.nulls(len(scores), pa.string()))
    columns = ("ability", "cell", "item", "value", "weight", "rows", "seed", "config", "cluster")
    table = {c: scores[c].to_numpy(zero_copy_only=False) for c in columns}
    found = {}
    for ability in sorted(set(table["ability"])):
        mine = {c: v[table["ability"] == ability] for c, v in table.items()}
        names, first, cell = np.unique(mine["cell"], return_index=True, return_inverse=True)
        items, item = np.unique(mine["item"], return_inverse=True)
        values, weights = np.full((len(first), len(items)), np.nan), np.ones(len(items))
        values[cell, item] = mine["value"].astype(float)
        weights[item] = mine["weight"]
        cluster = items.astype(object)
        shares = np.array([c is not None for c in mine["cluster"]], bool)
        cluster[item[shares]] = mine["cluster"][shares]
        order = np.lexsort((mine["rows"][first], mine["seed"][first]))
        rows, seeds, configs = (mine[c][first][order] for c in ("rows", "seed", "config"))
        found[ability] = Cells(
            rows.astype(np.int64),
            seeds.astype(np.int64),
            configs.tolist(),
            values[order],
            weights,
            cluster.astype(str),
            names[order].tolist(),
        )
    return found


def not_judged(items: Sequence[Item], scores: pa.Table) -> list[str]:
    """The abilities that ask for a judge and have no judged score: said, never a silent zero."""
    judged = set(scores.filter(pc.equal(scores["metric"], "judge"))["ability"].to_pylist())
    return sorted({i.ability for i in items if i.scorer == "judge"} - judged)


def summary(scores: pa.Table) -> list[dict[str, Any]]:
    """Scores by suite, metric and ability, with a 95 % interval over items and seeds; "macro" is the mean over
    abilities.

    Rows of one model and size, of any seeds. Keys: suite, metric, ability, value, low, high, n, missing, seeds,
    chance."""
    found: list[dict[str, Any]] = []
    for group, mine in groups(scores, ["suite", "metric"]):
        share = not metric_of(group["metric"]).relative
        parts, points = [], []
        for ability, cells in cells_of(mine).items():
            known = np.isfinite(cells.values).all(0) & (cells.weights > 0)
            values, weights = by_cluster(cells.values[:, known], cells.weights[known], cells.cluster[known])
            point: dict[str, Any] = {
                "ability": ability,
                "value": None,
                "low": None,
                "high": None,
                "n": int(known.sum()),
            }
            point |= {"missing": int((~known).sum()), "seeds": len(cells.seeds)}
            point["chance"] = pc.mean(mine.filter(pc.equal(mine["ability"], ability))["chance"]).as_py()
            if len(weights) >= 2:
                parts.append(if_one_moved(crossed(values, weights)) if share else crossed(values, weights))
                point |= _interval(parts[-1:], share)
            elif known.any():
                point["value"] = float(np.average(values.mean(0), weights=weights))
            points.append(group | point)
        found += points
        if parts:
            means = [p["value"] for p in points if p["value"] is not None]
            macro = {"ability": MACRO, "value": float(np.mean(means)), "low": None, "high": None}
            macro |= {key: sum(p[key] for p in points) for key in ("n", "missing")}
            macro |= {"seeds": max(p["seeds"] for p in points), "chance": pc.mean(mine["chance"]).as_py()}
            found.append(group | macro | (_interval(parts, share) if len(parts) == len(means) else {}))
    return found


def _interval(parts: Sequence[Crossed], share: bool) -> dict[str, float]:
    """value, low and high of the mean over abilities, given each one's statistics. Items of different abilities are
    independent; seeds are not, so their part comes from the seeds' means over all abilities. A share stays in 0..1."""
    count = len(parts)
    value = float(np.mean([p.mean for p in parts]))
    means = np.mean([p.seed_means for p in parts], axis=0)
    items = [(p.item_var / count**2, p.item_df) for p in parts]
    se, df = combined(items, *of_seeds(means, sum(p.noise for p in parts) / count**2))
    low, high = t_interval(value, se, df) if se else (value, value)
    if share:
        value, low, high = (min(max(x, 0.0), 1.0) for x in (value, low, high))
    return {"value": value, "low": low, "high": high}
