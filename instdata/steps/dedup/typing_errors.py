"""Typing errors: two texts that are one but for a word of the one that is a misspelling of the other's.

Letters alone cannot tell "nitrite" from a slip of "nitrate"; the corpus can, where it is large: a word that hardly
another row has, one slip of the fingers (Damerau 1964: a letter dropped, doubled, exchanged, or hit beside) away from
one that many rows have, is no word of its own. Words with capitals (names) and listed pairs of real words never are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from instdata.steps.dedup.contrast_words import REAL_WORDS
from instdata.steps.dedup.folding import BASE, mix, slot
from instdata.util.kernels import inner, jit

LETTERS = 6  # of the longer word; shorter words have too many neighbours that are words (bears, beats)
TIMES = 20  # as many rows as hold the misspelling must hold the word at least
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def beside() -> np.ndarray:
    """bool[26, 26]: whether two letters' keys touch."""
    place = {c: (row, column + row / 2) for row, keys in enumerate(KEYS) for column, c in enumerate(keys)}
    near = np.zeros((26, 26), bool)
    for a, (row, column) in place.items():
        for b, (other, at) in place.items():
            near[ord(a) - 97, ord(b) - 97] = a != b and abs(row - other) <= 1 and abs(column - at) <= 1
    return near


BESIDE = beside()


@inner
def letter(c):
    return 97 <= (c | 32) <= 122


@inner
def apart(data, a, a_end, b, b_end, out):
    """Whether two texts of bytes differ within one word of small letters each; out: where the words are, in both."""
    n = min(a_end - a, b_end - b)
    left, right = 0, 0
    while left < n and data[a + left] == data[b + left]:
        left += 1
    while right < n - left and data[a_end - 1 - right] == data[b_end - 1 - right]:
        right += 1
    while left > 0 and letter(data[a + left - 1]):
        left -= 1
    while right > 0 and letter(data[a_end - right]):
        right -= 1
    out[0], out[1], out[2], out[3] = a + left, a_end - right, b + left, b_end - right
    for k in range(0, 4, 2):
        for i in range(out[k], out[k + 1]):
            if not 97 <= data[i] <= 122:
                return False
    return max(out[1] - out[0], out[3] - out[2]) >= LETTERS and out[1] > out[0] and out[3] > out[2]


@inner
def slipped(word, typed, near):
    """Whether `typed` is `word` with one letter dropped, doubled, exchanged with the next, or hit beside; never the
    first."""
    n, m = len(word), len(typed)
    i, same = 0, 0
    while i < min(n, m) and word[i] == typed[i]:
        i += 1
    while same < min(n, m) - i and word[n - 1 - same] == typed[m - 1 - same]:
        same += 1  # letters at the end
    if i == 0:
        return False
    if m == n - 1:
        return i + same == m
    if m == n + 1:
        return i + same == n and typed[i] == typed[i - 1]
    if m != n or i == n:
        return False
    if i + 1 < n and word[i] == typed[i + 1] and word[i + 1] == typed[i]:
        return i + 2 + same == n
    return i + 1 + same == n and near[word[i] - 97, typed[i] - 97]


@jit
def spelling(data, start, end):
    """The hash of a word whose letters' case does not count; never 0."""
    h = np.uint64(0)
    for i in range(start, end):
        h = h * BASE + np.uint64(data[i] | 32) + np.uint64(1)
    return mix(h) | np.uint64(1)


@jit
def candidates(data, offsets, first, second, near, words, either):
    """For each pair of rows: the hashes of its two words where one may be a slip of the other, else 0; `either`: which
    of the two may be the misspelt one, bit by bit."""
    out = np.empty(4, np.int64)
    for i in range(len(first)):
        a, b = first[i], second[i]
        if apart(data, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], out):
            x, y = data[out[0] : out[1]], data[out[2] : out[3]]
            either[i] = np.int64(slipped(y, x, near)) + 2 * np.int64(slipped(x, y, near))
            if either[i]:
                words[i, 0], words[i, 1] = spelling(data, out[0], out[1]), spelling(data, out[2], out[3])


@jit
def count_words(data, offsets, table, texts, seen):
    """Count in `texts` how many texts hold each word of LETTERS - 1 letters and more; `table`, `texts` and `seen` (all
    0 before) are an open-addressed table of words, as `spelling` has them. Returns how many there are; where the table
    is too small for them, its length, and the counts mean nothing."""
    held = 0
    for row in range(len(offsets) - 1):
        i, end = offsets[row], offsets[row + 1]
        while i < end:
            start, h = i, np.uint64(0)
            while i < end and letter(data[i]):
                h = h * BASE + np.uint64(data[i] | 32) + np.uint64(1)
                i += 1
            if i - start >= LETTERS - 1:
                word = mix(h) | np.uint64(1)
                at = slot(word, table)
                held += table[at] == 0
                if 2 * held > len(table):
                    return len(table)
                table[at] = word
                if seen[at] != row + 1:
                    seen[at] = row + 1
                    texts[at] += np.uint32(1)
            i += 1
    return held


Counts = tuple[np.ndarray, np.ndarray]  # (hashes of words, ascending; how many texts hold each)


def vocabulary(data: np.ndarray, offsets: np.ndarray) -> Counts:
    """How many of some texts hold each of their words."""
    size = 1 << max(10, int((offsets[-1] - offsets[0]) // 16).bit_length())
    while True:  # a table that grows within the kernel would cost four times as much
        table, texts, seen = np.zeros(size, np.uint64), np.zeros(size, np.uint32), np.zeros(size, np.int32)
        if count_words(data, offsets, table, texts, seen) < size:
            return added([(table[table > 0], texts[table > 0])])
        size *= 4


def added(parts: Sequence[Counts]) -> Counts:
    """The counts of several parts of the texts, in any order, as those of all."""
    words = np.concatenate([np.empty(0, np.uint64), *(w for w, _ in parts)])
    counts = np.concatenate([np.empty(0, np.uint32), *(c for _, c in parts)])
    by = np.argsort(words, kind="stable")
    words = words[by]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(words)), bool), words[1:] != words[:-1]]))
    return words[starts], np.add.reduceat(counts[by], starts, dtype=np.uint32) if len(starts) else counts


def counted(asked: np.ndarray, known: Counts) -> np.ndarray:
    """How many texts hold each word asked for (int64)."""
    words, counts = known
    out = np.zeros(len(asked), np.int64)
    if len(words):
        at = np.minimum(np.searchsorted(words, asked), len(words) - 1)
        found = words[at] == asked
        out[found] = counts[at[found]]
    return out


def slips(words: np.ndarray, either: np.ndarray, counts: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Which pairs of texts that differ in a word each (hashes: uint64[pairs, 2]) differ in a typing error only: bool.
    `either`: see candidates; `counts`: how many texts hold each of some words."""
    if not len(words):
        return np.zeros(0, bool)
    asked, at = np.unique(words, return_inverse=True)
    held, real = counts(asked)[at.reshape(-1, 2)], np.isin(words, np.fromiter(_real(), np.uint64))
    mine, yours = held[:, 0], held[:, 1]
    typed = ((either & 1 > 0) & (yours >= TIMES * mine)) | ((either & 2 > 0) & (mine >= TIMES * yours))
    return typed & ~real.all(axis=1)


def _real() -> set[int]:
    """The hashes of words that look like slips of others, and are none, and of their plurals."""
    forms = [f for w in REAL_WORDS.split() for f in (w, f"{w}s", f"{w[:-1]}ies" if w[-1] == "y" else w)]
    return {int(spelling(np.frombuffer(f.encode(), np.uint8), 0, len(f))) for f in forms}
