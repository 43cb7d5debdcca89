"""instdata compare: pairing, clusters, families, what is missing. The formats of logs: test_log_formats.py."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from instdata.compare.compare_logs import compare
from instdata.compare.paired_comparison import Matched, decide
from instdata.score.metric import BITS, SCORE
from instdata.util import stats
from tests.harness.conftest import run
from tests.harness.known import paired_difference

from .comparing import KEYS, LOGS, one, own_scores, shown, table

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
