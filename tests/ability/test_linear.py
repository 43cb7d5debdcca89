import hashlib
import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.steps.ability.calibration import calibrate, calibration_error, cutoffs, log_odds, platt, sigmoid
from instdata.steps.ability.features import CONCEPT, FEATURES, GROUP_BITS, features, lexicon
from instdata.steps.ability.lexicon import CONCEPTS
from instdata.steps.ability.linear import RESPONSE, hang, places, space, train, vectors

TEXTS = [
    "Translate into French: I am hungry.",
    "翻译成英文：我饿了。",
    "",
    None,
    "写一首关于秋天的诗。",
    "x = 1\n" * 500,
]


def group(hashes, number):
    return set(hashes[(hashes >> np.uint64(64 - GROUP_BITS)) == number].tolist())


@given(st.lists(st.text(max_size=60) | st.none(), max_size=8))
@settings(max_examples=25, deadline=None)
def test_a_row_is_read_alike_wherever_it_stands(texts):
    hashes, starts = features(pa.array([*TEXTS, *texts], pa.string()))
    for i, text in enumerate(texts, len(TEXTS)):
        alone, _ = features(pa.array([text], pa.string()))
        assert (hashes[starts[i] : starts[i + 1]] == alone).all()


@pytest.mark.parametrize("unit", ["a", "а", "字", "translate ", "是否", "\n", "?", "1 ", "𠀀", "é", "word "])
def test_no_text_has_more_features_than_there_is_room_for(unit):
    for count in (1, 24, 26, 900, 2000, 100_000):
        assert len(features(pa.array([unit * count]))[0]) <= FEATURES


