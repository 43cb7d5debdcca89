"""What is kept of cells: scores, a row for each item and metric, and the trained models, so that nothing is trained
twice.

A cell is a training; its key knows no items. Each score has a key of its own, made of what shapes it, so one more item,
metric or suite is scored and appended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.score.evaluate import wanted
from instdata.score.item import Item
from instdata.score.score_table import SCHEMA
from instdata.util.atomic import whole

SCORING = 1  # of what scores mean; raise it when scoring changes: cells are then scored anew, and not trained
STORED = pa.schema([("key", pa.string()), *SCHEMA])
# What shapes a score beside the conversation and its reference. Labels (ability, suite, id) do not.
SHAPES = {"bits": (), "distractors": ("fine", "coarse", "fine_kind"), "answers": ("scorer", "choices", "tests"),
    "judge": ()}  # fmt: skip
# The kind of scores that a metric comes from, where it is not "answers".
KIND = {"bits": "bits", "distractors": "distractors", "distractor_fine": "distractors",
        "distractor_coarse": "distractors", "judge": "judge"}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One trained size: its name, and where its scores lie (or will)."""

    name: str
    model: str
    config: str
    rows: int
    path: Path

    @property
    def kept(self) -> Path:
        """Where its trained model is kept."""
        return self.path.with_suffix(".delta")


class ScoreTask(NamedTuple):
    """One kind of score of one item, and the key of its rows."""

    key: str
    item: Item
    kind: str


def tasks(items: Sequence[Item], kinds: Sequence[str], judged: bool) -> list[ScoreTask]:
    """The scores that each cell needs."""
    return [ScoreTask(score_key(i, kind), i, kind) for i in items for kind in wanted(i, kinds, judged)]


def score_key(item: Item, kind: str) -> str:
    """Names a score by what shapes it."""
    shaped = [SCORING, kind, item.messages, item.reference, *(getattr(item, f) for f in SHAPES[kind])]
    return hashlib.blake2b(json.dumps(shaped, sort_keys=True).encode(), digest_size=12).hexdigest()


def stored(path: Path) -> pa.Table:
    """All scores of a cell, rows of STORED; none where there are none yet or the file is damaged."""
    try:
        return pq.read_table(path, page_checksum_verification=True).select(STORED.names).cast(STORED)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return STORED.empty_table()


def lacking(path: Path, asked: Sequence[ScoreTask]) -> list[ScoreTask]:
    """Those of the scores that a cell does not have yet."""
    known = set(stored(path)["key"].unique().to_pylist()) if path.is_file() else set()
    return [t for t in asked if t.key not in known]


def append(path: Path, scores: pa.Table, asked: Sequence[ScoreTask]) -> None:
    """Add the scores of these tasks to a cell's."""
    key = {(t.item.id, t.kind): t.key for t in asked}
    kinds = [KIND.get(m, "answers") for m in scores["metric"].to_pylist()]
    keys = pa.array([key[i, k] for i, k in zip(scores["item"].to_pylist(), kinds)], pa.string())
    table = pa.concat_tables([stored(path), scores.add_column(0, STORED.field("key"), keys)])
    with whole(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def gathered(path: Path, asked: Sequence[ScoreTask], **about: Any) -> pa.Table:
    """A cell's scores of these tasks, in their order, as rows of SCHEMA; `about`: columns with one value. A cell may
    have been run under another name, an item may have got another label or suite since."""
    table = stored(path)
    at: dict[str, list[int]] = {}
    for i, key in enumerate(table["key"].to_pylist()):
        at.setdefault(key, []).append(i)
    picked = [(i, t.item) for t in asked for i in at.get(t.key, ())]
    found = table.take(pa.array([i for i, _ in picked], pa.int64())).select(SCHEMA.names)
    items = [item for _, item in picked]
    columns = {"suite": [i.suite for i in items], "item": [i.id for i in items], "ability": [i.ability for i in items],
               "cluster": [i.cluster for i in items]}  # fmt: skip
    for name, values in (columns | {k: [v] * len(items) for k, v in about.items()}).items():
        field = SCHEMA.field(name)
        found = found.set_column(SCHEMA.get_field_index(name), field, pa.array(values, field.type))
    return found


def prune(folder: Path, most: int) -> list[Path]:
    """Remove the models that were kept longest, until the rest takes at most so many bytes; returns what is gone."""
    kept = []
    for path in folder.glob("*.delta"):
        with contextlib.suppress(FileNotFoundError):  # another worker prunes here too
            found = path.stat()
            kept.append((found.st_mtime, path.name, found.st_size, path))
    total, gone = sum(size for _, _, size, _ in kept), []
    for _, _, size, path in sorted(kept):
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
        gone.append(path)
    return gone
