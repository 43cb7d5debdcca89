"""The quality step: options, decisions from scores alone, rows without a response, top and diverse."""

import collections
import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from instdata.corpus.rows import CORPUS, MESSAGES, Rows
from instdata.steps.base import Scores
from instdata.steps.quality.best_share import ALIKE, embed, top
from instdata.steps.quality.rule_table import NAMES, RULES, SETS, first_of, select
from instdata.steps.quality.step import Quality
from instdata.util.build_context import Context
from instdata.util.errors import InputError


def corpus(pairs, abilities=None, context=None):
    """Rows of (prompt, response); a response of None is no turn at all."""
    messages = [
        [{"role": "user", "content": p}] + ([] if r is None else [{"role": "assistant", "content": r}])
        for p, r in pairs
    ]
    n = len(pairs)
    none = pa.nulls(n, pa.string())
    ids = pa.array([f"{i:032x}" for i in range(n)])
    columns = [
        ids,
        ids,
        pa.array(messages, MESSAGES),
        pa.array(abilities or [None] * n, pa.string()),
        none,
        none,
        none,
        none,
        pa.array(range(n), pa.int64()),
        none,
    ]
    return Rows(pa.table(columns, schema=CORPUS), context)


def scored(step, rows):
    return Scores(pa.table({k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in step.score(rows).items()}))


def reasons(step, pairs, **kwargs):
    return step.decide(scored(step, corpus(pairs, **kwargs))).reason.to_pylist()


PAIRS = [
    ("Name a colour.", "Red is a colour."),
    ("Create a poster about water.", "Sorry, I cannot create visual output."),
    ("Name a colour.", None),
    ("写一首诗", "春天来了，花开了，鸟儿在树上唱歌。"),
    ("Design a logo.", "<nooutput>"),
    ("Say it.", "the cat sat on the mat and looked at me " * 12),
]


def test_default():
    assert reasons(Quality(), PAIRS) == [None, "refusal", None, None, "empty_response", "repetition"]


def test_unanswered_rows_pass_default_and_not_strict():
    assert reasons(Quality(rules="strict"), PAIRS)[2] == "no_response"
    assert reasons(Quality(rules="belle"), PAIRS)[2] == "no_response"
    assert reasons(Quality(min={"chars": 5}), PAIRS)[2] is None


def test_a_changed_option_reads_scores_only():
    scores = scored(Quality(), corpus(PAIRS))
    assert Quality(rules=["refusal"]).decide(scores).reason.to_pylist() == [None, "refusal", None, None, None, None]
    assert Quality(rules=["default", "-refusal"]).decide(scores).reason.to_pylist()[1] is None
    assert Quality(rules=[], language=["en"]).decide(scores).reason.to_pylist()[3] == "not_en"
    assert Quality(rules=[], max={"repetition": 0.1}).decide(scores).reason.to_pylist()[5] == "repetition"
    assert Quality(rules=[], min={"chars": 17}).decide(scores).reason.to_pylist()[0] == "too_short"
    assert Quality(rules=[], max={"chars": 100}).decide(scores).reason.to_pylist()[5] == "too_long"
    assert Quality().scoring(Context()) == Quality(
        rules="strict", language=["zh"], min={"chars": 9}, top="10%"
    ).scoring(Context())


def test_evidence_is_json():
    verdicts = Quality(rules=[], language=["zh"], min={"chars": 20}).decide(scored(Quality(), corpus(PAIRS)))
    found = [json.loads(e) for e in verdicts.evidence.to_pylist() if e]
    assert {"rule": "too_short", "view": "answer", "chars": 16, "min": 20} in found
    english = {"rule": "not_zh", "view": "answer", "lang": "en", "confidence": 0.932, "wanted": ["zh"]}
    assert english in found


@given(st.lists(st.lists(st.sampled_from(NAMES[:9]), unique=True).map(",".join), max_size=20), st.data())
def test_a_row_is_owned_by_the_first_chosen_rule_among_its_flags(flags, data):
    chosen = select(data.draw(st.lists(st.sampled_from(NAMES[:12]))))
    expected = [next((name for name in chosen if re.search(rf"(^|,){name}(,|$)", text)), None) for text in flags]
    cut = data.draw(st.integers(0, len(flags)))
    parts = pa.chunked_array([pa.array(flags[:cut], pa.string()), pa.array(flags[cut:], pa.string())])
    assert first_of(parts, chosen).to_pylist() == expected


def test_language_keeps_translations_and_the_undecided():
    pairs = [
        ("把这句话翻译成英文：今天天气很好", "The weather is very nice today."),
        ("42", "42"),
        ("Write a long poem about the sea for me", "The sea is blue and wide and very deep."),
    ]
    assert reasons(Quality(rules=[], language="zh"), pairs) == [None, None, "not_zh"]
    assert reasons(Quality(rules=[], language=["zh", "fr"], min_confidence=0.2), pairs)[2] == "not_fr_zh"
    assert reasons(Quality(rules=[], language="zh", min_confidence=1.0), pairs) == [None, None, None]


