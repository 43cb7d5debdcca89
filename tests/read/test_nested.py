"""Question sets as they are published: a record with several questions becomes a row for each, and comes back whole."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from instdata.builds import export
from instdata.read.keys import normalise_keys
from instdata.read.nested import nested

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
    records = [r for d in DOCUMENTS.values() for r in _records(d)]
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


def _records(document) -> list:
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
