"""What is tried first never loses a row: pieces that patterns need, looked for together; repetition row by row."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.steps import clean
from instdata.steps.quality import form, rule_table
from instdata.steps.quality.needed_pieces import needed
from instdata.steps.quality.phrases import lists, pattern
from instdata.steps.quality.piece_search import search_for
from instdata.steps.quality.repeats import NGRAM, RUN, repeats
from instdata.steps.quality.rule_table import RULES
from instdata.steps.quality.rule_text import Text, has
from tests.quality.test_hard import corpus

EXAMPLES = [p.example for phrases in lists().values() for p in phrases]


PIECES = [*EXAMPLES, *(e for rule in RULES for pair in (rule.catches, rule.spares) for e in pair),
    "\ufffd", "\u200b", "\u202d", "\ue000", "\x07", "Â°", "Ã©", "&nbsp;", "&#39;", "\\u4e00", ".\\nA", "<b>", "３Ａ", "a@b.cn",
    "13907523186", "212-867-5309", "+44 20 7946 0958", "\n", "11010519491231002X", "4539 1488 0343 6467", "<|im_end|>",
    "\nUser: hi", "\n2. Instruction: go", "no input", "https://a.cn/b.png", "GPT", "two", "7", "译", "3+4 = 8"]  # fmt: skip


def other_case(text):
    """The same text in other letters: (?i) knows ſ and the sign for kelvin, too."""
    return st.sampled_from([text, text.upper(), text.lower(), text.replace("'", "’"),
        text.replace("s", "\u017f").replace("k", "\u212a")])  # fmt: skip


pieces = st.one_of(st.sampled_from(PIECES).flatmap(other_case), st.text(max_size=12))


@pytest.mark.parametrize("name", lists())
def test_every_phrase_has_a_piece_that_its_list_needs(name):
    examples = [p.example for p in lists()[name]]
    texts = pa.array([*examples, *(e.upper() for e in examples), *(e.replace("'", "’") for e in examples), *EXAMPLES])
    caught = has(texts, pattern(name))
    assert caught[: len(examples)].all()
    search = search_for([pattern(name)])
    assert not (caught & (search.of(texts)[0] == 0)).any() or not search.number


@given(st.lists(st.lists(pieces, max_size=4).map(" ".join), min_size=1, max_size=20), st.sampled_from(["", "x" * 590]))
@settings(max_examples=60, deadline=None)
def test_patterns_are_found_as_if_no_row_was_left_out(texts, before):
    texts = [before + t for t in texts]
    for search in (rule_table.search(), clean.search()):
        text = Text(pa.array(texts), pa.array(texts[::-1], pa.string()), pa.array(texts), search)
        for regex in search.number:
            for view in ("prompt", "ask", "line", "response", "head", "reasoning"):
                assert text.has(view, regex).tolist() == has(getattr(text, view), regex).tolist(), (view, regex)


@given(st.lists(st.lists(pieces, max_size=3).map(" ".join), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_clean_mends_as_if_it_looked_at_every_row(texts):
    rows = corpus([[("user", t), ("assistant", u)] for t, u in zip(texts, texts[::-1])])
    at, new, edits = clean._mended(rows, list(clean.KINDS))
    assert (at.tolist(), new, edits) == tuple(
        x.tolist() if isinstance(x, np.ndarray) else x for x in clean._mended_of(rows, list(clean.KINDS))
    )


def test_patterns_asked_of_all_rows_are_searched_for_together():
    """One that is not is right, too, but costs a pass over all texts."""
    found = rule_table.search().number.keys()
    asked = set()

    class Watched(Text):
        def has(self, view, regex):
            asked.add(regex)
            return super().has(view, regex)

    rule_table.fired(Watched(pa.array(PIECES), pa.array(PIECES[::-1])))
    assert asked == found


@pytest.mark.parametrize(
    ("regex", "wanted"),
    [
        ("colou?r", {b"color", b"colour"}),
        (r"\d{3}-\d{4}", {b"000-0000"}),
        ("(?i)Ab[cD]", {b"abc", b"abd"}),
        ("(?i:é)x", {b"x"}),
        (r"\bgo(?:ing|ne)\b|stop$", {b"going", b"gone", b"stop"}),
        (r"a.{0,60}(?:zebra|quiz)", {b"zebra", b"quiz"}),
        (r"(?:ab)+", {b"ab"}),
        (r"[^a]b", {b"b"}),
        (r"\x{fffd}", {b"\xef\xbf\xbd"}),
        (r"[\x{100}-\x{400}]", {bytes([first]) for first in range(0xC4, 0xD1)}),
        (r"\p{Han}x", {b"x"}),
        ("x*", None),
        ("a|.*", None),
        (r"\w+", None),
        (r"(?:a?)", None),
    ],
)
def test_pieces_that_a_pattern_needs(regex, wanted):
    assert needed(regex) == wanted


def test_a_search_sees_each_text_alone_and_its_beginning_apart():
    search = search_for(["zebra", "译", "@", "map"])
    texts = pa.array(
        ["", "ze", "bra", "a zEBRa", "x" * 598 + "map", "译" * 600 + "@", "m\u017fp", "ma" + "p" * 2]
    ).slice(1)
    whole, beginning = search.of(texts)
    zebra, yi, at, map_ = (1 << search.number[p] for p in ("zebra", "译", "@", "map"))
    assert whole.tolist() == [0, 0, zebra, map_, yi | at, 15, map_]
    assert beginning.tolist() == [0, 0, zebra, 0, yi, 15, map_]


def test_no_more_patterns_than_bits():
    with pytest.raises(ValueError, match="two searches"):
        search_for(f"pattern {i}" for i in range(65))


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
