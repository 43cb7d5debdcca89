"""What is tried first never loses a row: screens of phrase lists, patterns looked for together; repetition row by
row."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.steps.quality import form, personal_data, wording
from instdata.steps.quality.phrases import lists, pattern, screen
from instdata.steps.quality.repeats import NGRAM, RUN, repeats
from instdata.steps.quality.rule_text import Text, has, spots

EXAMPLES = [p.example for phrases in lists().values() for p in phrases]


@pytest.mark.parametrize("name", lists())
def test_a_screen_lets_every_phrase_through(name):
    examples = [p.example for p in lists()[name]]
    texts = pa.array([*examples, *(e.upper() for e in examples), *(e.replace("'", "’") for e in examples), *EXAMPLES])
    caught = has(texts, pattern(name))
    assert caught[: len(examples)].all()
    first = screen(name)
    if first is not None:
        assert not (caught & ~has(texts, first)).any()
        assert spots(texts, name).tolist() == caught.tolist()


SETS = {
    "broken": wording.BROKEN,
    "leftovers": wording.LEFTOVERS,
    "told": wording.TOLD,
    "personal": personal_data.PERSONAL,
}
pieces = st.one_of(
    st.sampled_from(
        [*EXAMPLES, "\ufffd", "\u200b", "Â°", "&nbsp;", "<b>", "a@b.cn", "13907523186", "\n", "11010519491231002X"]
    ),
    st.text(max_size=12),
)


@pytest.mark.parametrize("name", SETS)
@given(st.lists(st.lists(pieces, max_size=4).map(" ".join), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_patterns_looked_for_together_are_found_as_if_alone(name, texts):
    rare = SETS[name]
    text = Text(pa.array(texts), pa.array(texts[::-1], pa.string()))
    for one in rare._patterns:
        regex = one if isinstance(one, str) else one()
        assert rare.has(text, "prompt", regex).tolist() == has(text.prompt, regex).tolist()
        assert rare.has(text, "response", regex).tolist() == has(text.response, regex).tolist()


def slowly(text):
    """(share, run) by the definition: words are runs of letters that begin with one, of two or more; characters of
    dense scripts."""
    found = [
        *re.finditer(
            "[\u3040-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]|[A-Za-z\u00c0-\u1fff][A-Za-z0-9\u00c0-\u1fff]+", text
        )
    ]
    ends = [m.start() for m in found[1:]] + [len(text)]
    # numbers and single letters count with the word before them, at their places
    words = [
        tuple(
            (i, c) for i, c in enumerate(text[m.start() : end]) if re.match("[A-Za-z0-9\u00c0-\u1fff\u3040-\u9fff]", c)
        )
        for m, end in zip(found, ends)
    ]
    seen, covered = set(), set()
    for i in range(len(words) - NGRAM + 1):
        gram = tuple(words[i : i + NGRAM])
        if gram in seen:
            covered.update(range(i, i + NGRAM))
        seen.add(gram)
    runs = any(
        (m[1].isalpha() and m[1] not in "xX") or m[1] in "!?！？。，,"
        for m in re.finditer(rf"(.)\1{{{RUN - 1},}}", text)
    )
    return (len(covered) / len(words) if len(words) >= NGRAM else 0.0), runs


tokens = st.sampled_from(
    ["ab", "cd", "e", "12", "a7", "7a", "这", "里", "ñu", ",", "-", "aaaaaaaaaaaa", "!" * 12, "0" * 14]
)


@given(st.lists(st.lists(tokens, max_size=60).map(" ".join), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_repetition_is_what_its_definition_says_whatever_the_neighbours(texts):
    share, run = repeats(pa.array(texts))
    expected = [slowly(t) for t in texts]
    assert share == pytest.approx(np.array([s for s, _ in expected], np.float32))
    assert run.tolist() == [r for _, r in expected]
    alone = [repeats(pa.array([t]))[0][0] for t in texts]
    assert share.tolist() == alone


def test_a_slice_of_a_column_is_read_from_its_own_start():
    texts = pa.array(["one two three four five six seven eight " * 2, "b" * 12, "fine"])
    assert repeats(texts.slice(1))[1].tolist() == [True, False]
    assert repeats(texts.slice(2))[0].tolist() == [0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(pieces, st.one_of(st.none(), pieces)), min_size=1, max_size=6), st.data())
def test_some_rows_of_a_text_see_what_all_of_it_saw(told, data):
    """Columns that are worked out are taken over, others worked out of the rows alone: the same either way."""
    prompts, responses = ([pair[i] for pair in told] for i in (0, 1))
    at = np.array(data.draw(st.lists(st.integers(0, len(told) - 1), max_size=5)), np.int64)
    fresh = Text(pa.array([prompts[i] for i in at], pa.string()), pa.array([responses[i] for i in at], pa.string()))
    names = ("prompt", "response", "chars", "prompt_chars", "ask", "line", "head", "tail", "code")
    for known in (data.draw(st.sets(st.sampled_from(names))), set(names)):
        text = Text(pa.array(prompts, pa.string()), pa.array(responses, pa.string()))
        for name in known:
            getattr(text, name)
        some = text.take(np.arange(len(told))).take(at)
        assert len(some) == len(at) and some.reasoning is None
        for name in names:
            assert getattr(some, name).tolist() == getattr(fresh, name).tolist()


def test_what_is_known_of_a_text_is_not_looked_up_again(monkeypatch):
    text = Text(pa.array(["one\ntwo", " \n three "]), pa.array(["a", "b"]))
    assert text.line.to_pylist() == ["one", "three "] and text.prompt_language
    monkeypatch.setattr("instdata.steps.quality.rule_text.detect", None)
    some = text.take(np.array([1])).take(np.array([0]))
    assert some.line.to_pylist() == ["three "] and some.prompt_language[0].to_pylist() == [None]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["same words", "abc def", "12 34 56", "short", " same words ", "a-b-c-d-e-f"]), max_size=14
    )
)
def test_a_stuck_line_is_two_lines_in_three_that_were_there_before(lines):
    letters = [line.strip() for line in lines if sum(map(str.isalpha, line)) >= 6]
    stuck = form.stuck_line("\n".join(lines))
    assert (stuck is not None) == (len(letters) >= 4 and 3 * len(set(letters)) <= len(letters))
    assert stuck is None or (stuck["lines"], stuck["different"]) == (len(letters), len(set(letters)))
