"""The metric card and the transfer card, on worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from instdata.compare.metric_card import metric_card, reads, transfer_card
from instdata.score.score_table import SCHEMA


def world(
    agree: float, cells: int = 12, items: int = 60, seeds: int = 2, seed: int = 0, grows: float = 0.0, passages: int = 0
) -> pa.Table:  # fmt: skip
    """Cells whose accuracy follows their bits with this correlation. grows: what both gain by size, of which there are
    two then, with as many arms as are needed. passages: so many, shared by the items."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(seeds):
        for c in range(cells):
            skill = rng.standard_normal()
            right = agree * skill + np.sqrt(1 - agree**2) * rng.standard_normal() + grows * (c % 2)
            skill += grows * (c % 2)
            about = {
                "cell": f"c{c}/s{s}",
                "model": "m",
                "arm": "a",
                "config": str(c % 2 if grows else c),
                "rows": 64 + c,
                "tokens": 1,
                "seed": s,
            }
            for i in range(items):
                own = {"suite": "holdout", "item": f"i{i:03}", "ability": "math", "weight": 1.0}
                own |= {"cluster": f"p{i % passages}"} if passages else {}
                bits = 1 - 0.1 * skill + 0.02 * rng.standard_normal()
                hit = float(rng.random() < 1 / (1 + np.exp(-2 * right)))
                for metric, value in (("bits", bits), ("number", hit)):
                    rows.append(dict.fromkeys(SCHEMA.names) | about | own | {"metric": metric, "value": value})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_metrics_that_agree_are_told_from_those_that_do_not():
    [close], [far] = metric_card(world(1.0)), metric_card(world(0.0))
    assert close.sign > 0.85 and close.rank > 0.8 and close.low > 0.5 and close.valid
    assert far.sign < 0.75 and not far.valid and far.low < 0.5 < far.high
    assert close.pairs == 2 * 12 * 11 / 2 and close.n == 60


def test_few_items_say_nothing():
    for few in (world(1.0, items=6), world(1.0, passages=7)):
        [card] = metric_card(few)
        assert card.sign is None and not card.valid


def test_three_pairs_vouch_for_nothing():
    [few] = metric_card(world(1.0, cells=3, seeds=1))
    assert few.pairs == 3 and not few.valid


def test_that_both_grow_with_rows_is_no_agreement_on_choices():
    """Arms at two sizes: any two metrics order a small and a large cell alike, and these say nothing of two arms."""
    [card] = metric_card(world(0.0, grows=6.0))
    assert card.pairs == 2 * 2 * 6 * 5 / 2 and card.sign < 0.75 and not card.valid


def test_intervals_hold_the_truth_of_chance():
    """Metrics that have nothing to do with each other agree in half of the pairs: 40 worlds."""
    held = [a.low <= 0.5 <= a.high for k in range(40) for a in metric_card(world(0.0, cells=8, items=40, seed=k))]
    assert np.mean(held) >= 0.85


def test_a_verdict_on_bits_speaks_of_references_until_the_card_allows_more():
    [close], [far] = ([a.plain() for a in metric_card(world(x))] for x in (1.0, 0.0))
    assert reads("better", "bits", "math", []) == "its references became likelier"
    assert reads("worse", "bits", "math", [far]) == "its references became less likely"
    assert reads("better", "bits", "math", [close]) == "better" == reads("better", "accuracy", "math", [])
    assert reads("better", "bits", "code", [close]) == "its references became likelier"
    only = close | {"metric": "distractors"}  # likelihoods too: they vouch for no answer
    assert reads("better", "bits", "math", [only]) == "its references became likelier"
    assert reads("equivalent", "bits", "math", []) == "equivalent"


def test_a_transfer_card_counts_signs_and_verdicts():
    def result(model, effects):
        return {"model": model, "filter": "quality", "metric": "bits", "effects": [
            {"ability": a, "effect": e, "verdict": v} for a, e, v in effects]}  # fmt: skip

    small = result(
        "135m", [("math", -0.1, "better"), ("code", 0.1, "worse"), ("chat", -0.2, "undecided"), ("macro", 0, "")]
    )
    large = result(
        "1.5b", [("math", -0.3, "better"), ("code", -0.1, "better"), ("chat", -0.1, "better"), ("other", 1, "worse")]
    )
    card = transfer_card(small, large)
    assert (card["pairs"], card["decided"], card["same_verdict"]) == (3, 2, 1)
    assert card["sign"] == pytest.approx(2 / 3) and card["low"] < 2 / 3 < card["high"]
    assert transfer_card(result("a", []), result("b", []))["sign"] is None
