"""Every shape in daily use is read without a map: one record of our own in each published schema, and what it
becomes."""

from __future__ import annotations

import json

import pytest

from instdata.read.adapters import Conversation, adapt, cut_back
from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow
from instdata.read.formats import columns, detect, mapped_formats

Q, A = ("user", "Name a tree."), ("assistant", "Oak.")


def read(
    record: dict, mapping: dict | None = None, roles: dict | None = None, format: str | None = None
) -> Conversation:
    record = normalise_keys(record)
    format = format or (mapped_formats(mapping)[0] if mapping else detect([record]))
    (row,) = adapt(record, format, columns(format, mapping or {}, roles or {}))
    return cut_back(row) if format in ("messages", "sharegpt") else row


def call(name: str, arguments: str, id: str | None = None) -> dict:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


PLAIN = {  # shape -> a record that is the one exchange Q, A
    "alpaca": {"instruction": "Name a tree.", "input": "", "output": "Oak."},
    "dolly": {"instruction": "Name a tree.", "context": "", "response": "Oak.", "category": "open_qa"},
    "chinese headers": {"指令": "Name a tree.", "输入": "", "输出": "Oak."},
    "chinese questions": {"问题": "Name a tree.", "回答": "Oak."},
    "openai messages": {"messages": [{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Oak."}]},
    "sharegpt": {"id": "1",
    "conversations": [{"from": "human", "value": "Name a tree."}, {"from": "gpt", "value": "Oak."}]},
    "other speakers": {"conversations": [{"from": "human", "value": "Name a tree."},
    {"from": "bard", "value": "Oak."}]},
    "content parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Name a tree."}]},
                                   {"role": "assistant", "content": [{"type": "output_text", "text": "Oak."}]}]},
    "ms-swift": {"query": "Name a tree.", "response": "Oak."},
    "xtuner": {"conversation": [{"input": "Name a tree.", "output": "Oak."}]},
    "firefly": {"conversation": [{"human": "Name a tree.", "assistant": "Oak."}], "dataset": "x"},
    "firefly 1.1M": {"kind": "QA", "input": "Name a tree.", "target": "Oak."},
    "moss 003": {"conversation_id": "1", "num_turns": 1, "chat": {"turn_1": {
        "Human": "<|Human|>: Name a tree.<eoh>\n", "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
        "MOSS": "<|MOSS|>: Oak.<eom>\n"}}},
    "moss 003 of a table": {"chat": {"turn_2": None, "turn_1": {"Human": "Name a tree.", "MOSS": "Oak."}}},
    "moss 002": {"plain_text": "[Human]: Name a tree.<eoh> [MOSS]: Oak.<eoa> ", "num_turns": 1},
    "lima": {"conversations": ["Name a tree.", "Oak."], "source": "x"},
    "ultrachat": {"id": "0", "data": ["Name a tree.", "Oak."]},
    "ultrachat 200k": {"prompt": "Name a tree.", "prompt_id": "x",
    "messages": [{"role": "user", "content": "Name a tree."}, {"role": "assistant", "content": "Oak."}]},
    "openhermes": {"conversations": [{"from": "human", "value": "Name a tree."}, {"from": "gpt", "value": "Oak."}],
    "system_prompt": None, "source": "s"},
    "nemotron": {"input": [{"role": "user", "content": "Name a tree."}], "output": "Oak.", "reasoning": "off",
    "license": "cc-by-4.0", "generator": "m"},
    "distilabel": {"instruction": "Name a tree.", "generation": "Oak.", "model_name": "m",
    "distilabel_metadata": {"x": 1}},
    "distilabel several": {"instruction": "Name a tree.", "generations": ["Oak.", "Elm."]},
    "ultrafeedback": {"instruction": "Name a tree.",
    "completions": [{"response": "Elm", "overall_score": 3.0}, {"response": "Oak.", "overall_score": 4.5}]},
    "ultrafeedback of fine grades": {"instruction": "Name a tree.",
    "completions": [{"response": "Elm", "fine-grained_score": 3.0}, {"response": "Oak.", "fine-grained_score": 4.5}]},
    "distilabel rated": {"instruction": "Name a tree.", "generations": ["Elm.", "Oak."], "ratings": [2, 5]},
    "ms-swift rejected": {"messages": [{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Oak."}], "rejected_response": "Cat."},
    "ms-swift rejected messages": {"messages": [{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Oak."}], "rejected_messages": [{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Cat."}]},
    "axolotl segments": {"segments": [{"label": False, "text": "<s>Name a "}, {"label": False, "text": "tree. "},
    {"label": True, "text": "Oak.</s>"}]},
    "axolotl segments of a template": {"segments": [
        {"label": False, "text": "<|im_start|>user\nName a tree.<|im_end|>\n<|im_start|>assistant\n"},
        {"label": True, "text": "Oak.<|im_end|>"}]},
    "old sharegpt": {"id": "1", "items": [{"from": "human", "value": "Name a tree."}, {"from": "gpt", "value": "Oak."}]},
    "red team": {"transcript": "\n\nHuman: Name a tree.\n\nAssistant: Oak.", "rating": 1.0},
    "a refusal": {"messages": [{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": None, "refusal": "Oak."}]},
    "choices": {"messages": [{"role": "user", "content": "Name a tree."}],
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Oak."}}]},
    "gateway": {"request": {"model": "m", "messages": [{"role": "user", "content": "Name a tree."}]},
    "response": {"choices": [{"message": {"role": "assistant", "content": "Oak."}}]}},
    "a rendered prompt": {"input": "<|im_start|>user\nName a tree.<|im_end|>\n<|im_start|>assistant\n", "output": "Oak."},
    "summaries": {"article": "Name a tree.", "summary": "Oak."},
    "headers in words": {"User Input": "Name a tree.", "Model Output": "Oak."},
    "more chinese headers": {"用户输入": "Name a tree.", "模型回答": "Oak."},
    "an answer to verify beside the chosen": {"prompt": "Name a tree.", "chosen": "Oak.", "rejected": "Cat.",
    "answer": "oak"},
    "hh-rlhf": {"chosen": "\n\nHuman: Name a tree.\n\nAssistant: Oak.",
    "rejected": "\n\nHuman: Name a tree.\n\nAssistant: Cat."},
    "dpo": {"prompt": "Name a tree.", "chosen": "Oak.", "rejected": "Cat."},
    "numina": {"problem": "Name a tree.", "solution": "Oak.", "answer": "oak"},
    "json text": {"messages": json.dumps([{"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Oak."}])},
    "struct of lists": {"messages": {"role": ["user", "assistant"], "content": ["Name a tree.", "Oak."]}},
    "gaokao": {"question": "Name a tree.", "answer": ["Oak."], "analysis": "…"},
    "dolphin-r1": {"messages": [{"role": "user", "content": "Name a tree."}], "answer": "Oak.", "reasoning": "",
    "model": "m"},
    "openmathinstruct": {"problem": "Name a tree.", "generated_solution": "Oak.", "expected_answer": "oak"},
    "guanaco": {"text": "### Human: Name a tree.### Assistant: Oak."},
    "glaive": {"system": "", "chat": "USER: Name a tree.\n\n\nASSISTANT: Oak. <|endoftext|>\n\n\n"},
    "capybara": {"source": "x", "conversation": [{"input": "Name a tree.", "output": "Oak."}]},
    "lmsys": {"conversation_id": "x", "model": "m",
    "conversation": [{"content": "Name a tree.", "role": "user"}, {"content": "Oak.", "role": "assistant"}], "turn": 1},
    "cmmlu headers": {"Question": "Name a tree.", "Answer": "Oak."},
    "null fields": {"messages": [{"role": "user", "content": "Name a tree.", "tool_calls": None, "name": None},
    {"role": "assistant", "content": "Oak.", "tool_calls": None, "name": None}]},
}  # fmt: skip


@pytest.mark.parametrize("shape", PLAIN)
def test_one_exchange_in_every_shape(shape):
    row = read(PLAIN[shape])
    assert row.turns == [{"role": role, "content": content} for role, content in (Q, A)]


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"query": "And Spain?", "response": "Madrid.", "history": [["Portugal?", "Lisbon."]], "system": "Be brief."},
         [("system", "Be brief."), ("user", "Portugal?"), ("assistant", "Lisbon."), ("user", "And Spain?"),
         ("assistant", "Madrid.")]),
        ({"system_prompt": "In French.", "question": "Good evening?", "response": "Bonsoir.", "id": "t"},
         [("system", "In French."), ("user", "Good evening?"), ("assistant", "Bonsoir.")]),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "system": "s"},
         [("system", "s"), ("user", "q"), ("assistant", "a")]),
        ({"conversations": [{"from": "system", "value": "one"}, {"from": "human", "value": "q"},
        {"from": "gpt", "value": "a"}], "system": "two"},
         [("system", "two\n\none"), ("user", "q"), ("assistant", "a")]),
        ({"conversations": [{"from": "system", "value": "same"}, {"from": "human", "value": "q"},
        {"from": "gpt", "value": "a"}], "system": "same"},
         [("system", "same"), ("user", "q"), ("assistant", "a")]),
        ({"conversation": [{"system": "s", "input": "q", "output": "a"}, {"input": "r", "output": "b"}]},
         [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")]),
        ({"instruction": "Human:一道菜\nAssistant:番茄炒蛋。\nHuman:材料？\nAssistant:", "input": "", "output": "番茄。"},
         [("user", "一道菜"), ("assistant", "番茄炒蛋。"), ("user", "材料？"), ("assistant", "番茄。")]),
        ({"instruction": "Continue it.\nHuman: hi\nAssistant:", "output": "hello"},
         [("user", "Continue it.\nHuman: hi\nAssistant:"), ("assistant", "hello")]),
        ({"context": "Bo has 2 cats.", "question": "How many?",
        "answers": {"text": ["2", "two"], "answer_start": [7, 0]}},
         [("user", "Bo has 2 cats.\n\nHow many?"), ("assistant", "2")]),
        ({"context": ["Hello.", "Goodbye."], "question": "Who left?", "choice": ["Bo", "Al"], "answer": "Al"},
         [("user", "Hello.\nGoodbye.\n\nWho left?\nA. Bo\nB. Al"), ("assistant", "Al")]),
        ({"question": "Big?", "A": "ant", "B": "cow", "C": "bee", "D": "fly", "answer": "B", "explanation": ""},
         [("user", "Big?\nA. ant\nB. cow\nC. bee\nD. fly"), ("assistant", "B")]),
        ({"question": "Big?", "choices": ["ant", "cow"], "answer": 1, "subject": "zoo"},
         [("user", "Big?\nA. ant\nB. cow"), ("assistant", "B")]),
        ({"question": "Big?", "choices": {"text": ["ant", "cow"], "label": ["1", "2"]}, "answerKey": "2"},
         [("user", "Big?\n1. ant\n2. cow"), ("assistant", "2")]),
        ({"passage": "P", "question": "Big?", "options": ["(A)ant", "(B)cow"], "label": "B", "other": None},
         [("user", "P\n\nBig?\n(A)ant\n(B)cow"), ("assistant", "B")]),
        ({"context": "P", "query": "Big?", "options": ["ant", "cow"], "correct_option": 1},
         [("user", "P\n\nBig?\nA. ant\nB. cow"), ("assistant", "B")]),
        ({"chat": "USER: q\n\n\nASSISTANT: <functioncall> {} <|endoftext|>\n\n\nFUNCTION RESPONSE: r\n\n\nASSISTANT: "
                  "a <|endoftext|>", "system": "S"},
         [("system", "S"), ("user", "q"), ("assistant", "<functioncall> {}"), ("tool", "r"), ("assistant", "a")]),
        ({"question": "Odd?", "options": ["A. 1", "B. 2"], "answer": ["A", "B"]},
         [("user", "Odd?\nA. 1\nB. 2"), ("assistant", "AB")]),
        ({"instruction": "Say it.", "output": 42}, [("user", "Say it."), ("assistant", "42")]),
        ({"instruction": "Is it?", "output": False}, [("user", "Is it?"), ("assistant", "false")]),
        ({"instruction": "Say it.", "output": float("nan")}, [("user", "Say it.")]),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"},
        {"from": "human", "value": "thanks"}]},
         [("user", "q"), ("assistant", "a")]),
    ],
)  # fmt: skip
def test_systems_passages_options_and_dialogues(record, turns):
    assert read(record).messages == turns


