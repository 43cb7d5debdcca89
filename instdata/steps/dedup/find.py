"""The dedup step's scores: rows and older releases, ordered by priority, searched for near copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import TEXT, Rows
from instdata.steps.dedup.api import find_in, sketch_all
from instdata.steps.dedup.embeddings import embeddings, located
from instdata.steps.dedup.folding import SIDES
from instdata.steps.dedup.minhash import scheme
from instdata.steps.dedup.option_values import parse_bytes
from instdata.steps.dedup.outside_texts import read
from instdata.steps.dedup.result import Deduped
from instdata.util.progress import part

if TYPE_CHECKING:
    from instdata.steps.dedup.options import DedupOptions

NEAR = pa.list_(pa.struct([("row", pa.int64()), ("similarity", pa.float64())]))
OLDER = pa.list_(pa.struct([("row", pa.int64()), ("where", pa.string())]))


def find(step: DedupOptions, rows: Rows, floor: float) -> dict[str, Any]:
    """The columns of Dedup.score."""
    older, names = _older(step, rows)
    keys: list[np.ndarray] = []  # per row: unanswered, then what `keep` prefers, smaller first
    texts = _texts(step, rows, older, keys)
    folder = rows.context.cache
    vectors = None
    if step.method == "semantic":
        parts = list(texts)
        model = located(step.model, rows.context.base)
        vectors, texts = embeddings(parts, model, folder, rows.context.say), iter(parts)
    sides, script = step.method == "minhash" and step.view in ("prompt", "both"), step.script == "fold"
    words = step.view == "prompt"  # answers to one question may choose other words
    s = scheme(1.0, script=script)
    if step.method == "minhash":
        s = scheme(floor, step.num_perm, int(step.ngram), sides, script, words)
    sketched = sketch_all(texts, len(names) + len(rows), s, parse_bytes(step.max_memory), folder=folder)
    order = priority(keys, len(names))
    keys.clear()  # 16 bytes a row, not wanted any more
    found = find_in(sketched, s, order, floor, floor, step.method, vectors=vectors)
    return columns(found, len(names), names)


def _older(step: DedupOptions, rows: Rows) -> tuple[list[pa.Array], list[str]]:
    """Texts of the older releases, and where each is."""
    texts, names = [], []
    for batch, where in read(step.across, rows.context) if step.across else ():
        texts.append(view(step, batch))
        names += where.to_pylist()
    return texts, names


def _texts(step: DedupOptions, rows: Rows, older: list[pa.Array], keys: list[np.ndarray]) -> Iterator[pa.Array]:
    """The texts compared, older ones first; fills `keys` on the way."""
    yield from older
    seen = 0
    for batch in rows.batches(columns=None if step.keep == "best" else TEXT):
        text = view(step, batch)
        blank = np.asarray(pc.equal(pc.utf8_trim_whitespace(pc.fill_null(batch.response, "")), ""))
        if step.keep == "longest":
            prefer = -np.asarray(pc.fill_null(pc.utf8_length(batch.full), 0)).astype(np.float64)
        elif step.keep == "best":
            prefer = -_score(step, batch)
        else:
            prefer = np.zeros(len(batch))
        keys.append(np.stack([blank.astype(np.float64), prefer]))
        seen += len(batch)
        part(seen, len(rows), "texts")
        yield text


def _score(step: DedupOptions, batch: Rows) -> np.ndarray:
    from instdata.util.errors import InputError

    if step.by not in batch.scores:
        raise InputError(
            f'dedup: by: there is no score "{step.by}" before this step; there are: '
            f"{', '.join(sorted(batch.scores)) or 'none'}"
        )
    return np.nan_to_num(
        pc.fill_null(batch.scores[step.by].cast(pa.float64()), -np.inf).to_numpy(), nan=-np.inf, neginf=-1e300
    )


def view(step: DedupOptions, rows: Rows) -> pa.Array:
    """The text compared; null where the row has none. Where there are two sides, SIDES is between them: what is given
    (system, earlier turns) and what is asked, or prompt and response."""
    if step.view == "prompt":
        if step.method != "minhash":
            return rows.prompt
        given = [pc.fill_null(rows.view(name), "") for name in ("system", "given")]
        given = pc.replace_substring(pc.binary_join_element_wise(*given, "\n"), SIDES, " ")
        return pc.binary_join_element_wise(given, pc.replace_substring(rows.view("asked"), SIDES, " "), SIDES)
    if step.view == "full":
        return rows.full
    response = rows.response
    if step.view == "response":
        return pc.if_else(pc.equal(pc.utf8_trim_whitespace(response), ""), pa.scalar(None, pa.string()), response)
    prompt = pc.replace_substring(rows.prompt, SIDES, " ")
    return pc.binary_join_element_wise(prompt, pc.fill_null(response, ""), SIDES)


def priority(keys: list[np.ndarray], older: int) -> np.ndarray:
    """Positions in the order in which rows are kept: older releases, answered rows, what `keep` prefers, first come."""
    key = np.concatenate(keys, axis=1) if keys else np.empty((2, 0))
    return np.concatenate([np.arange(older), older + np.lexsort((np.arange(key.shape[1]), key[1], key[0]))])


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
