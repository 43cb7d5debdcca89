"""Distractors: every kind of change, what may not be changed, and invariants over any items."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.score.contraries import contraries, kinds
from instdata.score.distractors import KINDS, changes, make
from instdata.score.extract.text import normalise
from instdata.score.items import Item, item_id


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


def made(text: str, question: str = "", kind: str | None = None) -> set[str]:
    return {c.text for seed in range(6) for c in changes(text, question, random.Random(seed)) if kind in (None, c.kind)}


@pytest.mark.parametrize(
    "kind, text, question, expected",
    [
        ("antonym", "Sales increased in spring.", "", "Sales decreased in spring."),
        ("antonym", "It is a safe place.", "", "It is a dangerous place."),
        ("antonym", "It is an easy task.", "", "It is a difficult task."),
        ("antonym", "Increased demand.", "", "Decreased demand."),
        ("antonym", "锻炼可以提高免疫力。", "", "锻炼可以降低免疫力。"),
        ("antonym", "这是它的优点。", "", "这是它的缺点。"),
        ("negation", "The earth is round.", "", "The earth is not round."),
        ("negation", "Penguins cannot fly.", "", "Penguins can fly."),
        ("negation", "You can eat it.", "", "You cannot eat it."),
        ("negation", "It isn't true.", "", "It is true."),
        ("negation", "Don't open it.", "", "Open it."),
        ("negation", "鲸是哺乳动物。", "", "鲸不是哺乳动物。"),
        ("negation", "企鹅不能飞。", "", "企鹅能飞。"),
        ("choice", "Positive", "Is it positive or negative?", "Negative"),
        ("choice", "投诉", "属于咨询、投诉还是表扬？", "表扬"),
        ("choice", "This belongs to Politics.", 'Is it "Politics" or "Business"?', "This belongs to Business."),
        ("choice", "这句话属于“投诉”。", "它是“咨询”还是“投诉”？", "这句话属于“咨询”。"),
        ("operator", "3 + 4 = 7", "", "3 - 4 = 7"),
        ("operator", "```python\nif a <= b:\n    return a\n```", "", "```python\nif a >= b:\n    return a\n```"),
        ("operator", "SELECT a FROM t ORDER BY a ASC;\nSELECT 1", "", "SELECT a FROM t ORDER BY a DESC;\nSELECT 1"),
        ("swap", "李明：医生\n王芳：教师", "", "李明：教师\n王芳：医生"),
        ("swap", "Shark - fish\nWhale - mammal", "", "Shark - mammal\nWhale - fish"),
        ("swap", "He walked from home to school.", "", "He walked from school to home."),
        ("swap", "火车从北京到上海。", "", "火车从上海到北京。"),
        ("swap", "1, 3, 5, 8", "Sort these numbers: 5, 3, 8, 1", "1, 5, 3, 8"),
        ("swap", "1. Boil water\n2. Add tea", "How to make tea?", "1. Add tea\n2. Boil water"),
        ("entity", "In the story Anna gave Bruno a book and left.", "", "In the story Bruno gave Anna a book and left."),
        ("entity", "曹雪芹写了《红楼梦》，而不是《西游记》。", "", "曹雪芹写了《西游记》，而不是《红楼梦》。"),
    ],
)  # fmt: skip
def test_kinds_of_changes(kind: str, text: str, question: str, expected: str) -> None:
    assert expected in made(text, question, kind)


@pytest.mark.parametrize("text, others", [("There are 35 boxes.", r"There are (?!35)\d\d boxes\."), ("It cost 1,250 dollars.", r"It cost (?!1,250)\d,\d{3} dollars\."), ("在1949年成立。", r"在(?!1949)(?:19|20)\d\d年成立。"), ("共有三个部分。", r"共有[两四五六七八九]个部分。"), ("约占25.5%。", r"约占(?!25\.5)\d\d\.5%。"), ("in June", r"in (?!June)[A-Z][a-z]+"), ("He lives in Paris.", r"He lives in (?!Paris)[A-Z][a-z]+\."), ("他出生于唐朝。", r"他出生于[^唐]朝。"), ("6.", r"[2-9]\.")])  # fmt: skip
def test_numbers_and_members_of_a_kind(text: str, others: str) -> None:
    found = made(text, kind="number") or made(text, kind="term")
    assert found and all(re.fullmatch(others, t) for t in found), found


@pytest.mark.parametrize(
    "text, question",
    [
        ("1. tea\n2. cocoa", "Name drinks"),  # the places of a list
        ("Step 3: mix", ""),
        ("第2步：混合", ""),
        ("Use num1 and utf8, H2O, F1 and COVID-19", ""),
        ("See https://x.org/2024/05 for v2.3.1", ""),
        ("Anna, Bruno and Carl", "Name three people"),  # a list in no order
        ("- tea\n- cocoa", "List two drinks"),
        ("是的，但是还是行的。", ""),
        ("无所不能", ""),
        ("Is it true?", ""),
    ],
)
def test_what_would_change_nothing_is_left_alone(text: str, question: str) -> None:
    assert made(text, question) - made(text, question, "antonym") == set()


def test_code_is_changed_as_code_only() -> None:
    text = '```python\n# increase the count is not bad\nx = "a + b is good"\ny = min(a, b)\n```'
    assert {c.kind for c in changes(text, "", random.Random(0))} <= {"operator", "number"}
    assert text.replace("min(", "max(") in made(text)
    assert all("# increase the count is not bad" in t and '"a + b is good"' in t for t in made(text))


def test_word_lists_are_sound() -> None:
    english, chinese = contraries()
    for pairs in (english, chinese):
        assert all(a != b and pairs[b] != b for a, b in pairs.items())
    assert all(word.isascii() for word in english) and not any(word.isascii() for word in chinese)
    for word, others in kinds().items():
        assert others and word not in others and len(set(others)) == len(others)


QUESTIONS = [("What is 3 + 4?", "3 + 4 = 7"), ("Where is Paris?", "Paris is in France."), ("首都？", "中国的首都是北京。"), ("Name a drink", "tea"), ("几个？", "一共三个部分，增加了效率。")]  # fmt: skip


def test_items_are_filled_and_otherwise_unchanged() -> None:
    items = [item(q, r) for q, r in QUESTIONS] + [item("no reference", None)]
    filled = make(items)
    assert [(i.id, i.messages, i.reference) for i in filled] == [(i.id, i.messages, i.reference) for i in items]
    for before, after in zip(items[:5], filled):
        assert after.coarse in {r for _, r in QUESTIONS} - {before.reference}
        assert after.fine != before.reference and (after.fine is None) == (after.fine_kind is None)
    assert filled[0].fine_kind and filled[1].fine_kind and filled[2].fine_kind
    assert filled[5] == items[5]


def test_given_distractors_stay() -> None:
    (one, two) = make(
        [
            item("q", "It is hot.", fine="mine", coarse="other", fine_kind="given"),
            item("r", "It is cold here.", coarse="x"),
        ]
    )
    assert (one.fine, one.coarse, one.fine_kind) == ("mine", "other", "given")
    assert two.coarse == "x" and two.fine == "It is hot here."


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
        assert one.fine_kind == "choice" and one.fine in {"sports", "politics", "science"} - {one.reference}


words = st.lists(st.sampled_from(["is", "are", "not", "Anna", "Rome", "May", "3", "1,200", "50%", "more", "less", "可以", "增加", "是", "三个", "\n1.", "a:", "b：", "```", "+", "=", "。", ".", "?", "从", "到", "x", "《甲》", "from", "to", ","]), min_size=1, max_size=25)  # fmt: skip
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


@pytest.mark.parametrize("unit, kind", [("3 + ", "number"), ("是", "negation"), *((unit, None) for unit in ("is a ", "从到", "a: b\n", "Anna ", "```\n", "1, ", "《", "from to ", "or "))])  # fmt: skip
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
        found = Counter(i.fine_kind for i in items)
        assert all(i.coarse for i in items)
        assert found[None] < 0.16 * len(items)  # very short answers hold nothing to change
        assert len(found) > 7 and max(n for k, n in found.items() if k) < 0.6 * len(items)
