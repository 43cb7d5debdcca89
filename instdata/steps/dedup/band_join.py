"""Candidate pairs: rows that share the key of a band. Each band is joined by itself: in its small groups every pair is
a candidate; the rows of a large one are linked to its first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from instdata.steps.dedup.character_tables import frozen
from instdata.steps.dedup.compared_texts import release
from instdata.steps.dedup.minhash import Scheme
from instdata.util.kernels import inner, jit, on_all_cores

PART = 1 << 24  # keys that are sorted at once: of more rows, those with the same leading bits come in turn
SMALL = 24  # rows of a band's group up to which all its pairs are compared
LOW = np.uint64(0xFFFFFFFF)
Joined = tuple[np.ndarray, np.ndarray]  # (pairs, links) of a band, see band_groups


@inner
def ones(x):
    """How many bits are set."""
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def band_groups(packed, keys, band, rows, small, bits, differing, pairs, links):
    """Pairs of one band's small groups that share no earlier band of `keys` and whose bits differ in at most
    `differing`, and (first, other) links of its large groups, each packed as low << 32 | high. Returns how many of both
    there are; only as many as fit are written."""
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


def most_differing(s: Scheme, floor: float) -> int:
    """Of the n bits of two texts, those of a pair at the floor differ in n(1 - floor)/2, give or take; in four
    deviations more, and it is none."""
    n, share = min(s.bands * s.rows, 128), (1 - floor) / 2
    return int(np.ceil(n * share + 4 * np.sqrt(n * share * (1 - share))))


def band_pairs(keys: np.ndarray, band: int, rows: np.ndarray, bits: np.ndarray, differing: int) -> Joined:
    """(pairs, links) by a band of `keys` (uint32[bands, texts]), of places in `rows`; see band_groups."""
    found: list[Joined] = []
    none, own = np.empty(0, np.uint64), keys[band][rows]
    release(keys)
    for at in by_prefix(own):
        packed = own[at].astype(np.uint64)
        packed <<= np.uint64(32)
        packed |= at.astype(np.uint64)
        packed.sort()
        n_pairs, n_links = band_groups(packed, keys, band, rows, SMALL, bits, differing, none, none)
        pairs, links = np.empty(n_pairs, np.uint64), np.empty(n_links, np.uint64)
        if n_pairs or n_links:
            band_groups(packed, keys, band, rows, SMALL, bits, differing, pairs, links)
        found.append((pairs, links))
        release(keys)
    pairs, links = (np.concatenate(part) for part in zip(*found))
    return pairs, links


def join_bands(keys: np.ndarray, rows: np.ndarray, bits: np.ndarray, differing: int) -> list[Joined]:
    """`band_pairs` of every band of `keys`, on all cores."""
    rows, bits = frozen(rows.view()), frozen(bits.view())  # as arrays of mapped files are
    return on_all_cores(lambda band: band_pairs(keys, band, rows, bits, differing), range(len(keys)), "bands")


def gathered(found: Iterable[Joined], n: int) -> tuple[np.ndarray, np.ndarray]:
    """(candidate pairs as earlier << 32 | later, sorted; root of each row's component of large groups), by place, of
    what joining the bands of n rows found."""
    root = np.arange(n, dtype=np.int32)
    parts = [np.empty(0, np.uint64)]
    for pairs, links in found:
        unite(root, links)
        parts.append(pairs)
    flatten(root)
    pairs = np.unique(np.concatenate(parts))  # who joins some bands of them does not know of the others
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & LOW).astype(np.int64)
    return pairs[root[first] != root[second]], root
