"""The holdout's own decontamination: what holds a held-out item goes, and leaking() finds it in a finished build."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.corpus.rows import MESSAGES
from instdata.steps.dedup.leaks import Items
from instdata.steps.holdout import leaking

FRAME = "Read the following short story with great care and then answer the question that comes right after it."
NAMES = ["Ada", "Bert", "Cleo", "Dora", "Emil", "Fritz", "Greta", "Hugo", "Ida", "Jonas", "Klara", "Leo"]
THINGS = ["lamps", "kites", "drums", "boots", "clocks", "pans", "ropes", "maps", "coins", "masks", "bells", "chairs"]


def story(i):
    a, b, c = NAMES[i], THINGS[i], THINGS[(i * 5 + 3) % 12]
    return (
        f"{a} carries {i + 2} {b} over the {c} market, sells {i * 7 + 1} of the {c} there to {NAMES[i - 1]} and "
        f"walks home in the rain."
    )


@pytest.fixture
def records():
    """Twelve questions in one frame, and for each a row that quotes its story, and one that asks something else in that
    frame."""
    asked = [{"instruction": f"{FRAME} {story(i)}", "output": f"{i}", "ability": "ask"} for i in range(12)]
    quoting = [
        {
            "instruction": f"{NAMES[i]}'s diary, page {i * 7919}, in {THINGS[-i]}",
            "output": f"Dear diary! {story(i)} Bye",
            "ability": "tell",
        }
        for i in range(12)
    ]
    framed = [
        {"instruction": f"{FRAME} {t} {i * 104729} {n}", "output": "x" * i, "ability": "tell"}
        for i, (t, n) in enumerate(zip(THINGS, NAMES), 1)
    ]
    return asked + quoting + framed


def messages(done, name="full"):
    return [pq.read_table(done.path / f)["messages"].combine_chunks() for f in done.manifest["configs"][name]["files"]]


def built(bench, records, *more):
    bench.jsonl("a.jsonl", records)
    return bench.build(sources=[{"path": "a.jsonl"}], steps=[{"holdout": {"per_ability": 3}}, *more])


def test_what_holds_a_held_out_item_goes(bench, records):
    done = built(bench, records)
    held = pq.read_table(done.path / "data/holdout.parquet")
    ledger = pq.read_table(done.path / "ledger.parquet").to_pylist()
    asked = [m[0]["content"] for m in held["messages"].to_pylist() if m[0]["content"].startswith(FRAME)]
    stories = [i for i in range(12) if any(story(i) in a for a in asked)]
    gone = [r for r in ledger if r["reason"] == "contaminated"]
    assert len(stories) >= 3 and {r["source_row"] for r in gone} <= {12 + i for i in range(12)} | set(range(12))
    held_rows = {r["source_row"] for r in ledger if r["config"] == "holdout"}
    for i in stories:
        if 12 + i not in held_rows:
            evidence = json.loads(next(r["evidence"] for r in gone if r["source_row"] == 12 + i))
            assert evidence["rule"] == "shared_ngram" and evidence["id"] in held["id"].to_pylist()
            assert evidence["text"] == story(i).lower().rstrip(".").rstrip()
    said = held["score_holdout_boilerplate"].to_pylist()
    words = len(FRAME.split())
    assert [json.loads(s) for s, m in zip(said, held["messages"].to_pylist()) if m[0]["content"] in asked] == [
        [[0, words]]
    ] * len(asked)
    assert sum(r["verdict"] == "kept" and r["config"] == "train" for r in ledger) > 12, "the frame is no leak"
    assert not len(leaking(messages(done), held).row)


def test_a_build_stays_clean_when_later_steps_make_boilerplate_rare(bench, records):
    done = built(bench, records, {"sample": {"rows": 6}})
    held = pq.read_table(done.path / "data/holdout.parquet")
    full = messages(done)
    prompts = [m[0]["content"] for part in full for m in part.to_pylist()]
    assert 0 < sum(FRAME in p for p in prompts) <= 10
    assert not len(leaking(full, held).row)
    found = leaking(full, held.drop_columns(["score_holdout_boilerplate"]))
    assert [prompts[r] for r in found.row] == [p for p in prompts if FRAME in p]


def test_leaks_of_each_kind_are_found_in_any_batch(bench, records):
    done = built(bench, records)
    held = pq.read_table(done.path / "data/holdout.parquet")
    item = next(m[0]["content"] for m in held["messages"].to_pylist() if m[0]["content"].startswith(FRAME))

    def asked(text):
        return [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]

    part = pa.array([asked("Fine and clean, nothing like it"), asked(item + "!")], MESSAGES)
    other = pa.array([asked("Once upon a time: " + item[len(FRAME) :] + " " + "Then what? " * 20)], MESSAGES)
    found = leaking([part, part.slice(0, 0), other], held)
    assert found.row.tolist() == [1, 2] and found.rule == ["near_prompt", "shared_ngram"]
    assert found.text[1] in item.lower() and len(found.text[1]) > 60
    assert held["messages"].to_pylist()[found.item[1]][0]["content"] == item
    assert not len(leaking([], held).row)


def test_boilerplate_is_said_and_read_back():
    frame = FRAME.split()
    items = Items([FRAME + " one two", "x y " + FRAME + " z " + FRAME, "hi", "", FRAME[:10]], threshold=None)
    counting = np.ones(len(items.item), bool)
    assert items.boilerplate(counting) == [None] * 5
    found = items.search([(pa.array([FRAME]), pa.array([FRAME]))])
    counting[found.number] = False
    said = items.boilerplate(counting)
    n = len(frame)
    assert [json.loads(s) for s in said[:2]] == [[[0, n]], [[2, n + 2], [n + 3, 2 * n + 3]]] and said[2:] == [None] * 3
    assert items.without(said).tolist() == counting.tolist()
    with pytest.raises(ValueError):
        items.without(said[:2])
    assert Items(["hi"], threshold=None).boilerplate(np.ones(0, bool)) == [None]
