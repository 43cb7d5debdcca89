"""Evaluation logs that `compare` reads: lm-eval, inspect, Every Eval Ever, OpenCompass, tables; and wrong ones."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.compare.compare_logs import compare
from instdata.compare.logs import inspect_log
from instdata.compare.logs.log_rows import Asked
from instdata.compare.logs.read import read_log
from instdata.util.errors import InputError

from .comparing import LOGS, eee, inspect_json, one, shown, table


def test_old_lm_eval_logs_without_a_list_of_metrics(tmp_path):
    for name, right in (("a", 0.0), ("b", 1.0)):
        rows = [
            {"doc_id": i, "doc": {"q": i}, "target": "x", "resps": [], "filtered_resps": [], "acc": right, "f1": [0, 1]}
            for i in range(9)
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "samples_t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert one(tmp_path / "a", tmp_path / "b")["metric"] == "acc"


def test_the_newest_run_of_a_task_stands_and_older_ones_are_said(tmp_path):
    shutil.copytree(LOGS / "tiny0", tmp_path / "m")
    source = next((tmp_path / "m").glob("samples_tiny_sums*"))
    newer = tmp_path / "m" / "samples_tiny_sums_2026-12-01T00-00-00.000001.jsonl"
    newer.write_text(source.read_text().replace('"acc": 0.0', '"acc": 1.0'))
    found = compare([tmp_path / "m", LOGS / "tiny1"])
    assert found["comparisons"][0]["mean_a"] == 1 and any("older log" in n for n in found["notes"])


def test_inspect_zip_and_json_are_one_log(tmp_path):
    packed = one(LOGS / "tiny0.eval", LOGS / "tiny1.eval")
    assert (packed["task"], packed["metric"], packed["n"], packed["seeds"]) == ("tiny_sums", "mentions", 12, 1)
    as_json = inspect_json(LOGS / "tiny0.eval", tmp_path / "a.json")
    plain = one(as_json, LOGS / "tiny1.eval")
    assert {k: v for k, v in plain.items() if k != "a"} == {k: v for k, v in packed.items() if k != "a"}
    # Two epochs of a sample are two draws of one item: their mean.
    samples = json.loads(as_json.read_text())["samples"]
    first = [s["scores"]["mentions"]["value"] == "C" for s in samples if s["id"] == 1]
    scores = read_log(as_json, Asked()).tasks["tiny_sums"]
    assert len(first) == 2 and scores.metrics["mentions"][0, list(scores.items).index("1")] == np.mean(first)


def test_an_inspect_sample_that_failed_is_missing_and_not_zero(tmp_path):
    def change(log):
        log["status"] = "error"
        for s in log["samples"]:
            if s["id"] in (3, 4):
                s["error"], s["scores"] = {"message": "timeout"}, None

    log = inspect_json(LOGS / "tiny0.eval", tmp_path / "a.json", change)
    found = compare([log, LOGS / "tiny1.eval"])
    assert (found["comparisons"][0]["n"], found["comparisons"][0]["missing"]) == (10, 2)
    assert any("did not finish" in n for n in found["notes"])


def test_scores_of_inspect_in_every_form(tmp_path):
    def change(log):
        for s, v in zip(log["samples"], ["C", "I", "P", "N", True, 0.25, "yes", {"x": 1, "y": 0}, "maybe"]):
            s["scores"] = {"s": {"value": v}}
        log["samples"] = log["samples"][:9]
        for i, s in enumerate(log["samples"]):
            s["id"], s["epoch"] = i, 1

    metrics = (
        read_log(inspect_json(LOGS / "tiny0.eval", tmp_path / "a.json", change), Asked()).tasks["tiny_sums"].metrics
    )
    assert np.array_equal(metrics["s"][0], [1, 0, 0.5, 0, 1, 0.25, 1, np.nan, np.nan], equal_nan=True)
    assert metrics["s.x"][0, 7] == 1 and metrics["s.y"][0, 7] == 0


def test_every_eval_ever(tmp_path):
    a = eee(tmp_path / "a_samples.jsonl", [0.0] * 20, s2={"error": "timeout"})
    b = eee(tmp_path / "b_samples.jsonl", [1.0] * 20)
    c = one(a, b, cluster="passage")
    assert (c["task"], c["metric"], c["n"], c["missing"], c["clusters"]) == ("gsm8k", "score", 19, 1, 10)
    assert c["verdict"] == "better" and read_log(a, Asked()).format == "Every Eval Ever"


@pytest.mark.parametrize("listed", [True, False])
def test_opencompass_details(tmp_path, listed):
    for name, right in (("a", False), ("b", True)):
        details = [{"pred": "A", "answer": "B", "correct": right} for _ in range(12)]
        log = {"accuracy": 100.0 * right, "details": details if listed else {"type": "GEN"} | dict(enumerate(details))}
        folder = tmp_path / name / "results" / "model"
        folder.mkdir(parents=True)
        (folder / "ceval.json").write_text(json.dumps(log, indent=4))
        (tmp_path / name / "predictions" / "model").mkdir(parents=True)
        (tmp_path / name / "predictions" / "model" / "ceval.json").write_text('{"0": {"prediction": "x", "gold": "y"}}')
    c = one(tmp_path / "a", tmp_path / "b")
    assert (c["task"], c["metric"], c["n"], c["verdict"]) == ("ceval", "correct", 12, "better")


def test_opencompass_predictions_by_perplexity_and_not_by_generation(tmp_path):
    label = {"label: A": {"PPL": 1.0}, "label: B": {"PPL": 2.0}}
    for name, choice in (("a", "B"), ("b", "A")):
        (tmp_path / name).mkdir()
        log = {str(i): label | {"prediction": choice, "gold": "A"} for i in range(10)}
        (tmp_path / name / "arc.json").write_text(json.dumps(log))
    assert one(tmp_path / "a", tmp_path / "b")["effect"] == pytest.approx(1)
    (tmp_path / "a" / "arc.json").write_text(json.dumps({"0": {"origin_prompt": "q", "prediction": "A", "gold": "A"}}))
    with pytest.raises(InputError, match="--dump-eval-details"):
        compare([tmp_path / "a", tmp_path / "b"])


def test_csv_and_jsonl_are_one_table(tmp_path):
    a = table(tmp_path / "a.jsonl", [0, 1] * 8)
    text = "id,score,answer\n" + "".join(f'{i},{"true" if i % 3 else ""},"two\nlines"\n' for i in range(16))
    b = tmp_path / "b.csv"
    b.write_text(text)
    c = one(a, b)
    assert (c["n"], c["missing"], c["task"]) == (10, 6, "all")
    array = tmp_path / "c.json"
    array.write_text(json.dumps([json.loads(line) for line in a.read_text().splitlines()], indent=1))
    assert one(array, b)["effect"] == c["effect"]


def test_a_folder_of_inspect_logs_is_of_one_model(tmp_path):
    (tmp_path / "logs").mkdir()
    shutil.copy(LOGS / "tiny0.eval", tmp_path / "logs" / "first.eval")
    (tmp_path / "logs" / "logs.json").write_text("{}")  # no log: left alone
    assert one(tmp_path / "logs", LOGS / "tiny1.eval")["n"] == 12
    shutil.copy(LOGS / "tiny1.eval", tmp_path / "logs" / "second.eval")
    with pytest.raises(InputError, match="2 models"):
        compare([tmp_path / "logs", LOGS / "tiny1.eval"])


def test_anybodys_parquet_is_a_table(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.random(40)
    rows = {"sample_id": np.arange(40), "accuracy": a, "passage": np.arange(40) // 4, "text": ["x" * 100] * 40}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    pq.write_table(pa.table(rows | {"accuracy": a + 0.2 + rng.normal(0, 0.01, 40)}), tmp_path / "b.parquet")
    found = compare([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert found["files"][0]["format"] == "table" and found["comparisons"][0]["verdict"] == "better"
    csv = tmp_path / "a.csv"
    csv.write_text("sample_id,accuracy\n" + "".join(f"{i},{v!r}\n" for i, v in enumerate(a.tolist())))
    (same,) = compare([csv, tmp_path / "b.parquet"])["comparisons"]
    assert same["effect"] == pytest.approx(found["comparisons"][0]["effect"])
    clustered = compare([tmp_path / "a.parquet", tmp_path / "b.parquet"], cluster="passage")
    assert clustered["comparisons"][0]["clusters"] == 10
    for columns, words in (
        ({"name": ["x"], "score": [1.0]}, "a.parquet:1: no id and no prompt.*it has name, score"),
        ({"id": ["x"], "points": [1.0]}, "a.parquet:1: no column score.*--metric"),
    ):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=words):
            compare([csv, tmp_path / "a.parquet"])


def test_one_line_for_every_wrong_input(tmp_path):
    good = table(tmp_path / "good.jsonl", [0, 1] * 5)
    text = {
        "cut.jsonl": '{"id": 1, "score": 1}\n{"id": 2, "sco',
        "word.csv": "id,score\n1,1\n2,high\n",
        "noid.csv": "name,score\nx,1\n",
        "noscore.jsonl": '{"id": 1, "points": 3}\n',
        "fields.csv": "id,score\n1,1,1\n",
        "empty.jsonl": "",
        "list.jsonl": '{"id": 1, "score": [1, 2]}\n',
        "array.json": "[1, 2]",
        "fake.eval": "not a zip",
        "fake.parquet": "not a table",
        "log.json": '{"version": 2, "status": "success", "eval": {"task": "t"}}',
        "samples_t.jsonl": '{"acc": 1}\n',
        "what.bin": "x",
        "two.jsonl": '{"id": 1, "prompt": "a", "score": 1}\n{"id": 1, "prompt": "b", "score": 1}\n',
        "models.csv": "id,score,model\n1,1,m\n2,1,n\n",
    }
    want = {
        "cut.jsonl": "cut.jsonl:2: ", "word.csv": "word.csv:3: score is 'high'", "noid.csv": "noid.csv:2: no id",
        "noscore.jsonl": "--metric", "fields.csv": "fields.csv:2: 3 fields", "empty.jsonl": "no scores",
        "list.jsonl": "list.jsonl:1: score", "array.json": "object", "fake.eval": "cut off", "fake.parquet": "Parquet",
        "log.json": "log_samples", "samples_t.jsonl": "samples_t.jsonl:1: ", "what.bin": "not a log",
        "two.jsonl": "two prompts", "models.csv": "2 models",
    }  # fmt: skip
    for name, content in text.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError) as e:
            compare([good, tmp_path / name])
        assert want[name] in str(e.value) and "\n" not in str(e.value) and name in str(e.value), (name, str(e.value))
    (tmp_path / "nothing").mkdir()
    for paths, word in (
        ([good], "two logs"),
        ([good, good], "twice"),
        ([good, tmp_path / "not_there"], "not there"),
        ([good, tmp_path / "nothing"], "no log is in this folder"),
        ([good, LOGS / "tiny0"], "no task in common"),
        ([LOGS / "tiny0", LOGS], "2 models"),
    ):
        with pytest.raises(InputError, match=word):
            compare(paths)
    for how, word in (
        ({"cluster": "passage"}, "--cluster passage.*score"),
        ({"metrics": ["f1"]}, "--metric"),
        ({"margin": 0.0}, "--margin"),
    ):
        with pytest.raises(InputError, match=word):
            compare([good, table(tmp_path / "other.jsonl", [0, 1] * 5)], **how)
    far = table(tmp_path / "far.jsonl", [0, 1] * 5, range(100, 110))
    with pytest.raises(InputError, match="no item in common"):
        compare([good, far])
    done = shown(good, tmp_path / "word.csv")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and "word.csv:3" in done.stderr


def test_a_zip_cannot_fill_the_memory(tmp_path, monkeypatch):
    def packed(name: str, members: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        return tmp_path / name

    header = {"header.json": json.dumps({"status": "success", "eval": {"task": "t", "model": "m"}}).encode()}
    sample = json.dumps({"id": 1, "epoch": 1, "input": "q", "scores": {"s": {"value": "C"}}}).encode()
    fine = packed("fine.eval", header | {"samples/1_epoch_1.json": sample})
    assert read_log(fine, Asked()).tasks["t"].metrics["s"][0, 0] == 1
    monkeypatch.setattr(inspect_log, "MEMBER", 1000)
    bomb = packed("bomb.eval", header | {"samples/1_epoch_1.json": b" " * 100_000})
    with pytest.raises(InputError, match=r"bomb.eval: samples/1_epoch_1.json unpacks to more"):
        read_log(bomb, Asked())
    monkeypatch.setattr(inspect_log, "ALL", 150)
    with pytest.raises(InputError, match="unpacks to more than"):
        read_log(packed("many.eval", header | {f"samples/{i}_epoch_1.json": sample for i in range(9)}), Asked())
    with pytest.raises(InputError, match="no samples"):
        read_log(packed("none.eval", header), Asked())
    with pytest.raises(InputError, match=r"header.json"):
        read_log(packed("odd.eval", {"x": b"y"}), Asked())


def test_a_damaged_member_is_told(tmp_path):
    raw = bytearray((LOGS / "tiny0.eval").read_bytes())
    with zipfile.ZipFile(LOGS / "tiny0.eval") as archive:
        info = archive.NameToInfo["samples/3_epoch_1.json"]
    raw[info.header_offset + 200] ^= 0xFF
    (tmp_path / "bad.eval").write_bytes(raw)
    with pytest.raises(InputError, match=r"samples/3_epoch_1.json is damaged"):
        read_log(tmp_path / "bad.eval", Asked())
    (tmp_path / "short.eval").write_bytes((LOGS / "tiny0.eval").read_bytes()[:30_000])
    with pytest.raises(InputError, match="copy it again"):
        read_log(tmp_path / "short.eval", Asked())
