"""MinHash signatures, their band keys, and n-gram sets, computed from the text's bytes by compiled kernels.

The permutations are datasketch's `affine32` scheme at its seed 1: a*h + b mod 2^32 over MurmurHash3's 32-bit finalizer,
with h the upper 32 bits of an n-gram's 55-bit hash. So a signature here equals the one that datasketch.MinHash
computes. Broder, "On the resemblance and containment of documents", 1997; Leskovec et al., "Mining of Massive
Datasets", ch. 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from instdata.steps.dedup.character_tables import prepare, tables
from instdata.steps.dedup.contrast_guard import TOKEN_BITS, contrast_key
from instdata.steps.dedup.folding import fold, mix, ngrams, scratch_size
from instdata.steps.dedup.option_values import NGRAM, bands
from instdata.util.errors import InputError, MissingExtra
from instdata.util.kernels import inner, jit, on_all_cores

Strings: TypeAlias = "pa.Array | pa.ChunkedArray | list[str | None]"
SEED = 1
SLICE = 4096  # rows that one kernel call takes
LANES, PASS = 16, 8  # hashes that a vector holds, at most; permutations computed together


def permutations(num_perm: int) -> tuple[np.ndarray, np.ndarray]:
    """The a and b of datasketch's affine32 scheme (uint32)."""
    random = np.random.RandomState(SEED)
    a = random.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, random.randint(0, 1 << 32, num_perm, dtype=np.uint32)


class Scheme(NamedTuple):
    """How texts become n-grams, signatures and band keys."""

    ngram: int
    powers: np.ndarray
    a: np.ndarray  # of the permutations, the last repeated up to a multiple of PASS
    b: np.ndarray
    bands: int
    rows: int
    sides: bool  # texts have two sides with SIDES between (what is given and what is asked, say), compared apart
    script: bool  # traditional Chinese characters fold to simplified ones
    contrast: bool  # texts may contrast, see contrast_guard.py
    words: bool  # ... where each has a word of its own, not only where they hold opposites


def scheme(
    threshold: float = 0.7,
    num_perm: int = 128,
    ngram: int = NGRAM,
    sides: bool = False,
    script: bool = False,
    contrast: bool = True,
    words: bool = True,
) -> Scheme:
    """The scheme that finds pairs from `threshold` up. Raises InputError where the options cannot."""
    count, rows = bands(threshold, num_perm)
    if not 1 <= ngram <= 64:
        raise InputError(f"dedup: ngram {ngram} is outside 1..64")
    powers = np.cumprod(np.array([1] + [0x9E3779B97F4A7C15] * (ngram + 1), np.uint64))
    a, b = (np.pad(x, (0, -num_perm % PASS), "edge") for x in permutations(num_perm))
    return Scheme(ngram, powers, a, b, count, rows, sides, script, contrast, words)


@inner
def row_ngrams(data, start, end, t, s, chars, camel, out):
    """N-gram hashes of a row into `out`. The row is one text, or two sides with SIDES between (if s.sides); an empty
    side has none. Returns (how many n-grams, how many folded characters of the whole row)."""
    cut = start if s.sides else end
    while cut < end and data[cut] != 0x1F:
        cut += 1
    n, count = fold(data, start, cut, t, chars, camel), 0
    if n or cut == end:
        count = ngrams(chars, n, s.ngram, s.powers, np.uint64(0), t.kind, out)
    if cut < end:
        chars[n] = 0x1F
        camel[n] = False
        m = fold(data, cut + 1, end, t, chars[n + 1 :], camel[n + 1 :])
        if m or n == 0:
            count += ngrams(chars[n + 1 :], m, s.ngram, s.powers, np.uint64(1), t.kind, out[count:])
        n += 1 + m
    return count, n


@inner
def premixed(h):
    """MurmurHash3's 32-bit finalizer of an n-gram hash's upper 32 bits: datasketch's one-shot mix."""
    x = np.uint32(h >> np.uint64(23))
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inner
def lower(low, a, h, b):
    v = np.uint32(a * h + b)
    return v if v < low else low


@inner
def smallest(hashes, count, a, b, out):
    """The signature: for each a and b the min over the hashes of a*h + b mod 2^32. Eight permutations a pass stay in
    registers, and LLVM vectorises the loop; what is no multiple of LANES it would take one by one."""
    for k in range(0, len(out), PASS):
        a0, a1, a2, a3, a4, a5, a6, a7 = a[k], a[k + 1], a[k + 2], a[k + 3], a[k + 4], a[k + 5], a[k + 6], a[k + 7]
        b0, b1, b2, b3, b4, b5, b6, b7 = b[k], b[k + 1], b[k + 2], b[k + 3], b[k + 4], b[k + 5], b[k + 6], b[k + 7]
        v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = np.uint32(0xFFFFFFFF)
        for i in range(count):
            h = hashes[i]
            v0, v1, v2, v3 = lower(v0, a0, h, b0), lower(v1, a1, h, b1), lower(v2, a2, h, b2), lower(v3, a3, h, b3)
            v4, v5, v6, v7 = lower(v4, a4, h, b4), lower(v5, a5, h, b5), lower(v6, a6, h, b6), lower(v7, a7, h, b7)
        out[k], out[k + 1], out[k + 2], out[k + 3] = v0, v1, v2, v3
        out[k + 4], out[k + 5], out[k + 6], out[k + 7] = v4, v5, v6, v7


