"""Repetition inside a response, compiled: words that came before, and one character over and over. One pass over the
bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from instdata.util.kernels import inner, jit

NGRAM = 8  # words (or Chinese characters) in a row that make a repetition
RUN = 12  # times one letter or mark in a row


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


CHARS = _mix(np.arange(1 << 16, dtype=np.uint64))  # a hash of each character; that of 0 is 0
WEIGHTS = np.cumprod(np.full(64, 0xD6E8FEB86659FD93, np.uint64))  # of each place in a word
MARKS = np.array(sorted(ord(c) for c in "!?！？。，,"), np.int64)  # besides letters, what a run may be made of


def repeats(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(share float32, run bool) of each text (a string array without nulls).

    share: of its words, those covered by an 8-gram that came before in it, 0..1: the duplicate n-gram fraction of Rae
    et al. 2021 (Gopher), on words and, where a script has no spaces, characters. Numbers and single letters are no
    words: tables, sums and melodies repeat by nature. run: whether a letter, Chinese character or sentence mark stands
    there RUN times running."""
    share, run = np.zeros(len(texts), np.float32), np.zeros(len(texts), bool)
    if len(texts):
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
        _repeats(data, offsets, CHARS, WEIGHTS, MARKS, share, run)
    return share, run


@jit
def _repeats(data, offsets, chars, weights, marks, share, run):
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    words = np.empty(longest + 1, np.uint64)
    covered = np.empty(longest + 1, np.bool_)
    size = 16
    while size < 2 * longest:
        size *= 2
    seen, stamp = np.empty(size, np.uint64), np.zeros(size, np.int64)
    for row in range(len(offsets) - 1):
        count, run[row] = _words(data, offsets[row], offsets[row + 1], chars, weights, marks, words)
        if count >= NGRAM:
            share[row] = _share(words, count, covered, seen, stamp, row + 1)


@inner
def _words(data, begin, end, chars, weights, marks, words):
    """(number of words, whether a character runs on): fills their hashes. Numbers and single letters count with the
    word before them."""
    count, at, place = 0, begin, -1  # place: characters since the last word began, -1 before the first
    before, times, runs = np.int64(-1), 0, False
    h = np.uint64(0)
    letters, first, opening = 0, np.int64(0), np.uint64(0)  # of the run of letters and digits that is being read
    while at < end:
        b = data[at]
        more = min(0 if b < 0x80 else 1 if b < 0xE0 else 2 if b < 0xF0 else 3, end - at - 1)
        c = np.int64(b) if more == 0 else np.int64(b) & (0x3F >> more)
        for k in range(more):
            c = (c << 6) | (np.int64(data[at + 1 + k]) & 0x3F)
        at += 1 + more
        times = times + 1 if c == before else 1
        before = c
        if times == RUN and not runs:
            runs = _runs(c, marks)
        dense = 0x3040 <= c <= 0x9FFF or 0xAC00 <= c <= 0xD7A3 or c >= 0x20000
        wordy = dense or _is_word(c)
        place += place >= 0
        value = chars[c & 0xFFFF] if wordy else np.uint64(0)
        if dense or not wordy:
            letters = 0
        else:
            letters += 1
            if letters == 1:
                first, opening = c, value
        if dense or (letters == 2 and first > 57):
            if place >= 0:
                # what the run's first letter gave to the word before is taken back
                words[count - 1] = h if dense else h - opening * weights[min(place - 1, 63)]
            count += 1
            h = value * weights[0] if dense else opening * weights[0] + value * weights[1]
            place = 0 if dense else 1
        elif place >= 0:
            h += value * weights[min(place, 63)]
    if count:
        words[count - 1] = h
    return count, runs


@inner
def _is_word(c):
    return 97 <= (c | 32) <= 122 or 48 <= c <= 57 or 0xC0 <= c < 0x2000


@inner
def _runs(c, marks):
    """Whether a character is one that should not run on: no digit, no x, no rule, no dots to fill."""
    letter = _is_word(c) and not 48 <= c <= 57 and (c | 32) != 120
    if letter or (0x3400 <= c < 0xFF00 and c != 0xFEFF):
        return True
    for mark in marks:  # noqa: SIM110  # numba
        if c == mark:
            return True
    return False


@inner
def _share(words, count, covered, seen, stamp, row):
    """The share of words in n-grams that came before. `seen` is an open-addressed table, of which only the entries
    stamped with this row are full."""
    mask = np.uint64(len(seen) - 1)
    covered[:count] = False
    for i in range(count - NGRAM + 1):
        key = np.uint64(0)
        for k in range(NGRAM):
            key = key * np.uint64(0x9E3779B97F4A7C15) + words[i + k]
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(31)
        at = key & mask
        while stamp[at] == row and seen[at] != key:
            at = (at + np.uint64(1)) & mask
        if stamp[at] == row:
            covered[i : i + NGRAM] = True
        else:
            stamp[at], seen[at] = row, key
    total = 0
    for i in range(count):
        total += covered[i]
    return np.float32(np.float64(total) / np.float64(count))


def warm() -> None:
    """Compile the kernels by running each once."""
    repeats(pa.array(["one two three four five six seven eight nine"]))
