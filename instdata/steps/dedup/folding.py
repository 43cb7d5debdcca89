"""What two texts are compared by: the folded text and its character n-grams.

Folding is NFKC, case folding and one form of every quote, dash and full stop; runs of white space become one space,
none next to a Chinese character or kana, and a literal \\n, \\t or \\r is white space too; invisible characters and
inverted marks go, and so does sentence punctuation at the end.

An n-gram is as many characters as fill `ngram` columns, where a wide character (Chinese, Japanese, Korean) fills two:
at 5, five Latin, Cyrillic or Thai letters, or three Chinese ones, and a mixed text needs no special case. A text of
fewer than four n-grams' columns is one n-gram by itself: in "define art" and "define arc" most n-grams agree and the
task does not.
"""

from __future__ import annotations

import numpy as np

from instdata.util.kernels import inner, jit

SPACE, DROP, EXPAND = -1, -2, -3  # fold table: EXPAND - k is the k-th expansion
COMPOSES, UNASSIGNED = 1, 2  # marks of characters that a table of single characters cannot fold
WIDE, WORD, DIGIT, UPPER, UNSPACED = 1, 2, 4, 8, 16  # character classes; unspaced: Han and kana
FIRST_WIDE = 0x1100  # no character below fills two columns
TABLE = 0x20000  # above: rare ideographs, folded to themselves
SIDES = "\x1f"  # between prompt and response where the two are compared apart
WHOLE = 4  # a text of fewer columns than this many n-grams is compared as a whole


@inner
def decode(data, at):
    """(code point, bytes) of the UTF-8 character at `at`."""
    c = np.int64(data[at])
    if c < 0x80:
        return c, 1
    if c < 0xE0:
        return ((c & 0x1F) << 6) | (data[at + 1] & 0x3F), 2
    if c < 0xF0:
        return ((c & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F), 3
    return ((c & 0x07) << 18) | ((data[at + 1] & 0x3F) << 12) | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F), 4


@jit
def mark_rows(data, offsets, mark, out):
    """Per row the marks of its characters, together; True if any may change with the one before it."""
    some = False
    for row in range(len(offsets) - 1):
        at, end, marks = offsets[row], offsets[row + 1], np.uint8(0)
        while at < end:
            if data[at] < 0x80:
                at += 1
                continue
            c, n = decode(data, at)
            at += n
            if c < TABLE:
                marks |= mark[c]
        out[row] = marks
        some |= (marks & COMPOSES) != 0
    return some


@inner
def folded_size(data, start, end, t):
    """How many characters the folded text has at most."""
    table, extra_at = t.fold, t.extra_at
    n, at = 0, start
    while at < end:
        if data[at] < 0x80:
            n += 1
            at += 1
            continue
        c, width = decode(data, at)
        at += width
        if c < TABLE and table[c] <= EXPAND:
            k = EXPAND - table[c]
            n += extra_at[k + 1] - extra_at[k]
        else:
            n += 1
    return n


@jit
def scratch_size(data, offsets, t):
    """The most characters that any of these rows can fold to, and some room; and of n-grams that all have."""
    most, total = 0, 0
    for row in range(len(offsets) - 1):
        size = folded_size(data, offsets[row], offsets[row + 1], t)
        most = max(most, size)
        total += size + 2
    return most + 8, total


@inner
def kind_of(c, kind):
    return kind[c] if c < TABLE else np.uint8(WIDE | WORD | UNSPACED)


