"""Good rows that look bad, and bad rows that look like them: kinds, not single rows."""

import json
from pathlib import Path

import pyarrow as pa

from instdata.corpus.rows import CORPUS, MESSAGES, Rows
from instdata.steps.base import Scores
from instdata.steps.quality.step import Quality

CASES = Path(__file__).parents[1] / "cases" / "quality_hard"


def read(name):
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text("utf-8").splitlines()]


def corpus(conversations):
    """Rows of conversations, each a list of (role, content)."""
    messages = [[{"role": r, "content": c} for r, c in turns] for turns in conversations]
    n = len(messages)
    none, ids = pa.nulls(n, pa.string()), pa.array([f"{i:032x}" for i in range(n)], pa.string())
    columns = {
        "rid": ids,
        "id": ids,
        "messages": pa.array(messages, MESSAGES),
        "source_row": pa.array(range(n), pa.int64()),
    }
    return Rows(pa.table([columns.get(name, none) for name in CORPUS.names], schema=CORPUS))


def decided(step, conversations):
    """(reason, evidence) of each row."""
    rows = corpus(conversations)
    scores = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in step.score(rows).items()}
    verdicts = step.decide(Scores(pa.table(scores)))
    told = [json.loads(e) if e else None for e in verdicts.evidence.to_pylist()]
    return list(zip(verdicts.reason.to_pylist(), told, strict=True))


def pairs(cases):
    return [[("user", c["prompt"]), ("assistant", c["response"])] for c in cases]


def test_good_hard_rows_stay():
    cases = read("good")
    assert len(cases) >= 60
    got = decided(Quality(), pairs(cases))
    wrong = [(c["kind"], c["prompt"], reason, told) for c, (reason, told) in zip(cases, got, strict=True) if reason]
    assert not wrong


def test_bad_rows_like_them_go_with_evidence():
    cases = read("bad")
    got = decided(Quality(), pairs(cases))
    wrong = [(c["rule"], c["prompt"], reason) for c, (reason, _) in zip(cases, got, strict=True) if reason != c["rule"]]
    assert not wrong
    assert all(told["rule"] == c["rule"] and told["span"][0] < told["span"][1] for c, (_, told) in zip(cases, got))
