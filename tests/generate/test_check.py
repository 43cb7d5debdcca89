"""What an item must be by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from instdata.steps.generate.new_row_checks import NewRow, plain_faults, wrong_language


@pytest.mark.parametrize(
    ("task", "answer", "fault"),
    [
        ("写诗", "春眠不觉晓", "too_short"),
        ("请写一首关于春天的诗", "", "no_response"),
        ("请写一首关于春天的诗", "…", "no_response"),
        ("想出四个节水的办法，用JSON数组输出", "[]", "no_response"),
        ("一句话的情感用一个符号回答：今天真高兴", "+", None),
        ("请写一首关于春天的诗", '{"instruction": "请写诗"}', "echo"),
        ("请把这句话改得更正式：我明天不来了", "请把这句话改得更正式：我明天不来了。", "echo"),
        ("将以下古诗翻译成现代汉语。", "青青园中葵", "missing_material"),
        ("将以下古诗翻译成现代汉语。\n春眠不觉晓", "春天睡得香，不知不觉天亮了", None),
        ("给定一个主题，生成一段描述性文本", "好的，请告诉我你想要的主题是什么", "asks_back"),
        ("把下面的句子改成被动句：风吹倒了树", "树被风吹倒了", None),
        ("Extract all names from the given passage, separated by commas.", "Ann", "missing_material"),
        ("Write a function that sums the numbers in a given list.", "sum(x)", None),
        ("从以下描述中提取信息：描述中提到的自行车型号是哪种？", "山地自行车", "missing_material"),
        ("根据合同中的条款，确定供应商的支付条件。", "三个月内付款", "missing_material"),
        ("根据合同条款回答：“供应商须在三个月内付款”，期限是多久？", "三个月", None),
        ("将以下句子改为反义疑问句。他喜欢吃巧克力。", "他喜欢吃巧克力，不是吗？", None),
        ("编写一个函数，统计给定文本中的单词数", "def f(t): return len(t.split())", None),
        ("Classify this email exchange as either a discussion or a review.", "review", "missing_material"),
        ("Classify this article: science, history or technology.", "history", "missing_material"),
        (
            "Rewrite the sentence in the active voice.\n\nThe film was released in July.",
            "The film was released in July.",
            "echo",
        ),
        ("翻译一段关于自行车的中文描述，包括术语。", "自行车是一种交通工具", "missing_material"),
        ("Translate a short French sentence about the weather into English.", "It rains.", "missing_material"),
        ("Summarise the conversation.\nSam: Hi\nJo: Hello", "Sam and Jo greet.", None),
    ],
)
def test_plain_faults(task, answer, fault):
    assert plain_faults(NewRow(task, answer, None, "m"), "zh" if not task.isascii() else "en") == fault


def test_language_is_judged_by_the_task_not_its_material():
    tasks = [
        "将以下法语翻译成中文。\nLe marché ouvre à huit heures le samedi, on y trouve du pain.",
        "A teacher has forty-five students in class.",
        "请解释光速",
    ]
    assert wrong_language(tasks, "zh").tolist() == [False, True, False]
    assert wrong_language([], "zh").tolist() == []


PROMPTS = sorted((Path(__file__).parents[2] / "instdata/steps/generate/prompts").glob("*.txt"))


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: p.name)
def test_the_shape_of_an_answer_shows_dots_alone(prompt):
    """A small model copies words that stand there in place of an answer ("what the user says"), and rows of them pass."""
    assert set(re.findall(r'":\s*"([^"]*)"', prompt.read_text("utf-8"))) <= {"…"}
