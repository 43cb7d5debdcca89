"""Distractors: every kind of change, what may not be changed, and invariants over any items."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.score.distractors import KINDS, make, other_numbers
from instdata.score.extract.text import normalise
from instdata.score.holdout_items import item_id
from instdata.score.item import Item


def item(
    question: str, reference: str | None, ability: str = "open_qa", choices: list[str] | None = None, **more: str
) -> Item:
    messages = [{"role": "user", "content": question}]
    return Item(
        item_id(messages, reference, "s"),
        ability,
        messages,
        reference,
        choices,
        more.pop("scorer", "distractors"),
        None,
        "s",
        **more,
    )


def made(text: str) -> set[str]:
    return {t for seed in range(6) for t in other_numbers(text, random.Random(seed))}


@pytest.mark.parametrize(
    "text, others",
    [
        ("There are 35 boxes.", r"There are (?!35)\d\d boxes\."),
        ("It cost 1,250 dollars.", r"It cost (?!1,250)\d,\d{3} dollars\."),
        ("在1949年成立。", r"在(?!1949)(?:19|20)\d\d年成立。"),
        ("共有三个部分。", r"共有[两四五六七八九]个部分。"),
        ("约占25.5%。", r"约占(?!25\.5)\d\d\.5%。"),
        ("6.", r"[2-9]\."),
    ],
)
def test_a_number_gives_way_to_another_of_its_shape(text: str, others: str) -> None:
    assert made(text) and all(re.fullmatch(others, t) and t != text for t in made(text))


@pytest.mark.parametrize(
    "text",
    [
        "1. tea\n2. cocoa",  # the places of a list
        "Use num1 and utf8, H2O, F1 and COVID-19",
        "See https://x.org/2024/05 for v2.3.1",
        "```python\nx = 35\n```",
        "no number",
    ],
)
def test_what_is_no_number_is_left_alone(text: str) -> None:
    assert made(text) == set()


QUESTIONS = [("What is 3 + 4?", "3 + 4 = 7"), ("Where is Paris?", "Paris is in France."), ("首都？", "中国的首都是北京。"),
    ("Name a drink", "tea"), ("几个？", "一共三个部分，增加了效率。")]  # fmt: skip


def test_items_are_filled_and_otherwise_unchanged() -> None:
    items = [item(q, r) for q, r in QUESTIONS] + [item("no reference", None)]
    filled = make(items)
    assert [(i.id, i.messages, i.reference) for i in filled] == [(i.id, i.messages, i.reference) for i in items]
    for before, after in zip(items[:5], filled):
        assert after.coarse in {r for _, r in QUESTIONS} - {before.reference}
        assert after.fine != before.reference and (after.fine is None) == (after.fine_kind is None)
    assert filled[0].fine_kind == "number" and filled[1].fine_kind is None
    assert filled[5] == items[5]


def test_given_distractors_stay() -> None:
    (one, two) = make(
        [
            item("q", "It is hot.", fine="mine", coarse="other", fine_kind="given"),
            item("r", "It has 35 rooms.", coarse="x"),
        ]
    )
    assert (one.fine, one.coarse, one.fine_kind) == ("mine", "other", "given")
    assert two.coarse == "x" and re.fullmatch(r"It has (?!35)\d\d rooms\.", two.fine)


def test_coarse_ones_are_of_the_same_ability_script_and_length() -> None:
    short = [item(f"q{i}", f"short {i} text", "qa") for i in range(30)]
    long = [item(f"l{i}", f"long {i} " * 50, "qa") for i in range(30)]
    chinese = [item(f"问{i}", f"第{i}个答案是这样的", "qa") for i in range(30)]
    other = [item(f"o{i}", f"other {i} text", "math") for i in range(30)]
    for before, after in zip(short + long + chinese + other, make(short + long + chinese + other)):
        word = {"s": "short", "l": "long", "第": "第", "o": "other"}[before.reference[0]]
        assert after.coarse.startswith(word) and after.coarse != before.reference
    (alone, *_) = make([item("q", "lonely answer", "rare"), *other])
    assert alone.coarse.startswith("other")
    assert make([item("q", "the only one")])[0].coarse is None


def test_answers_to_the_same_question_are_no_distractors() -> None:
    items = [item("Name a drink", f"drink {w}") for w in ("tea", "milk", "water")] + [
        item("Name a city", "Rome is one")
    ]
    assert [i.coarse for i in make(items)[:3]] == ["Rome is one"] * 3


@pytest.mark.parametrize("reference, start", [("B", ""), ("(B)", "("), ("B. cold", ""), ("cold", "")])
def test_a_choice_gives_way_to_another_choice(reference: str, start: str) -> None:
    (one,) = make(
        [item("Which?\nA. hot\nB. cold\nC. warm", reference, choices=["hot", "cold", "warm"], scorer="choice")]
    )
    assert one.fine_kind == "choice" and one.fine != reference and one.fine.startswith(start)
    if "cold" in reference:
        assert "cold" not in one.fine and any(c in one.fine for c in ("hot", "warm"))


def test_labels_give_way_to_labels_of_the_ability() -> None:
    items = [
        item(f"Classify text {i}", ["sports", "politics", "science"][i % 3], "classification", scorer="label")
        for i in range(12)
    ]
    for one in make(items):
        assert one.fine_kind == "label" and one.fine in {"sports", "politics", "science"} - {one.reference}


words = st.lists(st.sampled_from(["is", "are", "not", "Anna", "Rome", "May", "3", "1,200", "50%", "more", "less", "可以",
    "增加", "是", "三个", "\n1.", "a:", "b：", "```", "+", "=", "。", ".", "?", "从", "到", "x", "《甲》", "from", "to", ","]),
    min_size=1, max_size=25)  # fmt: skip
texts = words.map(" ".join) | words.map("".join) | st.text(min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=8, unique=True),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_distractors_differ_and_depend_on_item_and_seed_alone(
    rows: list[tuple[str, str]], seed: int, rng: random.Random
) -> None:
    items = [item(q, r) for q, r in rows]
    filled = make(items, seed)
    assert make(items, seed) == filled
    shuffled = rng.sample(items, len(items))
    assert sorted(make(shuffled, seed), key=lambda i: i.id) == sorted(filled, key=lambda i: i.id)
    for one in filled:
        if one.fine is not None:
            assert one.fine != one.reference and one.fine != one.coarse and one.fine_kind in KINDS
        if one.coarse is not None:
            assert normalise(one.coarse) != normalise(one.reference)


@pytest.mark.parametrize("unit, kind",
    [("3 + ", "number"),
    *((unit, None) for unit in ("是", "is a ", "从到", "a: b\n", "Anna ", "```\n", "1, ", "《", "from to ",
    "or "))])  # fmt: skip
def test_long_texts_come_to_an_end(unit: str, kind: str | None) -> None:
    """Texts with which patterns of nested repetition run for hours; most hold nothing that could be changed."""
    question, reference = unit * 3_000, unit * 6_000
    long, short = make([item(question, reference), item("q", "r")])
    assert (long.fine_kind, long.fine is None) == (kind, kind is None) and long.fine != reference
    assert (long.coarse, short.coarse) == ("r", reference)


def test_real_rows_get_both_distractors(realdata: Path) -> None:
    english = json.loads((realdata / "alpaca_en_52k.json").read_text("utf-8"))[:300]
    chinese = [
        json.loads(line)
        for line in (realdata / "alpaca_zh" / "human_checked_9251.jsonl").read_text("utf-8").splitlines()[:300]
    ]
    for rows in (english, chinese):
        items = make([item(f"{r['instruction']}\n\n{r['input']}", r["output"]) for r in rows if r["output"].strip()])
        assert all(i.coarse for i in items)
        assert {i.fine_kind for i in items} <= {None, "number", "choice", "label"}
