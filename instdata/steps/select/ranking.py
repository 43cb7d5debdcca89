"""From scores to an order: which row a method takes first, second, …; ties by id, so that the order of files says
nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLOCK = 64  # queries that are compared with all rows at once


def by_id(ids: pa.Array) -> np.ndarray:
    """The rank of each row's id [rows]; equal ids in their order."""
    return ranks(np.asarray(pc.sort_indices(ids)))


def ranks(order: np.ndarray) -> np.ndarray:
    """The place of each row, given the rows in order."""
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found


def places(score: np.ndarray, ids: pa.Array, first: np.ndarray | None = None) -> np.ndarray:
    """The place [rows] of each row from 0: highest score first, NaN last, ties by id. `first`: rows that come before
    all others whatever their score."""
    keys = [by_id(ids), -np.nan_to_num(score.astype(np.float64), nan=-np.inf)]
    return ranks(np.lexsort(keys if first is None else [*keys, ~first]))


def nearest(rows: np.ndarray, queries: np.ndarray, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(score, place) of each row for unit vectors [rows, width] and [queries, width].

    Score: the highest cosine with any query. Place: queries take turns, each round every query's next nearest row (the
    round-robin of Ivison et al. 2025, by whole rounds): so a row's round is the best rank that any query gives it, and
    within a round higher scores come first, then ids. A query with many near rows cannot fill the selection alone."""
    n = len(rows)
    if not n:
        return np.empty(0), np.empty(0, np.int64)
    start = np.asarray(pc.sort_indices(ids))  # by id first: stable sorts then keep it for ties
    sorted_rows = rows[start]
    best, turn = np.full(n, -np.inf), np.full(n, n, np.int64)
    for at in range(0, len(queries), BLOCK):
        cosines = _cosines(sorted_rows, queries[at : at + BLOCK])
        best = np.maximum(best, cosines.max(1))
        for column in cosines.T:
            turn = np.minimum(turn, ranks(np.argsort(-column, kind="stable")))
    score, rounds = np.empty(n), np.empty(n, np.int64)
    score[start], rounds[start] = best, turn
    return score, ranks(np.lexsort([by_id(ids), -score, rounds]))


def _cosines(rows: np.ndarray, queries: np.ndarray, block: int = 1 << 16) -> np.ndarray:
    """Cosines [rows, queries] of unit vectors, to 6 decimals. The last digits of a product depend on the number of
    threads and on where a row stands, and twins must tie: summed in double precision, rounding hides them."""
    wide = queries.T.astype(np.float64)
    parts = [rows[i : i + block].astype(np.float64) @ wide for i in range(0, len(rows), block)]
    return np.round(np.concatenate(parts), 6)
