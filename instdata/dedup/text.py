"""What two texts are compared by: the folded text, its character n-grams, and its contrast key.

Folding is NFKC, case folding and one form of every quote, dash and full stop; runs of white space become one space, none
next to a Chinese character or kana; invisible characters and inverted marks go, and so does sentence punctuation at the end.

An n-gram is as many characters as fill `ngram` columns, where a wide character (Chinese, Japanese, Korean) fills two: at 5,
five Latin, Cyrillic or Thai letters, or three Chinese ones, and a mixed text needs no special case. A text of fewer than four
n-grams' columns is one n-gram by itself: in "define art" and "define arc" most n-grams agree and the task does not.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.dedup.contrast import NEGATION, NUMBER, STRONG, lexicon
from instdata.kernels import jit

SPACE, DROP, EXPAND = -1, -2, -3  # fold table: EXPAND - k is the k-th expansion
WIDE, WORD, DIGIT, UPPER, UNSPACED = 1, 2, 4, 8, 16  # character classes; unspaced: Han and kana
TABLE = 0x20000  # above: rare ideographs, folded to themselves
SIDES = "\x1f"  # between prompt and response where the two are compared apart
WHOLE = 4  # a text of fewer columns than this many n-grams is compared as a whole
ALTERNATIVES = 24  # words of contrasting sets that are looked at in a text
SHORT = 200  # characters (folded) up to which the contrast key counts

SAME = {
    **dict.fromkeys("。｡।॥۔።．", "."),
    **dict.fromkeys("、､،", ","),
    **dict.fromkeys("؛", ";"),
    **dict.fromkeys("؟", "?"),
    **dict.fromkeys("“”„‟«»「」『』《》〈〉〝〞", '"'),
    **dict.fromkeys("‘’‚‛´ʼ", "'"),
    **dict.fromkeys("‐‑‒–—―−─", "-"),
    **dict.fromkeys("〜～", "~"),
    **dict.fromkeys("【〔〖", "["),
    **dict.fromkeys("】〕〗", "]"),
    **dict.fromkeys("×✕", "*"),
    "÷": "/",
}


class Tables(NamedTuple):
    """Per-character tables for the kernels, and the lexicon of contrasting words as an open-addressed hash table."""

    fold: np.ndarray  # int32[TABLE]
    kind: np.ndarray  # uint8[TABLE]
    extra: np.ndarray  # uint32: expansions, concatenated
    extra_at: np.ndarray  # int64: where each starts
    words: np.ndarray  # uint64[2^k]: hash of a word, 0 for empty
    meaning: np.ndarray  # uint64[2^k]: what the word stands for


def _fold_one(char: str) -> str:
    if char in SAME:
        return SAME[char]
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    folded = "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in folded)
    return "".join(SAME.get(c, c) for c in folded)


@cache
def tables() -> Tables:
    """The tables of this Python's Unicode version."""
    fold = np.arange(TABLE, dtype=np.int32)
    kind = np.zeros(TABLE, np.uint8)
    extra: list[int] = []
    extra_at = [0]
    plain = [*range(0x3400, 0xA000), *range(0xAC00, 0xD7A4), *range(0x17000, 0x18D00)]
    kind[plain] = WIDE | WORD
    kind[0x3400:0xA000] |= UNSPACED
    known = set(plain)
    for code in range(TABLE):
        if code in known or 0xD800 <= code < 0xF900:
            continue
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cn":
            continue
        if char.isspace() or category in ("Zs", "Zl", "Zp", "Cc"):
            fold[code] = SPACE
            continue
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F or char in "¿¡":
            fold[code] = DROP
            continue
        folded = _fold_one(char)
        if len(folded) == 1 and ord(folded) < TABLE:
            fold[code] = ord(folded)
        else:
            folded = folded.strip()
            fold[code] = EXPAND - (len(extra_at) - 1) if folded else SPACE
            if folded:
                extra += map(ord, folded)
                extra_at.append(len(extra))
        if category[0] in "LMN":
            kind[code] |= WORD
        if category == "Nd":
            kind[code] |= DIGIT
        if category == "Lu":
            kind[code] |= UPPER
        if 0x2E80 <= code < 0x3000 or 0x3005 <= code < 0x3008 or 0x3040 <= code < 0x3400 or 0xF900 <= code < 0xFB00:
            kind[code] |= WIDE | UNSPACED
        elif 0x1100 <= code < 0x1200:
            kind[code] |= WIDE
    chars = Tables(
        fold, kind, np.array(extra, np.uint32), np.array(extra_at), np.zeros(2, np.uint64), np.zeros(2, np.uint64)
    )
    return chars._replace(**_lexicon_table(chars))


