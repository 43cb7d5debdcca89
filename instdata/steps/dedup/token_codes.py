"""Rows that may hold n-grams of some items, found without their text: by codes of their tokens, a sixth of the text,
which are kept with its shard. A row that holds an n-gram is always among those found; which others are, its text says.

A word is a byte, of which seven bits are its hash; of a character of a script without spaces three bits are kept, and
two of them in a row share a byte. So four words, the fewest that are looked for, are 28 bits, and 13 characters 39.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from instdata.steps.dedup.character_tables import frozen, prepare, tables
from instdata.steps.dedup.folding import BASE, fold, mix, scratch_size, slot
from instdata.steps.dedup.leaks import BOILERPLATE, Items, Matches
from instdata.steps.dedup.shared_ngrams import all_found, collect, table_for, tokens
from instdata.util.kernels import inner, jit, on_all_cores, threads

WORD, PAIR = 0x80, 0x40  # marks of a byte that is a word, that is two characters
FIRST = 1 << 20  # bits of the table of what n-grams begin with, at least: 128 KB

Texts = Callable[[np.ndarray], Iterable[tuple[np.ndarray, pa.Array]]]  # (numbers, full texts) of some rows, in order


@inner
def code_of(hashes):
    """The codes of tokens, given their hashes (uint64): 0 to 7 of characters, 128 to 255 of words."""
    character = hashes & np.uint64(1)
    return (hashes >> np.uint64(61)) * character + (hashes >> np.uint64(57) | np.uint64(WORD)) * (
        np.uint64(1) - character
    )


@jit
def pack_rows(data, offsets, t, out, ends):
    """Write the bytes of every row's tokens to `out`, and to `ends` where each row's end there."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    hashes, starts, stops = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    at = 0
    for row in range(len(offsets) - 1):
        n = fold(data, offsets[row], offsets[row + 1], t, chars, camel)
        alone = False  # the last byte is one character
        for i in range(tokens(chars, n, t, hashes, starts, stops)):
            code = np.uint8(code_of(hashes[i]))
            if alone and code < 8:
                out[at - 1] = PAIR | out[at - 1] << 3 | code
                alone = False
                continue
            out[at] = code
            at += 1
            alone = code < 8
        ends[row] = at


@inner
def first_place(key, first):
    """The bit of `first` (a power of two of bytes) for four codes (a byte each of a uint64)."""
    return (key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) & np.uint64(8 * len(first) - 1)


@jit
def packed_matches(data, offsets, wanted, first, row_out, number_out):
    """As `matches`, of what `pack_rows` wrote, but each n-gram of a row once: `wanted` holds n-grams of four codes or
    more, `first` has the bits of those that they begin with."""
    most, total = 0, 0
    for row in range(len(offsets) - 1):
        most = max(most, 2 * (offsets[row + 1] - offsets[row]))
    codes, last_row = np.empty(most, np.uint64), np.full(len(wanted.number), -1, np.int64)
    for row in range(len(offsets) - 1):
        count = 0
        for at in range(offsets[row], offsets[row + 1]):
            byte = np.uint64(data[at])
            if byte & np.uint64(WORD) == 0 and byte & np.uint64(PAIR):
                codes[count] = (byte >> np.uint64(3)) & np.uint64(7)
                count += 1
                byte &= np.uint64(7)
            codes[count] = byte
            count += 1
        key = np.uint64(0)
        for last in range(count):
            key = (key << np.uint64(8) | codes[last]) & np.uint64(0xFFFFFFFF)
            place = first_place(key, first)
            if first[place >> np.uint64(3)] >> np.uint8(place & np.uint64(7)) & 1 == 0 or last < 3:
                continue
            start, taken, h = last - 3, 0, np.uint64(0)
            for length in wanted.lengths:
                if start + length > count:
                    break
                while taken < length:
                    h = h * BASE + codes[start + taken]
                    taken += 1
                number = wanted.number[slot(mix(h + np.uint64(length)) | np.uint64(1), wanted.hashes)]
                if number >= 0 and last_row[number] != row:
                    last_row[number] = row
                    if total < len(row_out):
                        row_out[total], number_out[total] = row, number
                    total += 1
    return total


