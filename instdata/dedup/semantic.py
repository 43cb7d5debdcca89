"""Near copies by meaning: cosine similarity of sentence embeddings, exact up to EXACT rows, by faiss beyond.

As in the n-gram search, a row's earliest NEIGHBOURS are kept, copies are set aside first, and texts that contrast are no
copies, for embeddings hardly tell "even" from "odd".
"""

from __future__ import annotations

import numpy as np

from instdata.dedup.corpus import Texts
from instdata.dedup.dense import NEIGHBOURS
from instdata.dedup.jaccard import contrasting
from instdata.dedup.minhash import Scheme, Sketch
from instdata.dedup.search import Found, copies
from instdata.dedup.text import ALTERNATIVES
from instdata.errors import MissingExtra
from instdata.kernels import jit

EXACT = 200_000  # rows
BLOCK = 2048
PROBES, CELL = 16, 200  # of faiss's inverted lists: how many are searched, rows in each


@jit
def take_pairs(similarity, y_start, x_start, contrast, alternatives, floor, hits, values, count):
    """Append to each row's hits the columns, all before it, that reach `floor`."""
    for i in range(similarity.shape[0]):
        for j in range(min(similarity.shape[1], y_start + i - x_start)):
            if count[i] >= hits.shape[1]:
                break
            y, x = y_start + i, x_start + j
            if similarity[i, j] >= floor and not contrasting(
                contrast[y], contrast[x], alternatives[y], alternatives[x]
            ):
                hits[i, count[i]], values[i, count[i]] = x_start + j, similarity[i, j]
                count[i] += 1


@jit
def drop_contrasting(row, other, contrast, alternatives, held):
    for i in range(len(row)):
        a, b = row[i], other[i]
        held[i] = not contrasting(contrast[a], contrast[b], alternatives[a], alternatives[b])


def search_semantic(
    vectors: np.ndarray, texts: Texts, sketch: Sketch, s: Scheme, order: np.ndarray, floor: float
) -> Found:
    """Pairs of rows of `order` (in priority order) with cosine `floor` or above. `vectors` are unit vectors by row."""
    copy_of = copies(sketch.whole, order)
    rows = order[copy_of[order] < 0]
    alternatives = np.zeros((len(copy_of), ALTERNATIVES), np.int32)
    for start in range(0, len(copy_of), BLOCK):
        part = np.arange(start, min(start + BLOCK, len(copy_of)))
        alternatives[part] = texts.sets(part, s).alternatives
    find = _exact if len(rows) <= EXACT else _faiss
    later, earlier, similarity = find(vectors[rows], sketch.contrast[rows], alternatives[rows], floor)
    return Found(copy_of, rows[later], rows[earlier], similarity)


def _exact(
    vectors: np.ndarray, contrast: np.ndarray, alternatives: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(vectors)
    hits, values, count = np.empty((n, NEIGHBOURS), np.int64), np.empty((n, NEIGHBOURS)), np.zeros(n, np.int64)
    for y in range(0, n, BLOCK):
        rows = slice(y, min(y + BLOCK, n))
        for x in range(0, y + 1, BLOCK):
            columns = slice(x, min(x + BLOCK, n))
            found = vectors[rows] @ vectors[columns].T
            if found.max(initial=-1) >= floor:
                # Rounded, so that the last bits of a matrix product decide nothing.
                take_pairs(
                    np.round(found, 5), y, x, contrast, alternatives, floor, hits[rows], values[rows], count[rows]
                )
    filled = np.arange(NEIGHBOURS) < count[:, None]
    return np.repeat(np.arange(n), count), hits[filled], np.minimum(values[filled], 1.0)


def _faiss(
    vectors: np.ndarray, contrast: np.ndarray, alternatives: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from an inverted-list index: the pairs found are true, some are missed."""
    try:
        import faiss
    except ImportError as e:
        raise MissingExtra(f"method: semantic over more than {EXACT} rows", "embed") from e
    n, size = vectors.shape
    quantizer = faiss.IndexFlatIP(size)
    index = faiss.IndexIVFFlat(quantizer, size, max(1, n // CELL), faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.max_points_per_centroid = 1, 64
    index.train(vectors)
    index.add(vectors)
    index.nprobe = PROBES
    later, earlier, similarity = [], [], []
    for start in range(0, n, BLOCK):
        limits, found, other = index.range_search(vectors[start : start + BLOCK], floor)
        row = start + np.repeat(np.arange(len(limits) - 1), np.diff(limits).astype(np.int64))
        # Each pair is seen from its later row; of these the earliest neighbours count.
        held = np.empty(len(row), bool)
        drop_contrasting(row, other, contrast, alternatives, held)
        held &= other < row
        row, other, found = row[held], other[held], np.round(found[held].astype(np.float64), 5)
        by = np.lexsort((other, row))
        row, other, found = row[by], other[by], found[by]
        first = np.arange(len(row)) - np.searchsorted(row, row) < NEIGHBOURS
        later.append(row[first])
        earlier.append(other[first])
        similarity.append(np.clip(found[first], floor, 1.0))
    return np.concatenate(later), np.concatenate(earlier), np.concatenate(similarity)
