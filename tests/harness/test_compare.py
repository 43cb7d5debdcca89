"""instdata compare: logs of every format, pairing, clusters, families, what is missing, and wrong inputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
from instdata.compare.paired_comparison import Matched, decide
from instdata.score.metric import BITS, SCORE
from instdata.score.score_table import SCHEMA, write_table
from instdata.util import stats
from instdata.util.errors import InputError
from tests.harness.conftest import run
from tests.harness.known import paired_difference
from tests.shell import forked

LOGS = Path(__file__).parent / "logs"
KEYS = ["task", "metric", "a", "b", "n", "n_effective", "mean_a", "mean_b", "effect", "low", "high", "p_holm", "mde",
    "verdict"]  # fmt: skip


def table(path: Path, scores, ids=None, **columns) -> Path:
    """JSON lines with id, score and the columns."""
    ids = range(len(scores)) if ids is None else ids
    rows = [
        {"id": i, "score": s} | {k: v[at] for k, v in columns.items()} for at, (i, s) in enumerate(zip(ids, scores))
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def one(*paths: Path, **how):
    found = compare(list(paths), **how)
    assert len(found["comparisons"]) == 1, found
    return found["comparisons"][0]


# --- formats


def test_two_folders_of_lm_eval_by_the_command():
    found = run(f"compare {LOGS / 'tiny0'} {LOGS / 'tiny1'} --cluster passage")
    sums, written = found["comparisons"]
    assert set(KEYS) <= set(sums) and {"comparisons", "unpaired", "files"} <= set(found)
    assert (sums["task"], sums["metric"], written["metric"]) == ("tiny_sums", "acc", "exact_match,strict-match")
    assert (sums["n"], sums["clusters"], sums["verdict"]) == (24, 8, "better")
    # What lm-eval itself printed for the two runs.
    assert (sums["mean_a"], sums["mean_b"]) == pytest.approx((0.2083, 0.5833), abs=1e-4)
    assert (written["mean_a"], written["mean_b"], written["verdict"]) == (0, 0, "undecided")
    assert any("acc_norm" in n for n in found["notes"])  # which metric was taken is said
    assert found["unpaired"] == [] and found["files"][0]["model"] == "tiny0"


def test_a_metric_of_a_filter_is_named_in_full_or_in_short():
    how = {"metrics": ["acc_norm", "exact_match,flexible-extract"]}
    found = compare([LOGS / "tiny0", LOGS / "tiny1"], **how)
    assert [c["metric"] for c in found["comparisons"]] == ["acc_norm", "exact_match,flexible-extract"]
    short = compare([LOGS / "tiny0", LOGS / "tiny1"], metrics=["exact_match"])
    assert [c["metric"] for c in short["comparisons"]] == ["exact_match,strict-match"]
    assert any("tiny_sums" in n and "left out" in n for n in short["notes"])


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


def inspect_json(source: Path, path: Path, change=lambda log: None) -> Path:
    """The JSON log that the members of a .eval make."""
    with zipfile.ZipFile(source) as archive:
        get = {n: json.loads(inspect_log._unpacked(archive, i, source)) for n, i in archive.NameToInfo.items()}
    log = get["header.json"] | {"samples": [v for n, v in get.items() if inspect_log.SAMPLE.fullmatch(n)]}
    change(log)
    path.write_text(json.dumps(log, indent=2))
    return path


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


def eee(path: Path, scores, **more) -> Path:
    rows = [
        {
            "schema_version": "0.2.1", "evaluation_id": "e", "model_id": "org/m", "evaluation_name": "gsm8k",
            "sample_id": f"s{i}",
            "interaction_type": "single_turn", "input": {"raw": f"q{i}", "reference": ["1"]}, "output": {"raw": ["1"]},
            "answer_attribution": [], "evaluation": {"score": s, "is_correct": s > 0.5},
            "metadata": {"passage": str(i // 2)},
        }
        | more.get(f"s{i}", {})
        for i, s in enumerate(scores)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


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


def own_scores(path: Path, values: np.ndarray, metric: str = "bits", weight=1.0, model: str = "m") -> Path:
    """scores.parquet of values [seeds, items]."""
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"model": model, "suite": "holdout", "item": f"i{i}", "ability": "math", "metric": metric, "seed": s,
           "value": values[s, i], "weight": float(np.broadcast_to(weight, values.shape[1])[i]), "prompt": f"q{i}"}
        for s in range(len(values)) for i in range(values.shape[1])
    ]  # fmt: skip
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def test_our_own_scores_are_crossed_by_seed_and_weighted_by_bytes(tmp_path):
    rng = np.random.default_rng(0)
    base, size = rng.normal(1, 0.3, (3, 30)), rng.uniform(10, 90, 30)
    less = base - 0.1 + rng.normal(0, 0.02, (3, 30)) + rng.normal(0, 0.01, (3, 1))
    c = one(
        own_scores(tmp_path / "a.parquet", base, weight=size), own_scores(tmp_path / "b.parquet", less, weight=size)
    )
    want = paired_difference(less - base, size)
    assert (c["task"], c["seeds"], c["verdict"]) == ("holdout/math", 3, "better")  # fewer bits
    assert (c["effect"], c["low"], c["high"]) == pytest.approx((want.value, want.low, want.high))
    assert c["n_effective"] == pytest.approx(size.sum() ** 2 / (size**2).sum())


def test_other_seeds_are_averaged_and_said(tmp_path):
    rng = np.random.default_rng(0)
    a = own_scores(tmp_path / "a.parquet", rng.random((3, 12)), "score")
    found = compare([a, own_scores(tmp_path / "b.parquet", rng.random((2, 12)), "score")])
    assert found["comparisons"][0]["seeds"] == 1 and any("other seeds" in n for n in found["notes"])


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


def test_without_ids_the_prompts_pair(tmp_path):
    for name, order in (("a", range(10)), ("b", range(9, -1, -1))):
        rows = [{"prompt": f"What is {i}?", "score": i % 2, "task": "t"} for i in order]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    c = one(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (c["n"], c["effect"]) == (10, 0)


# --- pairing and what the verdict rests on


def test_unpaired_items_are_counted_and_changed_ones_are_not_paired(tmp_path):
    a = table(tmp_path / "a.jsonl", [1] * 20, prompt=[f"q{i}" for i in range(20)])
    b = table(tmp_path / "b.jsonl", [1] * 20, range(5, 25), prompt=[f"q{i}" if i < 18 else "new" for i in range(5, 25)])
    found = compare([a, b])
    assert found["comparisons"][0]["n"] == 13
    assert found["unpaired"] == [{"task": "all", "a": str(a), "b": str(b), "only_a": 5, "only_b": 5, "differ": 2}]


def test_order_and_repeats_change_nothing(tmp_path):
    rng = np.random.default_rng(1)
    x, y = rng.random(30), rng.random(30)
    a, b = table(tmp_path / "a.jsonl", x), table(tmp_path / "b.jsonl", y)
    first = one(a, b)
    order = rng.permutation(30)
    table(b, [*y[order], *y[order]], [*order.tolist(), *order.tolist()])
    again = one(a, b)
    assert {k: again[k] for k in KEYS} == pytest.approx({k: first[k] for k in KEYS})
    swapped = one(b, a)
    assert swapped["effect"] == pytest.approx(-first["effect"]) and swapped["low"] == pytest.approx(-first["high"])


def test_without_clusters_it_is_the_paired_t_test(tmp_path):
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(2)
    x, y = rng.random(40), rng.random(40)
    c = one(table(tmp_path / "a.jsonl", x), table(tmp_path / "b.jsonl", y))
    want = ttest_rel(y, x)
    assert c["p_holm"] == pytest.approx(want.pvalue)
    assert (c["low"], c["high"]) == pytest.approx(tuple(want.confidence_interval(0.95)))


def test_copies_in_a_cluster_tell_nothing_new(tmp_path):
    rng = np.random.default_rng(3)
    x, y = rng.random(20), rng.random(20)
    alone = one(table(tmp_path / "a.jsonl", x), table(tmp_path / "b.jsonl", y))
    copies = {"passage": np.repeat(np.arange(20), 6).tolist()}
    a = table(tmp_path / "a6.jsonl", np.repeat(x, 6), **copies)
    b = table(tmp_path / "b6.jsonl", np.repeat(y, 6), **copies)
    known, naive = one(a, b, cluster="passage"), one(a, b)
    assert (known["low"], known["high"]) == pytest.approx((alone["low"], alone["high"]))
    assert (known["n"], known["clusters"]) == (120, 20) and 19 <= known["n_effective"] <= 21
    assert naive["high"] - naive["low"] < 0.5 * (known["high"] - known["low"]) and naive["n_effective"] == 120


def test_clusters_of_one_are_no_clusters(tmp_path):
    rng = np.random.default_rng(4)
    x, y = rng.random(25), rng.random(25)
    plain = one(table(tmp_path / "a.jsonl", x), table(tmp_path / "b.jsonl", y))
    own = {"cluster": [f"c{i}" for i in range(25)]}
    c = one(table(tmp_path / "c.jsonl", x, **own), table(tmp_path / "d.jsonl", y))  # one log's clusters are enough
    assert {k: c[k] for k in KEYS[4:]} == pytest.approx({k: plain[k] for k in KEYS[4:]})


@pytest.mark.parametrize(
    ("n", "why", "clusters"), [(7, "too few items", False), (8, None, False), (40, "too few clusters", True)]
)
def test_no_verdict_from_few(tmp_path, n, why, clusters):
    more = {"cluster": [i % 5 for i in range(n)]} if clusters else {}
    c = one(table(tmp_path / "a.jsonl", [0] * n, **more), table(tmp_path / "b.jsonl", [1] * n, **more))
    assert c["why"] == why and c["verdict"] == ("better" if why is None else "undecided")
    assert (c["p_holm"] is None) == (why is not None)


def test_a_cluster_may_be_a_whole_passage_and_its_name_may_be_0(tmp_path):
    rng = np.random.default_rng(14)
    x, y = rng.random(40), rng.random(40)
    logs = []
    for name, cluster in (
        ("long", [("word " * 5000) + str(i // 2) for i in range(40)]),
        ("short", [i // 2 for i in range(40)]),
    ):
        made = [table(tmp_path / f"{name}{k}.jsonl", v, passage=cluster) for k, v in (("a", x), ("b", y))]
        logs.append(one(*made, cluster="passage"))
    assert [logs[0][k] for k in KEYS[4:-1]] == pytest.approx([logs[1][k] for k in KEYS[4:-1]])
    assert logs[0]["clusters"] == 20


def test_a_folder_of_inspect_logs_is_of_one_model(tmp_path):
    (tmp_path / "logs").mkdir()
    shutil.copy(LOGS / "tiny0.eval", tmp_path / "logs" / "first.eval")
    (tmp_path / "logs" / "logs.json").write_text("{}")  # no log: left alone
    assert one(tmp_path / "logs", LOGS / "tiny1.eval")["n"] == 12
    shutil.copy(LOGS / "tiny1.eval", tmp_path / "logs" / "second.eval")
    with pytest.raises(InputError, match="2 models"):
        compare([tmp_path / "logs", LOGS / "tiny1.eval"])


def test_one_item_says_nothing(tmp_path):
    c = one(table(tmp_path / "a.jsonl", [0]), table(tmp_path / "b.jsonl", [1]))
    assert c["effect"] is None and c["why"] == "too few items"


def test_holm_over_all_tasks_and_all_logs(tmp_path):
    rng = np.random.default_rng(5)

    def log(name, shift):
        task = np.repeat(["t0", "t1", "t2"], 30).tolist()
        scores = np.clip(0.4 + shift + rng.normal(0, 0.15, 90), 0, 1)
        return table(tmp_path / name, scores, [*range(30)] * 3, task=task)

    a, b, c = log("a.jsonl", 0.0), log("b.jsonl", 0.08), log("c.jsonl", 0.05)
    found = compare([a, b, c])["comparisons"]
    assert [(x["a"], x["b"]) for x in found] == [(str(a), str(b))] * 3 + [(str(a), str(c))] * 3
    single = {(x["b"], x["task"]): x for pair in ((a, b), (a, c)) for x in compare(list(pair))["comparisons"]}
    raw = []
    for x in found:
        half = (x["high"] - x["low"]) / 2
        raw.append(stats.t_test(x["effect"], half / stats._t_quantile(0.975, 29), 29))
    assert [x["p_holm"] for x in found] == pytest.approx(stats.holm(raw))
    assert all(x["p_holm"] >= single[x["b"], x["task"]]["p_holm"] for x in found)
    assert all(x["mde"] > single[x["b"], x["task"]]["mde"] for x in found)  # a larger family sees less


def test_a_margin_makes_equal_what_is_near(tmp_path):
    rng = np.random.default_rng(6)
    x = rng.random(200)
    a, b = table(tmp_path / "a.jsonl", x), table(tmp_path / "b.jsonl", np.clip(x + rng.normal(0, 0.05, 200), 0, 1))
    assert one(a, b)["verdict"] == "equivalent"
    assert one(a, b, margin=0.001)["verdict"] == "undecided"


def test_scores_off_the_unit_scale_have_no_margin_of_their_own(tmp_path):
    a, b = table(tmp_path / "a.jsonl", [10.0, 20] * 10), table(tmp_path / "b.jsonl", [10.0, 20.001] * 10)
    found = compare([a, b])
    assert found["comparisons"][0]["verdict"] != "equivalent" and any("--margin" in n for n in found["notes"])


def test_less_is_better_where_it_is(tmp_path):
    a, b = table(tmp_path / "a.jsonl", [3.0, 4] * 10), table(tmp_path / "b.jsonl", [2.0, 2.5] * 10)
    assert one(a, b)["verdict"] == "worse" and one(a, b, lower_is_better=True)["verdict"] == "better"
    for path in (a, b):
        path.write_text(path.read_text().replace("score", "word_perplexity"))
    c = one(a, b, metrics=["word_perplexity"])
    assert c["verdict"] == "better" and c["lower_is_better"]


def test_missing_scores_bound_the_verdict(tmp_path):
    rng = np.random.default_rng(7)
    x = rng.random(100) * 0.5
    a = table(tmp_path / "a.jsonl", x)
    clear = one(a, table(tmp_path / "b.jsonl", x + 0.1))
    few = one(a, table(tmp_path / "c.jsonl", [*(x + 0.1)[:-4], *[None] * 4]))
    many = one(a, table(tmp_path / "d.jsonl", [*(x + 0.1)[:-30], *[None] * 30]))
    assert clear["verdict"] == few["verdict"] == "better" and few["missing"] == 4 and few["p_holm"] > clear["p_holm"]
    assert (many["n"], many["missing"], many["verdict"], many["why"]) == (70, 30, "undecided", "missing scores")
    # And no equivalence either, which 30 of 100 could break.
    same = one(a, table(tmp_path / "e.jsonl", [*x[:-30], *[float("nan")] * 30]))
    assert same["verdict"] == "undecided" and same["effect"] == 0


def test_nothing_is_there_to_tell_where_all_is_the_same(tmp_path):
    c = one(table(tmp_path / "a.jsonl", [1] * 30), table(tmp_path / "b.jsonl", [1] * 30))
    assert c["verdict"] == "undecided" and c["high"] > 0  # 30 quiet items leave room for some
    assert (
        one(table(tmp_path / "a.jsonl", [1] * 3000), table(tmp_path / "b.jsonl", [1] * 3000))["verdict"] == "equivalent"
    )


# --- simulated worlds


def discordant(rng, items: int, share: float, toward_b: float, size: int = 1) -> Matched:
    """Right or wrong: in `share` of the items the logs differ, for B in `toward_b` of these. Clusters of `size` share
    their outcome with probability 0.7."""
    groups = items // size
    together = rng.random((groups, size)) < 0.7 if size > 1 else np.zeros((groups, size), bool)
    base, moved, way = (
        np.where(together, rng.random((groups, 1)), rng.random((groups, size))).ravel() for _ in range(3)
    )
    a = (base < 0.6).astype(float)
    b = np.where(moved < share, way < toward_b, a)
    a = np.where(moved < share, 1 - b, a)
    codes = np.repeat(np.arange(groups), size) if size > 1 else None
    return Matched(a[None], b[None].astype(float), np.ones(items), codes)


@pytest.mark.parametrize(
    ("items", "share", "toward_b", "size"),
    [(100, 0.2, 0.5, 1), (100, 0.04, 0.5, 1), (200, 0.3, 0.65, 1), (200, 0.3, 0.5, 5), (300, 0.3, 0.6, 10)]
)  # fmt: skip
def test_intervals_cover(items, share, toward_b, size):
    rng = np.random.default_rng(8)
    truth = share * (2 * toward_b - 1)
    found = [decide([discordant(rng, items, share, toward_b, size)], [(SCORE, 0.02)])[0] for _ in range(1000)]
    assert 0.93 <= np.mean([v.low <= truth <= v.high for v in found]) <= 0.985


@pytest.mark.parametrize("size", [1, 5])
def test_null_worlds_are_silent(size):
    """Any false better or worse among ten comparisons: at most 5 % and what 300 worlds leave to chance."""
    rng = np.random.default_rng(9)
    false = 0
    for _ in range(300):
        family = [discordant(rng, 100, 0.15, 0.5, size) for _ in range(10)]
        false += any(v.verdict in ("better", "worse") for v in decide(family, [(SCORE, 0.02)] * 10))
    assert false / 300 <= 0.085


def test_clusters_that_are_ignored_would_err():
    """The check on the check: the same worlds without their clusters claim what is not there."""
    rng = np.random.default_rng(10)
    false = 0
    for _ in range(300):
        p = discordant(rng, 200, 0.3, 0.5, 10)
        false += decide([Matched(p.a, p.b, p.weights)], [(SCORE, 0.02)])[0].verdict in ("better", "worse")
    assert false / 300 > 0.15


def test_at_the_margin_equivalence_is_rare():
    rng = np.random.default_rng(11)
    found = [decide([discordant(rng, 1000, 0.1, 0.6)], [(SCORE, 0.02)])[0] for _ in range(400)]
    assert np.mean([v.verdict == "equivalent" for v in found]) <= 0.085


def test_the_detectable_effect_is_detected():
    rng = np.random.default_rng(12)
    mde = np.mean([decide([discordant(rng, 300, 0.2, 0.5)], [(SCORE, 0.02)])[0].mde for _ in range(50)])
    toward = 0.5 + mde / 0.2 / 2
    found = [decide([discordant(rng, 300, 0.2, toward)], [(SCORE, 0.02)])[0].verdict for _ in range(400)]
    assert 0.72 <= found.count("better") / 400 <= 0.9


def test_bits_have_a_margin_relative_to_a():
    rng = np.random.default_rng(13)
    a = rng.normal(100, 5, (1, 50))
    near = Matched(a, a + 0.1 + rng.normal(0, 0.05, (1, 50)), np.ones(50))
    assert decide([near], [(BITS, 0.01)])[0].verdict == "worse"  # more bits, surely so, however little
    still = Matched(a, a + rng.normal(0, 0.5, (1, 50)), np.ones(50))
    assert decide([still], [(BITS, 0.01)])[0].verdict == "equivalent"


# --- how it is shown, and wrong inputs


def shown(*arguments) -> subprocess.CompletedProcess:
    return forked(("compare", *map(str, arguments)), Path.cwd(), dict(os.environ))


def test_the_table_fits_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ["mmlu_high_school_european_history_with_a_long_name", "t[bold]\x1b[31m"]
    for name, shift in (("a", 0.0), ("b", 0.3)):
        rng = np.random.default_rng(3)
        table(
            tmp_path / f"{name}.jsonl",
            rng.random(80) * 0.6 + shift,
            [*range(40)] * 2,
            task=np.repeat(names, 40).tolist(),
        )
    done = shown(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert done.returncode == 0 and not done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80 and "\x1b" not in done.stdout
    assert "better" in done.stdout and "+0.300" in done.stdout and "t[bold]" in done.stdout


def test_it_needs_no_model_and_no_torch():
    code = (
        "import sys; from pathlib import Path; from instdata.compare.compare_logs import compare\n"
        f"compare([Path({str(LOGS / 'tiny0')!r}), Path({str(LOGS / 'tiny1')!r})])\n"
        "print([m for m in ('torch', 'transformers', 'inspect_ai', 'lm_eval', 'pickle5') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_same_logs_give_the_same_bytes():
    lines = {json.dumps(compare([LOGS / "tiny0", LOGS / "tiny1"])) for _ in range(2)}
    assert len(lines) == 1


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
