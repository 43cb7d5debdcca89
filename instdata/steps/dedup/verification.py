"""Verification of candidate pairs: their true Jaccard similarity, whether they contrast, and in which words they might
differ by a typing error. All of it is a function of the two texts and the scheme."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from instdata.steps.dedup.band_join import LOW
from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.contrast_guard import contrasting, one_each
from instdata.steps.dedup.jaccard import jaccard
from instdata.steps.dedup.minhash import Scheme, Sets, ngram_sets
from instdata.steps.dedup.typing_errors import BESIDE, candidates
from instdata.util.kernels import jit, on_all_cores

BLOCK = 16 << 20  # bytes of text that verification holds at once; their n-gram sets take up to ten times as much
PAIRS = 1 << 17  # that are verified together, at most


class PairVerdicts(NamedTuple):
    """What verification found of pairs at the floor or above: `first` comes before `second` in priority, both are
    places in the rows searched."""

    first: np.ndarray  # int64
    second: np.ndarray  # int64
    similarity: np.ndarray  # float64; negative where the two contrast
    same: np.ndarray  # bool: whether their words are the same, of contrasting ones: all but one of each
    either: np.ndarray  # int64: which of the two `words` may be the misspelt one, bit by bit; 0: neither
    words: np.ndarray  # uint64[n, 2]: hashes of the words by which the two differ, where one may be misspelt


def together(parts: Iterable[PairVerdicts]) -> PairVerdicts:
    """Several verdicts as one."""
    return PairVerdicts(*(np.concatenate(columns) for columns in zip(NONE, *parts)))


NONE = PairVerdicts(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, bool),
    np.empty(0, np.int64), np.empty((0, 2), np.uint64),
)  # fmt: skip


@jit
def verify(values, at, sizes, tokens, token_at, token_sizes, contrast, bag, words, first, second, floor, out, same):
    """True similarity of the pairs of rows (first, second): negative where the two contrast, 0 where it is below
    `floor`; and whether their words are the same, of contrasting ones: all but one of each."""
    for i in range(len(first)):
        a, b = first[i], second[i]
        similarity = max(0.0, jaccard(values, at[a], at[a] + sizes[a], values, at[b], at[b] + sizes[b], floor))
        if similarity and contrasting(
            contrast[a], contrast[b],
            tokens, token_at[a], token_at[a] + token_sizes[a],
            tokens, token_at[b], token_at[b] + token_sizes[b], words,
        ):  # fmt: skip
            similarity = -similarity
        out[i], same[i] = similarity, bag[a] == bag[b]
        if similarity < 0 and words and contrast[a] == contrast[b]:
            same[i] = one_each(
                tokens, token_at[a], token_at[a] + token_sizes[a],
                tokens, token_at[b], token_at[b] + token_sizes[b],
            )  # fmt: skip


def verified(texts: Texts, rows: np.ndarray, pairs: np.ndarray, s: Scheme, floor: float) -> Iterator[PairVerdicts]:
    """Verdicts on pairs (earlier << 32 | later, places in `rows`), a block of text at a time."""
    start, step = 0, PAIRS
    while start < len(pairs):
        part = pairs[start : start + step]
        first, second = (part >> np.uint64(32)).astype(np.int64), (part & LOW).astype(np.int64)
        needed = np.unique(rows[np.concatenate([first, second])]).astype(np.int64)
        if texts.sizes(needed).sum() > BLOCK and len(part) > 1:
            step = len(part) // 2
            continue
        data, offsets = texts.fetch(needed)
        a, b = np.searchsorted(needed, rows[first]), np.searchsorted(needed, rows[second])
        found, same = similarities(ngram_sets(data, offsets, s), a, b, floor, s.words)
        held = np.flatnonzero(found)
        words, either = np.zeros((len(held), 2), np.uint64), np.zeros(len(held), np.int64)
        slips = np.flatnonzero(same[held] & (found[held] < 0))
        if len(slips):
            own, which = np.zeros((len(slips), 2), np.uint64), np.zeros(len(slips), np.int64)
            candidates(data, offsets, a[held[slips]], b[held[slips]], BESIDE, own, which)
            words[slips], either[slips] = own, which
        yield PairVerdicts(first[held], second[held], found[held], same[held], either, words)
        start += len(part)
        step = min(2 * len(part), PAIRS)


def similarities(
    sets: Sets, first: np.ndarray, second: np.ndarray, floor: float, words: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(true similarity of pairs of rows of `sets`, whether their words are the same), see verify, on all cores."""
    out, same = np.empty(len(first)), np.empty(len(first), bool)

    def work(at: int) -> None:
        part = slice(at, at + 8192)
        verify(*sets, words, first[part], second[part], floor, out[part], same[part])

    on_all_cores(work, range(0, len(first), 8192), "candidates")
    return out, same
