"""The most used post-training sets: a file in each one's published schema, our words in it, is read without a recipe
and given back. docs/formats.md shows what each becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instdata.read.open_sources import open_sources
from instdata.read.shards import tables
from instdata.read.source_form import record_of
from instdata.read.source_options import Source
from tests.read.test_shapes import PLAIN

ASKED = [{"role": "user", "content": "Name a tree."}]
TALK = [*ASKED, {"role": "assistant", "content": "Oak."}]
SHARED = [{"from": "human", "value": "Name a tree."}, {"from": "gpt", "value": "Oak."}]
TOOL = {"name": "trees", "description": "Trees of a place.", "parameters": {"place": {"type": "str"}}}
SETS = {
    "Alpaca": PLAIN["alpaca"],
    "BELLE": {"instruction": "写出一种树", "input": "", "output": "橡树"},
    "BELLE multi-turn": {"instruction": "Human:写出一种树\nAssistant:", "input": "", "output": "橡树"},
    "Dolly": PLAIN["dolly"],
    "OpenAssistant (messages)": {"messages": TALK, "lang": "en"},
    "ShareGPT": PLAIN["sharegpt"],
    "OpenHermes 2.5": PLAIN["openhermes"],
    "SlimOrca": {"conversations": [{"from": "system", "value": "Be short.", "weight": None}, {**SHARED[0], "weight": 0},
    {**SHARED[1], "weight": 1}]},
    "OpenOrca": {"id": "flan.1", "system_prompt": "Be short.", "question": "Name a tree.", "response": "Oak."},
    "UltraChat 200k": PLAIN["ultrachat 200k"],
    "UltraFeedback": PLAIN["ultrafeedback"],
    "UltraFeedback binarized": {"prompt": "Name a tree.", "prompt_id": "x", "chosen": TALK,
    "rejected": [*ASKED, {"role": "assistant", "content": "Cat."}],
                                "messages": TALK, "score_chosen": 8.5, "score_rejected": 2.0},
    "HH-RLHF": PLAIN["hh-rlhf"],
    "Tulu 3": {"id": "t1", "messages": TALK, "source": "ai2"},
    "Nemotron": PLAIN["nemotron"],
    "NuminaMath": {"source": "s", "problem": "2+2?", "solution": "It is $4$.",
    "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is $4$."}]},
    "OpenThoughts": {"system": "Think.", "conversations": [{"from": "user", "value": "Name a tree."}, {
        "from": "assistant",
        "value": "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nOak.\n\n<|end_of_solution|>"}]},
    "Dolphin-R1": PLAIN["dolphin-r1"],
    "GSM8K": {"question": "2+2?", "answer": "It is 4.\n#### 4"},
    "LIMA": PLAIN["lima"],
    "Firefly": PLAIN["firefly"],
    "Firefly 1.1M": PLAIN["firefly 1.1M"],
    "MOSS 003": PLAIN["moss 003"],
    "xLAM function calling": {"id": 0, "query": "Trees of Oslo?", "answers": '[{"name": "trees", "arguments": '
                                                                             '{"place": "Oslo"}}]',
                                                                             "tools": json.dumps([TOOL])},
    "Hermes function calling": {"id": "h", "conversations": [{"from": "system", "value": "Tools: …"}, *SHARED],
    "tools": json.dumps([TOOL]), "category": "c"},
    "Glaive (LLaMA-Factory)": {"conversations": [SHARED[0],
    {"from": "function_call", "value": '{"name": "trees", "arguments": {}}'},
                                                 {"from": "observation", "value": "[]"}, SHARED[1]],
                                                 "tools": json.dumps([TOOL])},
    "distilabel": PLAIN["distilabel"],
    "SQuAD": {"id": "s", "title": "Trees", "context": "An oak is a tree.", "question": "What is an oak?",
    "answers": {"text": ["a tree"], "answer_start": [10]}},
    "MMLU": {"question": "Which is a tree?", "subject": "trees", "choices": ["Cat", "Oak", "Tin", "Sea"], "answer": 1},
    "C-Eval": {"id": 0, "question": "哪个是树？", "A": "猫", "B": "橡树", "C": "锡", "D": "海", "answer": "B", "explanation": ""},
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_without_a_recipe_and_given_back(tmp_path, name):
    path: Path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(SETS[name], ensure_ascii=False) + "\n", encoding="utf-8")
    (files,) = open_sources([(0, Source(path=str(path)))], tmp_path)
    (row,) = [row for table in tables(files[0], None) for row in table.to_pylist()]
    last = row["messages"][-1]
    assert last["role"] == "assistant" and (last["content"] or last["tool_calls"])
    assert any(turn["role"] == "user" for turn in row["messages"])
    assert record_of(row["form"], row["messages"], row, row["meta"]) == SETS[name]
