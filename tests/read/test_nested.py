"""Question sets as they are published: a record with several questions becomes a row for each, and comes back whole."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from instdata.builds import export
from instdata.read.chat_template_text import rendered
from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow
from instdata.read.formats import detect
from instdata.read.question_sets import listed, nested
from tests.read.test_shapes import read

STORY = "Mo the fox lived in a wood. In May he met a hen."
DATE = {"number": "", "date": {"day": "3", "month": "May", "year": "1999"}, "spans": []}
SPANS = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": ["Mo", "the hen"]}
DOCUMENTS = {
    "squad": {"version": "v2.0", "data": [{"title": "Mo", "paragraphs": [
        {"context": STORY, "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "Mo", "answer_start": 0}]},
                                   {"id": "2", "question": "Why?", "answers": [], "is_impossible": True}]},
        {"context": "A hen is a bird.", "qas": [{"id": "3", "question": "What is a hen?", "answers": [
            {"text": "a bird", "answer_start": 9}, {"text": "bird", "answer_start": 11}]}]}]}]},
    "cmrc": [{"context_id": "1", "title": "狐狸", "context_text": "莫是狐狸。", "qas": [
        {"query_id": "q1", "query_text": "莫是什么？", "answers": ["狐狸", "一只狐狸"]}]}],
    "c3": [[["男：几点了？", "女：三点。"], [{"question": "现在几点？", "choice": ["两点", "三点"], "answer": "三点"},
                                      {"question": "谁问的？", "choice": ["男的", "女的"], "answer": "男的"}], "1-1"]],
    "gaokao": {"keywords": "2010_MCQs", "example": [{"year": "2010", "question": "1+1=? A. 1 B. 2", "answer": ["B"], "index": 0}]},
    "drop": {"p1": {"passage": STORY, "qa_pairs": [{"question": "When?", "answer": DATE, "query_id": "a"},
                                                   {"question": "Who?", "answer": SPANS, "query_id": "b"}]},
             "p2": {"passage": STORY, "qa_pairs": [{"question": "How many?", "query_id": "c",
                                                    "answer": {"number": "2", "date": {}, "spans": []}}]}},
    "race": {"article": STORY, "questions": ["Who?", "When?"], "options": [["Mo", "Bo"], ["May", "June"]],
             "answers": ["A", "A"], "id": "high1.txt"},
    "coqa": {"version": "1.0", "data": [{"story": STORY, "id": "s", "questions": [
        {"input_text": "Who?", "turn_id": 1}, {"input_text": "When?", "turn_id": 2}], "answers": [
        {"input_text": "Mo", "span_text": "Mo the fox", "turn_id": 1}, {"input_text": "May", "span_text": "In May", "turn_id": 2}]}]},
    "hotpot": [{"_id": "h", "question": "Where?", "answer": "a wood", "context": [["Mo", ["A fox.", " In a wood."]], ["Bo", ["A hen."]]]}],
}  # fmt: skip
ROWS = {
    "squad": [[("user", f"{STORY}\n\nWho?"), ("assistant", "Mo")], [("user", "A hen is a bird.\n\nWhat is a hen?"),
                                                                   ("assistant", "a bird")]],
    "cmrc": [[("user", "莫是狐狸。\n\n莫是什么？"), ("assistant", "狐狸")]],
    "c3": [[("user", "男：几点了？\n女：三点。\n\n现在几点？\nA. 两点\nB. 三点"), ("assistant", "三点")],
           [("user", "男：几点了？\n女：三点。\n\n谁问的？\nA. 男的\nB. 女的"), ("assistant", "男的")]],
    "gaokao": [[("user", "1+1=? A. 1 B. 2"), ("assistant", "B")]],
    "drop": [[("user", f"{STORY}\n\nWhen?"), ("assistant", "3 May 1999")], [("user", f"{STORY}\n\nWho?"),
                                                                           ("assistant", "Mo, the hen")],
             [("user", f"{STORY}\n\nHow many?"), ("assistant", "2")]],
    "race": [[("user", f"{STORY}\n\nWho?\nA. Mo\nB. Bo"), ("assistant", "A")],
             [("user", f"{STORY}\n\nWhen?\nA. May\nB. June"), ("assistant", "A")]],
    "coqa": [[("user", f"{STORY}\n\nWho?"), ("assistant", "Mo"), ("user", "When?"), ("assistant", "May")]],
    "hotpot": [[("user", "Mo: A fox. In a wood.\nBo: A hen.\n\nWhere?"), ("assistant", "a wood")]],
}  # fmt: skip


def test_question_sets_as_they_are_published(bench):
    """Without a map; and `export --format source` gives each record back, the manifest counts it."""
    for name, document in DOCUMENTS.items():
        (bench.folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    done = bench.build(sources=[{"path": f"{name}.json"} for name in DOCUMENTS])
    records = [r for d in DOCUMENTS.values() for r in held(d)]
    assert done.manifest["fields"] == {"records": len(records), "reconstructed": len(records)}
    got: dict[str, list] = {}
    rows = pq.read_table(done.path / "data").to_pylist()
    for row in sorted(rows, key=lambda r: (r["source"], r["source_row"])):
        got.setdefault(row["source"], []).append([(t["role"], t["content"]) for t in row["messages"]])
    assert {k: sorted(v) for k, v in got.items()} == {k: sorted(v) for k, v in ROWS.items()}
    (dropped,) = pq.read_table(done.path / "dropped.parquet").to_pylist()  # the question that has no answer
    assert dropped["reason"] == "no_response" and dropped["messages"][0]["content"].endswith("Why?")
    assert json.loads(dropped["meta"]) == {"id": "2", "is_impossible": True, "title": "Mo"}
    export(done.path, "source", bench.folder / "back.jsonl")
    back = (bench.folder / "back.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in back] == records


def held(document) -> list:
    """The records that a document holds."""
    if isinstance(document, dict):
        return document.get("data") or document.get("example") or [document]
    return document


@pytest.mark.parametrize(
    "record",
    [
        {"paragraphs": [{"title": "a", "paragraph_text": "b"}], "question": "q", "answer": "a"},  # MuSiQue
        {"prompt": {"role": "user", "content": "q"}, "completion": {"role": "assistant", "content": "a"}},
        {"context": "c", "qas": None},
        {"questions": ["q"], "options": [["a"]], "answers": []},
        {"a": {"x": 1}, "b": {"y": 2}},
    ],
)
def test_what_is_one_record_stays_one(record):
    assert nested(normalise_keys(record)) is None


PREFERRED = [
    ({"prompt": "q", "response_0": "bad", "response_1": "good", "better_response_id": 1, "safer_response_id": 0}, "good", "bad"),
    ({"post_id": "p", "history": "q", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1}, "good", "bad"),
    ({"context": [{"role": "user", "content": "q"}], "response1": "bad", "response2": "good", "overall_preference": 2},
     "good", "bad"),
    ({"winner": "model_b", "conversation_a": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
      "conversation_b": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}]}, "good", "bad"),
    ({"prompt": '["q"]', "response_a": '["good"]', "response_b": '["bad"]', "winner_model_a": 1, "winner_model_b": 0,
      "winner_tie": 0}, "good", "bad"),
    ({"prompt": '["q"]', "response_a": '["one"]', "response_b": '["other"]', "winner_model_a": 0, "winner_model_b": 0,
      "winner_tie": 1}, "one", None),
]  # fmt: skip


@pytest.mark.parametrize("record, good, bad", PREFERRED)
def test_two_answers_and_a_verdict_are_a_preference(record, good, bad):
    row = read(record)
    assert row.messages == [("user", "q"), ("assistant", good)]
    said = {k: v[0]["content"] for k, v in row.columns.items()}
    assert said == ({"chosen": good, "rejected": bad} if bad else {}) and row.notes == (() if bad else ("tie",))


TREE = {"message_tree_id": "1", "prompt": {"text": "q", "role": "prompter", "replies": [
    {"text": "worse", "role": "assistant", "rank": 1, "replies": []},
    {"text": "a", "role": "assistant", "rank": 0, "replies": [{"text": "r", "role": "prompter", "replies": [
        {"text": "b", "role": "assistant", "replies": []}]}]}]}}  # fmt: skip
STEPS = {"question": {"problem": "q", "ground_truth_answer": "4"}, "label": {"steps": [
    {"completions": [{"text": "no", "rating": -1}, {"text": "First.", "rating": 1}], "chosen_completion": 1},
    {"completions": [], "chosen_completion": None, "human_completion": {"text": "Then 4."}}]}}  # fmt: skip


@pytest.mark.parametrize("record, turns", [
    (TREE, ["q", "a", "r", "b"]),
    (STEPS, ["q", "First.\nThen 4."]),
    ({"definition": ["Say it."], "instances": [{"id": "1", "input": "oak", "output": ["Oak.", "oak"]}]},
     ["Say it.\n\noak", "Oak."]),
    ({"definition": "Say it.", "inputs": "oak", "targets": "Oak.", "id": "1"}, ["Say it.\n\noak", "Oak."]),
    ({"questions": [["头疼怎么办", "头痛"]], "answers": ["喝水"]}, ["头疼怎么办", "喝水"]),
    ({"data": ["问：头疼", "答：喝水"]}, ["头疼", "喝水"]),
    ({"instruction": "q", "input": "", "output": ["a", "worse"]}, ["q", "a"]),
    ({"question": "q", "answers": [{"text": "b", "pm_score": 1}, {"text": "a", "pm_score": 5}]}, ["q", "a"]),
    ({"prompt": "q", "answers": [{"answer": "b", "rank": 2}, {"answer": "a", "rank": 1}]}, ["q", "a"]),
    ({"input": "q", "output": "<think>t</think>a", "solution": "code"}, ["q", "a"]),
    ({"question": "q", "solution": "s", "thinking_trajectories": ["t"], "attempt": "a"}, ["q", "a"]),
    ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], ["q", "a"]),
    ({"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": [{"role": "assistant", "content": "a"}],
      "non_preferred_output": [{"role": "assistant", "content": "b"}]}, ["q", "a"]),
    ({"custom_id": "1", "body": {"model": "m", "messages": [{"role": "user", "content": "q"}, {"role": "assistant",
                                                                                           "content": "a"}]}}, ["q", "a"]),
    ({"question": "q", "opa": "x", "opb": "y", "cop": 1, "exp": "e"}, ["q\nA. x\nB. y", "B"]),
    ({"question": "q", "solutions": '["a", "b"]', "input_output": "{}"}, ["q", "a"]),
    ({"text": "q", "code": "a", "test_list": ["t"]}, ["q", "a"]),
    ({"user_input": "q", "model_output": "a"}, ["q", "a"]), ({"input_text": "q", "output_text": "a"}, ["q", "a"]),
    ({"content": "q", "summary": "a", "category": "math"}, ["q", "a"]),
    ({"Question": "q", "Complex_CoT": "t", "Response": "a"}, ["q", "a"]),
    ({"ask": "q", "answer": "a", "title": "t"}, ["q", "a"]),
    ({"inputs": [1], "targets": [2], "inputs_pretokenized": "q", "targets_pretokenized": "a"}, ["q", "a"]),
    ({"text": "P", "question": "Big?", "options": ["ant", "cow"], "answer": 1}, ["P\n\nBig?\nA. ant\nB. cow", "B"]),
    ({"question": "q", "A": "x", "B": "y", "label": "B"}, ["q\nA. x\nB. y", "B"]),
    ({"system": "SYSTEM: S", "chat": "USER: q\n\n\nASSISTANT: a <|endoftext|>"}, ["S", "q", "a"]),
])  # fmt: skip
def test_other_shapes_of_public_sets(record, turns):
    assert [t["content"] for t in read(listed(record) or record).turns] == turns


TEXTS = {
    "ChatML": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
    "Llama 2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nq [/INST] a </s>",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>"
    "\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>",
    "Zephyr": "<|system|>\nS</s>\n<|user|>\nq</s>\n<|assistant|>\na</s>",
    "Gemma": "<bos><start_of_turn>system\nS<end_of_turn>\n<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>",
    "Alpaca": "S\n\n### Instruction:\nq\n\n### Response:\na",
    "Vicuna": "S USER: q ASSISTANT: a</s>",
    "harmony": "<|start|>system<|message|>S<|end|><|start|>user<|message|>q<|end|><|start|>assistant<|channel|>final<|message|>a",
}


@pytest.mark.parametrize("template", TEXTS)
def test_texts_as_templates_write_them(template):
    assert read({"text": TEXTS[template]}).messages == [("system", "S"), ("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize(
    "text", ["A page about USER: and others", "### Instruction: a heading", "[INST] q", "", "<user> alone"]
)
def test_texts_that_are_no_conversation_are_not_taken_for_one(text):
    assert rendered(text) is None and detect([{"text": text}]) is None


@pytest.mark.parametrize("keys", [("instruction", "input", "output"), ("prompt", "response")])
def test_a_document_of_records_is_no_conversation(keys):
    assert detect([{"data": [dict.fromkeys(keys, "x")] * 2}]) is None


def test_a_small_record_does_not_unfold_to_gigabytes():
    for record in ({"context": "x" * 10**6, "qas": [{"question": "q"}] * 10**3},
                   {"about": "x" * 10**6, "paragraphs": [{"context": "c", "qas": [{"question": "q"}] * 10**3}]}):  # fmt: skip
        with pytest.raises(BadRow, match="1,000 questions unfold to 953 MB"):
            read(record)


def test_hostile_texts_take_no_time():
    read = []
    for text in ("[INST]" + " " * 50_000, "###" + " " * 50_000, "<user>" + " " * 50_000 + ":", "USER" + " " * 50_000,
                 "[INST] [/INST]" * 5_000, "<|im_start|>user\n" * 5_000):  # fmt: skip
        read.append(len(rendered(text) or ()))
    assert read == [0, 0, 0, 0, 10_000, 0]


def test_lines_that_are_lists_of_turns(bench):
    """Each line a conversation: not the one array of records that a .jsonl file may hold."""
    talks = [
        [{"role": "user", "content": f"Name tree {i}."}, {"role": "assistant", "content": f"Oak {i}."}]
        for i in range(2)
    ]
    for name, some in (("a.jsonl", talks), ("b.jsonl", talks[:1])):
        bench.jsonl(name, some)
    done = bench.build(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}])
    assert done.manifest["totals"]["kept"] == 3 and done.manifest["fields"] == {"records": 3, "reconstructed": 3}
    export(done.path, "source", bench.folder / "back.jsonl")
    assert [json.loads(line) for line in (bench.folder / "back.jsonl").read_text().splitlines()] == [*talks, talks[0]]


@pytest.mark.parametrize(
    "columns",
    [
        {"instruction": ["a", "b"], "output": ["c", "d"], "n": [1, 2]},
        {"instruction": {"0": "a", "1": "b"}, "output": {"0": "c", "1": "d"}},
    ],
)
def test_a_document_of_columns_is_its_rows(columns):
    _, rows = nested(normalise_keys(columns))
    assert [(r["instruction"], r["output"]) for r in rows] == [("a", "c"), ("b", "d")]
