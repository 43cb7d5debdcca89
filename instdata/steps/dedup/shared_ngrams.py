"""Word n-grams shared by two sets of texts, with their places: the kernels of decontamination.

A token is a word, or one character of Chinese or Japanese, or three characters of other scripts that write no spaces
(Thai, Lao, Khmer, Burmese).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from instdata.steps.dedup.character_tables import Tables
from instdata.steps.dedup.folding import BASE, UNSPACED, WORD, fold, kind_of, mix, run_hash, scratch_size, slot
from instdata.util.kernels import inner, jit


class Wanted(NamedTuple):
    """Token n-grams to look for, as an open-addressed hash table."""

    hashes: np.ndarray  # uint64[2^k], 0 for empty
    number: np.ndarray  # int64[2^k]: which n-gram, -1 for empty
    lengths: np.ndarray  # int64: the numbers of tokens that n-grams here have, ascending
    begins: np.ndarray  # bool[2^j]: whether an n-gram begins with as many tokens as the shortest has, by their hash


@inner
def tokens(chars, n, t, hashes, starts, ends):
    """Hash, start and end (in folded characters) of each token; returns how many. The lowest bit of a hash says whether
    the token is of a script without spaces."""
    kind = t.kind
    count, i = 0, 0
    while i < n:
        k = kind_of(chars[i], kind)
        if k & WORD == 0:
            i += 1
            continue
        start = i
        c = chars[i]
        h = np.uint64(c) + np.uint64(1)  # the hash of the characters so far, as `run_hash` has it
        if k & UNSPACED:
            i += 1
        elif 0x0E00 <= c < 0x0F00 or 0x1000 <= c < 0x10A0 or 0x1780 <= c < 0x1800:
            # Three characters from each one on: no word borders are known, so every place must be one.
            i += 1
            hashes[count] = mix(run_hash(chars, start, min(start + 3, n))) | np.uint64(1)
            starts[count], ends[count] = start, min(start + 3, n)
            count += 1
            continue
        else:
            i += 1
            while i < n and kind_of(chars[i], kind) & (WORD | UNSPACED) == WORD:
                h = h * BASE + np.uint64(chars[i]) + np.uint64(1)
                i += 1
        hashes[count] = mix(h) & ~np.uint64(1) | np.uint64(k & UNSPACED != 0)
        starts[count], ends[count] = start, i
        count += 1
    return count


@jit
def token_rows(data, offsets, t, at, hashes, columns):
    """Token hashes of every row at hashes[at[row]:] (a first call with none counts them into `at`), and the row's
    width: wide characters fill two columns."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    own, starts, ends = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    for row in range(len(offsets) - 1):
        n = fold(data, offsets[row], offsets[row + 1], t, chars, camel)
        count = tokens(chars, n, t, own, starts, ends)
        at[row + 1] = at[row] + count
        columns[row] = n
        for i in range(n):
            columns[row] += kind_of(chars[i], t.kind) & 1
        if len(hashes):
            for i in range(count):
                hashes[at[row] + i] = own[i]


@inner
def window_hash(prefix, start, length, power):
    """The hash of tokens start..start+length, from running hashes; never 0."""
    return mix(prefix[start + length] - prefix[start] * power + np.uint64(length)) | np.uint64(1)


@inner
def running(hashes, n, prefix):
    prefix[0] = 0
    for i in range(n):
        prefix[i + 1] = prefix[i] * BASE + hashes[i]


@inner
def begin(h, wanted):
    """Where in `wanted.begins` the hash of an n-gram's first tokens stands."""
    return (h >> np.uint64(20)) & np.uint64(len(wanted.begins) - 1)


