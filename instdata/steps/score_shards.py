"""A step's scores of the rows of shards, as workers compute them: each shard's in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.cached_tables import read_cached, write_cached
from instdata.corpus.corpus import Shard
from instdata.corpus.rows import SEEN_BY_STEPS, Rows
from instdata.score.sandbox.run import chosen, use
from instdata.steps.base import Step
from instdata.steps.rewritten_rows import Change, changed
from instdata.steps.score_files import RAISED, part_of
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, BuildError, InstdataError
from instdata.util.machine_limits import trouble

MAX_RAISED = 0.1  # of a shard's rows, and at least 10: beyond it the step is broken, not the rows
TOGETHER = 1 << 25  # bytes of the shards that are scored in one call


@dataclass(frozen=True)
class Task:
    """One shard's scoring, on its way to a worker."""

    step: Step
    context: Context
    shard: Shard
    at: np.ndarray | None  # the rows to score; None: all
    labels: pa.Array  # the current ability of each row of the shard
    scores: dict[str, pa.ChunkedArray]
    out: Path
    sandbox: tuple[str, bool] = field(default_factory=chosen)  # the user's choice, which another process lacks


def score_shard(task: Task) -> int:
    """Score one shard and write its sidecar; returns the number of its rows."""
    use(*task.sandbox)
    rows = _rows_of(task)
    _keep(task, scores_of(task.step, rows), rows)
    return len(rows)


def _keep(task: Task, scores: pa.Table, rows: Rows) -> None:
    """Write the sidecar of a shard, and the shard with the new text where there is any: its old text is at hand."""
    write_cached(scores, task.out)
    if task.step.rewrites:
        part = part_of(task.out, 0, len(rows), task.at, task.out.stem)
        changed(Change(task.shard, part, task.context.folder), rows.table)


def _rows_of(task: Task) -> Rows:
    """The rows that a task scores, as the step sees them."""
    table = read_cached(task.shard.path, [n for n in SEEN_BY_STEPS if n != "ability"])
    table = table.append_column("ability", task.labels).select(SEEN_BY_STEPS)
    rows = Rows(table, task.context, task.scores)
    return rows if task.at is None or len(task.at) == len(rows) else rows.take(task.at)


def score_together(tasks: list[Task]) -> int:
    """Score some shards in one call and write a sidecar each; returns the number of their rows. Where scoring raises,
    each is scored by itself."""
    use(*tasks[0].sandbox)
    step, parts = tasks[0].step, [_rows_of(task) for task in tasks]
    try:
        rows = Rows(pa.concat_tables(part.table for part in parts).combine_chunks(), tasks[0].context)
        scored = table_of(step, step.score(rows), len(rows))
    except InstdataError:
        raise
    except Exception:
        return sum(map(score_shard, tasks))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    for task, start, part in zip(tasks, starts, parts):
        _keep(task, scored.slice(start, len(part)), part)
    return len(rows)


def grouped(tasks: Iterable[Task], most: int) -> Iterator[list[Task]]:
    """Tasks one after the other in groups of at most so many rows and TOGETHER bytes, at least one in each."""
    group: list[Task] = []
    rows = size = 0
    for task in tasks:
        rows, size = rows + task.shard.rows, size + task.shard.size
        if group and (rows > most or size > TOGETHER):
            yield group
            group, rows, size = [], task.shard.rows, task.shard.size
        group.append(task)
    if group:
        yield group


def scores_of(step: Step, rows: Rows) -> pa.Table:
    """The scores of some rows. Where scoring raises, rows are scored in halves until the row that raises is alone:
    it gets nulls and the error. Raises BudgetReached where more than MAX_RAISED of the rows raise."""
    left = [max(10, int(len(rows) * MAX_RAISED))]

    def part_scored(part: Rows) -> pa.Table:
        try:
            return table_of(step, step.score(part), len(part))
        except InstdataError:
            raise
        except Exception as e:
            if len(part) == 1 and trouble(e):  # the machine's, not the row's
                raise
            error = f"{type(e).__name__}: {e}"
        if len(part) == 1:
            left[0] -= 1
            if left[0] < 0:
                raise BudgetReached(
                    f"step {step.name} fails on more than {MAX_RAISED:.0%} of the rows. The last one: {error}. "
                    "Mend what it says and run again"
                )
            return pa.table({RAISED: [error]})
        half = len(part) // 2
        return pa.concat_tables(
            [part_scored(part.take(np.arange(half))), part_scored(part.take(np.arange(half, len(part))))],
            promote_options="default",
        )

    return part_scored(rows)


def table_of(step: Step, scored: Mapping[str, Any], rows: int) -> pa.Table:
    """What `score` returned, as a table as long as the rows. Raises BuildError where a column is not."""
    columns = {
        name: v if isinstance(v, (pa.Array, pa.ChunkedArray)) else pa.array(v, from_pandas=True)
        for name, v in scored.items()
    }
    wrong = [f"{name} ({len(c)})" for name, c in columns.items() if len(c) != rows]
    if wrong:
        raise BuildError(
            f"step {step.name}: score returned columns that are not as long as the {rows} rows: {', '.join(wrong)}"
        )
    # A table without columns has no length: keep one.
    return pa.table(columns or {"_none": pa.nulls(rows, pa.bool_())})