def packed(texts: pa.Array) -> pa.BinaryArray:
    """The codes of the tokens of each text."""
    step = max(1, -(-len(texts) // threads()))
    parts = on_all_cores(_packed, [texts.slice(start, step) for start in range(0, len(texts), step)])
    return pa.concat_arrays(parts) if parts else pa.array([], pa.binary())


def _packed(texts: pa.Array) -> pa.BinaryArray:
    data, offsets = prepare(texts)
    _, most = scratch_size(data, offsets, tables(True))
    out, ends = np.empty(most, np.uint8), np.zeros(len(texts) + 1, np.int64)
    pack_rows(data, offsets, tables(True), out, ends[1:])
    out = out[: ends[-1]].copy()
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(texts), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(out)]
    )


class PackedItems:
    """Items, none of whose n-grams is shorter than four tokens, as what `packed` made of rows is searched for them."""

    def __init__(self, items: Items):
        codes = code_of(items.hashes)
        self._wanted = table_for(int(items.at[-1]) + 1, items.wanted.lengths.tolist())
        codes_number = np.empty(len(codes), np.int64)
        collect(codes, items.at, items.ngram, items.may, self._wanted, items.power, codes_number)
        there = items.numbers >= 0
        at = np.flatnonzero(there)
        self._first = np.zeros(max(FIRST, 1 << (64 * len(items.item)).bit_length()) >> 3, np.uint8)
        place = first_place(sum(codes[at + i] << np.uint64(24 - 8 * i) for i in range(4)), self._first)
        np.bitwise_or.at(self._first, place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8))
        # Two n-grams may have the same codes.
        pairs = np.unique(np.stack([codes_number[there], items.numbers[there]], 1), axis=0)
        self._at, self._number = np.searchsorted(pairs[:, 0], np.arange(len(pairs) + 1)), pairs[:, 1]

    def search(self, rows: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(row, n-gram) of every n-gram of the items that a row may hold, each once."""
        _, offsets, data = rows.buffers()
        at = np.frombuffer(offsets, np.int32)[rows.offset : rows.offset + len(rows) + 1]
        data = frozen(np.frombuffer(data or b"\0", np.uint8))
        row, code = all_found(packed_matches, len(rows), data, frozen(at), self._wanted, self._first)
        count = self._at[code + 1] - self._at[code]
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(self._at[code], count)
        return np.repeat(row, count), self._number[place]


def matches_in(items: Items, rows: Iterable[pa.Array], wanted: np.ndarray, texts: Texts) -> Matches:
    """What Items.search would find in rows, of which `packed` made `rows`, part by part, and of which some are `wanted`
    (bool): but of an n-gram that more than BOILERPLATE of these hold no more than it takes to know that. Only the text
    of rows that may hold an n-gram is read."""
    searched, start, may = PackedItems(items), 0, [np.empty((2, 0), np.int64)]
    for part in rows:
        row, number = searched.search(part)
        some = wanted[row + start]
        may.append(np.stack([row[some] + start, number[some]]))
        start += len(part)
    row, number = np.concatenate(may, 1)
    by = np.lexsort((row, number))
    row, number = row[by], number[by]
    found = [np.empty((2, 0), np.int64)]
    some_rows = BOILERPLATE + 1  # that are read for each n-gram, at first
    while len(row):
        rank = np.arange(len(row)) - np.searchsorted(number, number)
        read = np.unique(row[rank < some_rows])
        for at, full in texts(read):
            in_part, held = items.ngrams_in(full)
            found.append(np.stack([at[in_part], held]))
        known = np.unique(np.concatenate(found, 1), axis=1)
        left = ~np.isin(row, read) & (np.bincount(known[1], minlength=len(items.item))[number] <= BOILERPLATE)
        row, number, some_rows = row[left], number[left], 4 * some_rows
    return Matches({}, *np.concatenate(found, 1))
