"""evolve, respond and translate: what each takes, makes and refuses."""

from __future__ import annotations

import json

import pytest

from instdata.errors import BuildError
from instdata.generate.prompt import read_items, read_object, render
from instdata.generate.respond import agreed, final_answer
from instdata.llm.client import Unusable
from tests.generate.conftest import accepted, reasons, rows, seeds
from tests.llm.server import running


def unanswered(context):
    return rows(
        [[("user", f"请回答第{i}个问题：什么是{word}")] for i, word in enumerate("山水云月花鸟")],
        [None] * 6,
        context,
        "mine",
    )


def english(context):
    talks = [
        [("user", f"Write a short note about topic number {i} for us"), ("assistant", f"A note about {i}")]
        for i in range(5)
    ]
    found = rows(talks, ["chat"] * 5, context, "en")
    found.table = found.table.set_column(4, "lang", [["en"] * 5])
    return found


def test_evolve_makes_new_rows_of_the_same_ability(produce):
    with running() as server:
        made, _ = produce(server, method="evolve", target=20)
    new = accepted(made)
    assert len(new) == 20
    assert {r["ability"] for r in new} == {"math", "code", "chat", "story"}
    meta = json.loads(new[0]["meta"])["generate"]
    assert meta["way"] in ("harder", "deeper", "concrete", "broader") and meta["from"].startswith("seeds/")


def test_evolve_refuses_what_is_unanswerable_or_not_new(produce):
    answer = {"instruction": "请完成math任务：第1种做法是什么", "answerable": True, "response": "一种做法"}
    with (
        running(fixed=json.dumps({**answer, "answerable": False})) as server,
        pytest.raises(BuildError, match="0 of 2 rows"),
    ):
        produce(server, method="evolve", target=2)
    with running(fixed=json.dumps(answer)) as server, pytest.raises(BuildError, match="0 of 2 rows"):
        produce(server, method="evolve", target=2)


def test_respond_answers_every_row_that_lacks_an_answer(produce):
    with running(faults=0.2, kinds=["500", "429", "empty_choices"]) as server:
        made, usage = produce(server, given=unanswered, method="respond")
    assert len(accepted(made)) == 6
    assert all([m["role"] for m in r["messages"]] == ["user", "assistant"] for r in accepted(made))
    assert usage["rows_accepted"] == 6


def test_respond_best_of_by_agreement_judge_and_reference(produce, tmp_path):
    def with_reference(context):
        found = rows([[("user", "请计算二十一的两倍是多少")]], [None], context, "mine")
        found.table = found.table.set_column(9, "meta", [[json.dumps({"reference": "42"})]])
        return found

    def how(made):
        return json.loads(accepted(made)[0]["meta"])["generate"]["chosen_by"]

    with running(fixed='{"best": 2}') as server:
        assert how(produce(server, given=unanswered, method="respond", best_of=3)[0]) == "agreement"
        assert how(produce(server, given=unanswered, method="respond", best_of=3, judge="served")[0]) == "judge"
    with running(fixed="21×2=42\n答案：42") as server:
        assert how(produce(server, given=with_reference, method="respond", best_of=2)[0]) == "reference"
    with running(fixed="答案：41") as server:
        assert reasons(produce(server, given=with_reference, method="respond", best_of=2)[0]) == {"not_verified": 1}


def test_translate_checks_the_language(produce):
    with running() as server:
        made, _ = produce(server, given=english, method="translate")
    assert len(accepted(made)) == 5 and list(made.shown) == [0, 1, 2, 3, 4]
    with running(fixed='{"instruction": "Write a short note about topic two", "response": "A note"}') as server:
        assert reasons(produce(server, given=english, method="translate")[0]) == {"wrong_language": 5}


def test_agreement_is_the_commonest_final_answer():
    assert agreed(["共 12 个", "答案是 15", "一共有 15 个", "13"]) == 1
    assert final_answer("总价为 1,200.50 元") == final_answer("1200.5")
    assert agreed(["红色的花", "红色的大花", "完全不同"]) in (0, 1)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"tasks": [{"instruction": "a"}, {"instruction": "b"}]}', 2),
        ('好的：\n```json\n{"tasks": [{"instruction": "a"}]}\n```\n希望有用', 1),
        ('[{"instruction": "a"}, {"instruction": "b"}]', 2),
        ('{"instruction": "a", "response": "b"}', 1),
        ('{"tasks": [{"instruction": "a", "response": "x"}, {"instruction": "b", "resp', 1),
        ('<think>{"no": 1}</think>{"tasks": [{"instruction": "line\nbreak"}]}', 1),
    ],
)
def test_json_is_read_tolerantly(text, count):
    assert len(read_items(text)) == count


@pytest.mark.parametrize("text", ["", "不行", '{"tasks": []}', '{"tasks": [{"instr', "[" * 100_000])
def test_what_cannot_be_read_is_unusable(text):
    with pytest.raises(Unusable):
        read_items(text)
    with pytest.raises(Unusable):
        read_object("[1]")


def test_a_template_evaluates_nothing_that_a_row_says():
    messages = render("system\n---\n$task", {"task": "$secret ${x} {{7*7}}"})
    assert messages[1] == ("user", "$secret ${x} {{7*7}}")


def test_estimate_asks_nothing(produce, tmp_path):
    from instdata.generate.step import Generate
    from instdata.step import Context
    from tests.generate.conftest import taxonomy

    context = Context(taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
    step = Generate(target=300, model="gpt-4o-mini", examples=2)
    found = step.estimate(seeds(context))
    assert found["requests"] == 100 and found["usd"] > 0 and found["tokens"] > 10_000
    assert found["rows"] == 300
    assert not (tmp_path / "requests.sqlite").exists()
