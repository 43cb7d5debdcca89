"""`instdata compare`: the first log against every later one, task by task, as one family of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instdata.compare.logs.log_rows import Asked
from instdata.compare.logs.read import Log, TaskScores, read_log
from instdata.compare.paired_comparison import Matched, decide, unit_scale
from instdata.score.metric import Metric, metric_of
from instdata.util.errors import InputError

# Words of metrics of which less is better, in the harnesses' names.
LOWER = frozenset(
    ("bits", "perplexity", "ppl", "loss", "nll", "brier", "wer", "cer", "ter", "mse", "mae", "rmse", "error", "errors")
)


@dataclass(frozen=True)
class _Comparison:
    task: str
    metric: str
    kind: Metric
    a: str
    b: str
    pair: Matched


def compare(
    paths: Sequence[Path], metrics: Sequence[str] = (), margin: float | None = None, cluster: str | None = None,
    lower_is_better: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What `compare --json` prints: comparisons, unpaired, files, notes. Raises InputError."""
    if len(paths) < 2:
        raise InputError("compare: name two logs at least, the one to compare with first")
    if margin is not None and not margin > 0:
        raise InputError(f"--margin {margin}: write a number above 0, in the metric's unit")
    asked = Asked(tuple(metrics), cluster)
    logs = [read_log(path, asked) for path in paths]
    if len({log.name for log in logs}) < len(logs):
        raise InputError("compare: a log is named twice")
    if cluster and not any((t.cluster != "").any() for log in logs for t in log.tasks.values()):
        raise InputError(
            f"--cluster {cluster}: no record has this field; they have {', '.join(sorted(asked.seen)[:20])}"
        )
    found: list[_Comparison] = []
    unpaired: list[dict[str, Any]] = []
    for other in logs[1:]:
        mine, lost = _of_two(logs[0], other, asked, lower_is_better)
        found, unpaired = found + mine, unpaired + lost
    if not found:
        raise InputError(_nothing(logs, asked))
    kinds = [(c.kind, _margin(c, margin, asked)) for c in found]
    verdicts = decide([c.pair for c in found], kinds)
    comparisons = [
        {"task": c.task, "metric": c.metric, "a": c.a, "b": c.b, **asdict(v), "lower_is_better": c.kind.lower_is_better}
        for c, v in zip(found, verdicts)
    ]
    return {
        "comparisons": comparisons, "unpaired": unpaired, "files": [log.plain() for log in logs], "notes": asked.notes,
    }  # fmt: skip


def _of_two(a: Log, b: Log, asked: Asked, lower: bool) -> tuple[list[_Comparison], list[dict[str, Any]]]:
    """The comparisons of two logs, and by task the items that only one of them has or that differ under one id."""
    found, unpaired = [], []
    for task in dict.fromkeys([*a.tasks, *b.tasks]):
        left, right = a.tasks.get(task), b.tasks.get(task)
        if left is None or right is None:
            lone = {
                "only_a": 0 if left is None else len(left.items),
                "only_b": 0 if right is None else len(right.items),
            }
            unpaired.append({"task": task, "a": a.name, "b": b.name, **lone, "differ": 0})
            continue
        _, i, j = np.intersect1d(left.items, right.items, assume_unique=True, return_indices=True)
        known = (left.text[i] != "") & (right.text[j] != "") & (a.format == b.format)
        same = ~known | (left.text[i] == right.text[j])
        lost = {"only_a": len(left.items) - len(i), "only_b": len(right.items) - len(j), "differ": int((~same).sum())}
        if any(lost.values()):
            unpaired.append({"task": task, "a": a.name, "b": b.name, **lost})
        metric = _metric(task, left, right, asked)
        if metric is None or not same.any():
            continue
        kind = metric_of(metric)
        if not kind.relative:
            kind = replace(
                kind, lower_is_better=lower or bool(LOWER & set(metric.lower().replace(",", "_").split("_")))
            )
        pair = _paired(left, right, i[same], j[same], metric, f"{task}, {b.name}", asked)
        found.append(_Comparison(task, metric, kind, a.name, b.name, pair))
    return found, unpaired


def _metric(task: str, a: TaskScores, b: TaskScores, asked: Asked) -> str | None:
    """The metric of a task: of those both logs have, the first that was asked for, else the log's first, which is
    said."""
    shared = [m for m in a.metrics if m in b.metrics]
    if asked.metrics:
        wanted = [m for name in asked.metrics for m in shared if m == name or m.split(",")[0] == name]
        if not wanted:
            asked.say(f"{task}: none of --metric is in both logs (they share {', '.join(shared) or 'none'}): left out")
        return wanted[0] if wanted else None
    if not shared:
        asked.say(f"{task}: the logs share no metric ({', '.join(a.metrics)}; {', '.join(b.metrics)}): left out")
        return None
    if len(shared) > 1:
        asked.say(f"{task}: by {shared[0]}; --metric takes {', '.join(shared[1:])} instead")
    return shared[0]


def _paired(
    a: TaskScores, b: TaskScores, i: np.ndarray, j: np.ndarray, metric: str, where: str, asked: Asked
) -> Matched:  # fmt: skip
    left, right = a.metrics[metric][:, i], b.metrics[metric][:, j]
    if a.seeds != b.seeds or len(a.seeds) == 1:
        if max(len(a.seeds), len(b.seeds)) > 1:
            asked.say(
                f"{where}: the logs have other seeds, so these are averaged: the interval holds for these runs only"
            )
        left, right = (side.mean(0, keepdims=True) for side in (left, right))
    cluster = np.where(a.cluster[i] != "", a.cluster[i], b.cluster[j])
    codes = None
    if (cluster != "").any():
        alone = [c or f"\0{item}" for c, item in zip(cluster.tolist(), a.items[i].tolist())]  # without one: its own
        codes = np.unique(alone, return_inverse=True)[1]
    return Matched(left, right, a.weight[i], codes)


def _margin(c: _Comparison, margin: float | None, asked: Asked) -> float | None:
    """What counts as no difference: as asked, else the metric's own, which only scores from 0 to 1 and bits have."""
    if margin is not None or c.kind.relative or unit_scale(c.pair):
        return c.kind.margin if margin is None else margin
    asked.say(f"{c.task}: {c.metric} is not on a scale from 0 to 1: nothing is called equivalent without --margin")
    return None


def _nothing(logs: list[Log], asked: Asked) -> str:
    """Why no comparison could be made, and what to do."""
    if left_out := [n for n in asked.notes if n.endswith("left out")]:
        return "; ".join(left_out[:3])
    a, b = logs[0], logs[1]
    shared = [t for t in a.tasks if t in b.tasks]
    if not shared:
        names = [", ".join(list(log.tasks)[:4]) for log in (a, b)]
        return f"{a.name} and {b.name} have no task in common ({names[0]}; {names[1]}): compare logs of the same tasks"
    shown = [str(log.tasks[shared[0]].items[0]) for log in (a, b)]
    return (
        f"{a.name} and {b.name} have no item in common in {shared[0]} (ids as {shown[0]} and {shown[1]}, or other "
        f"prompts "
        "under the same ids): compare logs of the same version of a task"
    )