@jit
def sketch_rows(data, offsets, t, s, keys, first, whole, bits, signatures):
    """Per row: band keys (in columns from `first` on), two hashes of the whole folded text, a bit of each of the first
    128 hashes. Where `signatures` has rows, its signature only."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    grams, mixed = np.empty(size, np.uint64), np.empty(size + LANES, np.uint32)  # mixed: as `smallest` takes them
    used = max(s.bands * s.rows, signatures.shape[1])
    signature = np.empty((used + PASS - 1) // PASS * PASS, np.uint32)
    a, b = s.a, s.b  # taken out of the tuple once: each time costs a count of references
    for row in range(len(offsets) - 1):
        count, n = row_ngrams(data, offsets[row], offsets[row + 1], t, s, chars, camel, grams)
        for i in range(count):
            mixed[i] = premixed(grams[i])
        padded = (count + LANES - 1) // LANES * LANES
        for i in range(count, padded):
            mixed[i] = mixed[0]  # a smallest value does not change where one is repeated
        smallest(mixed, padded, a, b, signature)
        if len(signatures):
            for k in range(signatures.shape[1]):
                signatures[row, k] = signature[k]
            continue
        for band in range(s.bands):
            h = np.uint64(band + 1)
            for k in range(band * s.rows, band * s.rows + s.rows):
                h = mix(h * np.uint64(31) + np.uint64(signature[k]))
            keys[band, first + row] = np.uint32(h >> np.uint64(32))
        bits[row] = 0
        for k in range(min(used, 128)):
            bit = np.uint64(np.uint32(signature[k] * np.uint32(0x9E3779B1)) >> np.uint32(31))
            bits[row, k >> 6] |= bit << np.uint64(k & 63)
        one, two = np.uint64(n + 1), np.uint64(n + 7)
        chars[n] = 0
        for i in range(0, n, 2):
            both = np.uint64(chars[i]) | np.uint64(chars[i + 1]) << np.uint64(32)
            one = (one ^ both) * np.uint64(0x9FB21C651E98DF25)
            one ^= one >> np.uint64(32)
            two = (two + both) * np.uint64(0xD6E8FEB86659FD93)
            two ^= two >> np.uint64(29)
        whole[row, 0], whole[row, 1] = one, two


@jit
def grams_of_rows(data, offsets, t, s, grams, tokens, ends, contrast, bag):
    """row << 55 | n-gram hash of all rows, one after the other; the same of their tokens, of which row's end at
    ends[row]; their contrast keys and bags. Returns how many n-grams and tokens there are."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel, own = np.empty(size, np.uint32), np.empty(size, np.bool_), np.empty(size, np.uint64)
    total, listed = 0, 0
    for row in range(len(offsets) - 1):
        count, n = row_ngrams(data, offsets[row], offsets[row + 1], t, s, chars, camel, own)
        for i in range(count):
            grams[total + i] = np.uint64(row) << np.uint64(TOKEN_BITS) | own[i]
        total += count
        count, contrast[row], bag[row] = 0, 0, 0
        if s.contrast:
            contrast[row], bag[row], count = contrast_key(chars, camel, n, t, s.words, own)
        for i in range(count):
            tokens[listed + i] = np.uint64(row) << np.uint64(TOKEN_BITS) | own[i]
        listed += count
        ends[row] = listed
    return total, listed


@jit
def split_rows(grams, ends):
    """Drop repeats from sorted `grams`, in place, and their row numbers; `ends` gets where each row ends. Returns how
    many stay."""
    n = 0
    for i in range(len(grams)):
        if i == 0 or grams[i] != grams[i - 1]:
            ends[np.int64(grams[i] >> np.uint64(55))] = n + 1
            grams[n] = grams[i]
            n += 1
    for i in range(n):
        grams[i] &= np.uint64((1 << 55) - 1)
    return n


class Sets(NamedTuple):
    """N-gram sets of some texts: row i's sorted hashes are values[at[i] : at[i] + sizes[i]]; its sorted tokens (see
    contrast_key) tokens[token_at[i] : token_at[i] + token_sizes[i]]. `contrast`: its contrast key, 0 where nothing
    contrasts; `bag`: equal where the tokens are."""

    values: np.ndarray
    at: np.ndarray
    sizes: np.ndarray
    tokens: np.ndarray
    token_at: np.ndarray
    token_sizes: np.ndarray
    contrast: np.ndarray
    bag: np.ndarray


