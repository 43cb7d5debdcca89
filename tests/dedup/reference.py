"""Jaccard similarity the slow way: Python sets of n-grams as folding.py describes them, all pairs compared."""

import numpy as np
import pyarrow as pa

from instdata.steps.dedup.character_tables import prepare, tables
from instdata.steps.dedup.folding import WHOLE, WIDE
from instdata.steps.dedup.shared_ngrams import read_folded


def folded(text: str) -> str:
    return folded_all([text])[0]


def folded_all(texts: list[str]) -> list[str]:
    data, offsets = prepare(pa.array(texts))
    return [read_folded(data, offsets[i : i + 2], tables()) for i in range(len(texts))]


def ngram_set(text: str, width: int = 5) -> frozenset[str]:
    text, kind = folded(text), tables().kind
    columns = [1 + (ord(c) >= len(kind) or bool(kind[ord(c)] & WIDE)) for c in text]
    if sum(columns) < WHOLE * width:
        return frozenset([text])
    ends = np.cumsum([0, *columns])
    grams = set()
    for i in range(len(text)):
        j = int(np.searchsorted(ends, ends[i] + width))
        if j <= len(text):
            grams.add(text[i:j])
    return frozenset(grams)


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / len(a | b)


def all_pairs(texts: list[str], floor: float) -> dict[tuple[int, int], float]:
    """(earlier, later) -> similarity, for every pair at `floor` or above."""
    sets = [ngram_set(t) for t in texts]
    vocabulary: dict[str, int] = {}
    rows, columns = [], []
    for i, grams in enumerate(sets):
        for gram in grams:
            rows.append(i)
            columns.append(vocabulary.setdefault(gram, len(vocabulary)))
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), (len(texts), len(vocabulary)))
    both = (matrix @ matrix.T).tocoo()
    sizes = np.array([len(s) for s in sets])
    upper = both.row < both.col
    i, j, shared = both.row[upper], both.col[upper], both.data[upper]
    similarity = shared / (sizes[i] + sizes[j] - shared)
    held = similarity >= floor
    return dict(zip(zip(i[held].tolist(), j[held].tolist()), similarity[held].tolist()))