def test_width_case_and_quotes_are_folded():
    hashes, starts = features(pa.array(["translate this: “a”?", 'ＴＲＡＮＳＬＡＴＥ\u00a0this： "A"？', "a?"]))
    rows = [set(hashes[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    assert len(rows[0] & rows[1]) > 0.7 * len(rows[0]) > len(rows[0] & rows[2])


def test_chinese_and_english_share_concepts():
    hashes, starts = features(pa.array(["Translate this.", "翻译这句话。", "Add these."]))
    one, two, three = (group(hashes[a:b], CONCEPT) for a, b in itertools.pairwise(starts))
    assert one & two and not one & three


def test_every_phrase_of_the_lexicon_is_found():
    phrases = [(n, p.strip()) for n, words in enumerate(CONCEPTS.values(), 1) for p in words.split(",")]
    slots, _ = lexicon()
    assert np.count_nonzero(slots) < len(slots) / 2
    hashes, starts = features(pa.array([p for _, p in phrases]))
    missed = [p for (_, p), a, b in zip(phrases, starts, starts[1:]) if not group(hashes[a:b], CONCEPT)]
    assert not missed


def strange_texts(count: int) -> list[str]:
    """Texts of every length about the limits, of letters, marks, widths and scripts that change from one to the next."""
    drawn = random.Random(0)
    pools = ["ab", "aB é中1\n`", "Name of 3 things:\n(A) b. C) `_` + 4 = 5?", "".join(map(chr, range(1, 0x2100, 7)))]
    return ["".join(drawn.choices(pools[i % 4], k=drawn.choice([1, 5, 40, 600, 901, 1300]))) for i in range(count)]


def test_features_are_those_of_this_version():
    """Scores are kept under the step's version: other features, another version."""
    hashes, starts = features(pa.array([*TEXTS, *strange_texts(400)]))
    digest = hashlib.sha256(hashes.tobytes() + starts.tobytes()).hexdigest()
    assert digest[:16] == "4d6de41b2eee0043"


@pytest.mark.parametrize("columns", [3, 16, 20])
def test_scoring_multiplies_what_vectors_hold(columns):
    """To the last bit: the features looked up, and cues by their levels, are those that training lists."""
    texts = pa.array([*TEXTS, *strange_texts(300)])
    known = space(texts.slice(0, 200), RESPONSE, 1)
    x, by = vectors(known, texts), np.random.default_rng(0).normal(size=(len(known.hashes), columns))
    expected = np.zeros((len(texts), columns))
    for i, (first, end) in enumerate(itertools.pairwise(x.starts)):
        for column, value in zip(x.columns[first:end], x.values[first:end]):
            expected[i] += value * by[column]
    strips = np.pad(by, ((0, 0), (0, -columns % 16))).reshape(len(by), -1, 16).swapaxes(0, 1)
    found, some = known.times(texts, np.ascontiguousarray(strips))
    assert (found[:, :columns] == expected).all() and not found[:, columns:].any()
    assert (some == (np.diff(x.starts) > 0)).all()


def test_every_feature_finds_a_place_or_the_table_grows():
    known = space(pa.array(strange_texts(400)), RESPONSE, 1)
    entries, _ = known.table
    assert np.count_nonzero(entries) == len(known.hashes) and len(entries) > 2 * len(known.hashes)
    assert not hang(*places(known.hashes, 16), np.zeros(16, np.int64))


def dataset(rows: int, classes: int = 3):
    verbs = ["translate", "summarize", "compute", "classify", "rewrite"][:classes]
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    prompts = pa.array([f"{verbs[k]} item {random.integers(50)} of {random.integers(50)}" for k in labels])
    return prompts, pa.array([f"answer {k} {i}" if i % 2 else None for i, k in enumerate(labels)]), labels, verbs


def test_what_is_held_out_is_what_a_model_without_the_row_says():
    prompts, responses, labels, classes = dataset(60)
    model = train(prompts, responses, labels, classes)
    assert (model.held_out.argmax(1) == labels).mean() > 0.95
    rest = pa.array(np.arange(1, 60))
    # Not to the last digit: without the row, its words weigh a little otherwise.
    without = train(prompts.take(rest), responses.take(rest), labels[1:], classes)
    assert np.allclose(without.scores(prompts[:1], responses[:1]), model.held_out[:1], atol=0.1)


def test_a_missing_response_is_no_cue():
    """Where only one class lacks responses, lacking one must not give the class away."""
    prompts = pa.array([f"do {i}" for i in range(100)])
    labels = np.arange(100) % 2
    responses = pa.array([None if k else "some response" for k in labels], pa.string())
    scores = train(prompts, responses, labels, ["a", "b"]).scores(
        pa.array(["do it"] * 2), pa.array([None, "some response"])
    )
    assert np.allclose(scores[0], scores[1], atol=0.05)


def test_results_do_not_depend_on_batches():
    prompts, responses, labels, classes = dataset(700)
    model = train(prompts, responses, labels, classes)
    whole = model.scores(prompts, responses)
    parts = [model.scores(prompts.slice(i, 100), responses.slice(i, 100)) for i in range(0, 700, 100)]
    assert (np.concatenate(parts) == whole).all()
    assert model.scores(prompts[:0], responses[:0]).shape == (0, 3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_platt_recovers_the_curve(seed):
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2, 20_000)
    slope, offset = platt(odds, random.random(20_000) < sigmoid(0.6 * odds - 1))
    assert abs(slope - 0.6) < 0.05 and abs(offset + 1) < 0.1


@pytest.mark.parametrize("right", [[], [True], [False] * 5, [True] * 50])
def test_platt_stays_finite(right):
    curve = platt(log_odds(np.linspace(0.5, 1, len(right))), np.array(right, bool))
    assert np.isfinite(curve).all()


def scored(random, shares, rows):
    """Scores of three classes whose softmax is the truth under even shares, and the labels, drawn by `shares`."""
    labels = random.choice(3, rows, p=shares)
    return np.eye(3)[labels] * 2 + random.normal(0, 1, (rows, 3)), labels


def test_the_shares_of_the_rows_at_hand_are_found_and_used():
    random = np.random.default_rng(0)
    model = calibrate(*scored(random, [1 / 3] * 3, 3000))
    scores, labels = scored(random, [0.9, 0.08, 0.02], 20_000)
    moved = model.at_hand(scores)
    assert np.abs(moved.shift / 3 - [0.9, 0.08, 0.02]).max() < 0.02
    for curve, worst in ((moved, 0.12), (model, 1.0)):
        best, sure = curve.best(scores)
        gaps = [abs(sure[best == k].mean() - (labels[best == k] == k).mean()) for k in range(3)]
        assert max(gaps) < worst
    assert max(gaps) > 0.2  # without the shift, the rare class is believed too much


def test_few_examples_are_never_sure():
    scores, labels = np.eye(3)[[0, 0, 1, 1, 2, 2]] * 5, np.array([0, 0, 1, 1, 2, 2])
    assert calibrate(scores, labels).best(scores)[1].max() <= 2 / 3


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, width=32)), max_size=60), st.floats(0.05, 1))
@settings(max_examples=60, deadline=None)
def test_what_stays_above_the_cutoff_is_precise_and_most_of_it(pairs, wanted):
    label, sure = np.array([k for k, _ in pairs], int), np.array([c for _, c in pairs], np.float64)
    bar = cutoffs(label, sure, 3, wanted)
    for k in range(3):
        mine = sure[label == k]
        kept = mine[mine >= bar[k]]
        assert not len(kept) or bar[k] > 1 or kept.mean() >= wanted - 1e-9 or (mine == bar[k]).sum() > 1
        assert len(kept) == len(mine) or mine.mean() < wanted


def test_calibration_error():
    sure = np.linspace(0.05, 0.95, 10_000)
    random = np.random.default_rng(0)
    error, low, high = calibration_error(sure, random.random(10_000) < sure)
    assert error < 0.02 and low <= high < 0.03
    assert calibration_error(np.full(100, 0.9), np.arange(100) % 2 == 0)[0] == pytest.approx(0.4)
    assert calibration_error(np.ones(3), np.ones(3, bool)) is None


def test_accuracy_on_real_rows(realdata):
    """Two folds of the smallest file: a guard, not the benchmark (docs/ability.md)."""
    import json

    rows = [json.loads(line) for line in (realdata / "belle" / "eval_v1_labelled.jsonl").open(encoding="utf-8")]
    classes, labels = np.unique([r["class"] for r in rows], return_inverse=True)
    prompts, none = pa.array([r["question"] for r in rows]), pa.nulls(len(rows), pa.string())
    seen, held = (pa.array(np.flatnonzero(np.arange(len(rows)) % 2 == k)) for k in (0, 1))
    model = train(prompts.take(seen), none.take(seen), labels[np.asarray(seen)], classes.tolist())
    scores = model.scores(prompts.take(held), none.take(held))
    best, confidence = model.calibration.best(scores)
    right = best == labels[np.asarray(held)]
    assert right.mean() > 0.9
    assert calibration_error(confidence, right)[0] < 0.05
