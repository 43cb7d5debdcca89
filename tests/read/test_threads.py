"""Files of single messages that answer one another: each tree is one record, and its messages come back as they were."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.builds import export
from instdata.read import threads
from instdata.read.blocks import raw_blocks
from instdata.util.errors import InputError


def message(name, parent, role, text, rank=None, **more):
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, "rank": rank, "lang": "en", **more}


MESSAGES = [  # two trees, one within the other; the better reply comes later; one of no tree
    message("a", None, "prompter", "Name a tree."),
    message("b", "a", "assistant", "Cat.", 1),
    message("x", None, "prompter", "Name a cup.", labels={"spam": 0.10}),
    message("c", "a", "assistant", "Oak.", 0),
    message("d", "c", "prompter", "Another?", 0),
    message("e", "d", "assistant", "Elm."),
    message("y", "x", "assistant", "Mug."),
    message("z", "gone", "assistant", "Of nothing."),
]
TALKS = [["Name a tree.", "Oak.", "Another?", "Elm."], ["Name a cup.", "Mug."]]


def rows(done):
    found = pq.read_table(done.path / "data").sort_by("source_row").to_pylist()
    return [[t["content"] for t in r["messages"]] for r in found], [r["source_row"] for r in found]


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv"])
def test_trees_of_messages_are_conversations(bench, kind):
    path = bench.folder / f"a.{kind}"
    if kind == "jsonl":
        bench.jsonl("a.jsonl", MESSAGES)
    elif kind == "json":
        path.write_text(json.dumps(MESSAGES, indent=1))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(MESSAGES), path)
    else:
        with open(path, "w", newline="") as file:
            out = csv.DictWriter(file, [*MESSAGES[0], "labels"])
            out.writeheader()
            out.writerows(MESSAGES)
    done = bench.build(sources=[{"path": path.name, "max_bad": 1.0}])
    assert rows(done) == (TALKS, [0, 2])
    assert done.manifest["totals"] == {"in": 3, "generated": 0, "kept": 2, "dropped": 0, "quarantined": 1}
    export(done.path, "source", bench.folder / "back.jsonl")
    back = [json.loads(line) for line in (bench.folder / "back.jsonl").read_text().splitlines()]
    assert len(back) == len(MESSAGES)
    if kind.startswith("json"):
        assert sorted(back, key=lambda m: m["message_id"]) == sorted(MESSAGES, key=lambda m: m["message_id"])


def test_messages_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "MOST", 500)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(m) + "\n" for m in MESSAGES))
    with pytest.raises(InputError, match="cut the file into several, by trees"):
        list(raw_blocks(str(tmp_path / "a.jsonl")))


def test_a_circle_of_messages_is_no_conversation():
    circle = [message("a", "b", "prompter", "q"), message("b", "a", "assistant", "r")]
    (record,) = [r for block in threads.threaded(iter([circle])) for r in block if r]
    assert threads.thread(record[threads.TREE]) == []
