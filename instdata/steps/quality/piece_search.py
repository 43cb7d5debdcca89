"""Which of many patterns may occur in each text, by one pass over its bytes: those of which a needed piece is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from instdata.steps.quality.needed_pieces import ALWAYS, FOLD, needed, window
from instdata.util.kernels import jit

PATTERNS = 64  # at most so many are looked for at once: a bit of a word each
BEGINNING = 600  # characters of a text that are told apart from all of it
BITS = 17  # of a slot's number, in each of two tables: by a hash of the last three bytes, of the last four
SPREAD, SHIFT, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(64 - BITS), np.uint64(1 << BITS)
LAST_THREE, LAST_FOUR = np.uint64(0xFFFFFF), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Search:
    """Some patterns, and the tables by which their pieces are found. Pieces that end with the same bytes follow each
    other; those of one byte stand apart."""

    number: dict[str, int]  # the bit of each pattern; patterns that need no piece are not in it
    single: np.ndarray  # uint64[256]: bits of the pieces of one byte
    there: np.ndarray  # uint8[2 * slots / 8]: a bit for each slot that is taken
    first: np.ndarray  # int32[2 * slots]: number of a slot's first piece, -1 for none
    following: np.ndarray  # int32[pieces]
    bytes_: np.ndarray  # uint64[pieces]: the last bytes that a piece is compared by
    mask: np.ndarray  # uint64[pieces]: how many of them
    bits: np.ndarray  # uint64[pieces]: the patterns that need it

    def of(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(uint64: bits of the patterns that may occur in each text, of those that may in its first BEGINNING
        characters); of a string array without nulls."""
        found = np.zeros((2, len(texts)), np.uint64)
        if len(texts):
            offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
            data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
            tables = self.single, self.there, self.first, self.following, self.bytes_, self.mask, self.bits
            _search(data, offsets, FOLDED, *tables, found)
        return found[0], found[1]


FOLDED = np.frombuffer(FOLD, np.uint8)


def search_for(patterns: Iterable[str]) -> Search:
    """The tables of some patterns. Raises ValueError for more than PATTERNS of them."""
    bits_of: dict[bytes, int] = {}
    number: dict[str, int] = {}
    for pattern in dict.fromkeys(patterns):
        if (pieces := needed(pattern)) is None:
            continue
        number[pattern] = len(number)
        for piece in map(window, pieces):
            bits_of[piece] = bits_of.get(piece, 0) | 1 << number[pattern]
    if len(number) > PATTERNS:
        raise ValueError(f"{len(number)} patterns: more than {PATTERNS} are looked for in two searches")
    bits_of |= dict.fromkeys(map(window, ALWAYS), (1 << len(number)) - 1)
    single = np.zeros(256, np.uint64)
    longer = [piece for piece in bits_of if len(piece) > 1]
    for piece in bits_of.keys() - longer:
        single[piece[0]] = bits_of[piece]
    first, following = np.full(2 << BITS, -1, np.int32), np.full(len(longer), -1, np.int32)
    for i, piece in enumerate(longer):
        last = int.from_bytes(piece[-4:], "big") * int(SPREAD) & 0xFFFFFFFFFFFFFFFF
        slot = last >> 64 - BITS | (min(len(piece), 4) - 3) << BITS
        following[i], first[slot] = first[slot], i
    there = np.packbits(first >= 0, bitorder="little")
    bytes_ = np.array([int.from_bytes(piece, "big") for piece in longer], np.uint64)
    mask = np.array([(1 << 8 * len(piece)) - 1 for piece in longer], np.uint64)
    bits = np.array([bits_of[piece] for piece in longer], np.uint64)
    return Search(number, single, there, first, following, bytes_, mask, bits)


@jit
def _search(data, offsets, fold, single, there, first, following, bytes_, mask, bits, found):
    for row in range(len(offsets) - 1):
        # Numbers without a sign: none counts from the end.
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        beginning, chars = at, 0
        while beginning < end and chars <= BEGINNING:  # the byte at which the next character begins
            if end - at <= np.uint64(BEGINNING):
                beginning = end
                break
            chars += data[beginning] & 0xC0 != 0x80
            beginning += np.uint64(chars <= BEGINNING)
        last, seen = np.uint64(0), np.uint64(0)
        for part in range(2):
            stop = end if part else beginning
            while at < stop:
                b = fold[data[at]]
                at += np.uint64(1)
                seen |= single[b]
                last = last << np.uint64(8) | np.uint64(b)
                three = (last & LAST_THREE) * SPREAD >> SHIFT
                four = (last & LAST_FOUR) * SPREAD >> SHIFT | SECOND
                taken = there[three >> np.uint64(3)] >> (three & np.uint64(7))
                if (taken | there[four >> np.uint64(3)] >> (four & np.uint64(7))) & 1:
                    for slot in (three, four):
                        piece = first[slot]
                        while piece >= 0:
                            if last & mask[piece] == bytes_[piece]:
                                seen |= bits[piece]
                            piece = following[piece]
            found[1 - part, row] = seen


def warm() -> None:
    """Compile the kernel by running it once."""
    search_for(["warm"]).of(pa.array(["it is warm"]))
