"""All pairs of similar texts: candidates from band keys, each verified by its true Jaccard similarity.

Copies are set aside first, by hashes of the whole folded text. Then band keys are sorted, a band at a time. In a band's
small groups every pair is a candidate. Rows of large groups (one template with many slots, say) are gathered and joined
by their rarest n-grams (prefix_join.py), near-linear where comparing all pairs would be quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from instdata.steps.dedup.compared_texts import Texts, release
from instdata.steps.dedup.contrast_guard import contrasting, one_each
from instdata.steps.dedup.jaccard import jaccard
from instdata.steps.dedup.minhash import Scheme, Sets, Sketch
from instdata.steps.dedup.prefix_join import join_dense
from instdata.steps.dedup.typing_errors import slips
from instdata.util.kernels import inner, jit, on_all_cores

FRAMED = 2  # similar rows with which a row contrasts, from which on it counts as one of a frame
PART = 1 << 24  # keys that are sorted at once: of more rows, those with the same leading bits come in turn
SMALL = 24  # rows of a band's group up to which all its pairs are compared
BLOCK = 16 << 20  # bytes of text that verification holds at once; their n-gram sets take up to ten times as much
LOW = np.uint64(0xFFFFFFFF)


class Found(NamedTuple):
    """What a search found, rows by position. `later` comes after `earlier` in priority; pairs are sorted by (later,
    earlier)."""

    copy_of: np.ndarray  # int32[rows]: the first row in priority with the same folded text, -1 where there is none
    later: np.ndarray  # int64
    earlier: np.ndarray  # int64
    similarity: np.ndarray  # float64


@inner
def ones(x):
    """How many bits are set."""
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def band_groups(packed, keys, band, rows, small, bits, differing, pairs, links):
    """Pairs of one band's small groups that share no earlier band and whose bits differ in at most `differing`, and
    (first, other) links of its large groups, each packed as low << 32 | high. Returns how many of both there are; only
    as many as fit are written."""
    n_pairs, n_links, start, n = 0, 0, 0, len(packed)
    while start < n:
        stop = start + 1
        while stop < n and packed[stop] >> np.uint64(32) == packed[start] >> np.uint64(32):
            stop += 1
        first = packed[start] & LOW
        if stop - start > small:
            for i in range(start + 1, stop):
                if n_links < len(links):
                    links[n_links] = (first << np.uint64(32)) | (packed[i] & LOW)
                n_links += 1
        else:
            for i in range(start, stop):
                a = packed[i] & LOW
                for j in range(i + 1, stop):
                    b = packed[j] & LOW
                    x, y = rows[a], rows[b]
                    seen = ones(bits[x, 0] ^ bits[y, 0]) + ones(bits[x, 1] ^ bits[y, 1]) > differing
                    for earlier in range(0 if seen else band):
                        seen |= keys[earlier, x] == keys[earlier, y]
                    if not seen:
                        if n_pairs < len(pairs):
                            pairs[n_pairs] = (a << np.uint64(32)) | b
                        n_pairs += 1
        start = stop
    return n_pairs, n_links


@jit
def unite(root, links):
    """Union-find: afterwards root[i] leads, in steps, to the smallest member of i's component."""
    for link in links:
        a, b = np.int64(link >> np.uint64(32)), np.int64(link & LOW)
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        root[max(a, b)] = min(a, b)


@jit
def flatten(root):
    for i in range(len(root)):
        root[i] = root[root[i]]  # roots are smaller than their members, so they are flat already


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


def by_prefix(values: np.ndarray) -> Iterator[np.ndarray]:
    """Positions (int64, ascending) of unsigned values, about PART at a time: those with the same leading bits, so that
    equal values are never apart."""
    bits = max(0, int(np.ceil(np.log2(max(1, len(values)) / PART))))
    if not bits:
        yield np.arange(len(values))
        return
    kind = values.dtype.type
    lead = (values >> kind(8 * values.dtype.itemsize - bits)).astype(np.uint8 if bits <= 8 else np.uint32)
    for prefix in range(1 << bits):
        yield np.flatnonzero(lead == prefix)


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
    candidates, root = _candidates(sketch, rows, s, floor)
    texts.load(_compared(rows, candidates, root))
    first, second, value, same = (np.concatenate(a) for a in zip(*_verified(texts, rows, candidates, s, floor)))
    slipped = np.flatnonzero(same & (value < 0))
    slipped = slipped[slips(texts, *(rows[side[slipped]].astype(np.int64) for side in (first, second)))]
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


def _candidates(sketch: Sketch, rows: np.ndarray, s: Scheme, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """(candidate pairs as earlier << 32 | later, root of each row's component of large groups), by place in `rows`."""
    keys = sketch.keys
    # Of n bits, those of a pair at the floor differ in n(1 - floor)/2, give or take; four deviations more and it is none.  # noqa: E501
    n, share = min(s.bands * s.rows, 128), (1 - floor) / 2
    differing = int(np.ceil(n * share + 4 * np.sqrt(n * share * (1 - share))))
    root = np.arange(len(rows), dtype=np.int32)

    def band(i: int) -> tuple[np.ndarray, np.ndarray]:
        found: list[tuple[np.ndarray, np.ndarray]] = []
        none, own = np.empty(0, np.uint64), keys[i][rows]
        release(keys)
        for at in by_prefix(own):
            packed = own[at].astype(np.uint64)
            packed <<= np.uint64(32)
            packed |= at.astype(np.uint64)
            packed.sort()
            n_pairs, n_links = band_groups(packed, keys, i, rows, SMALL, sketch.bits, differing, none, none)
            pairs, links = np.empty(n_pairs, np.uint64), np.empty(n_links, np.uint64)
            if n_pairs or n_links:
                band_groups(packed, keys, i, rows, SMALL, sketch.bits, differing, pairs, links)
            found.append((pairs, links))
            release(keys)
        pairs, links = (np.concatenate(part) for part in zip(*found))
        return pairs, links

    found = on_all_cores(band, range(len(keys)), "bands")
    for _, links in found:
        unite(root, links)
    flatten(root)
    pairs = np.concatenate([pairs for pairs, _ in found])
    pairs.sort()
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & LOW).astype(np.int64)
    return pairs[root[first] != root[second]], root


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


def _verified(texts: Texts, rows: np.ndarray, pairs: np.ndarray, s: Scheme, floor: float):
    """(earlier, later, similarity, same words) of the pairs at the floor or above, see verify, a block of text at a
    time."""
    yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, bool)
    start, step = 0, 1 << 17
    while start < len(pairs):
        part = pairs[start : start + step]
        first, second = (part >> np.uint64(32)).astype(np.int64), (part & LOW).astype(np.int64)
        needed = np.unique(rows[np.concatenate([first, second])]).astype(np.int64)
        if texts.sizes(needed).sum() > BLOCK and len(part) > 1:
            step = len(part) // 2
            continue
        found, same = similarities(
            texts.sets(needed, s),
            np.searchsorted(needed, rows[first]),
            np.searchsorted(needed, rows[second]),
            floor,
            s.words,
        )
        held = found != 0
        yield first[held], second[held], found[held], same[held]
        start += len(part)
        step = min(2 * len(part), 1 << 17)


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