ROWS = 512  # sets that are made together: row numbers must fit above 55 bits


def ngram_sets(data: np.ndarray, offsets: np.ndarray, s: Scheme) -> Sets:
    """The n-gram sets of prepared texts."""
    t, n = tables(s.script), len(offsets) - 1
    low = np.uint64((1 << TOKEN_BITS) - 1)
    contrast, bag = np.empty(n, np.uint64), np.empty(n, np.uint64)

    def work(start: int) -> tuple[np.ndarray, ...]:
        part = offsets[start : start + ROWS + 1]
        _, most = scratch_size(data, part, t)
        grams, tokens = np.empty(most, np.uint64), np.empty(most, np.uint64)
        ends, token_ends = np.zeros(len(part) - 1, np.int64), np.zeros(len(part) - 1, np.int64)
        own = slice(start, start + len(ends))
        count, listed = grams_of_rows(data, part, t, s, grams, tokens, token_ends, contrast[own], bag[own])
        grams, tokens = grams[:count], tokens[:listed]
        grams.sort()  # numpy's vectorised sort: many times faster than one compiled by numba, row by row
        tokens.sort()
        return grams[: split_rows(grams, ends)].copy(), ends, tokens & low, token_ends

    parts = on_all_cores(work, range(0, n, ROWS))
    values, at, sizes = _joined([p[0] for p in parts], [p[1] for p in parts])
    return Sets(values, at, sizes, *_joined([p[2] for p in parts], [p[3] for p in parts]), contrast, bag)


def _joined(values: list[np.ndarray], ends: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values, where each row's start, how many each row has) of parts one after the other."""
    bases = np.cumsum([0] + [len(v) for v in values])
    at = np.concatenate([np.zeros(1, np.int64), *(e + base for e, base in zip(ends, bases))])
    return np.concatenate([np.empty(0, np.uint64), *values]), at[:-1], np.diff(at)


class Sketch(NamedTuple):
    """What the search keeps of each text."""

    keys: np.ndarray  # uint32[bands, n]
    whole: np.ndarray  # uint64[n, 2]: equal where the folded texts are
    bits: np.ndarray  # uint64[n, 2]: one bit of each hash (Li and König, "b-bit minwise hashing", 2010)


def empty_sketch(n: int, s: Scheme, keys: np.ndarray | None = None) -> Sketch:
    if keys is None:
        keys = np.empty((s.bands, n), np.uint32)
    return Sketch(keys, np.empty((n, 2), np.uint64), np.empty((n, 2), np.uint64))


def sketch_into(found: Sketch, at: int, data: np.ndarray, offsets: np.ndarray, s: Scheme) -> None:
    """Sketch prepared texts into the columns from `at` on. One core; call it for several slices at once."""
    stop = at + len(offsets) - 1
    part = [column[at:stop] for column in found[1:]]
    sketch_rows(data, offsets, tables(s.script), s, found.keys, at, *part, np.empty((0, 0), np.uint32))


def slices(texts: Strings, rows: int = SLICE) -> list[pa.Array]:
    """The texts in order, cut so that a slice holds at most `rows` rows."""
    if isinstance(texts, list):
        texts = pa.array(texts, pa.large_string())
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return [chunk.slice(start, rows) for chunk in chunks for start in range(0, len(chunk), rows)]


def signatures(texts: Strings, num_perm: int = 128, ngram: int = NGRAM) -> np.ndarray:
    """MinHash signatures, uint32[texts, num_perm]; equal to datasketch.MinHash(num_perm, scheme="affine32") updated
    with the upper 32 bits of the n-gram hashes."""
    s = scheme(1.0, num_perm, ngram)
    parts, t, none = slices(texts), tables(), empty_sketch(0, s)
    starts = np.cumsum([0] + [len(p) for p in parts])
    out = np.empty((starts[-1], num_perm), np.uint32)

    def work(i: int) -> None:
        sketch_rows(*prepare(parts[i]), t, s, none.keys, 0, *none[1:], out[starts[i] : starts[i + 1]])

    on_all_cores(work, range(len(parts)))
    return out


def to_datasketch(texts: Strings, num_perm: int = 128, ngram: int = NGRAM) -> list[Any]:
    """The texts as datasketch.MinHash objects, for its LSH storages (Redis, Cassandra, ...). Raises MissingExtra
    without datasketch."""
    try:
        from datasketch import MinHash
    except ImportError as e:
        raise MissingExtra("to_datasketch", "test") from e
    shared = permutations(num_perm)
    return [
        MinHash(seed=SEED, hashvalues=row, permutations=shared, scheme="affine32")
        for row in signatures(texts, num_perm, ngram)
    ]