@jit
def collect(hashes, at, n, short, wanted, power, numbers):
    """Put the items' n-grams of n tokens into `wanted` and, of items with fewer tokens where `short` allows, the whole
    item. numbers[i] becomes the number of the n-gram that starts with token i, -1 where none does; `power` is BASE to
    the powers. Returns how many distinct n-grams there are; they are numbered as they come."""
    count = 0
    shortest = wanted.lengths[0]
    numbers[:] = -1
    for row in range(len(at) - 1):
        m = at[row + 1] - at[row]
        length = min(m, n)
        if m == 0 or (m < n and not short[row]):
            continue
        prefix = np.empty(m + 1, np.uint64)
        running(hashes[at[row] : at[row + 1]], m, prefix)
        for i in range(m - length + 1):
            h = window_hash(prefix, i, length, power[length])
            place = slot(h, wanted.hashes)
            if wanted.hashes[place] == 0:
                wanted.hashes[place], wanted.number[place] = h, count
                wanted.begins[begin(window_hash(prefix, i, shortest, power[shortest]), wanted)] = True
                count += 1
            numbers[at[row] + i] = wanted.number[place]
    return count


@jit
def matches(data, offsets, t, wanted, power, row_out, number_out):
    """(row, n-gram) for each n-gram of `wanted` that a row holds. Returns how many; only as many as fit are written."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    hashes, starts, ends = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    prefix = np.empty(size + 1, np.uint64)
    lengths, shortest = wanted.lengths, wanted.lengths[0]
    total = 0
    for row in range(len(offsets) - 1):
        n = fold(data, offsets[row], offsets[row + 1], t, chars, camel)
        count = tokens(chars, n, t, hashes, starts, ends)
        running(hashes, count, prefix)
        for i in range(count - shortest + 1):
            if not wanted.begins[begin(window_hash(prefix, i, shortest, power[shortest]), wanted)]:
                continue
            for length in lengths:
                if i + length > count:
                    break
                number = wanted.number[slot(window_hash(prefix, i, length, power[length]), wanted.hashes)]
                if number >= 0:
                    if total < len(row_out):
                        row_out[total], number_out[total] = row, number
                    total += 1
    return total


@jit
def locate(data, offsets, t, wanted, power, alive, span):
    """The longest run of overlapping n-grams of `wanted` that count (`alive`) in one text (two offsets): writes its
    first and last folded character to `span`, returns the n-gram it starts with, -1 for none."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    hashes, starts, ends = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    n = fold(data, offsets[0], offsets[1], t, chars, camel)
    count = tokens(chars, n, t, hashes, starts, ends)
    prefix = np.empty(count + 1, np.uint64)
    running(hashes, count, prefix)
    best = -1
    span[0], span[1] = 0, 0
    for length in wanted.lengths:
        first, stop, named = 0, -1, -1
        for i in range(count - length + 1):
            number = wanted.number[slot(window_hash(prefix, i, length, power[length]), wanted.hashes)]
            if number < 0 or not alive[number]:
                continue
            if i > stop:
                first, named = i, number
            stop = i + length
            if ends[stop - 1] - starts[first] > span[1] - span[0]:
                span[0], span[1], best = starts[first], ends[stop - 1], named
    return best


def all_found(kernel: Callable[..., int], rows: int, *given: Any) -> tuple[np.ndarray, np.ndarray]:
    """(row, n-gram) of everything that `matches`, or a kernel like it, finds in so many rows."""
    room = 8 * rows
    while True:
        row, number = np.empty(room, np.int64), np.empty(room, np.int64)
        count = kernel(*given, row, number)
        if count <= room:
            return row[:count].copy(), number[:count].copy()
        room = count


def powers(n: int) -> np.ndarray:
    """BASE to the powers 0..n (uint64)."""
    return np.cumprod(np.array([1] + [int(BASE)] * n, np.uint64))


def table_for(count: int, lengths: list[int]) -> Wanted:
    """An empty table for `count` n-grams of these lengths."""
    size = 1 << max(4, (2 * count).bit_length())
    none = np.full(size, -1, np.int64)
    return Wanted(np.zeros(size, np.uint64), none, np.array(lengths, np.int64), np.zeros(16 * size, np.bool_))


def read_folded(data: np.ndarray, offsets: np.ndarray, t: Tables) -> str:
    """The folded text of one row (two offsets)."""
    size, _ = scratch_size(data, offsets, t)
    out, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    return "".join(map(chr, out[: fold(data, *offsets, t, out, camel)].tolist()))
