"""evolve, respond and translate: what each takes, makes and refuses."""

from __future__ import annotations

import json

import pytest

from instdata.corpus.rows import told
from instdata.llm.client import Unusable
from instdata.llm.reply import read_items, read_object
from instdata.llm.request_cache import show
from instdata.steps.generate.prompt_templates import render
from instdata.steps.generate.respond import agreed, final_answer, verified
from instdata.steps.generate.rounds import Given
from instdata.steps.generate.step import Generate
from instdata.steps.generate.translate import words_left
from instdata.util.build_context import Context
from instdata.util.errors import BuildError
from tests.generate.conftest import accepted, reasons, rows, seeds, taxonomy
from tests.llm.server import running
from tests.verify.conftest import model as model  # a fixture


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


def test_an_answer_that_was_cut_is_no_answer(produce):
    with running(finish="length") as server:
        made, _ = produce(server, given=unanswered, method="respond")
        assert reasons(made) == {"unusable": 18}, "three attempts for each of six rows"
        assert made.table["error"][0].as_py() == "unusable answer: cut at 800 tokens"
        assert len(accepted(produce(server, target=4)[0])) == 4, "whole items of a cut list count"


def test_respond_keeps_the_turns_before_the_question(produce, tmp_path):
    talk = [("system", "你是老师"), ("user", "什么是山"), ("assistant", "高起的地"), ("user", "那什么是水呢")]

    def given(context):
        return rows([talk], [None], context, "mine")

    with running() as server:
        made, _ = produce(server, given=given, method="respond")
        with pytest.raises(BuildError, match="0 of 1 rows"):  # a conversation is not rewritten as one question
            produce(
                server, given=lambda c: rows([[*talk, ("assistant", "河")]], ["chat"], c), method="evolve", target=1
            )
    (row,) = accepted(made)
    assert [(m["role"], m["content"]) for m in row["messages"][:-1]] == talk and row["messages"][-1][
        "role"
    ] == "assistant"
    asked = show(json.loads(row["meta"])["generate"]["request"], tmp_path / "cache")["request"]["messages"]
    assert [m["role"] for m in asked] == ["system", "user", "assistant", "user"]
    assert asked[0]["content"].endswith("你是老师") and asked[1]["content"] == "什么是山"


def test_respond_best_of_by_agreement_judge_and_reference(produce, tmp_path):
    def with_reference(context):
        found = rows([[("user", "请计算二十一的两倍是多少")]], [None], context, "mine")
        found.table = found.table.append_column("reference", [["42"]])
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


