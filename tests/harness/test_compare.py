"""compare: every kind of log, pairing, clusters, families, and no verdict where there is nothing."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from instdata.cli.main import app
from instdata.compare.logs import ItemScore, read_log
from instdata.compare.paired import compare, shared_metric
from instdata.util.errors import InputError


def write(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def lm_eval(folder: Path, right: list[int]) -> Path:
    """As lm-eval 0.4 writes samples (by its documented fields)."""
    records = [
        {
            "doc_id": i, "doc": {"question": f"q{i}", "passage": f"p{i // 4}"}, "target": "A", "arguments": {}, "resps": [["A"]],
            "filtered_resps": ["A"], "filter": "none", "metrics": ["acc"], "doc_hash": f"h{i}", "acc": float(r),
        }
        for i, r in enumerate(right)
    ]  # fmt: skip
    write(folder / "samples_arc_easy_2026-11-27T10-00-00.000000.jsonl", records)
    (folder / "results_2026-11-27T10-00-00.000000.json").write_text('{"results": {}}')
    return folder


def test_two_folders_of_lm_eval(tmp_path):
    a = lm_eval(tmp_path / "a", [i % 2 for i in range(80)])
    b = lm_eval(tmp_path / "b", [int(i % 2 or i % 4 == 0) for i in range(80)])
    done = CliRunner().invoke(app, ["compare", str(a), str(b), "--json"])
    found = json.loads(done.stdout)
    (one,) = found["comparisons"]
    assert (one["task"], one["metric"], one["n"], one["verdict"]) == ("arc_easy", "acc", 80, "better")
    assert one["effect"] == pytest.approx(0.25) and one["low"] < 0.25 < one["high"] and one["p_holm"] < 0.01
    shown = CliRunner().invoke(app, ["compare", str(a), str(b)]).stdout
    assert "better" in shown and max(map(len, shown.splitlines())) <= 80


def test_inspect_logs_plain_and_packed(tmp_path):
    samples = [{"id": i, "epoch": 1, "scores": {"match": {"value": "C" if i % 3 else "I"}}} for i in range(12)]
    (tmp_path / "a.json").write_text(json.dumps({"eval": {"task": "t"}, "samples": samples}))
    with zipfile.ZipFile(tmp_path / "b.eval", "w") as archive:
        archive.writestr("header.json", json.dumps({"eval": {"task": "t"}}))
        for s in samples:
            archive.writestr(f"samples/{s['id']}_epoch_1.json", json.dumps(s))
    a, b = read_log(tmp_path / "a.json"), read_log(tmp_path / "b.eval")
    assert sorted(a, key=lambda s: s.item) == sorted(b, key=lambda s: s.item) and a[1].value == 1 and a[0].value == 0


def test_tables_of_ones_own(tmp_path):
    write(tmp_path / "a.jsonl", [{"id": i, "score": i / 10} for i in range(10)])
    (tmp_path / "b.csv").write_text("id,score\n" + "".join(f"{i},{i / 10}\n" for i in range(10)))
    table = {"item": [str(i) for i in range(10)], "ability": ["x"] * 10, "metric": ["bits"] * 10, "value": [0.1] * 10}
    pq.write_table(pa.table(table), tmp_path / "scores.parquet")
    (tmp_path / "oc.json").write_text(
        json.dumps({"accuracy": 50, "details": {str(i): {"correct": True} for i in range(9)}})
    )
    assert [s.value for s in read_log(tmp_path / "a.jsonl")] == [s.value for s in read_log(tmp_path / "b.csv")]
    assert {(s.task, s.metric) for s in read_log(tmp_path / "scores.parquet")} == {("x", "bits")}
    assert [s.value for s in read_log(tmp_path / "oc.json")] == [1.0] * 9


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", "{", r"a.jsonl:1: not JSON"),
        ("a.jsonl", '{"id": 1, "note": "x"}', r"a.jsonl:1: no score: one of"),
        ("a.jsonl", '{"score": 1}', r"a.jsonl:1: no id"),
        ("a.eval", "no zip", "not an inspect log"),
        ("a.json", "[]", "holds no scores"),
    ],
)
def test_what_is_no_log_is_one_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_log(tmp_path / name)


def log(values, task="t", clusters=None, metric="acc"):
    return [
        ItemScore(task, str(i), metric, v, None if clusters is None else str(clusters[i])) for i, v in enumerate(values)
    ]


def test_few_items_get_no_verdict_and_missing_ones_are_counted():
    (one,), unpaired = compare([log([0.0] * 7 + [None]), log([1.0] * 7 + [1.0, 1.0])], ["a", "b"], "acc")
    assert (one.verdict, one.n, one.missing, one.p_holm, unpaired) == ("too few items", 7, 1, None, 1)
    with pytest.raises(InputError, match="share no item"):
        compare([log([1.0]), log([1.0], task="u")], ["a", "b"], "acc")
    with pytest.raises(InputError, match=r'--metric ac: not in every log. Did you mean "acc"'):
        shared_metric([log([1.0]), log([1.0])], "ac")


def test_items_of_a_passage_are_worth_less():
    rng = random.Random(1)
    shift = [rng.choice([0.0, 1.0]) for _ in range(10)]
    clusters = [i // 10 for i in range(100)]
    b = [shift[c] for c in clusters]
    (alone,), _ = compare([log([0.5] * 100), log(b)], ["a", "b"], "acc")
    (grouped,), _ = compare([log([0.5] * 100, clusters=clusters), log(b, clusters=clusters)], ["a", "b"], "acc")
    assert grouped.n == 100 and grouped.n_effective < 15 < alone.n_effective
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_null_worlds_are_silent():
    """300 worlds of three tasks without a difference: a false verdict in at most 5 % and noise."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(300):
        logs = [[s for t in "xyz" for s in log(list(rng.integers(0, 2, 40).astype(float)), task=t)] for _ in range(2)]
        found, _ = compare(logs, ["a", "b"], "acc")
        false += any(c.verdict in ("better", "worse") for c in found)
    assert false <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5
