"""The dedup step's scores: rows and older releases, ordered by priority, searched for near copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import TEXT, Rows
from instdata.steps.dedup.api import find_in
from instdata.steps.dedup.embeddings import embeddings, located
from instdata.steps.dedup.minhash import scheme
from instdata.steps.dedup.option_values import parse_bytes
from instdata.steps.dedup.outside_texts import read
from instdata.steps.dedup.result import Deduped
from instdata.steps.dedup.search_tasks import searching
from instdata.steps.dedup.sketch_shards import VERSION, compared, made_with, sketch_rows
from instdata.util.errors import InputError

if TYPE_CHECKING:
    from instdata.steps.dedup.options import DedupOptions

NEAR = pa.list_(pa.struct([("row", pa.int64()), ("similarity", pa.float64())]))
OLDER = pa.list_(pa.struct([("row", pa.int64()), ("where", pa.string())]))


def find(step: DedupOptions, rows: Rows, floor: float) -> dict[str, Any]:
    """The columns of Dedup.score."""
    made, folder = made_with(step, floor), rows.context.cache
    s, vectors = scheme(*made[1:]), None
    older, names = _older(step, s.sides, rows)
    if step.method == "semantic":
        texts = [*older, *(compared(step.view, False, batch) for batch in rows.batches(columns=TEXT))]
        vectors = embeddings(texts, located(step.model, rows.context.base), folder, rows.context.say)
    with searching(rows, made) as far:
        sketched, blank = sketch_rows(made, rows, older, parse_bytes(step.max_memory), folder, far)
        order = priority(blank, _prefer(step, rows), len(names))
        found = find_in(sketched, s, order, floor, floor, step.method, vectors=vectors)
    return columns(found, len(names), names)


def _older(step: DedupOptions, sides: bool, rows: Rows) -> tuple[list[pa.Array], list[str]]:
    """Texts of the older releases, and where each is."""
    texts, names = [], []
    for batch, where in read(step.across, rows.context) if step.across else ():
        texts.append(compared(step.view, sides, batch))
        names += where.to_pylist()
    return texts, names


def _prefer(step: DedupOptions, rows: Rows) -> np.ndarray:
    """What `keep` prefers, smaller first, of every row."""
    if step.keep == "longest":
        lengths = rows.scored(f"dedup characters {VERSION}", _characters)
        return np.concatenate([np.empty(0), *(-np.asarray(t["characters"]).astype(np.float64) for t in lengths)])
    if step.keep == "first" or not len(rows):
        return np.zeros(len(rows))
    if step.by not in rows.scores:
        raise InputError(
            f'dedup: by: there is no score "{step.by}" before this step; there are: '
            f"{', '.join(sorted(rows.scores)) or 'none'}"
        )
    score = pc.fill_null(rows.scores[step.by].cast(pa.float64()), -np.inf).to_numpy()
    return -np.nan_to_num(score, nan=-np.inf, neginf=-1e300)


def _characters(rows: Rows) -> dict[str, pa.Array]:
    return {"characters": pc.utf8_length(rows.full)}


def priority(blank: np.ndarray, prefer: np.ndarray, older: int) -> np.ndarray:
    """Positions in the order in which rows are kept: older releases, answered rows, what `keep` prefers, first come."""
    return np.concatenate([np.arange(older), older + np.lexsort((np.arange(len(blank)), prefer, blank))])


def columns(found: Deduped, older: int, names: list[str]) -> dict[str, Any]:
    """Scores by row of the build: rows of older releases become -2, -3, ..., and are named in `_older`."""
    rows = len(found.copy_of) - older

    def number(positions: np.ndarray) -> np.ndarray:
        return np.where(positions < older, -2 - positions, positions - older)

    rank = np.full(rows, -1, np.int64)
    own = found.order[found.order >= older] - older
    rank[own] = np.arange(len(own))
    copy = found.copy_of[older:]
    copy_of = np.where(copy < 0, -1, number(copy))
    at = found.at[older:] - found.at[older]
    near, similarity = number(found.earlier[found.at[older] :]), found.similarity[found.at[older] :]
    best = np.full(rows, np.nan)
    if len(near):
        some = np.flatnonzero(np.diff(at))
        best[some] = np.maximum.reduceat(similarity, at[some])
    best[copy_of != -1] = 1.0
    out = {
        "similarity": pa.array(best, pa.float32(), from_pandas=True),
        "_rank": pa.array(rank),
        "_copy_of": pa.array(copy_of),
        "_near": pa.LargeListArray.from_arrays(
            pa.array(at), pa.StructArray.from_arrays([pa.array(near), pa.array(similarity)], ["row", "similarity"])
        ).cast(NEAR),
    }
    if older:
        refers = [
            sorted({int(copy_of[i]), *near[at[i] : at[i + 1]].tolist()})
            if copy_of[i] < -1 or (near[at[i] : at[i + 1]] < -1).any()
            else []
            for i in range(rows)
        ]
        out["_older"] = pa.array(
            [[{"row": r, "where": names[-2 - r]} for r in refer if r < -1] for refer in refers], OLDER
        )
    return out
