"""Questions that say nothing of their own are no evidence of a leak; what they ask about is."""

import pyarrow as pa
import pytest

from instdata.steps.dedup.eval_items import EvalItem
from instdata.steps.dedup.leaks import leaks, parts_of

STEMS = (
    "Which of the following statements is true?",
    "Which of the following is NOT correct?",
    "Choose the best answer.",
    "What is the main idea of the passage?",
    "According to the passage, which of the following is true?",
    "Fill in the blank with the correct word.",
    "Which option best completes the sentence?",
    "What can be inferred from the text above?",
    "The author's attitude can best be described as",
    "Select the correct answer from the options below.",
    "Solve the following problem step by step and give the final answer.",
    "Answer the following question with yes or no.",
    "Classify the sentiment of the following sentence as positive or negative.",
    "Translate the following sentence into Chinese.",
    "Summarize the following article in one sentence.",
    "Write a Python function that solves the following task.",
    "What is the answer to the following question? Think step by step.",
    "Is the following statement true or false?",
    "Read the passage and answer the question.",
    "Which of the following can be concluded?",
    "下列说法正确的是",
    "下列说法错误的是",
    "以下哪项如果为真，最能支持上述结论？",
    "以下哪项如果为真，最能削弱上述论证？",
    "根据上文，下列选项中正确的一项是",
    "请选择最合适的一项。",
    "把下列句子翻译成英文。",
    "请判断下面这句话的情感倾向是积极还是消极。",
    "下列各句中，没有语病的一句是",
    "依次填入下列横线上的词语，最恰当的一组是",
    "由此可以推出",
    "请阅读下面的文字，完成下面小题。",
    "请用一句话概括下面的短文。",
)


THINGS = [
    "otter",
    "lantern",
    "granite",
    "barley",
    "copper",
    "willow",
    "saddle",
    "harbour",
    "pepper",
    "violin",
    "thistle",
    "anvil",
]


SACHEN = ["水獭", "灯笼", "花岗岩", "大麦", "铜壶", "柳树", "马鞍", "港口", "胡椒", "提琴", "蓟花", "铁砧"]


def telling(stem, i):
    """(something that an item or a row is about, its options)."""
    zh, n = not stem.isascii(), i % 12
    a, b = (SACHEN if zh else THINGS)[n], (SACHEN if zh else THINGS)[(5 * i + 7) % 12]
    if zh:
        return f"{a}镇的人在{1900 + i}年建了一座{b}塔。", [f"{a}比{b}重，产于第{i}{j}区" for j in "甲乙丙丁"]
    said = f"In {1900 + i} the people of {a.title()}ton built a {b} tower of {i} yards."
    return said, [f"the {a} outweighs the {b} of row {i}{j}" for j in "abcd"]


@pytest.mark.parametrize("count", [1, 3])
def test_stems_that_rows_share_are_no_evidence(count):
    """However few items ask them; 13 Chinese characters and more among them."""
    found = {}
    for stem in STEMS:
        for with_options in (True, False):
            about = [telling(stem, i) for i in range(count)]
            items = [
                EvalItem(str(i), stem, "", tuple(o) if with_options else (), o[0]) for i, (_, o) in enumerate(about)
            ]
            others = [telling(stem, i) for i in range(60, 64)]
            prompts = [f"{stem}\n" + ("\n".join(o) if with_options else said) for said, o in others]
            answered = [f"{p}\n{o[1]}" for p, (_, o) in zip(prompts, others)]
            hits = leaks(pa.array(prompts), pa.array(answered), parts_of(items))
            found |= {stem: hits.text} if len(hits.row) else {}
    assert not found
