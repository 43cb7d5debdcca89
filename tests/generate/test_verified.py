"""generate with verify: what is wrong is dropped with its evidence, what the draws know better is mended, the rest is
kept."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

import pytest

from instdata.llm.request import Answer, Request
from instdata.recipe.load import read_recipe
from instdata.steps.generate.new_row_checks import NewRow
from instdata.steps.generate.step import Generate
from instdata.steps.generate.verify_new_rows import Verifier
from instdata.steps.verify.case import Case
from instdata.steps.verify.options import Checking
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from tests.generate.conftest import accepted, reasons, seeds, taxonomy
from tests.llm.server import han
from tests.verify.conftest import model as model  # a fixture


def says(prompt: str, body: dict) -> str:
    """Sums with a right answer, a wrong one and a wrong equation in turn; asked for the sum itself, what it is."""
    if sum_ := re.match(r"\S+买了(\d+)支笔和(\d+)本书，一共买了几件？", prompt):
        a, b = map(int, sum_.groups())
        return "无法确定" if a == 13 else f"{a}+{b}={a + b}\n答案：{a + b}"
    seed = body["seed"]
    a, b = seed % 7 + 2, seed % 5 + 3
    answers = [f"{a + b}件", f"{a + b + 1}件", f"{a}+{b}={a + b + 1}"]
    tasks = [
        {"instruction": f"{han(3, seed, n)}买了{a}支笔和{b}本书，一共买了几件？", "response": said}
        for n, said in enumerate(answers)
    ]
    tasks.append({"instruction": f"{han(3, seed, 9)}买了13支笔和{b}本书，一共买了几件？", "response": "20件"})
    return json.dumps({"tasks": tasks}, ensure_ascii=False)


OPTIONS = {"model": "m", "target": 12, "per_ability": {"math": 1}, "batch": 4, "threshold": 0.95}


def produced(tmp_path, **options):
    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
    step = Generate(name="generate", **{**OPTIONS, **options}).resolve(context)
    return step.produce(seeds(context)), context


def test_wrong_rows_are_dropped_or_mended(model, tmp_path):
    with model(says) as asked:
        made, context = produced(tmp_path, verify=True)
        sent = len(asked)
        again, _ = produced(tmp_path, verify=True)
        assert len(asked) == sent, "all from the cache"
    assert made.table.equals(again.table)
    rows = accepted(made)
    assert len(rows) == 12
    for row in rows:
        a, b = map(int, re.findall(r"(\d+)支笔和(\d+)", row["messages"][0]["content"])[0])
        assert str(a + b) in row["messages"][1]["content"]
    mended = Counter(json.loads(r["meta"])["generate"].get("answer_of") for r in rows)
    assert mended["draws"] >= 4 and mended[None] >= 4
    assert {"false_sum", "draws_disagree"} <= set(reasons(made))
    false = next(r for r in made.table.to_pylist() if r["reason"] == "false_sum")
    assert json.loads(false["evidence"])["least"] == 1.0
    assert context.usage["generate"]["requests"] == sent


def test_without_draws_nothing_more_is_asked(model, tmp_path):
    with model(says) as asked:
        made, _ = produced(tmp_path, verify={"draws": 0})
    assert all("response_format" in body for body in asked)
    assert "false_sum" in reasons(made) and "draws_disagree" not in reasons(made)


def test_own_bounds_and_skips(model, tmp_path):
    with model(says):
        made, _ = produced(tmp_path, verify={"draws": 0, "skip": ["false_sum"]})
    assert "false_sum" not in reasons(made)


def test_the_price_of_the_draws_is_in_the_estimate():
    rows = seeds(Context(seed=0, taxonomy=taxonomy()))
    plain, verified = (Generate(**OPTIONS, verify=v, price={"input": 1, "output": 1}).estimate(rows) for v in (False,
        True))  # fmt: skip
    assert verified["requests"] > 2 * plain["requests"] and verified["usd"] > plain["usd"]


def test_other_methods_have_the_step(tmp_path):
    with pytest.raises(ValueError, match="put a step `verify`"):
        Generate(method="respond", verify=True)
    (tmp_path / "r.yaml").write_text(
        "name: r\nsources: [{path: s.jsonl}]\nsteps: [{generate: {target: 3, verify: {drawz: 3}}}, {verify: {min: "
        "{no_sorce: 1}}}]\n"
    )
    (tmp_path / "s.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(InputError) as e:
        read_recipe(tmp_path / "r.yaml")
    assert "drawz" in str(e.value) and 'no check "no_sorce"' in str(e.value)


def test_what_repeats_its_prompt_is_no_task(model, tmp_path):
    """The words that tell the form, or the material of an example, handed back as a task."""
    from instdata.steps.generate.prompt_templates import forms

    form = forms("zh")["math"]
    told = form.told.split("；")[0]

    def answer(prompt: str, body: dict) -> str:
        if "response_format" not in body:
            return "答案：12"
        tasks = [
            {"instruction": told, "response": "12"},
            {"instruction": f"{han(4, body['seed'])}有6只鸡和6只鸭，一共有几只？", "response": "6+6=12"},
        ]
        return json.dumps({"tasks": tasks}, ensure_ascii=False)

    with model(answer):
        made, _ = produced(tmp_path, verify=True, target=2)
    assert reasons(made)["echo"] >= 1 and reasons(made)[None] == 2


def drawn(items: list[NewRow], said: list[str], need: int, draws: int = 3) -> int:
    """The requests that were made of items for which the model says these in turn, where so many are needed."""
    asked: list[Request] = []

    async def ask(request: Request, read):
        asked.append(request)
        text = said[len(asked) - 1]
        return Answer(read(text), text, f"key {len(asked)}")

    asyncio.run(Verifier(Checking(draws=draws), "zh", 7).enough(items, need, ask))
    return len(asked)


def asks_when(n: int = 0, ability: str = "closed_qa") -> NewRow:
    return NewRow(f"第{n}馆星期几不开放？\n第{n}馆星期一闭馆整理图书，其他日子都开放。", "星期一", ability, "m")


@pytest.mark.parametrize(
    ("said", "sent", "reason"),
    [
        (["九点", "十点"], 2, "draws_disagree"),  # the third cannot save it
        (["星期一", "九点", "星期一"], 3, None),
        (["星期一"] * 3, 3, None),
    ],
)
def test_no_draw_is_asked_for_once_the_verdict_is_settled(said, sent, reason):
    item = asks_when()
    assert drawn([item], said, need=1) == sent == len(item.meta["draws"]) and item.reason == reason


def test_numbers_are_drawn_to_the_end_as_their_own_may_be_taken():
    item = NewRow("小明买了3支笔和4本书，一共买了几件？", "8件", "math", "m")
    assert drawn([item], ["3+4=7\n答案：7"] * 3, need=1) == 3
    assert item.reason is None and item.meta["answer_of"] == "draws"


@pytest.mark.parametrize(
    ("need", "said", "reasons"),
    [
        (1, ["星期一"] * 2, [None, "over_target", "over_target"]),
        (1, ["九点", "星期一", "星期一"], ["draws_disagree", None, "over_target"]),
        (3, ["星期一"] * 6, [None, None, None]),
    ],
)
def test_nothing_is_asked_of_rows_beyond_those_that_lack(need, said, reasons):
    items = [asks_when(n) for n in range(3)]
    assert drawn(items, said, need, draws=2) == len(said)
    assert [i.reason for i in items] == reasons


@pytest.mark.parametrize("ability", ["cot", "closed_qa"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_draws_are_not_told_how_to_give_up(ability, language):
    """Told so, a small model gave up on right tasks that it could do."""
    from instdata.steps.verify.model_checks import question
    from instdata.steps.verify.text_checks import found

    asked = question(Case.of("a\nb", "c", ability, language)).messages[-1][1]
    assert not found("cannot_say", asked) and "无法" not in asked and "cannot" not in asked


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("麻烦您把门关上，谢谢！", True),
        ("把门关上。", False),
        ("Could you please close the door?", False),
        ("抱歉，我无法完成这个请求，谢谢您。", False),
        ("请问您想要什么语气？", False),
    ],
)
def test_a_rewriting_is_answered_by_itself_and_that_is_taken_where_it_passes(said, taken):
    """What draws cannot be compared of is answered anew; an answer that fails a rule (the sentence again) is not
    taken."""
    asked: list[Request] = []

    async def ask(request: Request, read):
        asked.append(request)
        return Answer(read(said), said, f"key {len(asked)}")

    item = NewRow("把下面的话改得更礼貌。\n把门关上。", "请关门。", "rewrite", "m")
    verifier = Verifier(Checking(draws=2, skip=["judged_wrong"]), "zh", 7)
    asyncio.run(verifier.by_draws(item, ask))
    assert item.reason is None and item.meta["draws"] == ["key 1"] and len(asked) == 1
    assert item.instruction in asked[0].messages[-1][1]
    assert (item.response, item.meta.get("answer_of")) == ((said, "alone") if taken else ("请关门。", None))