def test_without_one_rule():
    step = Quality(language=["zh"])
    assert "refusal" not in step.without("refusal").chosen
    assert set(step.chosen) - set(step.without("refusal").chosen) == {"refusal"}
    assert step.without("not_zh").language == []
    assert Quality(rules=["repetition"]).without("repetition").chosen == ()
    with pytest.raises(InputError, match='Did you mean "refusal"'):
        step.without("refusals")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rules": "defualt"}, 'Did you mean "default"'),
        ({"rules": ["refusl"]}, 'Did you mean "refusal"'),
        ({"language": ["chinese"]}, "ISO 639-1"),
        ({"min": {"char": 3}}, 'Did you mean "chars"'),
        ({"min": {"llm_quality": 3}}, "no score"),
        ({"diverse": True}, "need top"),
        ({"top": "130%"}, "not a share"),
        ({"llm": {"model": "m"}, "rules": "default"}, "step of its own"),
        ({"learned": {"good": "a"}}, "bad"),
        ({"treshold": 1}, "treshold"),
    ],
)
def test_bad_options(options, says):
    with pytest.raises(ValidationError, match=says):
        Quality(**options)


def test_sets():
    assert len(RULES) >= 30
    assert len(set(NAMES)) == len(NAMES)
    assert set(SETS["default"]) < set(SETS["strict"])
    assert select(["refusal", "echo"]) == ("refusal", "echo")
    assert Quality().chosen == SETS["default"]


def test_no_rows():
    step = Quality(top="10%")
    assert len(step.decide(scored(step, corpus([]))).reason) == 0


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.text(max_size=60), st.one_of(st.none(), st.text(max_size=200))), max_size=6))
def test_any_text_scores_alike_alone_and_together(pairs):
    step = Quality(rules="strict", language=["zh"])
    together = scored(step, corpus(pairs)).table
    for i, pair in enumerate(pairs):
        assert scored(step, corpus([pair])).table.to_pylist()[0] == together.slice(i, 1).to_pylist()[0]


def test_top_of_each_ability():
    pairs = [(f"Question number {i}", "a" * (i + 1)) for i in range(20)]
    labels = ["x"] * 10 + ["y"] * 10
    step = Quality(rules=[], top="30%", by="chars", per="ability")
    kept = [r is None for r in reasons(step, pairs, abilities=labels)]
    assert kept == [i % 10 >= 7 for i in range(20)]
    overall = [r is None for r in reasons(Quality(rules=[], top=0.3, by="chars"), pairs)]
    assert overall == [i >= 14 for i in range(20)]
    assert step.scope == "corpus"
    assert step.reads_labels


def test_diverse_puts_likes_last():
    pytest.importorskip("wordllama")
    pairs = [("How do I learn to cook pasta well?", "a" * (90 + i)) for i in range(5)]
    pairs += [
        ("List the planets of the solar system", "a" * 50),
        ("写一首关于春天的诗", "a" * 40),
        ("What is a prime number?", "a" * 30),
    ]

    def kept(**more):
        step = Quality(rules=[], top=0.5, by="chars", **more)
        return [i for i, reason in enumerate(reasons(step, pairs)) if reason is None]

    assert kept() == [1, 2, 3, 4]
    assert kept(diverse=True) == [4, 5, 6, 7]


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 60), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_top_keeps_the_share(n, share, seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 5, n).astype(float)
    score[rng.random(n) < 0.2] = np.nan
    vectors = rng.normal(size=(n, 2)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tie = np.arange(n)
    plain, spread = top(score, share / 100, None, tie), top(score, share / 100, None, tie, vectors)
    assert plain.sum() == spread.sum() == int(share / 100 * n + 0.5)
    if plain.any() and not plain.all():
        assert np.nan_to_num(score[plain], nan=-1).min() >= np.nan_to_num(score[~plain], nan=-1).max()


def test_embeddings_are_unit_vectors():
    pytest.importorskip("wordllama")
    found = embed(pa.array(["hello there", "", "你好世界", "x" * 10_000]))
    assert np.allclose(np.linalg.norm(found[[0, 2, 3]], axis=1), 1, atol=1e-3)
    assert ALIKE < 1


def test_in_a_build(bench):
    bench.jsonl("a.jsonl", [{"instruction": p, "input": "", "output": r or ""} for p, r in PAIRS])
    bench.build(sources=[{"path": "a.jsonl"}], steps=[{"quality": {"language": ["en"]}}])
    counts = collections.Counter()
    for step in json.loads((bench.folder / "out" / "manifest.json").read_text())["steps"]:
        counts.update(step["reasons"])
    assert counts == {"refusal": 1, "empty_response": 1, "repetition": 1, "not_en": 1, "no_response": 1}


def test_what_a_plan_expects_to_ask():
    pytest.importorskip("openai")
    rows = corpus([("写诗", "春天来了"), ("Hi", "Hello"), ("Answer me", None)])
    assert Quality().estimate(rows) is None
    judged = Quality(llm={"model": "gpt-4o-mini"}).estimate(rows)
    assert (judged["requests"], judged["every_row"]) == (2, True)
    assert judged["usd"] > 0
    read = Quality(model={"path": "local:smollm2-135m-instruct"}).estimate(rows)
    assert (read["requests"], read["usd"]) == (0, 0.0)
    assert read["tokens"] == (6 // 4 + 2 * (12 // 4)) + (2 // 4 + 2 * (5 // 4))  # the third has no response
