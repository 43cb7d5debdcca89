"""Rows that may hold n-grams of items, by codes of their tokens: what is found is what their text says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instdata.steps.dedup.leaks import BOILERPLATE, Items, Matches
from instdata.steps.dedup.token_codes import matches_in, packed

WORDS = ["of", "river", "stones", "Überraschung", "it", "7", "汉", "字符串", "を", "ไทยแลนด์", "कमल", "한국어", "x", "."]
FRAME = "tell me in one short line what the following list of things is good for and why"


def found_by(items: Items, rows: list[str], wanted: np.ndarray, parts: int = 3) -> tuple[Matches, list[int]]:
    """(what is found, the rows whose text was read for it)."""
    texts, read = pa.array(rows, pa.string()), list[int]()

    def fetch(at: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
        read.extend(at.tolist())
        for some in np.array_split(at, 2):
            yield some, texts.take(pa.array(some))

    cuts = np.linspace(0, len(rows), parts + 1).astype(int)
    pieces = (packed(texts).slice(a, b - a) for a, b in zip(cuts, cuts[1:]))
    return matches_in(items, pieces, wanted, fetch), read


def assert_same(items: Items, rows: list[str], wanted: np.ndarray) -> None:
    """What codes find is what a search of all text finds."""
    texts = pa.array(rows, pa.string())
    whole = items.search([(texts, texts)])
    some = wanted[whole.row]
    whole = whole._replace(row=whole.row[some], number=whole.number[some])
    few, _ = found_by(items, rows, wanted)
    counting = items.counting(whole)
    assert items.counting(few).tolist() == counting.tolist()
    pairs = [{(r, n) for r, n in zip(m.row.tolist(), m.number.tolist()) if counting[n]} for m in (whole, few)]
    assert pairs[0] == pairs[1]
    assert {*zip(few.row.tolist(), few.number.tolist())} <= {*zip(whole.row.tolist(), whole.number.tolist())}
    told = [items.explain(m, counting, lambda at: texts.take(pa.array(at))) for m in (whole, few)]
    for one, other in zip(*told):
        np.testing.assert_array_equal(one, other)


texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=30), st.lists(texts, min_size=1, max_size=6), st.data())
@example(["汉字汉字汉字汉字汉字汉字汉字"] * 12, ["汉字汉字汉字汉字汉字汉字汉字汉字"], None)
def test_what_is_found_is_what_all_text_holds(rows: list[str], items: list[str], data: st.DataObject | None) -> None:
    wanted = np.ones(len(rows), bool)
    if data is not None:
        held = data.draw(st.lists(st.sampled_from(items), max_size=15))
        cut = data.draw(st.integers(0, 30))
        rows = rows + [f"of {item[cut:]} it" for item in held]
        wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), bool)
    assert_same(Items(items, threshold=None), rows, wanted)


def test_a_row_of_the_same_codes_is_told_apart_by_its_text() -> None:
    item = "alpha bravo carbon delta echoes foxtrot"
    others = [f"other{i}" for i in range(2000)]
    codes = dict(zip(packed(pa.array(others)).to_pylist(), others))
    twin = " ".join(codes[code] for code in packed(pa.array(item.split())).to_pylist())
    rows = ["and nothing of it", *(f"{i} so: {twin}" for i in range(30)), f"so: {item}", f"then: {twin}, {item}"]
    assert packed(pa.array([item])) == packed(pa.array([twin])) and item != twin
    items = Items([item], threshold=None)
    found, read = found_by(items, rows, np.ones(len(rows), bool))
    assert found.row.tolist() == [31, 32] and read == [*range(1, 33)]
    assert items.counting(found).all(), "two rows hold it, not thirty"


def test_text_is_read_of_few_rows() -> None:
    """Of a template as many rows as tell that it is one; of what shares nothing none."""
    framed = [f"{FRAME}: {word} {i * 7919}" for i in range(200) for word in ("lamps", "kites", "drums")]
    other = [
        f"{i * 104729} what the other row says of {i} other things, of things that nobody asks" for i in range(900)
    ]
    items = Items([framed[5] + " and nothing but what stands in this very line", other[3]], threshold=None)
    rows, wanted = other + framed, np.ones(1500, bool)
    wanted[[3, 905]] = False
    found, read = found_by(items, rows, wanted)
    assert len(found.row) and BOILERPLATE < len(set(read)) <= 4 * BOILERPLATE
    assert_same(items, rows, wanted)


@pytest.mark.parametrize(
    ("text", "size"), [("one two three four", 4), ("汉字字符", 2), ("汉字字", 2), ("in 汉字 or 字", 4), ("", 0)]
)
def test_a_word_is_a_byte_and_so_are_two_characters(text: str, size: int) -> None:
    assert [len(b) for b in packed(pa.array([text, text])).to_pylist()] == [size, size]
