"""Conversations as the vendors' interfaces write them: content in parts, calls and results of tools, thoughts; and the
names that speakers go by."""

from __future__ import annotations

import json

import pytest

from instdata.builds import export
from instdata.read.field_text import BadRow
from tests.read.test_shapes import call, read

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How many trees?"},
    {"role": "assistant", "content": "", "reasoning_content": "I look.", "tool_calls": [call("count", '{"of":"trees"}', "c1")]},
    {"role": "tool", "content": "3", "tool_call_id": "c1"},
    {"role": "assistant", "content": "Three."},
]  # fmt: skip
ANTHROPIC = {"system": [{"type": "text", "text": "Be brief."}], "messages": [
    {"role": "user", "content": "How many trees?"},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "I look.", "signature": "x"},
        {"type": "tool_use", "id": "c1", "name": "count", "input": {"of": "trees"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}]}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Three."}]}]}  # fmt: skip
RESPONSES = {"input": [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "How many trees?"}]},
    {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "I look."}]},
    {"type": "function_call", "id": "f1", "call_id": "c1", "name": "count", "arguments": '{"of":"trees"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "3"}],
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Three."}]}]}  # fmt: skip
GEMINI = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
    {"role": "user", "parts": [{"text": "How many trees?"}]},
    {"role": "model", "parts": [{"text": "I look.", "thought": True},
                                {"functionCall": {"id": "c1", "name": "count", "args": {"of": "trees"}}}]},
    {"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": 3}}]},
    {"role": "model", "parts": [{"text": "Three."}]}]}  # fmt: skip
BEDROCK = {"system": [{"text": "Be brief."}], "messages": [
    {"role": "user", "content": [{"text": "How many trees?"}]},
    {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "I look."}}},
                                      {"toolUse": {"toolUseId": "c1", "name": "count", "input": {"of": "trees"}}}]},
    {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"json": 3}], "status": "success"}}]},
    {"role": "assistant", "content": [{"text": "Three."}]}]}  # fmt: skip
VENDORS = {"anthropic": ANTHROPIC, "responses": RESPONSES, "gemini": GEMINI, "bedrock": BEDROCK}


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendor_says_the_same(vendor):
    assert read(VENDORS[vendor]).turns == TALK


def test_what_vendors_wrote_comes_back(bench):
    names = []
    for vendor, record in VENDORS.items():
        bench.jsonl(f"{vendor}.jsonl", [record])
        names.append(f"{vendor}.jsonl")
    done = bench.build(sources=[{"path": n} for n in names])
    assert done.manifest["fields"] == {"records": 4, "reconstructed": 4}
    export(done.path, "source", bench.folder / "back.jsonl")
    assert [json.loads(line) for line in (bench.folder / "back.jsonl").read_text().splitlines()] == [*VENDORS.values()]


def test_results_and_words_in_one_message_are_turns_apart():
    row = read({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "text", "text": "Both."}, *({"type": "tool_use", "id": i, "name": "f",
                                                                                "input": {}} for i in "ab")]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"},
                                     {"type": "tool_result", "tool_use_id": "b", "is_error": True},
                                     {"type": "text", "text": "And now?"}]},
        {"role": "assistant", "content": "Done."}]})  # fmt: skip
    assert [(t["role"], t["content"]) for t in row.turns[1:]] == [
        ("assistant", "Both."), ("tool", "1"), ("tool", ""), ("user", "And now?"), ("assistant", "Done.")
    ]  # fmt: skip
    assert [c["id"] for c in row.turns[1]["tool_calls"]] == ["a", "b"]


@pytest.mark.parametrize("part, why", [
    ({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image", "source": {}}]}, "multi-modal"),
    ({"inlineData": {"mimeType": "image/png", "data": "…"}}, "multi-modal"),
    ({"type": "input_audio", "input_audio": {}}, "multi-modal"),
    ({"type": "hologram", "beam": 1}, "a part of the type 'hologram'"),
    ({"type": "tool_use", "input": {}}, "without a name"),
])  # fmt: skip
def test_parts_that_are_no_text_say_what_they_are(part, why):
    with pytest.raises(BadRow, match=why):
        read({"messages": [{"role": "user", "content": [part, {"type": "text", "text": "q"}]},
                           {"role": "assistant", "content": "a"}]})  # fmt: skip


@pytest.mark.parametrize("asks, answers", [
    ("human", "gpt-4"), ("user", "gpt-3.5-turbo"), ("User:", "claude-3-opus"), ("human", "openai/gpt-4o"), ("user", "Llama 3 8B"),
    ("customer", "agent"), ("student", "teacher"), ("patient", "doctor"), ("Q", "A"), ("<|user|>", "<|assistant|>"),
    ("问", "答"), ("客户", "客服"), ("用戶", "助手"), ("USER", "SYSTEM"), ("user", "LLM"), ("user", "qwen2.5-72b"),
])  # fmt: skip
@pytest.mark.parametrize("who, what", [("from", "value"), ("author", "content"), ("sender", "message"),
                                       ("speaker", "utterance"), ("角色", "内容")])  # fmt: skip
def test_speakers_by_their_usual_names(asks, answers, who, what):
    talk = [{who: asks, what: "Name a tree."}, {who: answers, what: "Oak."}]
    for key in ("messages", "conversations", "对话"):
        assert read({key: talk}).messages == [("user", "Name a tree."), ("assistant", "Oak.")]


@pytest.mark.parametrize(
    "names", [("Bob", "Alice"), ("user", "philip"), ("A", "B"), ("narrator", "hero"), ("user", "general")]
)
def test_names_that_nobody_knows_are_said_with_the_remedy(names):
    talk = {"conversations": [{"from": n, "value": "x"} for n in names]}
    with pytest.raises(BadRow, match=r"unknown role .*roles: \{user: "):
        read(talk)
    assert [t["role"] for t in read(talk, roles={"user": [names[0]], "assistant": [names[1]]}).turns] == [
        "user",
        "assistant",
    ]


@pytest.mark.parametrize("record", [
    {"用户": "q", "助手": "a"}, {"提示": "q", "回复": "a"}, {"问": "q", "答": "a"}, {"问题": "q", "解答": "a"},
    {"指示": "q", "回应": "a"}, {"問題": "q", "回答": "a"}, {"指令": "q", "輸入": "", "輸出": "a"}, {"题目": "q", "答案": "a"},
    {"q": "q", "a": "a"}, {"user": "q", "assistant": "a"}, {"inputs": "q", "targets": "a"},
])  # fmt: skip
def test_columns_by_their_usual_names(record):
    assert read(record).messages == [("user", "q"), ("assistant", "a")]


def test_weights_that_disagree_are_said():
    row = read({"messages": [{"role": "user", "content": "q"},
                             {"role": "assistant", "content": "a", "train": False, "loss": True}]})  # fmt: skip
    assert row.turns[1]["weight"] == 0 and row.notes == ("weights",)
    agreed = {"role": "assistant", "content": "a", "train": False, "loss": 0}
    assert read({"messages": [{"role": "user", "content": "q"}, agreed]}).notes == ()
