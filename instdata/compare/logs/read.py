"""From a path to a log: which format its files are of, and their rows as arrays, a task at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np

from instdata.compare.logs import every_eval, inspect_log, lm_eval, opencompass, own_scores, plain_tables
from instdata.compare.logs.log_rows import Asked, LogRow, fingerprint
from instdata.util.errors import InputError

# The first that claims a file reads it. A format is a module: NAME, claims(path), choose(files, asked), rows(path, asked).  # noqa: E501
FORMATS: tuple[ModuleType, ...] = (lm_eval, inspect_log, every_eval, opencompass, own_scores, plain_tables)
NAME = 100  # characters
MANY = 100_000  # files below a folder that are looked at
READ = "lm-eval samples_*.jsonl, inspect .eval or .json, Every Eval Ever .jsonl, OpenCompass results, scores.parquet, or a .csv, .jsonl or .parquet with id and score"  # fmt: skip  # noqa: E501


@dataclass(frozen=True)
class TaskScores:
    """The scores of one task: items [n] ascending, text, cluster and weight of each; seeds; by metric, in the log's
    order, values [seeds, n], the mean of draws, NaN where missing."""

    items: np.ndarray
    text: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray
    seeds: list[str]
    metrics: dict[str, np.ndarray]


@dataclass(frozen=True)
class Log:
    """A log as it was named by the user, its format, files, model (where it says) and tasks by name."""

    name: str
    format: str
    files: list[str]
    model: str
    tasks: dict[str, TaskScores]

    def plain(self) -> dict[str, object]:
        items = sum(len(t.items) for t in self.tasks.values())
        return {
            "log": self.name,
            "format": self.format,
            "model": self.model or None,
            "items": items,
            "files": self.files,
        }


def read_log(path: Path, asked: Asked) -> Log:
    """The log in a file or a folder. Raises InputError where it is none that we read, or of several models."""
    format_, files = _files(path, asked)
    rows = [row for file in files if file.stat().st_size for row in format_.rows(file, asked)]
    if not rows:
        raise InputError([(str(path), None, "no scores are in it: was the evaluation run to its end?")])
    models = sorted({r.model for r in rows})
    if len(models) > 1:
        raise InputError(
            [(str(path), None, f"scores of {len(models)} models ({', '.join(models[:4])}): give each a file or folder")]
        )
    by_task: dict[str, list[LogRow]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    tasks = {name: _scores(name, mine, path) for name, mine in by_task.items()}
    return Log(str(path), format_.NAME, [str(f) for f in files], models[0], tasks)


def _files(path: Path, asked: Asked) -> tuple[ModuleType, list[Path]]:
    if path.is_dir():
        below = sorted(f for f in islice(path.rglob("*"), MANY) if f.is_file())
        for format_ in FORMATS:
            if files := [f for f in below if format_.claims(f)]:
                return format_, format_.choose(files, asked)
        raise InputError([(str(path), None, f"no log is in this folder: it is to hold {READ}")])
    if not path.is_file():
        raise InputError([(str(path), None, "not there: name a log's file or folder")])
    for format_ in FORMATS:
        if format_.claims(path):
            return format_, [path]
    raise InputError([(str(path), None, f"not a log that is read here: give {READ}")])


def _scores(task: str, rows: list[LogRow], path: Path) -> TaskScores:
    """Rows as arrays: draws of one item and seed are averaged over those that have a score."""
    items, first, item = _codes(_name(r.item) for r in rows)
    seeds, _, seed = _codes(r.seed for r in rows)
    text = [_name(r.text) for r in rows]
    for i, at in enumerate(item):
        if text[i] != text[first[at]]:
            raise InputError(
                [(str(path), None, f'{task}: the id "{rows[i].item}" stands for two prompts: add a column task')]
            )
    metrics = {}
    for name in dict.fromkeys(m for r in rows for m in r.metrics):
        score = np.array([np.nan if (v := r.metrics.get(name)) is None else v for r in rows], float)
        known = np.isfinite(score)
        total, count = np.zeros((len(seeds), len(items))), np.zeros((len(seeds), len(items)))
        np.add.at(total, (seed[known], item[known]), score[known])
        np.add.at(count, (seed[known], item[known]), 1)
        metrics[name] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    cluster = np.array([_name(rows[i].cluster) for i in first])
    weight = np.array([rows[i].weight for i in first], float)
    return TaskScores(items, np.array(text)[first], cluster, weight, seeds.tolist(), metrics)


def _name(text: str) -> str:
    """An id or a cluster, by its fingerprint where it is a text (arrays hold all as long as the longest)."""
    return text if len(text) <= NAME else fingerprint(text)


def _codes(values: Iterable[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct values ascending, where each stands first, the place of every value among them)."""
    return np.unique(np.array(list(values)), return_index=True, return_inverse=True)
