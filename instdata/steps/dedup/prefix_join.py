"""The exact join of rows that are all alike: prefix filtering on n-grams, rarest first.

Two sets with Jaccard similarity t or more share one of their rarest n-grams: the a - ceil(2ta/(1+t)) + 1 rarest of the
smaller set (its short prefix) and the b - ceil(tb) + 1 rarest of the larger (its long prefix). With one template in
many slots the short prefix is all slot, so rows meet only where their slots do. Chaudhuri, Ganti, Kaushik, "A primitive
operator for similarity joins", 2006; Xiao et al., "Efficient similarity joins for near-duplicate detection" (PPJoin),
2008.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.folding import mix, mixed
from instdata.steps.dedup.jaccard import jaccard
from instdata.steps.dedup.minhash import Scheme
from instdata.util.kernels import inner, jit, on_all_cores, threads

NEIGHBOURS = 16  # of each row, at each level: the earliest ones. More would make output quadratic in a cluster's size
LEVELS = (0.8, 0.9, 0.95)  # rows with that many neighbours at the floor are searched again at these
BLOCK = 16 << 20  # bytes of text whose n-gram sets are held at once, twice
BUCKETS = 1 << 20  # of the table of n-gram frequencies


def marked(tokens: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """The tokens under which texts are stored: only those that ask the same (their contrast key and words are equal)
    look there."""
    return np.where(contrast == 0, tokens, mixed(tokens ^ contrast) >> np.uint64(32))


@inner
def lower_bound(a, x):
    low, high = 0, len(a)
    while low < high:
        middle = (low + high) >> 1
        if a[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def ascending(a, n):
    """Sort the first n values, in place (Shell 1959; each gap about 2.25 times the next, as Tokuda's 1992). numba
    compiles nine functions for its own sort."""
    gap = 1
    while gap < n:
        gap = 9 * gap // 4 + 1
    while gap:
        for i in range(gap, n):
            value, at = a[i], i
            while at >= gap and a[at - gap] > value:
                a[at] = a[at - gap]
                at -= gap
            a[at] = value
        gap = 4 * gap // 9


@jit
def probe(first, last, own, y, y_base, x, x_base, t, active, hits, similarity, count):
    """For rows first..last of block y: the earliest rows of block x that come before them and are similar."""
    values, at, sizes, contrast, tokens, token_at, short, _, _ = y
    x_values, x_at, x_sizes, x_contrast, _, _, _, by_short, by_long = x
    limit = hits.shape[1]
    stamp = np.full(len(x_sizes), -1, np.int64)
    near = np.empty(len(x_sizes), np.int64)
    for row in range(first, last):
        if not active[row] or count[row] >= limit:
            continue
        # Where to look: (list, token), as a cursor into the postings sorted by token and row.
        n = token_at[row + 1] - token_at[row]
        cursor = np.empty(n + short[row], np.int64)
        wanted = np.empty(len(cursor), np.uint64)
        looks, in_short = 0, 0
        for k in range(2):
            for i in range(n if k == 0 else short[row]):
                token = tokens[token_at[row] + i]
                wanted[looks] = token if contrast[row] == 0 else mix(token ^ contrast[row]) >> np.uint64(32)
                looks += 1
            if k == 0:
                in_short = looks
        for i in range(looks):
            cursor[i] = lower_bound(by_short if i < in_short else by_long, wanted[i] << np.uint64(32))
        end = min(len(x_sizes), row + y_base - x_base) if own else len(x_sizes)
        low, high = 0, 64
        while low < end and count[row] < limit:
            high = min(high, end)
            found = 0
            for i in range(looks):
                lists = by_short if i < in_short else by_long
                stop = wanted[i] << np.uint64(32) | np.uint64(high)
                while cursor[i] < len(lists) and lists[cursor[i]] < stop:
                    other = np.int64(lists[cursor[i]] & np.uint64(0xFFFFFFFF))
                    cursor[i] += 1
                    if stamp[other] != row:
                        stamp[other] = row
                        near[found] = other
                        found += 1
            ascending(near, found)
            for i in range(found):
                other = near[i]
                a, b = sizes[row], x_sizes[other]
                if min(a, b) < t * max(a, b) - 1e-9 or contrast[row] != x_contrast[other]:
                    continue
                value = jaccard(values, at[row], at[row] + a, x_values, x_at[other], x_at[other] + b, t)
                if value >= 0:
                    hits[row, count[row]] = other + x_base
                    similarity[row, count[row]] = value
                    count[row] += 1
                    if count[row] >= limit:
                        break
            low, high = high, high * 4


def join_dense(texts: Texts, rows: np.ndarray, s: Scheme, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(later, earlier, similarity) of pairs at `floor` or above among `rows` (in priority order), as places in `rows`.

    Where many rows hold the same text, what else they hold decides: two that may contrast must have the same words.

    Each row's NEIGHBOURS earliest similar rows are found, and where it has more, as many again at each of LEVELS: in a
    cluster whose rows are all alike the output stays linear, and a closer copy is still found.
    """
    sizes = texts.sizes(np.sort(rows))[np.argsort(np.argsort(rows))]
    cuts = [0, *np.flatnonzero(np.diff(np.cumsum(sizes) // BLOCK)) + 1, len(rows)]
    blocks = [slice(a, b) for a, b in pairwise(cuts) if b > a]
    loaded: dict[int, tuple] = {}

    def load(i: int) -> tuple:
        if i not in loaded:
            by = np.argsort(rows[blocks[i]])
            sets = texts.sets(rows[blocks[i]][by], s)
            place = np.argsort(by)
            if len(loaded) > 1:
                loaded.pop(next(iter(loaded)))
            loaded[i] = (
                sets.values,
                sets.at[place],
                sets.sizes[place],
                np.where(sets.contrast == 0, sets.contrast, mixed(sets.contrast ^ sets.bag) | np.uint64(1))[place],
            )
        return loaded[i]

    frequency = np.zeros(BUCKETS, np.int64)
    for i in range(len(blocks)):
        frequency += np.bincount((load(i)[0] >> np.uint64(35)).astype(np.int64), minlength=BUCKETS)
    active = np.ones(len(rows), bool)
    later, earlier, found = [], [], []
    for t in [floor, *(level for level in LEVELS if level > floor)]:
        hits, similarity, count = (
            np.empty((len(rows), NEIGHBOURS), np.int64),
            np.empty((len(rows), NEIGHBOURS)),
            np.zeros(len(rows), np.int64),
        )
        for i, x_rows in enumerate(blocks):
            x = indexed(load(i), frequency, t)
            for j in range(i, len(blocks)):
                rows_of = blocks[j]
                y = x if i == j else indexed(load(j), frequency, t)
                found_so_far = (active[rows_of], hits[rows_of], similarity[rows_of], count[rows_of])
                _probe_all(i == j, y, rows_of.start, x, x_rows.start, t, *found_so_far)
        filled = np.arange(NEIGHBOURS) < count[:, None]
        later.append(np.repeat(np.arange(len(rows)), count))
        earlier.append(hits[filled])
        found.append(similarity[filled])
        active = count == NEIGHBOURS
        if not active.any():
            break
    late, early, value = np.concatenate(later), np.concatenate(earlier), np.concatenate(found)
    _, first = np.unique(late * len(rows) + early, return_index=True)
    return late[first], early[first], value[first]


def _probe_all(
    own: bool,
    y: tuple,
    y_base: int,
    x: tuple,
    x_base: int,
    t: float,
    active: np.ndarray,
    *found: np.ndarray,
) -> None:
    """`probe` for all rows of block y, on all cores."""
    n = len(active)
    step = max(64, n // (8 * threads()) + 1)

    def work(start: int) -> None:
        probe(start, min(start + step, n), own, y, y_base, x, x_base, t, active, *found)

    on_all_cores(work, range(0, n, step))


def indexed(block: tuple, frequency: np.ndarray, t: float) -> tuple:
    """The block's sets with their prefixes, rarest n-gram first (the upper 32 bits of its hash; row i's long prefix is
    tokens[token_at[i]:token_at[i + 1]], its short one the first short[i] of them), and its postings by short and by
    long prefix: token << 32 | row, sorted."""
    values, at, sizes, contrast = block
    long, short = (sizes - np.ceil(part * sizes - 1e-9).astype(np.int64) + 1 for part in (t, 2 * t / (1 + t)))
    token_at = np.concatenate([np.zeros(1, np.int64), np.cumsum(long)])
    rare = frequency[values >> np.uint64(35)].astype(np.uint64) << np.uint64(32) | values >> np.uint64(23)
    tokens = np.empty(token_at[-1], np.uint64)
    for start, n, first, stop in zip(*(a.tolist() for a in (at, sizes, token_at, token_at[1:]))):
        rare[start : start + n].sort()  # numpy's sort is several times faster than a compiled one, the loop included
        tokens[first:stop] = rare[start : start + stop - first]
    tokens &= np.uint64(0xFFFFFFFF)
    lists = []
    for taken in (short, long):
        rows = np.repeat(np.arange(len(sizes)), taken)
        own = tokens[np.arange(len(rows)) + np.repeat(token_at[:-1] - np.cumsum(taken) + taken, taken)]
        lists.append(marked(own, contrast[rows]) << np.uint64(32) | rows.astype(np.uint64))
        lists[-1].sort()
    return values, at, sizes, contrast, tokens, token_at, short, *lists
