"""Small samples, honestly: clusters, missing scores, margins in doublings, steps; simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest

from instdata.compare.effect import FEW, Contrast, decide
from instdata.compare.equivalence_margin import margin_of
from instdata.score.metric import BITS, SCORE
from tests.harness.experiments import (
    EXAM,
    World,
    best_of_worlds,
    clustered_world,
    clusters_of_worlds,
    few_of_worlds,
    null,
    planted_of_worlds,
)


def test_items_of_one_passage_are_one_draw():
    """In 200 null worlds of ten passages with eight items each: intervals that take items for independent are too
    short."""
    found = clusters_of_worlds(200)
    assert found["coverage"] >= 0.92 and found["coverage_without"] < 0.85
    assert found["false"] <= 0.05 + 0.03


@pytest.mark.slow
def test_holm_is_kept_since_max_t_by_items_knows_no_seeds():
    found = best_of_worlds(400)
    assert found["quiet, holm false"] <= 0.07 and found["loud, holm false"] <= 0.09
    assert found["loud, max-T false"] > 0.15 and found["quiet, max-T found"] - found["quiet, holm found"] < 0.1


@pytest.mark.slow
def test_items_of_one_passage_are_one_draw_in_many_worlds():
    found = clusters_of_worlds(2000)
    assert found["coverage"] >= 0.94 and found["false"] <= 0.055


def test_two_and_three_items_get_no_verdict_and_eight_err_as_said():
    for items in (2, 3):
        assert not any(few_of_worlds(20, items).values())
    assert max(few_of_worlds(100, 8).values()) <= 0.05 + 0.06


@pytest.mark.slow
def test_eight_items_err_in_five_of_a_hundred_worlds():
    for items in (2, 3):
        assert not any(few_of_worlds(200, items).values())
    assert max(few_of_worlds(2000, 8).values()) <= 0.05 + 0.015


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "wrong"),
    [("reruns", "remembered"), ("missing verdicts", "bounded"), ("margins", "at the margin, quarter")],
)
def test_looks_missing_verdicts_and_margins_err_as_said_in_1000_worlds(world, wrong):
    found = EXAM[world](1000)
    print(world, found)
    assert found[wrong] <= 0.05 + 0.021, found


@pytest.mark.slow
def test_planted_faults_are_found_in_200_worlds_and_null_worlds_are_silent():
    assert planted_of_worlds(200)["found"] >= 0.95
    assert null(World(abilities=(4, 4), items=(20, 40)), 200, seeds=(3,))["false_anything"] <= 0.05 + 0.03


def test_clusters_are_counted_and_few_of_them_say_nothing():
    rng = np.random.default_rng(0)
    a, b, cluster = clustered_world(rng, passages=FEW - 1, each=10, effect=-0.5)
    [effect] = decide([Contrast("qa", a, b, np.ones(a.shape[1]), cluster)])
    assert effect.verdict == "undecided" and effect.why == "too few clusters"
    assert (effect.n, effect.clusters) == (70, 7) and effect.n_effective < 70
    alone = decide([Contrast("qa", a, b, np.ones(a.shape[1]))])[0]
    assert alone.clusters is None and alone.n_effective == pytest.approx(70)


def test_clusters_of_one_are_no_clusters():
    rng = np.random.default_rng(1)
    a, b, _ = clustered_world(rng, passages=12, each=4, effect=0.0)
    own = np.arange(a.shape[1]).astype(str)
    one, two = decide([Contrast("qa", a, b, np.ones(48), own)]), decide([Contrast("qa", a, b, np.ones(48))])
    assert one[0].effect == pytest.approx(two[0].effect) and one[0].se == pytest.approx(two[0].se)


def scores(missing: int, lift: float, n: int = 40, seed: int = 0):
    rng = np.random.default_rng(seed)
    a = rng.uniform(0.2, 0.6, n) + rng.normal(0, 0.01, (3, n))
    b = a + lift + rng.normal(0, 0.01, (3, n))
    b[0, :missing] = np.nan
    return [Contrast("essay", a, b, np.ones(n))]


def test_a_verdict_holds_for_the_worst_and_the_best_that_missing_scores_could_be():
    whole = decide(scores(0, 0.2), metric="judge")[0]
    some = decide(scores(1, 0.2), metric="judge")[0]
    many = decide(scores(20, 0.05), metric="judge")[0]
    assert whole.verdict == some.verdict == "better" and whole.worst is None
    assert some.worst < some.effect < some.best and some.missing == 1
    assert many.verdict == "undecided" and many.why == "missing scores could change it" and many.worst < 0 < many.best


def test_an_item_that_was_never_scored_is_out_of_both_arms():
    [c] = scores(0, 0.2)
    a, b = c.without.copy(), c.with_.copy()
    a[:, 0] = b[:, 0] = np.nan
    effect = decide([Contrast("essay", a, b, c.weights)], metric="judge")[0]
    assert effect.missing == 1 and effect.worst is None and effect.verdict == "better"


def table(slope: float, sizes=(16, 32, 64), seeds=(0, 1, 2), base=1.0):
    import pyarrow as pa

    from instdata.score.score_table import SCHEMA

    rng = np.random.default_rng(0)
    rows = []
    for seed in seeds:
        for size in sizes:
            for item in range(20):
                value = base + slope * np.log2(size) + 0.05 * (item - 10) / 10 + rng.normal(0, 1e-4)
                rows.append(
                    dict.fromkeys(SCHEMA.names)
                    | {"cell": f"{size}/{seed}", "model": "m", "arm": "without", "config": str(size), "rows": size}
                    | {"seed": seed, "tokens": 1, "suite": "holdout", "item": f"i{item:02}", "ability": "math"}
                    | {"metric": "bits", "value": value, "weight": 1.0}
                )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_what_counts_as_no_difference_is_a_quarter_of_what_a_doubling_brings(tmp_path):
    grows = margin_of(table(-0.008), "bits", "without", tmp_path)
    assert grows.value == pytest.approx(0.25 * 0.008 / 0.96, rel=0.02) and "own curve" in grows.why
    assert margin_of(table(-0.008), "bits", "without", tmp_path, 0.5).value == pytest.approx(2 * grows.value)


def test_a_margin_is_never_wider_than_the_published_growth(tmp_path):
    steep = margin_of(table(-0.2, base=3.0), "bits", "without", tmp_path)
    assert steep.value == 0.25 * BITS.doubling and "published" in steep.why
    falls = margin_of(table(+0.01), "bits", "without", tmp_path)
    assert falls.value == 0.25 * BITS.doubling and "no curve" in falls.why
    assert SCORE.doubling == 0.019  # BELLE's


def test_arms_make_equally_many_steps_for_any_lengths():
    from hypothesis import given
    from hypothesis import strategies as st

    from instdata.train.loop import batches
    from instdata.train.render import Encoded
    from instdata.train.training_recipe import training

    @given(st.lists(st.integers(2, 300), min_size=8, max_size=40), st.integers(8, 40))
    def check(lengths, planned):
        rows = [Encoded([1] * n, [False] + [True] * (n - 1)) for n in lengths]
        steps = batches(rows, [len(rows)], training("proxy", ["length=256"]), 0, planned=[planned])
        assert len(steps) == min(-(-planned // 8), len(rows))
        assert sorted(i for s in steps for b in s for i in b) == list(range(len(rows)))

    check()