@jit
def fold(data, start, end, t, out, camel):
    """Write the folded characters to `out`, and to `camel` whether an upper-case letter follows a lower-case one there.
    Returns how many were written."""
    table, kind, extra, extra_at = t.fold, t.kind, t.extra, t.extra_at
    n, at = 0, start
    # bare: a space would be dropped here, after another, after an unspaced character and at the start
    bare, lower = True, False
    while at < end:
        # ASCII, without a branch for each space: those cost more than all else.
        while at < end and data[at] < 0x80:
            c = data[at]
            at += 1
            if c == 92 and at < end and (data[at] == 110 or data[at] == 116 or data[at] == 114):
                c = np.uint8(32)  # a literal \\n, \\t or \\r: white space that was escaped once too often
                at += 1
            k, blank = kind[c], table[c] == SPACE
            out[n] = 32 if blank else table[c]
            camel[n] = lower & ((k & UPPER) != 0)
            lower = (k & (WORD | WIDE | DIGIT | UPPER)) == WORD
            n += 1 - (blank & bare)
            bare = blank
        if at >= end:
            break
        c, width = decode(data, at)
        at += width
        f = table[c] if c < TABLE else np.int32(c)
        if f == DROP:
            continue
        if f == SPACE:
            if not bare:
                out[n] = 32
                camel[n] = False
                n += 1
            bare, lower = True, False
            continue
        # Whether it has no spaces beside it, judged by what it is folded to.
        begins, ends = f, f
        if f <= EXPAND:
            begins, ends = extra[extra_at[EXPAND - f]], extra[extra_at[EXPAND - f + 1] - 1]
        if kind_of(begins, kind) & UNSPACED and n and out[n - 1] == 32:
            n -= 1
        bare = (kind_of(ends, kind) & UNSPACED) != 0
        k = kind_of(c, kind)
        if f <= EXPAND:
            for e in range(extra_at[EXPAND - f], extra_at[EXPAND - f + 1]):
                out[n] = extra[e]
                camel[n] = False
                n += 1
        else:
            out[n] = f
            camel[n] = lower and (k & UPPER) != 0
            n += 1
        lower = (k & (WORD | WIDE | DIGIT | UPPER)) == WORD
    # Sentence punctuation at the end does not count, except a factorial.
    while n > 1:
        c = out[n - 1]
        if not (
            c == 46
            or c == 63
            or c == 44
            or c == 58
            or c == 59
            or c == 126
            or c == 32
            or (c == 33 and (out[n - 2] < 48 or out[n - 2] > 57))
        ):
            break
        n -= 1
    return n


@inner
def mix(h):
    """MurmurHash3's 64-bit finalizer."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


def mixed(hashes: np.ndarray) -> np.ndarray:
    """`mix` of every hash of an array."""
    return mix(hashes.copy())


BASE = np.uint64(0x9E3779B97F4A7C15)


@inner
def run_hash(chars, start, end):
    """The hash of a run of folded characters; an n-gram's hash is this of its characters, mixed."""
    h = np.uint64(0)
    for i in range(start, end):
        h = h * BASE + np.uint64(chars[i]) + np.uint64(1)
    return h


@jit
def slot(h, hashes):
    """Where a hash lies in an open-addressed table (a power of two long, 0 for empty), or the empty slot where it
    belongs."""
    last = np.uint64(len(hashes) - 1)
    at = (h >> np.uint64(1)) & last
    while hashes[at] != 0 and hashes[at] != h:
        at = (at + np.uint64(1)) & last
    return at


@inner
def ngrams(chars, n, width, powers, side, kind, out):
    """Write the 55-bit hash of every n-gram, in the order of the text, repeats included; returns how many.
    The lowest bit is the side (prompt 0, response 1), so that one set holds both."""
    h = np.uint64(0)
    count, first, columns = 0, 0, 0
    if n < WHOLE * width:
        for i in range(n):
            columns += 1 + (kind_of(chars[i], kind) & WIDE)
        if columns < WHOLE * width:
            out[0] = ((mix(run_hash(chars, 0, n)) >> np.uint64(10)) << np.uint64(1)) | side
            return 1
        columns = 0
    widest = np.uint32(0)
    for i in range(n):
        widest = max(widest, chars[i])
    if widest < FIRST_WIDE:
        # Every n-gram is `width` characters: one loop a character, each of which the compiler vectorises.
        count = n - width + 1
        out[:count] = 0
        for k in range(width):
            for i in range(count):
                out[i] = out[i] * BASE + np.uint64(chars[i + k]) + np.uint64(1)
        for i in range(count):
            out[i] = ((mix(out[i]) >> np.uint64(10)) << np.uint64(1)) | side
        return count
    for i in range(n):
        h = h * BASE + np.uint64(chars[i]) + np.uint64(1)
        columns += 1 + (kind_of(chars[i], kind) & WIDE)
        # The shortest run that ends at i or later and fills the width, for each start.
        while columns >= width:
            out[count] = ((mix(h) >> np.uint64(10)) << np.uint64(1)) | side
            count += 1
            h -= (np.uint64(chars[first]) + np.uint64(1)) * powers[i - first]
            columns -= 1 + (kind_of(chars[first], kind) & WIDE)
            first += 1
    return count
