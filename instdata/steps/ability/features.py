"""A text as hashed features of what it asks for, compiled: n-grams of tokens and of its opening, stems, cues of form,
and the concepts of the lexicon.

A token is a word, a number (all alike), a punctuation mark, a line break, or one Chinese or Japanese character; width,
case and quote style are folded. A long text is read at both ends only: the task is stated there, the middle is
material. The first line, or the last where the first is long, is the ask; the rest is material. The ask's words and
concepts count once more by themselves.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from instdata.steps.ability.lexicon import CONCEPTS
from instdata.util.kernels import inner, jit, on_all_cores

# Groups: each is normalised by itself, so that none drowns the others.
WORDS, OPENING, STEMS, CUES, CONCEPT, PIECES, ASK = range(7)
GROUP_BITS = 3  # at the top of a hash
# The same there. (Of a plain number that is handed on, numba compiles a kernel for each value: so not here, nor below.)
OF_WORDS, OF_OPENING, OF_STEMS, OF_CUES, OF_CONCEPT, OF_PIECES, OF_ASK = np.arange(7, dtype=np.uint64) << np.uint64(
    64 - GROUP_BITS
)
EVERY = np.ones(1 << GROUP_BITS, np.bool_)  # groups
HEAD, TAIL = 600, 300  # characters read at either end
START = 25  # tokens that count as the opening
LONG = 60  # tokens of a first line above which it is material, and the last line the ask
STEM = 5  # letters: translate, translation and translating share them
LONGEST = 24  # bytes of a word whose pieces count
ROWS = 512  # rows in one slice
TOKENS = HEAD + TAIL + 2
MOST = 20  # concepts of the opening that are paired
FEATURES = TOKENS * 17 + START * 3 + START * 3 * LONGEST + MOST * MOST + 400  # at most, in one text

LETTER, WIDE, NUMBER, MARK, BREAK, BLANK = range(6)  # kinds of character
CHARS, LINES, NUMBERS, QUESTIONS, ASKS, COLONS, QUOTES, CODE, COMMAS, FIRST, CJK, UPPER, ITEMS, LATIN = range(14)
GIVEN, OPTIONS, BLANKS, FENCES, OPERATORS = range(
    14, 19
)  # material after the ask, lettered lines, ___, ```, + - * / = by numbers
LAST_CUE = OPERATORS
QUESTION, COLON, COMMA, STOP, QUOTE = ord("?"), ord(":"), ord(","), ord("."), ord('"')


@inner
def fold(c):
    """(folded character, kind)."""
    if 0xFF01 <= c <= 0xFF5E:  # full width
        c -= 0xFEE0
    if c == 10 or c == 0x2028 or c == 0x2029:
        return 10, BREAK
    if c <= 32 or c == 0xA0 or c == 0x3000 or 0x2000 <= c <= 0x200F or c == 0xFEFF:
        return 32, BLANK
    if 65 <= c <= 90:
        return c + 32, LETTER
    if 48 <= c <= 57:
        return 48, NUMBER
    if 97 <= c <= 122:
        return c, LETTER
    if c < 128:
        return c, MARK
    if 0x3400 <= c <= 0x9FFF or 0x3041 <= c <= 0x30FF or 0xF900 <= c <= 0xFAFF or 0x20000 <= c <= 0x3FFFF:
        return c, WIDE
    if 0x201C <= c <= 0x201F or 0x300C <= c <= 0x300F or c == 0xAB or c == 0xBB:
        return QUOTE, MARK
    if 0x2018 <= c <= 0x201B:
        return 39, MARK
    if c == 0x3002:
        return STOP, MARK
    if c == 0x3001:
        return COMMA, MARK
    if 0x2010 <= c <= 0x2BFF or 0x3003 <= c <= 0x303F or 0xA1 <= c <= 0xBF or c == 0xD7 or c == 0xF7:
        return c, MARK
    if 0xC0 <= c <= 0xDE or 0x391 <= c <= 0x3A9 or 0x410 <= c <= 0x42F:
        return c + 32, LETTER
    return c, LETTER


@inner
def mix(h, x):
    """One step of a 64-bit hash."""
    h = (h ^ np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@inner
def level(x):
    """A count on a coarse scale: 0, 1, 3, 7, 15, …"""
    return int(np.log2(x + 1.0))


@inner
def read(data, lo, hi, token, stem, kind, cue, span):
    """Fill the tokens of data[lo:hi] (UTF-8) and the cues; returns the number of tokens."""
    chars = 0
    for i in range(lo, hi):
        chars += (data[i] & 0xC0) != 0x80
    cue[:] = 0
    n, at, seen, size = 0, lo, 0, 0
    before = BREAK
    last_mark, seen_number = 0, False
    quiet = True  # nothing on this line so far
    wide, upper, last, again, letters = 0, 0, 0, 0, 0
    h = np.uint64(0)
    while at < hi:
        if seen == HEAD and chars > HEAD + TAIL:
            while chars - seen > TAIL:
                at += 1
                while at < hi and (data[at] & 0xC0) == 0x80:
                    at += 1
                seen += 1
            before = BREAK
        begin = at
        b = data[at]
        more = min(0 if b < 0x80 else 1 if b < 0xE0 else 2 if b < 0xF0 else 3, hi - at - 1)
        raw = np.int64(b) if more == 0 else np.int64(b) & (0x3F >> more)
        for k in range(more):
            raw = (raw << 6) | (np.int64(data[at + 1 + k]) & 0x3F)
        at += 1 + more
        seen += 1
        c, kd = fold(raw)
        upper += 65 <= raw <= 90
        if kd == BLANK:
            before = BLANK
            continue
        last = c
        if kd == before and (kd == LETTER or kd == NUMBER):
            letters = 0
            if kd == LETTER:
                h = mix(h, c)
                size += 1
                token[n - 1] = h
                if size <= STEM:
                    stem[n - 1] = h
                span[n - 1, 1] = at
                kind[n - 1] = LETTER if size <= STEM else -1  # -1: a word longer than its stem
            continue
        h = mix(np.uint64(kd + 1), c)
        size = 1
        token[n] = h
        stem[n] = h
        kind[n] = kd
        span[n, 0], span[n, 1] = begin, at
        n += 1
        cue[NUMBERS] += kd == NUMBER
        again = again + 1 if c == last_mark and kd == MARK else 0
        last_mark = c
        cue[BLANKS] += c == 95 and again == 1
        cue[FENCES] += c == 96 and again == 2
        cue[OPERATORS] += seen_number and (
            c == 43 or c == 45 or c == 42 or c == 47 or c == 61 or c == 94 or c == 0xD7 or c == 0xF7
        )
        seen_number = kd == NUMBER
        # "A." or "(B)" at the start of a line
        cue[OPTIONS] += letters == 2 and (c == STOP or c == 41 or c == COLON)
        letters = 2 if quiet and kd == LETTER and 65 <= raw <= 72 else 0
        cue[LATIN] += kd == LETTER
        wide += kd == WIDE
        if kd == BREAK:
            if cue[LINES] == 0:
                cue[FIRST] = seen
            cue[LINES] += before != BREAK
        elif kd == MARK:
            cue[QUESTIONS] += c == QUESTION
            cue[COLONS] += c == COLON
            cue[COMMAS] += c == COMMA
            cue[QUOTES] += c == QUOTE or c == 0x300A
            # ( ) ; < = > [ \ ] _ ` { | }
            cue[CODE] += c == 40 or c == 41 or 59 <= c <= 62 or 91 <= c <= 93 or c == 95 or c == 96 or 123 <= c <= 125
        if quiet and (kd == NUMBER or c == 45 or c == 42 or c == 0x2022):
            cue[ITEMS] += 1
        quiet = kd == BREAK
        before = kd
    if cue[LINES] == 0:
        cue[FIRST] = chars
    cue[CHARS] = chars
    cue[GIVEN] = chars - cue[FIRST] if cue[LINES] else 0
    cue[ASKS] = last == QUESTION
    for k in range(len(cue)):
        cue[k] = level(np.float64(cue[k]))
    cue[QUESTIONS] = min(cue[QUESTIONS], 2)
    cue[CJK] = 4 * wide // max(n, 1)
    cue[UPPER] = level(20.0 * upper / max(chars, 1))
    return n


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
    """Hash the features of data[lo:hi], of the groups wanted, into `out` from place m; returns the next place."""
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
    for i in range(len(cue)):
        for k in range(i + 1):
            m = put(out, m, mix(mix(np.uint64(100 * i + k), cue[i]), cue[k]), OF_CUES)
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
        m = features_of(data, lo, hi, token, stem, kind, cue, span, near, slots, concepts, wanted, out, m)
        ends[row] = m
    return m


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