def test_tools_and_their_calls():
    openai = {"messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"x": 1}'}}]},
        {"role": "tool", "tool_call_id": "c1", "name": "w", "content": "-3"},
        {"role": "assistant", "content": "-3 C."},
    ], "tools": [{"type": "function", "function": {"name": "w"}}]}  # fmt: skip
    row = read(openai)
    assert row.turns == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call("w", '{"x": 1}', "c1")]},
        {"role": "tool", "content": "-3", "tool_call_id": "c1", "name": "w"},
        {"role": "assistant", "content": "-3 C."},
    ]
    assert json.loads(row.columns["tools"]) == openai["tools"]
    factory = {"conversations": [{"from": "human", "value": "12% of 250?"},
        {"from": "function_call", "value": '{"name": "percent", "arguments": {"n": 12}}'},
                                 {"from": "observation", "value": "30"}, {"from": "gpt", "value": "30."}],
                                 "tools": "[]"}  # fmt: skip
    row = read(factory)
    assert [t["role"] for t in row.turns] == ["user", "assistant", "tool", "assistant"]
    assert row.turns[1]["tool_calls"] == [call("percent", '{"n":12}')] and "tools" not in row.columns
    xlam = {"query": "Weather?", "answers": '[{"name": "w", "arguments": {"x": 1}}]', "tools": '[{"name": "w"}]'}
    row = read(xlam)
    assert row.turns[1] == {"role": "assistant", "content": "", "tool_calls": [call("w", '{"x":1}')]}
    assert row.columns["tools"] == '[{"name": "w"}]'
    hermes = {"conversations": [{"from": "system", "value": "Tools."}, {"from": "human", "value": "q"},
        {"from": "gpt", "value": "<tool_call>\n{}\n</tool_call>"},
                                {"from": "tool", "value": "r"}, {"from": "gpt", "value": "a"}],
                                "tools": '[{"name": "w"}]'}  # fmt: skip
    assert [t["role"] for t in read(hermes).turns] == ["system", "user", "assistant", "tool", "assistant"]
    words = {"prompt": "Build it.", "completion": "Done.", "tools": "hammer, saw"}  # no tools of a model
    assert read(words).columns == {} and "tools" not in read(words).used


