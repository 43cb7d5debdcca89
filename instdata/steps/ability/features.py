"""A text as hashed features of what it asks for, compiled: n-grams of tokens and of its opening, stems, cues of form,
and the concepts of the lexicon.

The first line, or the last where the first is long, is the ask; the rest is material. The ask's words and concepts
count once more by themselves.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from instdata.steps.ability.lexicon import CONCEPTS
from instdata.steps.ability.tokens_and_cues import BREAK, LAST_CUE, LETTER, LEVELS, TOKENS, WIDE, mix, read
from instdata.util.kernels import inner, jit, on_all_cores

# Groups: each is normalised by itself, so that none drowns the others.
WORDS, OPENING, STEMS, CUES, CONCEPT, PIECES, ASK = range(7)
GROUP_BITS = 3  # at the top of a hash
# The same there. (Of a plain number that is handed on, numba compiles a kernel for each value: so not here, nor below.)
OF_WORDS, OF_OPENING, OF_STEMS, OF_CUES, OF_CONCEPT, OF_PIECES, OF_ASK = np.arange(7, dtype=np.uint64) << np.uint64(
    64 - GROUP_BITS
)
EVERY = np.ones(1 << GROUP_BITS, np.bool_)  # groups
START = 25  # tokens that count as the opening
LONG = 60  # tokens of a first line above which it is material, and the last line the ask
LONGEST = 24  # bytes of a word whose pieces count
ROWS = 512  # rows in one slice
MOST = 20  # concepts of the opening that are paired
FEATURES = TOKENS * 17 + START * 3 + START * 3 * LONGEST + MOST * MOST + 400  # at most, in one text


@inner
def put(out, m, h, group):
    """Write a feature at m; returns the next place."""
    out[m] = h >> np.uint64(GROUP_BITS) | group
    return m + 1


@jit
def look_up(slots, h):
    """Where a hash is, or would be, in an open-addressed table."""
    mask = np.uint64(len(slots) - 1)
    at = h & mask
    while slots[at] != 0 and slots[at] != h:
        at = (at + np.uint64(1)) & mask
    return at


@inner
def contains(numbers, wanted):
    for number in numbers:  # noqa: SIM110
        if number == wanted:
            return True
    return False


@inner
def ask(kind, n):
    """(begin, end) of the tokens that state the task: the first line, or the last where the first is long and it is
    not."""
    end = 0
    while end < n and kind[end] != BREAK:
        end += 1
    if end <= LONG or end == n:
        return 0, end
    begin = n
    while begin > 0 and kind[begin - 1] != BREAK:
        begin -= 1
    return (begin, n) if n - begin <= LONG else (0, end)


@inner
def features_of(data, lo, hi, token, stem, kind, cue, span, near, slots, concepts, wanted, out, m):
    """Hash the features of data[lo:hi], of the groups wanted, into `out` from place m, all but those of cues (in `cue`;
    none where no other feature is); returns the next place."""
    n = read(data, lo, hi, token, stem, kind, cue, span)
    if n == 0:
        return m
    met = 0
    begin, end = ask(kind, n)
    for i in range(begin, end if wanted[ASK] else begin):
        h = np.uint64(ASK)
        for k in range(min(3, end - i)):
            h = mix(h, token[i + k])
            m = put(out, m, h, OF_ASK)
    for i in range(n):
        asked = begin <= i < end
        h = np.uint64(WORDS)
        for k in range(min(4 if kind[i] == WIDE else 3, n - i)):
            h = mix(h, token[i + k])
            m = put(out, m, h, OF_WORDS)
            at = look_up(slots, h) if wanted[CONCEPT] else np.uint64(0)
            if wanted[CONCEPT] and slots[at] != 0:
                m = put(out, m, mix(np.uint64(0), concepts[at]), OF_CONCEPT)
                if asked:
                    m = put(out, m, mix(np.uint64(2), concepts[at]), OF_CONCEPT)
                if i < 2 * START and met < MOST and not contains(near[:met], concepts[at]):
                    near[met] = concepts[at]
                    met += 1
        h = np.uint64(STEMS)
        for k in range(min(2, n - i)):
            h = mix(h, stem[i + k])
            if kind[i] == -1 or kind[i + k] == -1:
                m = put(out, m, h, OF_STEMS)
    opening = min(n, START)
    for i in range(-1, opening):  # -1: anchored at the start, and longer
        h = np.uint64(OPENING)
        for k in range(min(6 if i < 0 else 3, opening - i)):
            h = mix(h, np.uint64(1) if i + k < 0 else token[i + k])
            m = put(out, m, h, OF_OPENING)
    for i in range(opening if wanted[PIECES] else 0):  # pieces of 3 to 5 bytes, the word's ends marked
        if kind[i] == LETTER or kind[i] == -1:
            lo, hi = span[i, 0], min(span[i, 1], span[i, 0] + LONGEST)
            for j in range(lo - 1, hi - 1):
                h = np.uint64(PIECES)
                for k in range(min(5, hi - j + 1)):
                    h = mix(h, 1 if j + k < lo or j + k == hi else data[j + k] | 32)
                    if k >= 2:
                        m = put(out, m, h, OF_PIECES)
    for i in range(met):
        for k in range(i + 1):  # alone (k = i: it stands in the opening) and in pairs
            low, high = min(near[i], near[k]), max(near[i], near[k])
            m = put(out, m, mix(mix(np.uint64(1), low), high), OF_CONCEPT)
    return m


@jit
def features_of_rows(data, offsets, first, rows, slots, concepts, wanted, out, ends):
    """Hash every feature of some rows into `out`; `ends` gets where each row stops."""
    token, stem = np.empty(TOKENS, np.uint64), np.empty(TOKENS, np.uint64)
    kind, cue = np.empty(TOKENS, np.int8), np.empty(LAST_CUE + 1, np.int64)
    span, near = np.empty((TOKENS, 2), np.int64), np.empty(MOST, np.int64)
    m = np.int64(0)
    for row in range(rows):
        lo, hi = offsets[first + row], offsets[first + row + 1]
        before = m
        m = features_of(data, lo, hi, token, stem, kind, cue, span, near, slots, concepts, wanted, out, m)
        for i in range(len(cue) if m > before else 0):
            for k in range(i + 1):
                out[m] = mix(mix(np.uint64(100 * i + k), cue[i]), cue[k]) >> np.uint64(GROUP_BITS) | OF_CUES
                m += 1
        ends[row] = m
    return m


def hashes_of_cues() -> np.ndarray:
    """The feature of every two cues at every level: uint64[pairs, LEVELS, LEVELS], pairs in their order in a text."""
    i, k = np.tril_indices(LAST_CUE + 1)
    levels = np.arange(LEVELS)
    return mix(mix(np.uint64(100 * i + k)[:, None, None], levels[:, None]), levels) >> np.uint64(GROUP_BITS) | OF_CUES


@cache
def lexicon() -> tuple[np.ndarray, np.ndarray]:
    """(slots, concepts): an open-addressed table from the hash of a phrase to the number of its concept, from 1."""
    phrases = [(number, p.strip()) for number, words in enumerate(CONCEPTS.values(), 1) for p in words.split(",")]
    slots, concepts = np.zeros(4096, np.uint64), np.zeros(4096, np.int64)
    for number, phrase in phrases:
        h = np.uint64(whole(np.frombuffer(phrase.encode(), np.uint8).copy()))
        at = look_up(slots, h)
        slots[at], concepts[at] = h, number
    return slots, concepts


@jit
def whole(data):
    """The hash of a text as one n-gram."""
    token, stem = np.empty(TOKENS, np.uint64), np.empty(TOKENS, np.uint64)
    kind, cue = np.empty(TOKENS, np.int8), np.empty(LAST_CUE + 1, np.int64)
    return run_on(data, token, stem, kind, cue, np.empty((TOKENS, 2), np.int64))


@inner
def run_on(data, token, stem, kind, cue, span):
    """The hash of all tokens. (numba compiles what both a kernel and a function of one calls twice: not `read`.)"""
    h = np.uint64(WORDS)
    for i in range(read(data, 0, len(data), token, stem, kind, cue, span)):
        h = mix(h, token[i])
    return h


def bytes_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(data uint8, offsets int64) of an array of strings; a null is an empty text."""
    texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    offsets = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8), offsets


def features(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(hashes, starts) of an array of strings: row i's features are hashes[starts[i]:starts[i+1]], with repetitions;
    the top GROUP_BITS are the group. A null is an empty text, which has none."""
    data, offsets = bytes_of(texts)
    slots, concepts = lexicon()

    def part(first: int) -> tuple[np.ndarray, np.ndarray]:
        rows = min(ROWS, len(texts) - first)
        out, ends = np.empty(rows * FEATURES, np.uint64), np.empty(rows, np.int64)
        m = features_of_rows(data, offsets, first, rows, slots, concepts, EVERY, out, ends)
        return out[:m].copy(), ends

    parts = on_all_cores(part, range(0, len(texts), ROWS))
    starts = np.concatenate([[0], *(np.diff(ends, prepend=0) for _, ends in parts)]).cumsum()
    return np.concatenate([h for h, _ in parts]) if parts else np.empty(0, np.uint64), starts
