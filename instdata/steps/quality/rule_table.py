"""The rules, in the order in which they own a row. A rule's name is the reason it drops for, the flag in
`score_quality_flags`, and what an ablation calls it (`quality.refusal`). docs/quality.md gives each one's precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from instdata.steps.quality import arithmetic, code_and_json, form, personal_data, rule_text, wording
from instdata.steps.quality.piece_search import Search
from instdata.steps.quality.rule_text import Sought, Text, search_of

Example = tuple[str, str]  # prompt, response


@dataclass(frozen=True)
class Rule:
    """One rule. `sets` names the sets that hold it: d(efault), s(trict), b(elle)."""

    name: str
    about: str
    catches: Example
    spares: Example  # a look-alike
    fires: Callable[[Text], np.ndarray]  # a mask over the rows; the response is "" where a row has none
    sets: str = "ds"
    unanswered: bool = False  # also about rows without a response


RULES = (
    Rule("empty_prompt", "The prompt has no letter, digit or symbol.",
         ("……", "您好，请问需要什么帮助？"), ("😊", "很高兴见到你！"), wording.empty_prompt, unanswered=True),
    Rule("no_response", ("There is no response. Not in default: generate may answer the row, and close drops what "
                        "stays unanswered."),
         ("Name a colour.", " "), ("Is 7 even?", "No"), wording.no_response, "sb", unanswered=True),
    Rule("empty_response", "The response says only that there is none, or is punctuation alone.",
         ("Design a logo.", "<nooutput>"), ("Does it contain an error?", "None."), wording.empty_response, "dsb"),
    Rule("replacement_char", "U+FFFD: bytes were lost.",
         ("翻译", "这是一\ufffd\ufffd错误"), ("翻译", "这是一个错误"), wording.replacement_char, "dsb", unanswered=True),
    Rule("mojibake", "UTF-8 read as another encoding.",
         ("Describe it.", "Itâ€™s a cafÃ©."), ("Name it.", "Café Âme, señor"), wording.mojibake, "dsb", unanswered=True),
    Rule("invisible_chars", "Control, private-use, direction-override or zero-width characters.",
         ("改写句子", "我似乎\u200b\u200b永远无法完成"), ("Emoji?", "👨\u200d👩\u200d👧"), wording.invisible_chars, unanswered=True),
    Rule("merged_task", "The response runs on into another numbered task: '19. Instruction: … Input: … Output: …'.",
         ("Name a flower.", "Rose\n19. Instruction: Add.\n19. Input:\n1, 2\n19. Output:\n3"),
         ("Give cooking instructions.", "1. Boil water.\n2. Add pasta."), wording.merged_task, "dsb"),
    Rule("template_token", "Tokens of the format the row was generated in: <noinput>, <nooutput>, <无输入>.",
         ("给故事起名", "<无输入>\n《远行》"), ("Write HTML", "<input type='text'>"), wording.template_token, "dsb"),
    Rule("chat_marker", "Tokens of a chat template, or the next turn of a conversation nobody asked for.",
         ("1+1=?", "2<|im_end|>"), ("Write a dialogue of a user and an assistant.", "User: Hi\nAssistant: Hello"),
         wording.chat_marker, "dsb"),
    Rule("leaked_prompt", "Phrases of known system and training prompts.",
         ("What is pi?", ("Below is an instruction that describes a task. What "
                         "is pi?")), ("What is an instruction?", "It describes a task."),
         wording.leaked_prompt, "dsb"),
    Rule("self_reference", "The response speaks of itself as a language model or assistant.",
         ("你喜欢什么颜色？", "作为AI语言模型，我没有喜好。"), ("什么是语言模型？", "语言模型是一种预测文本的模型。"), wording.self_reference, "dsb"),
    Rule("refusal", "The response declines the task.",
         ("Create a poster.", "Sorry, I cannot create visual output."),
         ("How do I apologise for being late?", "Say you are sorry you could not come."),
         wording.refusal, "dsb"),
    Rule("missing_input", "The response asks for, or misses, an input that the prompt does not give.",
         ("总结这篇文章。", "请提供需要总结的文章内容。"), ("How can I request a refund?", "Please provide your receipt to the shop."),
         wording.missing_input, "dsb"),
    Rule("needs_media", "The prompt needs an image, sound or file that is not there.",
         ("Describe the photo.\n[image]", "A beach at sunset."),
         ("Describe how a photo is printed.", "Light meets paper."),
         wording.needs_media, "dsb", unanswered=True),
    Rule("needs_link", "The prompt needs a page behind a link to be opened.",
         ("Summarize the article.\nhttps://news.site/a1", "It is about rain."), (("Write an HTML link to "
                                                                                 "https://a.site"),
                                                                                 "<a href='https://a.site'>"),
         wording.needs_link, "dsb", unanswered=True),
    Rule("placeholder", "Text to be filled in is left in a finished response.",
         ("Who was Ada Lovelace?", "She was born in [insert year]."),
         ("Write a letter template.", "Dear [insert name],"), wording.placeholder),
    Rule("echo", "The response is the prompt, or the unchanged input of a rewriting task.",
         ("改写：今天的天气非常的好，我们出去玩。", "今天的天气非常的好，我们出去玩。"), ("Sort: a, b, c", "a, b, c"), form.echo),
    Rule("repeated_char", "A letter or mark twelve times running.",
         ("Laugh.", "Ha" + "a" * 30), ("Draw a line.", "-" * 30), form.repeated_char),
    Rule("repeated_line", "Two lines in three or more were there before.",
         ("Give tips.", "Drink more water.\nDrink more water.\nDrink more water.\nDrink more water."),
         ("Write a song.", "La la la la la la\n" * 5), form.repeated_line),
    Rule("unbalanced_fence", "A code block that is not closed.",
         ("Print 1 in Python.", "```python\nprint(1)"), ("Print 1 in Python.", "```python\nprint(1)\n```"),
         code_and_json.unbalanced_fence),
    Rule("invalid_python", "Python that does not parse.",
         ("Print 1 in Python.", "```python\nprint(1\n```"), ("Print 1 in Python 2.", "```python\nprint 1\n```"),
         code_and_json.invalid_python),
    Rule("invalid_json", "JSON asked for or shown that does not parse.",
         ("Give it as JSON.", "{'a': 1,"), ("Give it as JSON.", '{"a": 1}'), code_and_json.invalid_json),
    Rule("false_arithmetic", "A stated equation of numbers that is false, beyond rounding.",
         ("小明有3个苹果，又买了4个，一共多少？", "3 + 4 = 8，一共8个。"), ("What is 2/3?", "2 / 3 = 0.67"), arithmetic.false_arithmetic),
    Rule("list_count", "Fewer items than the task asked for.",
         ("List five fruits.", "1. Apple\n2. Pear\n3. Fig"), ("List three fruits.", "1. Apple\n2. Pear\n3. Fig"),
         form.list_count),
    Rule("word_limit", "More words or characters than the task allowed, by a quarter.",
         ("用不超过10个字描述春天。", "春天来了，万物复苏，百花盛开，鸟儿歌唱，到处都是生机。"), ("Describe it in 5 words or less.", ("Warm, green and full "
                                                                                               "of life")),
                                                                                               form.word_limit),
    Rule("truncated", "The response stops in the middle of a sentence.",
         ("Explain tides.", ("Tides are the rise and fall of sea levels, which are caused by the gravity of the moon "
                            "and the")),
         ("List colours.", "Red\nGreen\nBlue"), form.truncated),
    Rule("short_for_task", "A few words where an essay, story, article or report was asked for.",
         ("Write an essay about trees.", "Trees are good."), ("Write a title for an essay.", "On Trees"),
         form.short_for_task),
    Rule("wrong_target", "A translation that is still in its source language.",
         ("Translate into French: I would like to have a coffee please.", "I would like to have a coffee, please."),
         ("Translate into French: I miss you", "Tu me manques"), form.wrong_target),
    Rule("wrong_language", "The response is in another language than the prompt, which did not ask for one.",
         ("请解释一下为什么天空是蓝色的，并说明原因。", "The sky is blue because air scatters blue light more than red light."),
         ("用英语解释为什么天空是蓝色的。", ("The sky is blue because air scatters blue light more than red "
                             "light.")), form.wrong_language),
    Rule("mixed_language", "A sentence in another script that the task did not call for.",
         ("介绍美国第四任总统。", "美国第四任总统是詹姆斯·麦迪逊。He was elected in the year of the war and served as President."),
         ("介绍 Apple 公司。", "Apple 公司总部位于 Cupertino，产品有 iPhone。"), form.mixed_language),
    Rule("markup_debris", "HTML tags, entities or escapes in prose.",
         ("Name two colours.", "Red&nbsp;and<br>blue"), ("Write HTML.", "<b>hi</b>"), wording.markup_debris),
    Rule("secret", "An access key or token in a known format, or a private key.",
         ("My key?", "AKIAIOSFODNN7ABCDEFG"), ("My key?", "sk-learn is a library"), personal_data.secret, "dsb",
         unanswered=True),
    Rule("id_number", "A Chinese resident identity number with the right check digit.",
         ("身份证号？", "11010519491231002X"), ("订单号？", "110105194912310021"), personal_data.id_number, "dsb", unanswered=True),
    Rule("card_number", "A payment card number with the right check digit.",
         ("Card?", "4539 1488 0343 6467"), ("Card?", "4539 1488 0343 6468"), personal_data.card_number, "dsb",
         unanswered=True),
    Rule("email", "An e-mail address that is not an evident invention.",
         ("Contact?", "wang.lei88@163.com"), ("Contact?", "name@example.com"), personal_data.email, "s", unanswered=True),
    Rule("phone", "A phone number that is not an evident invention.",
         ("电话？", "请拨打 13907523186"), ("Phone?", "555-1234"), personal_data.phone, "s", unanswered=True),
    Rule("gpt_name", "ChatGPT, OpenAI and the like named where the prompt is about none of it.",
         ("Who painted this?", "It was made by OpenAI."), ("What is OpenAI?", "OpenAI is a company."), wording.gpt_name,
         "sb"),
    Rule("url", "A link in the response.",
         ("Where do I learn?", "See https://www.coursera.org/learn"), ("Write HTML", "<a href='https://example.com'>"),
         personal_data.url, "s"),
    Rule("belle_word", "A word on which BELLE's generator discards a task: image, file, chart, link, GPT.",
         ("根据图片写诗", "好"), ("根据故事写诗", "好"), wording.belle_word, "b", unanswered=True),
)  # fmt: skip

# The patterns that are asked of all rows: in one pass over the bytes it is told which may occur (piece_search.py).
SOUGHT: Sought = (
    *rule_text.SOUGHT, *wording.SOUGHT, *form.SOUGHT, *code_and_json.SOUGHT, *personal_data.SOUGHT,
    arithmetic.HAS_EQUATION,
)  # fmt: skip


@cache
def search() -> Search:
    """What SOUGHT is searched for by, worked out once a process."""
    return search_of(SOUGHT)


# Decided from published numbers and thresholds, after the rules above.
MEASURED = {
    "repetition": "More than 0.8, or `max: {repetition: …}`, of the response's words lie in 8-grams that came before "
    "in it.",
    "too_short": "Fewer characters in the response than `min: {chars: …}`.",
    "too_long": "More than 50,000 characters, or `max: {chars: …}`, in the response.",
}

NAMES = tuple(rule.name for rule in RULES) + tuple(MEASURED)
SETS = {
    word: tuple(rule.name for rule in RULES if word[0] in rule.sets) + tuple(MEASURED)
    for word in ("default", "strict", "belle")
}


def select(words: Iterable[str]) -> tuple[str, ...]:
    """Rule names, in the fixed order, from rule names and set names; `-name` takes one out. Raises ValueError with
    the word that is neither."""
    chosen: set[str] = set()
    for word in words:
        out, name = word.startswith("-"), word.removeprefix("-")
        if name not in NAMES and name not in SETS:
            raise ValueError(name)
        chosen = chosen - {*SETS.get(name, (name,))} if out else chosen | {*SETS.get(name, (name,))}
    return tuple(name for name in NAMES if name in chosen)


def fired(text: Text, rules: Iterable[Rule] = RULES) -> dict[str, np.ndarray]:
    """A boolean mask per rule. Rules about responses leave out the rows that have none."""
    return {rule.name: rule.fires(text) & (text.answered | rule.unanswered) for rule in rules}


def flags(masks: dict[str, np.ndarray]) -> pa.Array:
    """The names of the rules that fired on each row, joined by commas ("" for none; string array)."""
    rows = len(next(iter(masks.values())))
    names: dict[int, list[str]] = {}
    for name, mask in masks.items():
        for row in np.flatnonzero(mask).tolist():
            names.setdefault(row, []).append(name)
    number = np.zeros(rows, np.int32)
    number[list(names)] = np.arange(1, len(names) + 1)
    return pa.array(["", *map(",".join, names.values())], pa.string()).take(pa.array(number))


def first_of(flags: pa.ChunkedArray, names: list[str]) -> pa.Array:
    """Of each row the first of these rules that fired; null where none did. Few combinations of rules fire."""
    coded = flags.combine_chunks().dictionary_encode()
    fired = [set(together.split(",")) for together in coded.dictionary.to_pylist()]
    first = [next((name for name in names if name in some), None) for some in fired]
    return pa.array(first, pa.string()).take(coded.indices)