def test_thoughts_are_kept_as_reasoning(produce):
    with running(quirk="think") as server:
        made, _ = produce(server, given=unanswered, method="respond", target=1)
    (row,) = accepted(made)
    assert told(row["messages"][-1]) == {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    assert row["messages"][0]["reasoning_content"] is None


def test_respond_is_verified_by_unit_tests(produce, tmp_path):
    """Tests come in a column of the row; the first draw that passes them is taken."""

    def with_tests(tests):
        def given(context):
            found = rows([[("user", "请写一个Python函数double，返回参数的两倍")]], [None], context, "mine")
            found.table = found.table.set_column(9, "meta", [[json.dumps({"tests": tests})]])
            found.table = found.table.append_column("reference", [["0"]])
            return found

        return given

    answer = "好的：\n```python\ndef double(x):\n    return 2 * x\n```\n"
    with running(fixed=answer) as server:
        made, _ = produce(server, given=with_tests("assert double(3) == 6"), method="respond", best_of=2)
        assert json.loads(accepted(made)[0]["meta"])["generate"]["chosen_by"] == "tests"
        made, _ = produce(server, given=with_tests("assert double(3) == 7"), method="respond", best_of=2)
        assert reasons(made) == {"not_verified": 1}
        assert "AssertionError" in made.table["evidence"][0].as_py()
        made, _ = produce(server, given=with_tests("assert ("), method="respond")
        assert "cannot be read" in made.table["evidence"][0].as_py(), "tests that cannot run prove nothing"


def test_the_first_verified_draw_is_taken():
    def brings(reference=None, **meta):
        asked = ({"role": "user", "content": "请写函数"},)
        return Given(0, "mine/s:0", "请写函数", None, "code", json.dumps(meta), asked, {"reference": reference})

    good, bad = "def f(x): return x + 1", "def f(x): return x"
    assert verified(brings(tests="assert f(1) == 2"), [bad, good, good])[:2] == (1, "tests")
    assert verified(brings(reference="42"), ["答案：41", "算得 40 + 2 = 42", "42"])[:2] == (1, "reference")
    assert verified(brings(reference="Paris"), ["It is Rome.", "The answer is Paris."])[:2] == (1, "reference")
    assert verified(brings(tests="assert f(1) == 2"), [bad])[0] == -1
    assert verified(brings(note="nothing to compare with"), [good]) is None


def test_translate_checks_the_language(produce):
    with running() as server:
        made, _ = produce(server, given=english, method="translate")
    assert len(accepted(made)) == 5 and list(made.shown) == [0, 1, 2, 3, 4]
    with running(fixed='{"instruction": "Write a short note about topic two", "response": "A note"}') as server:
        assert reasons(produce(server, given=english, method="translate")[0]) == {"wrong_language": 5}


@pytest.mark.parametrize(
    ("text", "source", "left"),
    [
        ("把前台 desk更换为机器，crowded aisle上排队", "replace the desk; the aisle", ["desk"]),
        ("僧侣直到 bell响起时停止fasting。", "until the bell; stop fasting", ["bell", "fasting"]),
        ("把这句译成中文：\nthe bell rings at noon", "translate: the bell rings at noon", []),
        ("单词“bell”是什么词性？用 null 表示没有", "is bell a noun? use null", []),
        ("写函数 area(width)，`width` 是宽\n```\nreturn width\n```", "write area(width); width is the width", []),
        ("这是 python 的写法", "it is Python", []),
    ],
)
def test_words_left_in_the_source_language(text, source, left):
    assert words_left(text, source, "zh") == left and words_left(text, source, "en") == []


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
    from instdata.steps.generate.step import Generate
    from instdata.util.build_context import Context
    from tests.generate.conftest import taxonomy

    context = Context(taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
    step = Generate(target=300, model="gpt-4o-mini", examples=2).resolve(context)
    found = step.estimate(seeds(context))
    assert found["requests"] == 100 and found["usd"] > 0 and found["tokens"] > 10_000
    assert found["rows"] == 300
    assert not (tmp_path / "requests.sqlite").exists()


def test_estimate_of_answers_counts_every_row_and_the_judge(tmp_path):
    from instdata.steps.generate.step import Generate
    from instdata.util.build_context import Context

    context = Context(cache=tmp_path, say=pytest.fail)
    given = rows(
        [[("user", f"What is the square of {i}, and why is that so?")] for i in range(700)], [None] * 700, context
    )
    one = Generate(method="respond", model="gpt-4o-mini").estimate(given)
    assert (one["requests"], one["rows"], one["every_row"]) == (700, 700, True)
    three = Generate(method="respond", model="gpt-4o-mini", best_of=3, judge="gpt-4o").estimate(given)
    assert three["requests"] == 700 * 3 + 700 and three["rows"] == 700
    assert three["usd"] > 3 * one["usd"]
    assert Generate(method="respond", model="gpt-4o-mini", judge="who-knows", best_of=2).estimate(given)["usd"] is None
    assert Generate(method="respond", model="gpt-4o-mini", target=30).estimate(given)["every_row"] is False


DOCUMENTS = [
    "月食发生时，地球恰好位于太阳和月亮之间，挡住了照向月亮的阳光，月面便慢慢变暗，有时还呈现暗红色。",
    "种番茄要选向阳的地方，苗期少浇水，开花后每周追一次薄肥，及时打去侧枝，果实转红就可以采收。",
    "目录 第一章 第二章 第三章 第四章 第五章 附录 索引 版权所有 翻印必究 联系我们 加入我们",
]


def documents(context):
    found = rows([[("user", text)] for text in DOCUMENTS], [None] * 3, context, "texts")
    found.table = found.table.set_column(5, "origin", [["human"] * 3])
    return found


def test_backtranslate_writes_the_task_that_a_text_answers(model, produce_here):
    def says(prompt, body):
        return json.dumps({"instruction": "为什么会有月食？请简单说明。" if "月食" in prompt else "怎样种好番茄？给出步骤。",
                           "usable": "目录" not in prompt}, ensure_ascii=False)  # fmt: skip

    with model(says) as asked:
        made = produce_here(documents, method="backtranslate")
    assert len(asked) == 3 and reasons(made) == {None: 2, "unusable_text": 1}
    for row in accepted(made):
        assert row["messages"][1]["content"] in DOCUMENTS and row["origin"] == "human"
        assert json.loads(row["meta"])["generate"]["task_by"] == "m"


def test_backtranslate_refuses_a_copied_task(model, produce_here):
    with model(lambda prompt, body: json.dumps({"instruction": prompt.split("\n")[-1][:20], "usable": True})):
        made = produce_here(documents, method="backtranslate")
    assert reasons(made) == {"echo": 3}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_multi_turn_goes_on(model, produce_here, language):
    talks = {"zh": ("为什么湖面先结冰？", "水在4摄氏度时密度最大。", "那深海也会结冰吗？", "深海盐分高，很难结冰。"),
             "en": ("Why does a lake freeze from the top?", "Water is densest at four degrees.",
             "Does the deep sea freeze, too?", "Hardly: it is salty and under pressure.")}[language]  # fmt: skip

    def given(context):
        found = rows(
            [[("user", talks[0]), ("assistant", talks[1] + end)] for end in ("", "!")], ["open_qa"] * 2, context, "mine"
        )
        found.table = found.table.set_column(4, "lang", [[language] * 2])
        return found

    answers = iter([talks[2:], talks[:2]])
    with model(
        lambda prompt, body: json.dumps(dict(zip(("instruction", "response"), next(answers))), ensure_ascii=False)
    ):
        made = produce_here(given, method="multi-turn", language=language, concurrency=1)
    assert sorted(reasons(made), key=str) == [None, "says_again"]
    (row,) = accepted(made)
    assert [m["content"].rstrip("!") for m in row["messages"]] == list(talks)
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * 2


def test_personas_are_in_the_prompt(model, produce_here):
    task = {"instruction": "请解释一下什么是复利计算", "response": "利息再生利息"}
    with model(lambda prompt, body: json.dumps({"tasks": [task]}, ensure_ascii=False)) as asked:
        produce_here(seeds, target=1, personas=True, per_ability={"math": 1})
    assert "提问的人是" in asked[0]["messages"][-1]["content"]


@pytest.fixture
def produce_here(tmp_path):
    """produce_here(rows of a context, **options) -> what was made, by the model that the environment names."""

    def run(given, **options):
        context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
        return Generate(name="generate", model="m", **options).resolve(context).produce(given(context))

    return run
