"""Folding, n-grams, contrast keys."""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.contrast_guard import contrasting
from instdata.steps.dedup.contrast_words import lexicon
from instdata.steps.dedup.minhash import ngram_sets, scheme
from instdata.steps.dedup.option_values import bands, parse_bytes
from instdata.util.errors import InputError

from .reference import folded, folded_all, ngram_set

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("Hello,  World!! ", "hello, world"),
        ("你好， 世界。", "你好,世界"),
        ("ＡＢＣ１２３ ｶﾞ", "abc123ガ"),
        ("e\u0301tude", "étude"),
        ("Straße", "strasse"),
        ("用 Python 写 3 个", "用python写3个"),
        ("5! = 120!", "5! = 120!"),
        ("٣ رسائل", "3 رسائل"),
        ("안녕 하세요", "안녕 하세요"),
        ("a\u200bb\ufeff", "ab"),
        ("“quote” — dash…", '"quote" - dash'),
        ("", ""),
        ("\n\t ", ""),
        ("?", "?"),
    ],
)
def test_fold(given, wanted):
    assert folded(given) == wanted


@settings(deadline=None)
@given(TEXT)
@example("0\u0300\U0001dfcd")  # unassigned in Python's Unicode, a modifier letter in Arrow's
@example("\u209dA\u030a")
def test_folding_ignores_case_width_form_and_space(text):
    assert folded(folded(text)) == folded(text) or "\u0345" in unicodedata.normalize("NFD", text) or not text.isascii()
    assert folded(f"  {text}\n") == folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))


def test_an_unassigned_character_folds_alike_alone_and_beside_a_combining_mark():
    """Arrow's Unicode is not Python's: what only one of them knows takes the same form on both ways through
    `prepare`."""
    chars = [chr(c) for c in range(0x20, 0x20000) if unicodedata.category(chr(c)) == "Cn"]
    composed = pc.utf8_normalize(pa.array(chars), "NFKC").to_pylist()
    chars = [c for c, other in zip(chars, composed) if c != other] + chars[::200]
    plain = folded_all([f"a {c}" for c in chars])
    assert folded_all([f"e\u0301 {c}" for c in chars]) == [text.replace("a", "é", 1) for text in plain]
    assert plain == [f"a {c}" for c in chars]


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), st.integers(1, 8))
def test_sets_have_the_sizes_of_python_sets(texts, width):
    data, offsets = prepare(pa.array(texts))
    sets = ngram_sets(data, offsets, scheme(1.0, 16, width))
    assert sets.sizes.tolist() == [len(ngram_set(t, width)) for t in texts]


def contrast(*texts, words=True):
    s = scheme()
    sets = ngram_sets(*prepare(pa.array(texts)), s)
    first, second = sets.token_sizes
    return contrasting(*sets.contrast, sets.tokens, 0, first, sets.tokens, first, first + second, words)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("even", "odd", True),
        ("do it", "do not do it", True),
        ("don't go", "do not go", False),
        ("7 - 3", "3 - 7", True),
        ("1,000 things", "1000 things", False),
        ("three things", "3 things", False),
        ("1.5", "15", True),
        ("3 + 4", "3 - 4", True),
        ("step-by-step", "step by step", False),
        ("in C++", "in C", True),
        ("get_name", "set_name", True),
        ("a.append", "a.extend", True),
        ("`foo`", "`bar`", True),
        ("into French", "into German", True),
        ("翻译成英文", "翻译成英语", False),
        ("升序", "降序", True),
        ("メリット", "デメリット", True),
        ("a cat sat", "a dog sat", True),
        ("a cat sat", "a hat sat", True),
        ("a cat sat", "a cat sat on a dog", False),
        ("one mat sat", "one hat sat", True),
        ("a virus spreads", "a bacterium spreads", True),
        ("nitrate in water", "nitrite in water", True),
        ("inductive reasoning", "deductive reasoning", True),
        ("mitosis", "meiosis", True),
        ("a desert", "a dessert", True),
        ("the county", "the country", True),
        ("乙醇的沸点", "甲醇的沸点", True),
        ("高血压", "低血压", True),
        ("请介绍长城", "介绍一下长城", False),
        ("详细做法", "具体做法", False),
        ("an immediate answer", "an imediate answer", False),
        ("our accommodation", "our accomodation", False),
        ("the colour of stories", "the color of a story", False),
        ("planning a trip", "plan a trip", False),
        ("write an email", "compose an e-mail", False),
        ("Can you explain tides?", "please describe tides", False),
    ],
)
def test_contrast(one, other, wanted):
    assert contrast(one, other) == wanted


@pytest.mark.parametrize("length", [0, 300, 5000])
def test_contrast_holds_at_any_length(length):
    around = "word " * length
    assert contrast(f"even {around}", f"odd {around}")
    assert contrast(f"{around} ethanol", f"{around} methanol")
    assert contrast(f"{around} Who built it?", f"{around} When was it built?")
    assert contrast(f"{around} 它是谁建的？", f"{around} 它是什么时候建的？")
    assert contrast(f"{around} 12", f"{around} 13")
    assert not contrast(f"{around} please", f"{around} kindly")


def test_more_than_a_few_added_words_are_another_text():
    base = "the ferry leaves at dawn"
    assert not contrast(base, f"{base} from the northern pier in fog")
    assert contrast(base, f"{base} alpha bravo carbon delta echo foxtrot golf")


def test_without_words_only_listed_words_contrast():
    assert contrast("a cat sat", "a dog sat", words=False)
    assert not contrast("a cat sat", "a hat sat", words=False)


def test_lexicon_is_folded_consistently():
    assert len({folded(w) for w in lexicon()}) > 0.97 * len(lexicon())


@pytest.mark.parametrize("threshold", np.arange(0.3, 1.01, 0.05).tolist())
def test_bands_find_a_pair_at_the_threshold(threshold):
    count, rows = bands(min(threshold, 1.0), 128)
    assert count * rows <= 128
    assert round(1 - (1 - min(threshold, 1.0) ** rows) ** count, 2) >= 0.99


def test_bands_as_promised():
    assert bands(0.7, 128) == (25, 5)
    for threshold, num_perm in ((0.7, 1), (0.02, 128)):
        with pytest.raises(InputError, match=r"num_perm: [0-9]+ or more"):
            bands(threshold, num_perm)
    for threshold in (0, -1, 1.1):
        with pytest.raises(InputError, match="outside"):
            bands(threshold, 128)


def test_parse_bytes():
    assert [parse_bytes(x) for x in ("4GB", "500 MB", "1.5k", 7)] == [4 << 30, 500 << 20, 1536, 7]
    for bad in ("", "GB", "-1", "0", "4 apples"):
        with pytest.raises(InputError):
            parse_bytes(bad)
