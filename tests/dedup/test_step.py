"""The dedup step: what it scores, decides, and names as evidence."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from instdata.corpus.rows import MESSAGES, Rows
from instdata.steps.base import Scores
from instdata.steps.dedup.step import Dedup
from instdata.util.build_context import Context

LONG = "The quick brown fox jumps over the lazy dog near the river bank at dawn"


def rows(pairs, base=None, scores=None):
    conversations = [
        [{"role": "user", "content": p}] + ([{"role": "assistant", "content": r}] if r else []) for p, r in pairs
    ]
    return Rows(pa.table({"messages": pa.array(conversations, MESSAGES)}), Context(base=base or "."), scores or {})


def run(step, given):
    step = step.resolve(given.context)
    scored = pa.table(dict(step.score(given)))
    assert scored.num_rows == len(given)
    return scored, step.decide(Scores(scored))


def test_the_near_copy_goes_and_the_answered_row_stays():
    given = rows(
        [
            (LONG, None),
            (LONG + ".", "an answer"),
            (LONG + " again", "x"),
            ("Something that nobody else has asked for", "y"),
        ]
    )
    scored, verdicts = run(Dedup(), given)
    assert verdicts.reason.to_pylist() == ["near_duplicate", None, "near_duplicate", None]
    assert verdicts.other.tolist() == [1, -1, 1, -1]
    assert json.loads(verdicts.evidence[0].as_py()) == {"similarity": 1.0}
    similarity = scored["similarity"].to_pylist()
    assert similarity[0] == 1.0 and similarity[1] is None and 0.7 < similarity[2] < 1 and similarity[3] is None


@pytest.mark.parametrize("view", ["prompt", "response", "full", "both"])
def test_texts_that_differ_in_a_number_are_no_copies_in_any_view(view):
    texts = [f"{LONG}, and wait {minutes} minutes before the boat leaves for the other side" for minutes in (20, 45)]
    _, verdicts = run(Dedup(view=view, threshold=0.6), rows([(text, text) for text in texts]))
    assert verdicts.reason.null_count == 2


def test_a_higher_threshold_scores_nothing_anew():
    context = Context()
    keys = [json.dumps(Dedup(threshold=t).resolve(context).scoring(context)) for t in (0.7, 0.8, 1.0, "auto")]
    assert len(set(keys)) == 1
    assert json.dumps(Dedup(threshold=0.6).resolve(context).scoring(context)) not in keys
    assert json.dumps(Dedup(max_memory="1GB").resolve(context).scoring(context)) in keys
    assert json.dumps(Dedup(num_perm=64).resolve(context).scoring(context)) not in keys
    given = rows([(LONG, "a"), (LONG + " again", "b")])
    scored, _ = run(Dedup(threshold=0.7), given)
    assert Dedup(threshold=0.95).decide(Scores(scored)).reason.null_count == 2


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [0]),
        ({"keep": "longest"}, [2]),
        ({"keep": "best", "by": "score_q_x"}, [1]),
        ({"method": "exact"}, [0, 2]),
        ({"view": "response"}, [0, 1, 2]),
        ({"view": "both"}, [0, 1, 2]),
        ({"view": "full", "threshold": 0.6}, [0]),
    ],
)
def test_keep_and_view(options, kept):
    given = rows(
        [(LONG, "short"), (LONG + "!", "words"), (LONG + " again", "the longest of them")],
        scores={"score_q_x": pa.chunked_array([[1.0, 5.0, None]])},
    )
    _, verdicts = run(Dedup(**options), given)
    assert np.flatnonzero(verdicts.reason.is_null().to_numpy(zero_copy_only=False)).tolist() == kept


def test_both_needs_both():
    given = rows(
        [
            (LONG, "one answer that is long enough to be compared"),
            (LONG, "One answer that is long enough to be compared."),
            (LONG, "quite another reply, about ships and harbours"),
        ]
    )
    _, verdicts = run(Dedup(view="both"), given)
    assert verdicts.reason.to_pylist() == [None, "near_duplicate", None]


def test_responses_that_are_missing_are_no_copies():
    _, verdicts = run(Dedup(view="response"), rows([("a b c", None), ("d e f", None), ("g h i", " ")]))
    assert verdicts.reason.null_count == 3


def test_across(tmp_path):
    (tmp_path / "old.jsonl").write_text(
        json.dumps({"instruction": LONG, "output": "z"})
        + "\nnot json\n"
        + json.dumps({"instruction": LONG + " more", "output": "z"})
        + "\n"
    )
    given = rows(
        [("Something that nobody else has asked for", "y"), (LONG + ".", "b"), (LONG + " again", "b")], base=tmp_path
    )
    step = Dedup(across=["old.jsonl"])
    _, verdicts = run(step, given)
    assert verdicts.reason.to_pylist() == [None, "near_duplicate", "near_duplicate"]
    assert [json.loads(e)["across"] for e in verdicts.evidence.to_pylist()[1:]] == ["old.jsonl:0"] * 2
    assert verdicts.other.tolist() == [-1, -1, -1]
    before = step.scoring(given.context)
    (tmp_path / "old.jsonl").write_text("{}")
    assert step.scoring(given.context) != before
    assert Dedup(across=["gone.jsonl"]).check(given.context)[0].startswith("across: gone.jsonl: no such file")


def test_a_record_of_another_file_that_breaks_its_reader_costs_itself(tmp_path, monkeypatch):
    talk = {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "z"}]}
    monkeypatch.setattr("instdata.read.adapters.no_media", lambda r: r["messages"][0] and None)  # some fault of ours
    records = [talk, {"messages": {"turn_1": "x"}}, {"messages": []}, 7, talk]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + "not json\n")
    given, said = rows([(LONG + ".", "b")], base=tmp_path), []
    given.context = replace(given.context, say=said.append)
    _, verdicts = run(Dedup(across=["old.jsonl"]), given)
    assert verdicts.reason.to_pylist() == ["near_duplicate"]
    (line,) = [x for x in said if "cannot be read" in x]
    assert "old.jsonl: 4 of 6 records cannot be read and are not compared with (record 1: " in line


@pytest.mark.parametrize(
    "options",
    [
        {"num_perm": 1},
        {"threshold": 0},
        {"threshold": 0.01},
        {"max_memory": "x"},
        {"keep": "best"},
        {"by": "x"},
        {"metod": 1},
    ],
)
def test_impossible_options(options):
    with pytest.raises(ValidationError):
        Dedup(**options)


def test_traditional_and_simplified_are_one_unless_told_otherwise():
    given = rows([("请解释光合作用的过程。", "A"), ("請解釋光合作用的過程。", "A")])
    assert run(Dedup(), given)[1].reason.to_pylist() == [None, "near_duplicate"]
    assert run(Dedup(script="keep"), given)[1].reason.null_count == 2
    keys = [json.dumps(Dedup(script=s).scoring(given.context)) for s in ("fold", "keep")]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("turns", [1, 3])
def test_what_is_given_and_what_is_asked_are_compared_apart(turns):
    """One long system prompt, or one long history: copies go, other questions stay, in any order."""
    long = f"{LONG}. " * 8
    before = [{"role": "system", "content": long}]
    if turns == 3:
        before = [{"role": "user", "content": long}, {"role": "assistant", "content": "Well then."}]
    asked = [
        "Where does the fox sleep at night?",
        "Which river is it?",
        "where does the fox sleep at night",
        "How old is it?",
    ]
    talks = [[*before, {"role": "user", "content": q}, {"role": "assistant", "content": "x"}] for q in asked]
    _, verdicts = run(Dedup(), Rows(pa.table({"messages": pa.array(talks, MESSAGES)}), Context()))
    assert verdicts.reason.to_pylist() == [None, None, "near_duplicate", None]
    assert verdicts.other.tolist() == [-1, -1, 0, -1]


def test_escaped_white_space_is_white_space():
    given = rows([("List two birds.\nThen draw\ttheir eggs.", "a"), ("List two birds.\\nThen draw\\ttheir eggs.", "a")])
    assert run(Dedup(), given)[1].reason.to_pylist() == [None, "near_duplicate"]


def test_empty_corpus():
    _, verdicts = run(Dedup(), rows([]))
    assert len(verdicts.reason) == 0
