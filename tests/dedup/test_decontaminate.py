"""decontaminate: what leaks, what does not, and the text that shows it."""

import json

import pyarrow as pa
import pytest
from pydantic import ValidationError

from instdata.steps.base import Scores
from instdata.steps.dedup.decontaminate import Decontaminate
from instdata.steps.dedup.leaks import leaks
from instdata.util.errors import InputError

from .test_step import rows

DUCKS = (
    "Janet's ducks lay sixteen eggs per day. She eats three for breakfast every morning and bakes muffins for "
    "her friends every day with four."
)
WATER = "What is the boiling point of water at sea level?"
MOON = "地球到月球的平均距离大约是多少公里"
APPLES = "小明有五个苹果，他给了小红两个苹果，又从商店买了三个苹果，请问小明现在一共有几个苹果？"
THAI = "ปลาวาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุดในโลกและอาศัยอยู่ในมหาสมุทรทุกแห่ง"


def found(prompts, items, responses=None):
    full = [p + "\n" + r for p, r in zip(prompts, responses or [""] * len(prompts))]
    got = leaks(pa.array(prompts), pa.array(full), items)
    return {int(r): (int(i), rule, text) for r, i, rule, text in zip(got.row, got.item, got.rule, got.text)}


def test_near_prompt_comes_first():
    got = found([DUCKS.upper(), "Tell me about cats"], [WATER, DUCKS])
    assert got.keys() == {0} and got[0][:2] == (1, "near_prompt")


def test_shared_ngram_in_prompt_or_response():
    piece = "ducks lay sixteen eggs per day. She eats three for breakfast every morning and"
    assert found([f"Solve this. Her {piece} more?"], [DUCKS])[0] == (0, "shared_ngram", piece.lower())
    assert found(["Tell me a story"], [DUCKS], [f"Once, {piece} so on."])[0][1] == "shared_ngram"
    assert not found(["lay sixteen eggs per day. She eats three for breakfast every morning"], [DUCKS]), (
        "twelve words are too few"
    )


def test_short_items_are_found_as_a_whole():
    got = found(
        [f"Here is my homework, please do it for me: {WATER} I need it by noon, and please be nice about it."], [WATER]
    )
    assert got[0] == (0, "contains_item", "what is the boiling point of water at sea level")
    assert not found(["Here is the boiling point of water at sea level in a table, please comment on it"], [WATER])
    assert not found(["Please say hi to everyone who is in the room today"], ["Hi", "say hi"]), (
        "very short items only as near copies"
    )
    assert found(["hi!"], ["Hi"])[0][1] == "near_prompt"


def test_scripts_without_spaces():
    got = found([f"请你务必认真地回答老师今天课堂上留下的这一道题目，并写出理由：{MOON}？谢谢您的耐心帮助"], [MOON])
    assert got[0] == (0, "shared_ngram", MOON)
    assert found(["解题：他给了小红两个苹果，又从商店买了三个苹果"], [APPLES])[0][1] == "shared_ngram"
    assert not found(["小红从商店买了三个苹果和两个梨"], [APPLES])
    assert (
        found([(f"อ่านข้อความนี้แล้วสรุปเป็นภาษาง่าย ๆ ให้เด็กประถมอ่านเข้าใจ {THAI} จบข้อความ ขอบคุณมากครับ")], [THAI])[0][1]
        == "shared_ngram"
    )


def test_boilerplate_is_no_leak():
    frame = "Read the following passage carefully and then answer the question that comes after it in one word."
    rows = [f"{frame} Passage {i}: {'abcdefghijklmnop'[i % 16] * 9} {i * 7919} ends." for i in range(30)]
    item = frame + " " + DUCKS
    assert not found(rows, [item])
    assert found(rows[:5], [item]).keys() == set(range(5))
    assert found([*rows, "x " + DUCKS], [item])[30][1] == "shared_ngram"


def test_numbers_tell_items_apart():
    assert not found(
        ["Tom had 12 apples and ate 5. How many has he left?"], ["Tom had 12 apples and ate 7. How many has he left?"]
    )


def test_nothing_to_find():
    assert not found([], [WATER])
    assert not found(["a", ""], [])


