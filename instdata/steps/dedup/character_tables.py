"""What the kernels know of each character, and texts made ready for them."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.dedup.contrast_guard import read_words
from instdata.steps.dedup.contrast_words import STRONG, lexicon
from instdata.steps.dedup.folding import (
    COMPOSES,
    DIGIT,
    DROP,
    EXPAND,
    SPACE,
    TABLE,
    UNASSIGNED,
    UNSPACED,
    UPPER,
    WIDE,
    WORD,
    mark_rows,
    slot,
)  # fmt: skip
from instdata.steps.dedup.traditional_chinese import SIMPLIFIED, TRADITIONAL

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
    longest: (
        np.ndarray
    )  # uint8[TABLE]: of the listed words that begin with a character, how long the longest is, up to 6
    words: np.ndarray  # uint64[2^k]: hash of a word, 0 for empty
    meaning: np.ndarray  # uint64[2^k]: what the word stands for


def _fold_one(char: str) -> str:
    if char in SAME:
        return SAME[char]
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    folded = "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in folded)
    return "".join(SAME.get(c, c) for c in folded)


@cache
def tables(script: bool = False) -> Tables:
    """The tables of this Python's Unicode version; with `script`, traditional Chinese characters fold to simplified
    ones."""
    if script:
        plain = tables()
        fold = plain.fold.copy()
        fold[[ord(c) for c in TRADITIONAL]] = [ord(c) for c in SIMPLIFIED]
        folded = plain._replace(fold=fold)
        return folded._replace(**_lexicon_table(folded))
    fold = np.arange(TABLE, dtype=np.int32)
    kind = np.zeros(TABLE, np.uint8)
    extra: list[int] = []
    extra_at = [0]
    wide = [*range(0x3400, 0xA000), *range(0xAC00, 0xD7A4), *range(0x17000, 0x18D00)]
    kind[wide] = WIDE | WORD
    kind[0x3400:0xA000] |= UNSPACED
    known = set(wide)
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
        to = _fold_one(char)
        if len(to) == 1 and ord(to) < TABLE:
            fold[code] = ord(to)
        else:
            to = to.strip()
            fold[code] = EXPAND - (len(extra_at) - 1) if to else SPACE
            if to:
                extra += map(ord, to)
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
        fold,
        kind,
        np.array(extra, np.uint32),
        np.array(extra_at),
        np.zeros(TABLE, np.uint8),
        np.zeros(2, np.uint64),
        np.zeros(2, np.uint64),
    )
    return chars._replace(**_lexicon_table(chars))


def _lexicon_table(chars: Tables) -> dict[str, np.ndarray]:
    words = lexicon()
    size = 1 << (4 * len(words)).bit_length()
    hashes, meaning, longest = np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.zeros(TABLE, np.uint8)
    data, offsets = buffers(pa.array(list(words)))
    whole, stem = np.empty(len(words), np.uint64), np.empty(len(words), np.uint64)
    first, lengths = np.empty(len(words), np.uint32), np.empty(len(words), np.int64)
    read_words(data, offsets, chars, whole, first, lengths, stem)
    for key, value in zip(whole, words.values()):
        at = slot(key, hashes)
        hashes[at], meaning[at] = key, value
    np.maximum.at(longest, first, np.minimum(lengths, 6).astype(np.uint8))
    for key, value in zip(stem, words.values()):  # and by their stems, where that says no more than a word itself would
        if key and value < STRONG and not hashes[at := slot(key, hashes)]:
            hashes[at], meaning[at] = key, value
    return {"longest": longest, "words": hashes, "meaning": meaning}


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
    """Buffers of the texts, those with combining characters composed first (the fold table sees one character at a
    time)."""
    if pa.types.is_null(texts.type):
        texts = texts.cast(pa.string())
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    data, offsets = buffers(texts)
    marks = np.zeros(len(texts), np.uint8)
    if mark_rows(data, offsets, marked(), marks):
        composing = marks & COMPOSES > 0
        where = pa.array(composing)
        # An acute accent by itself is an apostrophe; NFKC would make it a space and a combining mark.
        some = pc.replace_substring(texts.filter(where), "´", "'")
        texts = pc.replace_with_mask(texts, where, _composed(some, marks[composing] & UNASSIGNED > 0))
        data, offsets = buffers(texts)
    return data, offsets


def _composed(texts: pa.Array, unassigned: np.ndarray) -> pa.Array:
    """The texts in NFKC. Arrow's Unicode is newer than Python's (or older) and would map characters that the tables
    here do not know, so texts that hold such are left to Python."""
    out = pc.utf8_normalize(texts, "NFKC")
    if unassigned.any():
        where = pa.array(unassigned)
        own = [unicodedata.normalize("NFKC", text) for text in texts.filter(where).to_pylist()]
        out = pc.replace_with_mask(out, where, pa.array(own, texts.type))
    return out


@cache
def marked() -> np.ndarray:
    """Per character: COMPOSES where it may change with the one before it (combining marks, second halves of
    compositions, jamo), UNASSIGNED where this Python's Unicode does not know it."""
    mark = np.zeros(TABLE, np.uint8)
    for code in range(0x80, TABLE):
        char = chr(code)
        if 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xF900 or char in SAME:
            continue
        if unicodedata.category(char) == "Cn":
            mark[code] |= UNASSIGNED
        if unicodedata.combining(char):
            mark[code] |= COMPOSES
        if not (parts := unicodedata.decomposition(char).split()):
            continue
        if any(map(unicodedata.combining, unicodedata.normalize("NFKC", char))):
            mark[code] |= COMPOSES
        if len(parts) == 2 and parts[0][0] != "<":
            mark[min(int(parts[1], 16), TABLE - 1)] |= COMPOSES
    mark[0x1161:0x1200] |= COMPOSES
    return mark
