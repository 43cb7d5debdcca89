"""Tasks about a passage or sentence: it has a field of its own in the prompt's examples, the schema and the answer."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from instdata.llm.request import Request
from instdata.steps.generate.goals import Goal, Shown
from instdata.steps.generate.prompt_templates import TaskForm, forms, tasks_schema, template, topics
from instdata.steps.generate.self_instruct import (
    Ordered,
    Writing,
    _copied,
    _fields,
    _item,
    _request,
    produce,
)
from instdata.steps.generate.session import Counting, Enough
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context
from tests.generate.conftest import seeds, taxonomy

SHOWN = Shown("把下面的话说得委婉一些。\n你的报告写得太乱了，重写。", "您的报告如果条理再清楚一些就更好了。")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_reading_tasks_have_a_field_for_what_is_read(language):
    told = {name for name, form in forms(language).items() if form.material}
    assert {"closed_qa", "extract", "summarization", "translation", "rewrite", "classification"} <= told
    for name in told:
        form = forms(language)[name]
        assert "input" in form.told and all("\n" in task for task, _ in form.examples)
        item = tasks_schema(1, form.fields)["properties"]["tasks"]["items"]
        assert item["required"] == list(form.fields) and "input" in form.fields
    assert "input" not in forms(language)["math"].fields


def test_an_example_and_an_answer_have_the_same_shape():
    form = TaskForm(material="first")
    written = _fields(SHOWN, form.fields)
    assert set(written) == set(form.fields) and written["input"] == "你的报告写得太乱了，重写。"
    item = _item(json.loads(json.dumps(written)), Goal("rewrite", "", "", 1, []), "m", {})
    assert (item.instruction, item.response) == (SHOWN.instruction, SHOWN.response)
    twice = _item(
        {"instruction": "译成英文：“今天很冷。”", "input": "“今天很冷。”", "response": "x"},
        Goal("t", "", "", 1, []),
        "m",
        {},
    )
    assert twice.instruction == "译成英文：“今天很冷。”", "a sentence that is in the question is not said twice"


@pytest.mark.parametrize(
    ("task", "answer", "reason"),
    [
        ("把下面的话说得委婉一些。\n你把我的报告改错了，再改一遍。", SHOWN.response, "copies_example"),
        ("请改写得客气些。\n你的报告写得太乱了，重写。", "好。", "copies_example"),
        ("把下面的话说得委婉一些。\n别在走廊里抽烟，呛死人了。", "走廊里烟味有些重，能否请您到外面抽？", None),
    ],
)
def test_what_is_taken_from_an_example_is_told(task, answer, reason):
    goal = Goal("rewrite", "改写", "", 1, [], TaskForm(material="after"))
    item = _item({"instruction": task, "response": answer}, goal, "m", {})
    assert _copied(item, Ordered(goal, Request((), 1), 1, 1, [], [SHOWN])) == (reason is not None)
    assert item.reason == reason


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_small_model_is_told_what_its_tasks_are_about(language):
    """Kinds of the ability that it gets right, one for each task; a larger one gets subjects, and combines them."""
    form = forms(language)["code"]
    goal = Goal("code", "code", "", 9, [], form)
    text = template("self-instruct", language, None, Path())
    for small, drawn_from in ((True, form.kinds), (False, topics(language))):
        plan = Writing(text, language, "m", 3, 2, 60, 0.7, 0, small=small)
        asked, _ = _request(plan, goal, 3, 5)
        last = asked.messages[-1][1].split("\n")[-1]
        assert sum(kind in last for kind in drawn_from) >= 3
        assert _request(plan, goal, 3, 5)[0] == asked != _request(plan, goal, 3, 6)[0]


def test_the_plain_example_stands_next_to_the_question():
    """The latest accepted row, or a seed, ahead of it: what is read last is followed most."""
    form = TaskForm("…", (("plain task", "plain answer"),))
    goal = Goal("math", "math", "", 9, [Shown("seed task", "seed answer", 3)], form)
    plan = Writing(template("self-instruct", "en", None, Path()), "en", "m", 2, 2, 60, 0.7, 0)
    assert [e.instruction for e in _request(plan, goal, 2, 0)[1]] == ["seed task", "plain task"]
    goal.accepted = 2
    goal.latest += [Shown("accepted task", "its answer")] * 2
    assert [e.instruction for e in _request(plan, goal, 2, 0)[1]] == ["accepted task", "plain task"]


@pytest.mark.parametrize(("model", "small"), [("local:qwen2.5-coder-1.5b-instruct", True), ("m", False)])
def test_a_local_model_is_a_small_one(model, small):
    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]))
    step = Generate(model=model, target=8, per_ability={"math": 1}).resolve(context)
    counting = Counting(1)
    with suppress(Enough):
        produce(step, seeds(context), context, counting)
    last = counting.requests[0].messages[-1][1].split("\n")[-1]
    assert any(kind in last for kind in forms("zh")["math"].kinds) is small