THOUGHTS = {
    "<think>\nHm.\n</think>\n\nNo.",
    "<thinking>Hm.</thinking>No.",
    "<thought>Hm.</thought>\nNo.",
    "[THINK]Hm.[/THINK]No.",
    "<seed:think>Hm.</seed:think>No.",
    "◁think▷Hm.◁/think▷No.",
    "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nNo.\n\n<|end_of_solution|>",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>No.<|return|>",
    "Hm.\n</think>\n\nNo.",
}


@pytest.mark.parametrize("content", sorted(THOUGHTS))
def test_reasoning_is_taken_out_of_the_answer(content):
    answer = {"role": "assistant", "content": "No.", "reasoning_content": "Hm."}
    for record in (
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": content}]},
        {"instruction": "q", "output": content},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": content}]},
    ):
        got = read(record).turns[-1]
        assert {**got, "content": got["content"].strip()} == answer


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_in_a_field_of_its_own(key):
    turn = read(
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", key: "Hm.", "content": None}]}
    ).turns[1]
    assert turn == {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    row = read({"question": "q", "answer": "a", "reasoning": "Hm."})
    assert row.turns[1]["reasoning_content"] == "Hm."


def test_tags_inside_an_answer_are_text():
    text = "Write <think>x</think> before it."
    assert read({"instruction": "q", "output": text}).turns[1] == {"role": "assistant", "content": text}
    assert (
        read({"instruction": "<think>q</think> what?", "output": "a"}).turns[0]["content"] == "<think>q</think> what?"
    )


def test_what_a_turn_says_beside_its_content():
    row = read({"messages": [
        {"role": "user", "content": "3+3?", "name": "bo", "timestamp": 7},
        {"role": "assistant", "content": "7", "weight": 0},
        {"role": "user", "content": "Really?"},
        {"role": "assistant", "content": "6", "train": True},
    ]})  # fmt: skip
    assert row.turns[0] == {"role": "user", "content": "3+3?", "name": "bo", "extra": '{"timestamp":7}'}
    assert [t.get("weight") for t in row.turns] == [None, 0.0, None, 1.0]
    swift = read({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss": False}]})
    assert swift.turns[1]["weight"] == 0.0


def test_preferences_keep_both_answers():
    row = read({"prompt": "q", "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
                "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
                "score_chosen": 8.5, "score_rejected": 2})  # fmt: skip
    assert row.messages == [("user", "q"), ("assistant", "good")]
    assert row.columns == {"chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
                           "chosen_score": 8.5, "rejected_score": 2.0}  # fmt: skip
    ranked = read(
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        }
    )
    assert (
        ranked.messages == [("user", "q"), ("assistant", "good")] and ranked.columns["rejected"][0]["content"] == "bad"
    )
    flag = read({"prompt": "q", "completion": "a", "chosen": True})  # a label, no answer
    assert flag.columns == {} and flag.messages == [("user", "q"), ("assistant", "a")]


def test_licence_generator_category_and_reference():
    row = read({"question": "q", "solution": "long", "answer": 42, "license": "mit", "model": "m", "category": "math"})
    assert row.columns == {"reference": "42", "license": "mit", "generator": "m", "category": "math"}
    assert read({"instruction": "q", "output": "a", "model": {"x": 1}}).columns == {}


def test_roles_that_a_source_names():
    record = {"conversations": [{"from": "me", "value": "q"}, {"from": "Bot 7", "value": "a"}]}
    with pytest.raises(BadRow, match=r"unknown role 'me'.*roles: "):
        read(record)
    assert read(record, roles={"user": ["Me"], "assistant": ["bot 7"]}).messages == [("user", "q"), ("assistant", "a")]


def test_templates_join_columns():
    record = {"passage": "P", "question": "Q", "options": "", "answer": "a"}
    mapping = {"instruction": "{passage}\n{question}\n{options}", "output": "answer"}
    row = read(record, mapping)
    assert row.messages == [("user", "P\nQ"), ("assistant", "a")]
    assert row.used == {"passage", "question", "options", "answer"}
    row = read({**record, "options": ["x", "y"]}, mapping)
    assert row.messages[0] == ("user", "P\nQ\nx\ny")


@pytest.mark.parametrize("ability", [3, True, ["math", "code"], {"a": 1}])
def test_labels_of_any_type_cost_no_row(ability):
    assert isinstance(read({"instruction": "q", "output": "a", "ability": ability}).ability, str)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {
            "images": ["a.png"],
            "messages": [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "x"}],
        },
        {
            "image": "a.png",
            "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "x"}],
        },
        {"instruction": "q", "output": "a", "audio": {"bytes": "…"}},
    ],
)
def test_multi_modal_rows_say_so(record):
    with pytest.raises(BadRow, match="multi-modal"):
        read(record)
    assert read({"instruction": "q", "output": "a", "image": ""}).messages[0] == ("user", "q")
