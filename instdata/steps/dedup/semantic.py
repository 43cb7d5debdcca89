"""Near copies by meaning: cosine similarity of sentence embeddings, exact up to EXACT rows, by faiss beyond.

As in the n-gram search, a row's earliest NEIGHBOURS are kept at each of LEVELS (many models find any two sentences
rather alike: the earliest ones at the floor say little), copies are set aside first, and texts that contrast are no
copies, for embeddings hardly tell "even" from "odd".
"""

from __future__ import annotations

import numpy as np

from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.contrast_guard import LISTED, contrasting
from instdata.steps.dedup.minhash import Scheme, Sketch
from instdata.steps.dedup.prefix_join import NEIGHBOURS
from instdata.steps.dedup.search import Found, copies
from instdata.util.errors import MissingExtra
from instdata.util.kernels import inner, jit
from instdata.util.progress import part

EXACT = 200_000  # rows
LEVELS = (0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
BLOCK = 2048
Guard = tuple[np.ndarray, np.ndarray, np.ndarray]
NONE = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
PROBES, CELL = 16, 200  # of faiss's inverted lists: how many are searched, rows in each


@inner
def wanted(similarity, levels, count):
    """Whether a pair is one of a row's first NEIGHBOURS at any level; counts it there."""
    some = False
    for k in range(len(levels)):
        if similarity >= levels[k] and count[k] < NEIGHBOURS:
            count[k] += 1
            some = True
    return some


@jit
def take_pairs(similarity, y_start, x_start, contrast, listed, at, levels, counts, hits, values, total):
    """Append to each row's hits the columns, all before it, that are wanted."""
    for i in range(similarity.shape[0]):
        for j in range(min(similarity.shape[1], y_start + i - x_start)):
            y, x = y_start + i, x_start + j
            if (
                similarity[i, j] >= levels[0]
                and not contrasting(contrast[y], contrast[x], listed, at[y], at[y + 1], listed, at[x], at[x + 1], False)
                and wanted(similarity[i, j], levels, counts[i])
            ):
                hits[i, total[i]], values[i, total[i]] = x, similarity[i, j]
                total[i] += 1


@jit
def mark_pairs(row, other, similarity, contrast, listed, at, levels, held):
    """Mark the pairs, sorted by (row, other), that are wanted."""
    count = np.zeros(len(levels), np.int64)
    for i in range(len(row)):
        a, b = row[i], other[i]
        if i and a != row[i - 1]:
            count[:] = 0
        unlike = contrasting(contrast[a], contrast[b], listed, at[a], at[a + 1], listed, at[b], at[b + 1], False)
        held[i] = not unlike and wanted(similarity[i], levels, count)


def search_semantic(
    vectors: np.ndarray, texts: Texts, sketch: Sketch, s: Scheme, order: np.ndarray, floor: float
) -> Found:
    """Pairs of rows of `order` (in priority order) with cosine `floor` or above. `vectors` are unit vectors by row."""
    copy_of = copies(sketch.whole, order)
    rows = order[copy_of[order] < 0]
    find = _exact if len(rows) <= EXACT else _faiss
    later, earlier, similarity = find(vectors[rows], _guard(texts, s, rows), floor)
    return Found(copy_of, rows[later], rows[earlier], similarity)


def _guard(texts: Texts, s: Scheme, rows: np.ndarray) -> Guard:
    """(contrast keys, listed words, where each row's start): those of row i are listed[at[i]:at[i + 1]]. Paraphrases
    have other words, so only these contrast."""
    by, parts, counts = np.argsort(rows), [np.empty(0, np.uint64)], np.zeros(len(rows), np.int64)
    contrast = np.empty(len(rows), np.uint64)
    texts.load(rows[by])
    for start in range(0, len(rows), BLOCK):
        sets = texts.sets(rows[by[start : start + BLOCK]], s)
        contrast[by[start : start + BLOCK]] = sets.contrast
        words = sets.tokens < LISTED
        parts.append(sets.tokens[words])
        counts[start : start + BLOCK] = np.bincount(
            np.repeat(np.arange(len(sets.sizes)), sets.token_sizes)[words], minlength=len(sets.sizes)
        )
    values, ends = np.concatenate(parts), np.cumsum(counts)
    at = np.concatenate([[0], np.cumsum(counts[np.argsort(by)])])
    place = np.repeat((ends - counts)[np.argsort(by)] - at[:-1], np.diff(at)) + np.arange(len(values))
    return contrast, values[place], at


def _exact(vectors: np.ndarray, guard: Guard, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, levels = len(vectors), _levels(floor)
    later, earlier, similarity = [], [], []
    for y in range(0, n, BLOCK):
        rows = slice(y, min(y + BLOCK, n))
        size = rows.stop - y
        counts, total = np.zeros((size, len(levels)), np.int64), np.zeros(size, np.int64)
        hits, values = np.empty((size, NEIGHBOURS * len(levels)), np.int64), np.empty((size, NEIGHBOURS * len(levels)))
        for x in range(0, y + 1, BLOCK):
            found = vectors[rows] @ vectors[x : x + BLOCK].T
            if found.max(initial=-1) >= floor - 1e-5:
                # Rounded, so that the last bits of a matrix product decide nothing.
                found = np.round(found.astype(np.float64), 5)
                take_pairs(found, y, x, *guard, levels, counts, hits, values, total)
        part(rows.stop**2, n**2, "pairs")  # a row meets all before it
        filled = np.arange(hits.shape[1]) < total[:, None]
        later.append(np.repeat(np.arange(y, rows.stop), total))
        earlier.append(hits[filled])
        similarity.append(np.minimum(values[filled], 1.0))
    late, early, value = (np.concatenate([none, *a]) for none, a in zip(NONE, (later, earlier, similarity)))
    return late, early, value


def _levels(floor: float) -> np.ndarray:
    return np.array([floor, *(level for level in LEVELS if level > floor)])


def _faiss(vectors: np.ndarray, guard: Guard, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from an inverted-list index: the pairs found are true, some are missed."""
    try:
        import faiss
    except ImportError as e:
        raise MissingExtra(f"method: semantic over more than {EXACT} rows", "embed") from e
    n, size = vectors.shape
    levels = _levels(floor)
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
        # Each pair is seen from its later row.
        before = other < row
        row, other, found = row[before], other[before], np.round(found[before].astype(np.float64), 5)
        by = np.lexsort((other, row))
        row, other, found = row[by], other[by], found[by]
        held = np.empty(len(row), bool)
        mark_pairs(row, other, np.maximum(found, floor), *guard, levels, held)
        later.append(row[held])
        earlier.append(other[held])
        similarity.append(np.clip(found[held], floor, 1.0))
    return np.concatenate(later), np.concatenate(earlier), np.concatenate(similarity)
