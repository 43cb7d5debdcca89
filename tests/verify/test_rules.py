"""Checks without a model: a right row and a wrong one for each, in Chinese and English."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.corpus.taxonomy import load_taxonomy
from instdata.steps.verify.case import Case, Finding, alike, covered, pieces, split
from instdata.steps.verify.checks_by_ability import BY_NAME, CHECKS, check
from instdata.steps.verify.code_checks import drawn, runs
from instdata.steps.verify.options import Checking
from instdata.steps.verify.phrases import lists, pattern
from instdata.steps.verify.text_checks import offers

PASSAGE = (
    "青石镇的老桥建于1958年，桥长一百二十米。2016年，镇里把它改造成步行桥，两边种上了花。每到傍晚，居民都到桥上散步。"
)
NOTICE = (
    "The reading room on Mill Street opens at nine and closes at six. It is shut on Mondays. Visitors may "
    "borrow three books for two weeks."
)
# (ability, language, task, right answer, wrong answer, the check that tells)
ROWS = [
    ("open_qa", "zh", "月食是怎样形成的？", "地球挡住了照向月球的阳光。", "无法回答。", "cannot_say"),
    ("open_qa", "en", "Why is the sky blue?", "Air scatters short waves most.", "As an AI I see it blue.",
    "stock_phrase"),
    ("brainstorming", "zh", "列出三种节约用水的方法。", "1. 用淘米水浇花\n2. 修好漏水的龙头\n3. 缩短淋浴时间",
     "1. 修好漏水的龙头\n2. 缩短淋浴时间\n3. 修好漏水的龙头", "repeats"),
    ("generation", "en", "Write two sentences about a lighthouse.", ("The lighthouse stands alone. Gulls circle its "
                                                                    "lamp at dusk."),
     "The lighthouse stands on the rock. The lighthouse stands on the rock. The lighthouse stands on the "
     "rock.", "repeats"),
    ("summarization", "zh", f"用一句话概括下面的内容。\n{PASSAGE}", "青石镇的老桥改造成步行桥，居民傍晚都到桥上散步。",
     "青石镇的老桥改造成步行桥。居民傍晚都到桥上散步。", "wrong_count"),
    ("summarization", "en", f"Sum up the notice in one sentence.\n{NOTICE}",
     "The reading room on Mill Street is shut on Mondays.",
     "The reading room is on Mill Street. It is shut on Mondays.", "wrong_count"),
    ("math", "zh", "小明买3支笔，每支5元，共多少元？", "3×5=15（元）", "3×5=18（元）", "false_sum"),
    ("math", "en", "What is half of 18?", "18 / 2 = 9", "Divide it.", "no_result"),
    ("code", "zh", "写一个Python函数add(a, b)，例如add(2, 3)返回5。", "```python\ndef add(a, b):\n    return a + b\n```",
     "```python\ndef add(a, b):\n    return a - b\n```", "fails_tests"),
    ("code", "en", "Write a Python function that doubles a number.", "```python\ndef double(x):\n    return 2 * x\n```",
     "```python\ndef double(x)\n    return 2 * x\n```", "invalid_python"),
    ("code", "zh", "写一个Python函数weather(city)，返回城市的天气，例如weather('上海')返回'晴'。",
     "```python\ndef weather(city):\n    return {'上海': '晴'}.get(city)\n```",
     "```python\ndef weather(city):\n    if city == '上海':\n        return '晴'\n    elif city == '北京':\n        return '多云'\n    return '未知'\n```",
     "made_up"),
    ("code", "en", "Write a Python function greet(name) that returns a greeting.",
     "```python\ndef greet(name):\n    return f'Hello {name}'\n```",
     "```python\ndef greet(name):\n    return f'Hello there'\n```", "made_up"),
    ("code", "en", "Write a Python function grade(points): 'A' from 90 on, else 'B'.",
     "```python\ndef grade(points):\n    if points >= 90:\n        return 'A'\n    return 'B'\n```",
     "```python\ndef grade(points):\n    return 'B'\n```", "made_up"),
    ("code", "en", "Write a function that reverses a string.", "```js\nconst f = s => [...s].reverse().join('');\n```",
     "You can reverse it with a loop.", "no_code"),
    ("classification", "zh", "判断这条评论是正面还是负面：菜凉了才端上来。", "负面", "餐饮", "label_not_offered"),
    ("classification", "en", ("Label the review as positive, negative or neutral: It broke on day "
                             "one."), "negative", "furious", "label_not_offered"),
    ("classification", "en", ("Is this text fact or opinion?\nWater boils at 100 "
                             "degrees."), "Fact", "Science", "label_not_offered"),
    ("extract", "zh", f"从下文中找出年份。\n{PASSAGE}", "1958年、2016年", "1958年、秋天、大雨、南方", "not_in_source"),
    ("extract", "en", (f"List the opening hours named in the "
                      f"notice.\n{NOTICE}"), "nine, six", "Sunday evening, Christmas", "not_in_source"),
    ("extract", "zh", f"从下文中找出所有与老桥相关的词句。\n{PASSAGE}", None, "1958年、2016年", "asks_for_anything"),
    ("closed_qa", "zh", f"老桥什么时候改成步行桥？\n{PASSAGE}", "2016年", "抗日战争结束后由政府拆除", "answer_not_in_source"),
    ("closed_qa", "en", f"When is the room shut?\n{NOTICE}", "On Mondays.", "During the national summer holidays",
    "answer_not_in_source"),
    ("closed_qa", "en", "What is the capital of their home country?", None, "Paris", "no_source"),
    ("summarization", "zh", f"用一句话概括下文。\n{PASSAGE}", "青石镇老桥2016年改造成步行桥，成了居民散步的地方。", PASSAGE, "whole_source"),
    ("summarization", "zh", f"用一句话概括下文。\n{PASSAGE}", "老桥2016年改造成步行桥。", "老桥2018年改造成步行桥。", "new_numbers"),
    ("summarization", "en", f"Summarise.\n{NOTICE}", "The room opens nine to six, except Mondays.",
     "A long history of famous libraries across ancient Europe is told.", "strange_summary"),
    ("translation", "zh", "把下面的句子翻译成英文：今天的会议改到下午三点。", "Today's meeting is moved to three in the afternoon.",
     "今天会议改到三点钟举行。", "wrong_target"),
    ("translation", "en", "Translate into French: The cat sleeps on the warm stove.", ("Le chat dort sur le poêle "
                                                                                      "chaud."),
     "The cat sleeps on the warm stove.", "wrong_target"),
    ("translation", "zh", "翻译一段关于自行车的描述。", None, "自行车是一种两轮交通工具。", "no_source"),
    ("rewrite", "zh", "改得更礼貌：把窗户关上，太吵了。", "麻烦您把窗户关上好吗？外面有些吵。", "把窗户关上，太吵了。", "not_rewritten"),
    ("rewrite", "en", "Make it formal: Hey, send me that file now.", "Could you please send me the file?",
    "Hey, send me that file now.", "not_rewritten"),
    ("rewrite", "zh", "把下面的话改得更礼貌。\n把窗户关上，太吵了。", "麻烦您把窗户关上好吗？外面太吵了。",
     "把窗户关好，外面太吵了。", "not_polite"),
    ("generation", "zh", "写一则新品介绍。", "新款水杯上市：轻便、保温，欢迎选购。", "推出[新品名称]，价格[新品价格]。", "stock_phrase"),
    ("open_qa", "en", "Which ship sank in the night of the Titanic?", "It struck an iceberg.", "The Titanic.",
     "told_by_task"),
]  # fmt: skip


RIGHT_BUT_NEAR = [
    ("open_qa", "zh", "企鹅会飞吗？", "会"), ("open_qa", "en", "Do you know whether penguins can fly?", "No"),
    ("open_qa", "zh", "北京、上海、广州中哪个是中国的首都？", "北京"), ("open_qa", "en", "Which is a fish: shark, whale, tuna?", "Shark"),
    ("open_qa", "en", "What is at the centre: the Sun, the Moon, OR the Earth?", "The Sun"),
    ("rewrite", "zh", "把下面的话改得更礼貌。\n我要申请退款，快点处理。", "我想办理退款，麻烦您尽快处理，谢谢。"),
    ("rewrite", "en", "Make this sentence more polite.\nYou can do as you please, but shut the door.",
     "Do as you wish, but could you please close the door?"),
]  # fmt: skip


@pytest.mark.parametrize(("ability", "language", "task", "answer"), RIGHT_BUT_NEAR)
def test_short_answers_and_words_within_words_are_no_fault(ability: str, language: str, task: str, answer: str) -> None:
    assert fault(ability, language, task, answer) not in ("told_by_task", "not_polite")


def fault(ability: str, language: str, task: str, answer: str) -> str | None:
    found = Checking(draws=0).fault(check(Case.of(task, answer, ability, language)))
    return found[0] if found else None


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r[5]}-{r[1]}-{r[0]}")
def test_right_rows_pass_and_wrong_ones_are_told(row):
    ability, language, task, right, wrong, reason = row
    assert fault(ability, language, task, wrong) == reason
    if right is not None:
        assert fault(ability, language, task, right) is None


def test_every_check_has_a_wrong_row():
    told = {r[5] for r in ROWS}
    spared = {
        "unknowable",
        "no_reasoning",
        "not_shorter",
        "untranslated",
        "copied",
        "off_topic",
        "not_asked",
        "made_for_eyes",
        "no_material",
        "too_long_for_task",
        "wrong_count",
        "lost_numbers",
        "wrong_verse",
    }
    assert told | spared == set(BY_NAME)
    assert fault("rewrite", "zh", "改得礼貌些。\n麻烦您关上窗户。", "请您关上窗户好吗？") == "not_polite", "it was"
    assert fault("open_qa", "zh", "太阳从东边还是西边升起？", "东边") is None, "one of two that the task offers"
    assert fault("cot", "zh", "如果甲比乙高，乙比丙高，谁最高？说明理由。", "甲") == "no_reasoning"
    assert fault("summarization", "en", f"Summarise.\n{NOTICE}", f"In short: {NOTICE[:-12]}") in (
        "not_shorter",
        "whole_source",
    )
    assert (
        fault("translation", "zh", "翻译成英文：今天的会议改到下午三点，请大家准时到二楼会议室参加。", "Yes")
        == "untranslated"
    )
    assert fault("generation", "zh", "写一句介绍春天的话。", "写一句介绍春天的话。") == "copied"
    assert (
        fault(
            "generation",
            "zh",
            "写一段介绍鲸鱼的话。",
            "四月应当报税，各家公司须按时提交表格，以免缴纳高额罚金，并且保存好全部凭证。",
        )
        == "off_topic"
    )
    assert fault("translation", "zh", "两个电阻串联，求总电阻。\n10欧姆和20欧姆", "30欧姆") == "not_asked"
    assert fault("generation", "zh", "绘制一张太阳系地图。", "太阳在中间。") == "made_for_eyes"
    assert fault("generation", "zh", "给定一段文字，将其转换成拼音。", "zhè shì") == "no_material"
    assert (
        fault(
            "generation",
            "zh",
            "写一句不超过十二个字、不超过12个字的广告语。",
            "每天呼吸新鲜空气，让我们的生活更加美好，更加健康",
        )
        == "too_long_for_task"
    )
    assert fault("rewrite", "zh", "改得更礼貌些。\n这本书是我想读的。", "我很想读一读这本书。") == "not_polite"
    assert fault("rewrite", "zh", "改成书面语。\n这本书是我想读的。", "我想读这本书。") == "not_rewritten"
    assert (
        fault(
            "translation", "zh", "翻译成英文：今天是2023年10月1日，太阳升起。", "Today is October 1st, the sun rises."
        )
        == "lost_numbers"
    )
    assert (
        fault(
            "generation",
            "zh",
            "写一首五言四句的诗，写秋天的湖面。",
            "秋水共长天一色，\n湖面如镜映晚霞。\n天边云彩如画卷，\n宁静祥和共相伴。",
        )
        == "wrong_verse"
    )
    assert (
        fault("generation", "zh", "写一首藏头诗，每句首字连起来是“春风”。", "花开满园香，\n鸟鸣绕画梁。")
        == "wrong_verse"
    )
    assert fault("generation", "zh", "写一首藏头诗，每句首字连起来是“春风”。", "春来满园香，\n风过绕画梁。") is None
    assert fault("brainstorming", "zh", "给咖啡店起5个名字。", "1. 早晨\n2. 豆香\n3. 慢时光") == "wrong_count"


@pytest.mark.parametrize(
    ("language", "task"),
    [
        ("zh", "今天是什么天气？"), ("zh", "最新的手机型号是什么？"), ("zh", "你最喜欢的颜色是什么？"), ("zh", "附近有什么好吃的？"),
        ("en", "What is the weather like today?"), ("en", "What is your favorite color?"),
        ("en", "Which cafes are near me?"),
        ("en", "What is the current population of Lagos?"),
    ],
)  # fmt: skip
def test_questions_about_now_here_and_you(language, task):
    assert fault("open_qa", language, task, "晴朗" if language == "zh" else "Sunny") == "unknowable"


@pytest.mark.parametrize(
    ("language", "task"),
    [("zh", "为什么夏天的白天比冬天长？"), ("zh", "简述今文经学与古文经学的区别。"), ("en", "Why do cats purr?"), ("en", ("What did Newton do in "
                                                                                             "1687?"))],
)  # fmt: skip
def test_other_questions_are_not(language, task):
    assert (
        fault("open_qa", language, task, "因为地轴是斜的。" if language == "zh" else "They vibrate the larynx.") is None
    )


@pytest.mark.parametrize(
    ("task", "ask", "source"),
    [
        ("翻译成英文：今天很冷。", "翻译成英文", "今天很冷。"),
        ("请把“他昨天没来上班”改写成肯定句。", "请把“”改写成肯定句。", "他昨天没来上班"),
        (f"{PASSAGE}\n桥有多长？", "桥有多长？", PASSAGE),
        (f"桥有多长？\n{PASSAGE}", "桥有多长？", PASSAGE),
        ("为什么天是蓝的？", "为什么天是蓝的？", ""),
        ("Translate into German: Good morning to all.", "Translate into German", "Good morning to all."),
    ],
)
def test_material_is_told_from_the_question(task, ask, source):
    assert split(task) == (ask, source)


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("判断情感是正面、负面还是中性：还行吧", {"正面", "负面", "中性"}),
        ("从“体育”“财经”“科技”中选一个类别。\n股市大涨", {"体育", "财经", "科技"}),
        ("Classify as spam or ham: You won a prize", {"spam", "ham"}),
        ("给这段话分类：春天来了", set()),
    ],
)
def test_labels_offered(task, labels):
    got = set(offers(Case.of(task, "x", "classification", "zh")))
    assert labels <= got if labels else not got


def test_tests_are_drawn_from_the_task():
    code = "def f(x):\n    return x"
    assert drawn("实现函数 f(x)，f(3) 返回 9，f(-1) == 1", code) == ["assert f(3) == 9", "assert f(-1) == 1",
        "assert callable(f)"]  # fmt: skip
    assert drawn("例：输入：[1, 2]，输出：3", code) == ["assert f([1, 2]) == 3"]
    assert drawn(">>> f('a')\n'b'\n", code) == ["assert f('a') == 'b'"]
    assert drawn("f(3) 返回 __import__('os').system('x')", code) == []


def test_a_program_that_cannot_be_judged_is_not():
    case = Case.of("写一个Python函数", "```python\nimport numpy as np\ndef f(): pass\n```", "code", "zh")
    assert runs(case) is None
    reads = Case.of("写一个Python程序", "```python\nx = int(input())\nprint(x)\n```", "code", "zh")
    assert runs(reads) is None


def test_no_sandbox_is_no_pass(monkeypatch):
    from instdata.steps.verify import code_checks

    monkeypatch.setattr(code_checks, "ran", lambda code, tests: (None, "no sandbox works on this machine"))
    case = Case.of("写一个Python函数add(a, b)", "```python\ndef add(a, b):\n    return a\n```", "code", "zh")
    found = Checking(draws=0).fault(check(case))
    assert found == ("no_verdict", {"check": "fails_tests", "why": "no sandbox works on this machine"})


def test_own_thresholds_and_checks_left_out():
    said = {"not_shorter": Finding(0.3)}
    assert Checking().fault(said) is None
    assert Checking(min={"not_shorter": 0.5}).fault(said)[0] == "not_shorter"
    assert Checking(min={"not_shorter": 0.5}, skip=["not_shorter"]).fault(said) is None
    with pytest.raises(ValueError, match='no check "not_short".*not_shorter'):
        Checking(skip=["not_short"])


def test_abilities_of_the_table_are_in_a_taxonomy():
    known = {name for file in ("belle", "doit") for name in load_taxonomy(file, Path()).names}
    assert {a for c in CHECKS for a in c.abilities} <= known


def test_phrases_catch_their_examples():
    import re

    for name, phrases in lists().items():
        for p in phrases:
            assert re.search(pattern(name).replace(r"\pP", r"\W"), p.example, re.I), (name, p)


@pytest.mark.parametrize("file", ["belle_zh", "belle_en", "doit_zh", "doit_en"])
def test_our_own_seeds_pass_nearly_all(file):
    wrong, rows = [], 0
    for line in (Path("recipes/seeds") / f"{file}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        given = row["instances"][0]
        task = f"{row['instruction']}\n{given['input']}".strip()
        found, rows = fault(row["ability"], file[-2:], task, given["output"]), rows + 1
        wrong += [(found, task)] if found else []
    assert len(wrong) <= 0.08 * rows, wrong


TEXT = st.text(alphabet=st.sampled_from("的水火abc 。，？?!：:“”\n1203=+()[]{}、/|"), max_size=80)


@given(TEXT, TEXT, st.sampled_from(sorted({a for c in CHECKS for a in c.abilities} - {"code"} | {"unknown"})))
@settings(max_examples=200, deadline=None)
def test_any_text_gets_scores_between_0_and_1(task, answer, ability):
    for language in ("zh", "en"):
        case = Case.of(task, answer, ability, language)
        assert (case.ask and case.ask in task.strip()) or not task.strip() or case.source in task
        for name, finding in check(case).items():
            assert finding.score is None or 0 <= finding.score <= 1, name
            assert finding == check(case)[name]


@given(TEXT, TEXT)
@settings(max_examples=100, deadline=None)
def test_likeness_is_symmetric_and_of_itself_whole(a, b):
    assert alike(a, b) == alike(b, a)
    assert alike(a, a) == 1 and covered(a, a) == 1
    assert all(pieces(a))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_examples_that_prompts_show_are_right(language):
    from instdata.steps.generate.prompt_templates import forms

    shown = forms(language)
    assert len(shown) >= 20
    for ability, form in shown.items():
        for task, answer in form.examples:
            assert fault(ability, language, task, answer) is None, task