def test_step(tmp_path):
    (tmp_path / "eval.jsonl").write_text(
        "\n".join(json.dumps({"question": q, "id": i}, ensure_ascii=False) for i, q in enumerate([WATER, DUCKS]))
    )
    given = rows(
        [
            ("Clean and tidy question about cats", "meow"),
            (DUCKS + " How?", "x"),
            ("Homework to do for tomorrow morning, please", WATER + " It is 100 degrees, as everyone knows."),
        ],
        base=tmp_path,
    )
    step = Decontaminate(against=["eval.jsonl"])
    assert step.check(given.context) == []
    scored = pa.table(dict(step.score(given)))
    verdicts = step.decide(Scores(scored))
    assert verdicts.reason.to_pylist() == [None, "contaminated", "contaminated"]
    evidence = [json.loads(e) for e in verdicts.evidence.to_pylist()[1:]]
    assert [e["item"] for e in evidence] == ["eval.jsonl:1", "eval.jsonl:0"]
    assert evidence[0]["rule"] == "near_prompt" and evidence[0]["similarity"] > 0.7
    assert evidence[1] == {
        "rule": "contains_item",
        "item": "eval.jsonl:0",
        "text": "what is the boiling point of water at sea level",
    }
    assert "gone.json" in Decontaminate(against=["gone.json"]).check(given.context)[0]
    with pytest.raises(ValidationError):
        Decontaminate(against=[])


def test_suites(tmp_path):
    """`against` takes a suite's YAML file, whose items lie beside it and may have columns of their own names."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "items.jsonl").write_text(
        "".join(
            json.dumps({"ability": "qa", "q": q, "reference": "x", "scorer": "exact"}) + "\n" for q in (WATER, DUCKS)
        )
    )
    suite = tmp_path / "suites" / "mine.yaml"
    suite.write_text(
        "name: mine\nout_of_domain: true\nitems: items.jsonl\nmap: {instruction: q, reference: reference}\n"
    )
    given = rows([(WATER, "100 degrees"), ("Tell me a story about cats", "x")], base=tmp_path)
    step = Decontaminate(against=["suites/mine.yaml"])
    assert step.check(given.context) == []
    verdicts = step.decide(Scores(pa.table(dict(step.score(given)))))
    assert verdicts.reason.to_pylist() == ["contaminated", None]
    assert json.loads(verdicts.evidence[0].as_py())["item"] == "items.jsonl:0"
    before = step.scoring(given.context)
    (tmp_path / "suites" / "items.jsonl").write_text(json.dumps({"q": DUCKS}))
    assert step.scoring(given.context) != before, "what the suite holds counts, not its name"
    for text, said in (
        ("name: x", "mine.yaml:1: a suite names the file of its items"),
        ("items: [1]", "mine.yaml:1: a suite names the file of its items"),
        ("items: gone.jsonl", "gone.jsonl: no such file"),
        ("items: items.jsonl\nmap: {instruction: question}", 'there is no column "question"'),
        ("items: items.jsonl\nmap: [q]", "mine.yaml:2: map gives our field: their column"),
        ("- a: [", "mine.yaml:"),
    ):
        suite.write_text(text)
        problems = step.check(given.context)
        assert len(problems) == 1 and problems[0].startswith("against: ") and said in problems[0]
    assert "cannot be read" in Decontaminate(against=["suites/gone.yaml"]).check(given.context)[0]


def test_a_file_without_any_question_is_an_error(tmp_path):
    (tmp_path / "eval.jsonl").write_text('{"q": "What is it?"}\n')
    given = rows([(WATER, "100 degrees")], base=tmp_path)
    with pytest.raises(InputError, match="none of its records has a text to compare"):
        Decontaminate(against=["eval.jsonl"]).score(given)


def test_evaluation_files_of_many_shapes(realdata, tmp_path):
    from instdata.steps.dedup.outside_texts import read
    from instdata.util.build_context import Context

    for name, least in (
        ("belle/eval_v1_labelled.jsonl", 1172),
        ("gsm8k/train.jsonl", 7473),
        ("judge/mt_bench_80.jsonl", 80),
        ("code/HumanEval.jsonl.gz", 164),
        ("self_instruct/user_oriented_252.jsonl", 252),
    ):
        assert sum(len(batch) for batch, _ in read([str(realdata / name)], Context(base=tmp_path))) >= least, name
