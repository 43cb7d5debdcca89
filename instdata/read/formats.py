"""The shapes that instruction data comes in, as tables: which columns feed which of our fields, and how a file is told.

A shape is a format (how its fields become turns, see adapters.py) and the columns that feed it; docs/formats.md shows
what each becomes. Column names are compared as `normalise_key` spells them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from instdata.read.chat_template_text import looks_rendered
from instdata.read.column_names import normalise_key
from instdata.read.field_text import json_text
from instdata.read.question_sets import nested
from instdata.read.roles import PAIRS, SPEAKER, is_turn

Feeds = dict[str, tuple[str, ...]]  # our field -> the columns or templates that may feed it, in order of preference

PASSAGE = ("context", "passage", "article", "paragraph", "story", "材料", "文章", "段落", "上下文", "背景")
OPTIONS = ("options", "choices", "choice", "选项", "選項")
REASONING = ("reasoning_content", "reasoning", "thinking", "deepseek_reasoning", "complex_cot", "思考", "思考过程",
             "思考過程", "推理", "reasoning (reasoning_content)", "deepseek_thinking_trajectory",
             "gemini_thinking_trajectory", "thinking_trajectories")  # fmt: skip
SAID = (
    "输出",
    "輸出",
    "回答",
    "答案",
    "回复",
    "回覆",
    "回应",
    "回應",
    "响应",
    "解答",
    "模型输出",
    "模型回答",
    "模型回复",
    "输出文本",
    "标准答案",
    "正确答案",
    "参考答案",
)

# The answer to a conversation that ends with a question, in columns of its own.
ANSWER = {"completion": ("completion", "response", "answer", "output"), "reasoning": REASONING}
INSTRUCTIONS = ("instruction", "definition", "指令", "指示")
CHOSEN_OPTION = (
    "label",
    "correct_option",
    "correct",
    "cop",
    "gold",
)  # of a question with options that has no other answer

# Our field -> the columns that feed it where `map` names none, per format.
KEYS: dict[str, Feeds] = {
    "alpaca": {
        "instruction": INSTRUCTIONS,
        "input": ("input", "inputs", "输入", "輸入", *PASSAGE),
        "output": ("output", "response", "generation", "completion", "answer", "targets", *SAID),
        "generations": ("generations", "completions"),
        "options": OPTIONS,
        "history": ("history", "历史", "歷史"),
        "reasoning": REASONING,
    },
    "prompt_completion": {
        "prompt": ("prompt", "question", "query", "problem", "question_stem",
                   "inputs_pretokenized", "inputs", "questions", "ask", "content", "text", "input_text", "user_input",
                   "问题", "問題", "提问", "提問", "题目", "題目",
                   "提示", "提示词", "问", "問", "用户", "用戶", "使用者", "user", "human", "q", "input",
                   "输入", "輸入", "用户输入", "用户问题", "用户提问", "输入文本", "题干",
                   "article", "document", "dialogue"),
        "completion": ("completion", "response", "response (content)", "output", "deepseek_attempt", "gemini_attempt",
                       "attempt", "solution", "answer", "answers", "answerkey", "generation",
        "target", "targets_pretokenized", "targets", "correct_answer", "best_answer", "answers_spans",
                       "generated_solution", "deepseek_solution", "r1_solution_1", "final_answer", "content", "summary",
                       "highlights",
                       "code", "correct answer", "canonical_solution", "solutions", "output_text", "model_output",
                       *SAID, "答", "助手", "助理", "assistant", "bot", "gpt", "a"),
        "generations": ("generations",),
        "passage": (*PASSAGE, "paragraphs"),
        "options": OPTIONS,
        "history": ("history", "历史", "歷史"),
        "reasoning": REASONING,
    },
    "messages": {"messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "dialogues", "dialogs",
                              "chat", "turns", "items",
                              "transcript",
    "data",
                              "contents", "trajectory", "segments",
                              "sample", "plain_text", "text", "对话", "對話"), **ANSWER},
    "sharegpt": {"conversations": ("conversations", "conversation"), **ANSWER},
    "preference": {"prompt": ("prompt", "question", "query")},
    "seeds": {"instruction": ("instruction",), "instances": ("instances",)},
}  # fmt: skip
# What any format may have beside its own fields.
COMMON: Feeds = {
    "ability": ("ability",),
    "origin": ("origin",),
    "system": (
        "system",
        "system_prompt",
        "system_message",
        "meta_instruction",
        "systeminstruction",
        "system_instruction",
        "系统",
        "系統",
        "系统提示",
        "系統提示",
        "系统提示词",
    ),
    "tools": ("tools", "functions"),
    "chosen": ("chosen",),
    "rejected": ("rejected", "rejected_response", "rejected_messages"),
    "chosen_score": ("chosen_score", "score_chosen", "chosen_rating", "chosen-rating", "rating_chosen"),
    "rejected_score": ("rejected_score", "score_rejected", "rejected_rating", "rejected-rating", "rating_rejected"),
    "reference": (
        "reference",
        "ground_truth",
        "expected_answer",
        "reference_answer",
        "answer",
        "final_answer",
        "reward_model",
    ),
    "license": ("license", "licence"),
    "generator": ("generator", "model_name", "generation_model", "model"),
    "category": ("category", "类别", "分类"),
}
# Which of our fields says what format a `map` means, and what a record cannot do without.
MAIN = {
    "alpaca": "instruction",
    "prompt_completion": "prompt",
    "messages": "messages",
    "sharegpt": "conversations",
    "preference": "chosen",
    "seeds": "instances",
}
MEDIA = ("image", "images", "audio", "audios", "video", "videos")
# Columns (of any field, or of one: field.column) that mean something only beside one of others: a `user` may be
# anybody's name, a summary is an answer where the content is what is asked (AdvertiseGen, SciInstruct).
BESIDE = {
    column: frozenset(others.split())
    for columns, others in (
        ("user human 用户 用戶 使用者", "assistant bot gpt 助手 助理"),
        ("assistant bot gpt 助手 助理", "user human 用户 用戶 使用者"),
        ("q", "a"), ("a", "q"), ("问 問", "答"), ("答", "问 問"), ("ask", "answer"), ("questions", "answers"),
        ("prompt.content", "summary"), ("summary highlights", "content article document dialogue"),
        ("prompt.article prompt.document prompt.dialogue", "summary highlights"),
        ("prompt.text", "code"), ("code", "text"),
        ("definition", "inputs instances"),
        ("attempt", "thinking_trajectories"), ("reward_model", "data_source"),
    )
    for column in columns.split()
}  # fmt: skip
ROLE_FIELD = "roles:"  # before a role, in Fields: the source's own words for it
BEGINS = re.compile(r"\s*(\[Human\]|###\s*Human|Human|USER)\s*:")  # one text that holds a dialogue
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class Fields(dict):
    """Feeds of one source, and with the source's own words for roles (ROLE_FIELD)."""

    def feeding(self, record: Mapping[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
        """(field, column or template, the template's columns) for records with these keys, in order of preference.
        Worked out once for each set of keys."""
        plans = self.__dict__.setdefault("plans", {})
        keys = tuple(record)
        if keys not in plans:
            if len(plans) > 256:  # a file of which no two records have the same keys
                plans.clear()
            spelled = joined(keys)
            plans[keys] = [
                (name, spelled.get(key, key), tuple(placeholders(key)))
                for name, feeding in self.items()
                for key in (() if name.startswith(ROLE_FIELD) else feeding)
                # What a map names stands alone, and always stands for its field.
                if (key in spelled and (len(feeding) == 1 or stands(key, spelled, name))) or placeholders(key)
            ]
        return plans[keys]


def joined(keys: Iterable[str]) -> dict[str, str]:
    """Column names, those of several words in the tables' spelling too: "system prompt" is "system_prompt"."""
    names = dict.fromkeys(keys)
    return {re.sub(r"[ -]", "_", key): key for key in names} | {key: key for key in names}


def stands(key: str, record: Mapping[str, Any], field: str) -> bool:
    """Whether a column feeds a field in such a record."""
    beside = BESIDE.get(key) or BESIDE.get(f"{field}.{key}")
    return not beside or (not beside.isdisjoint(record) and not (key == "a" and "b" in record))


def placeholders(template: str) -> list[str]:
    """The columns that a template names, normalised: `{passage}\\n{question}`; none where it is a column's name."""
    return [normalise_key(name) for name in PLACEHOLDER.findall(template)]


def detect(records: Iterable[dict[str, Any]]) -> str | None:
    """The format of a file, from the keys of its first records (normalised); None where nothing is known."""
    for record in records:
        inner = nested(record)
        found = detect(inner[1]) if inner else None
        if found:
            return found
        for key in KEYS["messages"]["messages"]:
            first = _first_turn(record.get(key), key) if key != "text" else None
            if first is not None:
                shared = isinstance(first, dict) and "from" in first and key in KEYS["sharegpt"]["conversations"]
                return "sharegpt" if shared else "messages"
        names = joined(record)
        for format in ("seeds", "alpaca", "prompt_completion"):
            if any(k in names and stands(k, names, MAIN[format]) for k in KEYS[format][MAIN[format]]):
                return format
        if isinstance(record.get("chosen"), (str, list)):
            return "preference"
        if _first_turn(record.get("text"), "text") is not None:
            return "messages"
    return None


def _first_turn(value: Any, key: str) -> Any:
    """The first turn of a column that holds a conversation; None where it holds none."""
    if isinstance(value, str):
        if re.match(r'\s*(\[\s*[{"]|\{\s*")', value) and key not in ("data", "plain_text", "text"):
            return _first_turn(json_text(value), key)
        return value if BEGINS.match(value) or looks_rendered(value) else None
    if isinstance(value, Mapping):  # a struct of lists, or MOSS's {turn_1: …}
        if key in ("messages", "conversations", "conversation") and not set(SPEAKER).isdisjoint(value):
            return dict.fromkeys(value, "")
        return value if "turn_1" in value else None
    if not isinstance(value, list):
        return None
    if key == "messages" and not value:
        return {}
    first = value[0] if value else None
    if isinstance(first, str):
        return (
            first
            if len(value) > 1 and key in ("data", "conversations", "conversation", "messages", "dialogue", "dialog")
            else None
        )
    keys = set(map(normalise_key, first)) if isinstance(first, dict) else set()
    if keys == {"label", "text"} and key == "segments":  # axolotl's texts without a template
        return first
    paired = key != "data" and any(keys.issuperset(pair) for pair in PAIRS)  # a document's data: records, not exchanges
    return first if paired or is_turn(keys) else None


def fields_of(format: str) -> Feeds:
    """Everything that a format can be fed."""
    return {**KEYS[format], **COMMON}


def mapped_formats(mapping: dict[str, str]) -> list[str]:
    """The formats that have all fields of a `map`."""
    return [format for format in KEYS if set(mapping) <= set(fields_of(format))]


def columns(format: str, mapping: dict[str, str], roles: Mapping[str, Iterable[str]] = {}) -> Fields:
    """Our field -> the normalised keys that may feed it, in order of preference. A mapped field has one column, or one
    template of columns, and those feed nothing else. `roles`: the source's own words for roles."""
    ours = {field: text if placeholders(text) else normalise_key(text) for field, text in mapping.items()}
    taken = {key for text in ours.values() for key in placeholders(text) or [text]}
    fields = fields_of(format)
    free = {field: tuple(k for k in keys if k not in taken) for field, keys in fields.items() if field not in ours}
    named = {ROLE_FIELD + role: tuple(normalise_key(w) for w in words) for role, words in roles.items() if words}
    return Fields({**free, **{field: (key,) for field, key in ours.items()}, **named})


def used_keys(fields: Fields) -> set[str]:
    """The columns that may feed a field."""
    return {
        key
        for field, keys in fields.items()
        if not field.startswith(ROLE_FIELD)
        for text in keys
        for key in placeholders(text) or [text]
    }
