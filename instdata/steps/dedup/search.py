"""All pairs of similar texts: candidates from band keys, each verified by its true Jaccard similarity.

Copies are set aside first, by hashes of the whole folded text. Then band keys are sorted, a band at a time. In a band's
small groups every pair is a candidate. Rows of large groups (one template with many slots, say) are gathered and joined
by their rarest n-grams (prefix_join.py), near-linear where comparing all pairs would be quadratic.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from instdata.steps.dedup.band_join import LOW, by_prefix, gathered, join_bands, most_differing
from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.minhash import Scheme, Sketch
from instdata.steps.dedup.prefix_join import join_dense
from instdata.steps.dedup.typing_errors import slips
from instdata.steps.dedup.verification import NONE, together, verified

FRAMED = 2  # similar rows with which a row contrasts, from which on it counts as one of a frame


class Found(NamedTuple):
    """What a search found, rows by position. `later` comes after `earlier` in priority; pairs are sorted by (later,
    earlier)."""

    copy_of: np.ndarray  # int32[rows]: the first row in priority with the same folded text, -1 where there is none
    later: np.ndarray  # int64
    earlier: np.ndarray  # int64
    similarity: np.ndarray  # float64


def copies(whole: np.ndarray, order: np.ndarray) -> np.ndarray:
    """For each row the first row of `order` with the same folded text, -1 where there is none before it."""
    copy_of = np.full(len(whole), -1, np.int32)
    ones = whole[order, 0]
    some = np.zeros(len(order), bool)
    for at in by_prefix(ones):
        by_one = at[np.argsort(ones[at])]
        same = ones[by_one[1:]] == ones[by_one[:-1]]
        some[by_one[1:][same]] = some[by_one[:-1][same]] = True
    rows = order[np.flatnonzero(some)]  # in priority order; lexsort keeps it among equals
    rows = rows[np.lexsort((whole[rows, 1], whole[rows, 0]))]
    starts = np.ones(len(rows), bool)
    starts[1:] = (whole[rows[1:]] != whole[rows[:-1]]).any(axis=1)
    firsts = rows[starts][np.cumsum(starts) - 1] if len(rows) else rows
    copy_of[rows[~starts]] = firsts[~starts]
    return copy_of


def search(texts: Texts, sketch: Sketch, s: Scheme, order: np.ndarray, floor: float) -> Found:
    """Every pair of rows of `order` (positions, in priority order) with similarity at least `floor`, copies apart.
    What is held of every row is 32 bits wide: 100 million rows take 0.4 GB an array.

    A row in a group of many similar ones gets its earliest neighbours only: see join_dense.
    """
    copy_of = copies(sketch.whole, order)
    rows = order[copy_of[order] < 0].astype(np.int32)
    differing, far = most_differing(s, floor), texts.far
    join = partial(join_bands, sketch.keys) if far is None else far.join_bands
    pairs, root = gathered(join(rows, sketch.bits, differing), len(rows))
    known, new = (NONE, pairs) if texts.kept is None else texts.kept.find(rows, pairs)
    texts.load(_compared(rows, new, root))
    found = verified(texts, rows, new, s, floor) if far is None else far.verified(rows, new, floor)
    verdicts = together(found)
    if texts.kept is not None:
        texts.kept.keep(rows, new, verdicts)
    first, second, value, same, either, words = together([known, verdicts])
    slipped = np.flatnonzero(either)
    slipped = slipped[slips(words[slipped], either[slipped], texts.counts)]
    value[slipped] *= -1
    later, earlier, similarity = _outside_frames(first, second, value, same)
    for members in _components(root):
        y, x, value = join_dense(texts, rows[members].astype(np.int64), s, floor)
        later.append(members[y])
        earlier.append(members[x])
        similarity.append(value)
    y, x = np.concatenate([np.empty(0, np.int64), *later]), np.concatenate([np.empty(0, np.int64), *earlier])
    by = np.lexsort((x, y))
    later_rows, earlier_rows = (rows[side[by]].astype(np.int64) for side in (y, x))
    return Found(copy_of, later_rows, earlier_rows, np.concatenate([np.empty(0), *similarity])[by])


def _compared(rows: np.ndarray, pairs: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Positions, sorted, of the rows in candidate pairs or large groups: the text of no other is looked at."""
    some = root != np.arange(len(root), dtype=root.dtype)
    some[root[some]] = True
    some[pairs >> np.uint64(32)] = some[pairs & LOW] = True
    return np.sort(rows[some]).astype(np.int64)


def _outside_frames(
    first: np.ndarray, second: np.ndarray, similarity: np.ndarray, same: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """(later, earlier, similarity) of the pairs that are copies. A row that is similar to several others with which it
    contrasts holds a frame (one passage and its questions, one scaffold and its tasks): of two such rows a word more is
    another task."""
    unlike = similarity < 0
    held, counts = np.unique(np.concatenate([first[unlike], second[unlike]]), return_counts=True)
    framed = held[counts >= FRAMED]
    copies = ~unlike & (same | ~(np.isin(first, framed) & np.isin(second, framed)))
    return [second[copies]], [first[copies]], [similarity[copies]]


def _components(root: np.ndarray) -> list[np.ndarray]:
    """Members, in order, of each component with more than one."""
    led = np.flatnonzero(root != np.arange(len(root), dtype=root.dtype))
    members = np.union1d(led, root[led])
    members = members[np.argsort(root[members], kind="stable")]
    return np.split(members, np.flatnonzero(np.diff(root[members])) + 1) if len(members) else []