def _lexicon_table(chars: Tables) -> dict[str, np.ndarray]:
    words = lexicon()
    size = 1 << (2 * len(words)).bit_length()
    hashes, meaning = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    data, offsets = buffers(pa.array(list(words)))
    for i, value in enumerate(words.values()):
        _insert(hashes, meaning, np.uint64(_text_hash(data, offsets[i], offsets[i + 1], chars)), np.uint64(value))
    return {"words": hashes, "meaning": meaning}


def _insert(hashes: np.ndarray, meaning: np.ndarray, key: np.uint64, value: np.uint64) -> None:
    at = int(key) & (len(hashes) - 1)
    while hashes[at]:
        at = (at + 1) & (len(hashes) - 1)
    hashes[at], meaning[at] = key, value


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, read-only: numba compiles a kernel anew for arrays that can be written to."""
    array.flags.writeable = False
    return array


def buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(UTF-8 bytes, offsets) of a string array without copying the text; both read-only, nulls empty."""
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, data = texts.buffers()
    if offsets is None or not len(texts):
        at = np.zeros(1, np.int64)
    else:
        at = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    some = data is not None and data.size
    return frozen(np.frombuffer(data if some else b"\0", np.uint8)), frozen(at)


def prepare(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Buffers of the texts, those with combining characters composed first (the fold table sees one character at a time)."""
    if pa.types.is_null(texts.type):
        texts = texts.cast(pa.string())
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    data, offsets = buffers(texts)
    combining = np.zeros(len(texts), np.bool_)
    if mark_combining(data, offsets, composers(), combining):
        where = pa.array(combining)
        # An acute accent by itself is an apostrophe; NFKC would make it a space and a combining mark.
        some = pc.replace_substring(texts.filter(where), "´", "'")
        texts = pc.replace_with_mask(texts, where, pc.utf8_normalize(some, "NFKC"))
        data, offsets = buffers(texts)
    return data, offsets


@cache
def composers() -> np.ndarray:
    """Which characters may change with the one before them: combining marks, second halves of compositions, jamo."""
    mark = np.zeros(TABLE, np.bool_)
    for code in range(0x80, TABLE):
        if 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xF900 or chr(code) in SAME:
            continue
        if unicodedata.combining(chr(code)):
            mark[code] = True
        if not (parts := unicodedata.decomposition(chr(code)).split()):
            continue
        if any(map(unicodedata.combining, unicodedata.normalize("NFKC", chr(code)))):
            mark[code] = True
        if len(parts) == 2 and parts[0][0] != "<":
            mark[min(int(parts[1], 16), TABLE - 1)] = True
    mark[0x1161:0x1200] = True
    return mark


@jit
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
def mark_combining(data, offsets, composer, out):
    """Mark the rows that hold a composing character; True if any does."""
    some = False
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            if data[at] < 0x80:
                at += 1
                continue
            c, n = decode(data, at)
            at += n
            if c < TABLE and composer[c]:
                out[row] = True
                some = True
                break
    return some


@jit
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
def kind_of(c, kind):
    return kind[c] if c < TABLE else np.uint8(WIDE | WORD | UNSPACED)


@jit
def fold(data, start, end, t, out, camel):
    """Write the folded characters to `out`, and to `camel` whether an upper-case letter follows a lower-case one there.
    Returns how many were written."""
    table, kind, extra, extra_at = t.fold, t.kind, t.extra, t.extra_at
    n, at = 0, start
    pending, last_unspaced, lower = False, False, False
    while at < end:
        c, width = decode(data, at)
        at += width
        f = table[c] if c < TABLE else np.int32(c)
        if f == SPACE:
            pending, lower = n > 0, False
            continue
        if f == DROP:
            continue
        k = kind_of(c, kind)
        # Whether it has no spaces beside it, judged by what it is folded to.
        begins, ends = f, f
        if f <= EXPAND:
            begins, ends = extra[extra_at[EXPAND - f]], extra[extra_at[EXPAND - f + 1] - 1]
        if pending:
            if not (kind_of(begins, kind) & UNSPACED or last_unspaced):
                out[n] = 32
                camel[n] = False
                n += 1
            pending = False
        last_unspaced = (kind_of(ends, kind) & UNSPACED) != 0
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


@jit
def mix(h):
    """MurmurHash3's 64-bit finalizer."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


BASE = np.uint64(0x9E3779B97F4A7C15)


@jit
def run_hash(chars, start, end):
    """The hash of a run of folded characters; an n-gram's hash is this of its characters, mixed."""
    h = np.uint64(0)
    for i in range(start, end):
        h = h * BASE + np.uint64(chars[i]) + np.uint64(1)
    return h


@jit
def _text_hash(data, start, end, t):
    size = folded_size(data, start, end, t)
    out, camel = np.empty(size + 1, np.uint32), np.empty(size + 1, np.bool_)
    return mix(run_hash(out, 0, fold(data, start, end, t, out, camel)))


@jit
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


@jit
def meaning_of(h, words, meaning):
    """What a word with this hash stands for in the lexicon; 0 if it is not there."""
    slots = np.uint64(len(words) - 1)
    at = h & slots
    while words[at] != 0:
        if words[at] == h:
            return meaning[at]
        at = (at + np.uint64(1)) & slots
    return np.uint64(0)


@jit
def is_word(c, kind):
    k = kind_of(c, kind)
    return (k & WORD) != 0 and (k & WIDE) == 0


@jit
def neighbour(chars, n, i, step):
    """The nearest character that is not a space, or 0."""
    i += step
    while 0 <= i < n and chars[i] == 32:
        i += step
    return chars[i] if 0 <= i < n else np.uint32(0)


@jit
def contrast_key(chars, camel, n, t, alternatives):
    """A hash of what two copies must have in common: their numbers and operators in order, and the bags of their code tokens,
    negations and languages. Never 0. The words of contrasting sets go to `alternatives`, as many as fit, sorted, 0 for none."""
    alternatives[:] = 0
    listed = 0
    kind, words, meaning = (
        t.kind,
        t.words,
        t.meaning,
    )  # a tuple handed down call by call costs a count of references each
    in_order, bag = np.uint64(0), np.uint64(0)
    code = False
    i = 0
    while i < n:
        c = chars[i]
        k = kind_of(c, kind)
        if k & DIGIT:
            h = np.uint64(0)
            while i < n and (
                kind_of(chars[i], kind) & DIGIT
                or (
                    i + 1 < n
                    and (chars[i] == 46 or chars[i] == 44 or chars[i] == 58)
                    and kind_of(chars[i + 1], kind) & DIGIT
                )
            ):
                if chars[i] == 46 or chars[i] == 58:
                    h = mix(h + np.uint64(chars[i]))
                elif chars[i] != 44:  # 1,000 is 1000
                    h = h * np.uint64(10) + np.uint64(chars[i]) - np.uint64(48)
                i += 1
            in_order = mix(in_order * BASE + h)
            continue
        if k & WIDE:
            step = 1
            for length in range(min(6, n - i), 0, -1):
                m = meaning_of(mix(run_hash(chars, i, i + length)), words, meaning)
                if m:
                    if m >= NUMBER:
                        in_order = mix(in_order * BASE + m - NUMBER)
                    elif m >= STRONG:
                        bag += mix(m)
                    elif listed < len(alternatives):
                        alternatives[listed] = np.int32(m)
                        listed += 1
                    step = length
                    break
            i += step
            continue
        if k & WORD:
            start, odd = i, code
            while i < n:
                c = chars[i]
                inner = i + 1 < n and is_word(chars[i + 1], kind)
                if c == 95 or (c == 46 and inner):  # snake_case, list.append
                    odd = True
                elif c == 39 and inner:  # don't
                    pass
                elif is_word(c, kind):
                    odd |= camel[i] or (kind_of(c, kind) & DIGIT) != 0  # getName, h2o
                else:
                    break
                i += 1
            h = mix(run_hash(chars, start, i))
            m = meaning_of(h, words, meaning)
            if i - start > 3 and chars[i - 1] == 116 and chars[i - 2] == 39 and chars[i - 3] == 110:  # n't
                m = np.uint64(NEGATION)
            if m >= NUMBER:
                in_order = mix(in_order * BASE + m - NUMBER)
            elif m >= STRONG:
                bag += mix(m)
            elif odd:
                bag += mix(h)
            elif m and listed < len(alternatives):
                alternatives[listed] = np.int32(m)
                listed += 1
            continue
        if c == 96:
            code = not code
        elif (
            c == 43 or c == 42 or c == 47 or c == 94 or c == 61 or c == 60 or c == 62 or c == 37 or c == 124 or c == 38
        ):  # + * / ^ = < > % | &
            before, after = neighbour(chars, n, i, -1), neighbour(chars, n, i, 1)
            if (
                code
                or ((is_word(before, kind) or before == 41) and (is_word(after, kind) or after == 40))
                or (i and (c == 43 and is_word(chars[i - 1], kind)))
            ):
                in_order = mix(in_order * BASE + np.uint64(c))
        elif c == 45:  # minus: before a number, not inside a word or a range of words
            before, after = neighbour(chars, n, i, -1), neighbour(chars, n, i, 1)
            if kind_of(after, kind) & DIGIT and (
                kind_of(before, kind) & DIGIT or not (i and is_word(chars[i - 1], kind))
            ):
                in_order = mix(in_order * BASE + np.uint64(c))
        elif (c == 40 or c == 35 or c == 91) and i and is_word(chars[i - 1], kind):  # print(, c#, a[
            bag += mix(np.uint64(c))
        i += 1
    alternatives[:listed].sort()
    return mix(in_order + mix(bag)) | np.uint64(1)
