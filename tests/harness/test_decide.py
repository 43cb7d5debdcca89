"""Verdicts: by hand, by their invariants, and on simulated ablations whose truth is known (experiments.py)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.compare.effect import Contrast, decide
from instdata.compare.power import planned_mde
from instdata.score.metric import MACRO
from instdata.util.errors import InputError
from tests.harness.experiments import WORLDS, World, draw, null, power

from .conftest import EFFECT_KEYS


def arms(effects, n=60, seeds=3, noise=0.004, rng=None, value=0.8):
    """(main, aa) of bits with these relative effects."""
    rng = rng or np.random.default_rng(0)
    main, aa = [], []
    for i, effect in enumerate(effects):
        base = value * (1 + 0.2 * rng.standard_normal(n))
        a, b, c = (base + noise * rng.standard_normal((seeds, n)) for _ in range(3))
        main.append(Contrast(f"ability {i}", a, b + effect * value, np.full(n, 10.0)))
        aa.append(Contrast(f"ability {i}", a, c, np.full(n, 10.0)))
    return main, aa


def verdicts(effects):
    return {e.ability: e.verdict for e in effects}


def test_lower_bits_are_better_and_small_ones_equivalent():
    found = decide(*arms([-0.05, 0.05, 0.0]))
    assert list(verdicts(found).values())[:3] == ["better", "worse", "equivalent"]
    e = found[0]
    assert e.effect == pytest.approx(e.with_ - e.without) and e.low < e.effect < e.high < 0 and e.p_holm < 0.05
    assert found[-1].ability == MACRO and found[-1].effect == pytest.approx(np.mean([x.effect for x in found[:3]]))


def test_higher_scores_are_better():
    main, aa = arms([0.05, -0.05], value=0.5)
    assert list(verdicts(decide(main, aa, metric="judge")).values())[:2] == ["better", "worse"]


def test_effects_json_has_its_keys():
    plain = decide(*arms([0.01, 0.0]))[0].plain()
    assert [k for k in plain if k in EFFECT_KEYS] == EFFECT_KEYS
    assert "NaN" not in json.dumps(plain) and "Infinity" not in json.dumps(plain)


def test_an_ability_mean_is_a_ratio_of_sums():
    rng = np.random.default_rng(1)
    size = rng.uniform(5, 300, 30)
    a, b = rng.uniform(50, 200, (2, 3, 30))
    e = decide([Contrast("x", a / size, b / size, size)])[0]
    assert e.without == pytest.approx(a.sum() / size.sum() / 3) and e.with_ == pytest.approx(b.sum() / size.sum() / 3)


def test_missing_values_drop_the_item_from_the_pair():
    main, aa = arms([0.0, 0.0])
    main[0].without[1, 3] = np.nan
    main[0].with_[0, 7] = np.nan
    found = decide(main, aa)
    assert [e.n for e in found] == [58, 60, 118]


def test_an_ability_without_items_is_undecided_and_leaves_the_others_alone():
    main, aa = arms([-0.05, 0.0])
    nothing = Contrast("empty", np.full((3, 4), np.nan), np.ones((3, 4)), np.ones(4))
    found = decide([main[0], nothing, main[1]], aa)
    assert [e.ability for e in found] == ["ability 0", "empty", "ability 1", MACRO]
    e = found[1]
    assert (e.verdict, e.n, e.effect, e.low, e.p_holm, e.mde) == ("undecided", 0, None, None, None, None)
    assert [found[0], *found[2:]] == decide(main, aa)
    assert [e.verdict for e in decide([nothing])] == ["undecided"]


def test_one_ability_has_no_macro():
    assert len(decide(*arms([0.0]))) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: replace(c, without=c.without[:1], with_=c.with_[:1]), "one seed"),
        (lambda c: replace(c, with_=c.with_[:, :3]), "ability 0: both arms need"),
        (lambda c: replace(c, weights=c.weights[:3]), "a weight per item"),
    ],
)
def test_arrays_that_do_not_fit(change, words):
    main, _ = arms([0.0])
    with pytest.raises(InputError, match=words):
        decide([change(main[0])])


def test_other_bad_input():
    main, _ = arms([0.0])
    for call, words in (
        (lambda: decide([]), "nothing to compare"),
        (lambda: decide(main, look=2, looks=1), "look 2 of 1"),
        (lambda: decide(main, look=3, looks=3), "fewer than two"),
        (lambda: decide(main, arms([0.0], seeds=4)[1]), "3 and 4 seeds"),
        (lambda: planned_mde({"a": 20}, 1), "one seed"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_arms_without_any_difference_are_equivalent():
    main, _ = arms([0.0, 0.0])
    same = [replace(c, with_=c.without) for c in main]
    assert set(verdicts(decide(same)).values()) == {"equivalent"}


def test_few_scores_that_did_not_move_prove_nothing():
    rights = np.tile(np.arange(20) % 2, (3, 1)).astype(float)
    few = Contrast("x", rights, rights, np.ones(20))
    many = Contrast("x", np.tile(rights, 20), np.tile(rights, 20), np.ones(400))
    assert decide([few], metric="number")[0].verdict == "undecided"
    assert decide([many], metric="number")[0].verdict == "equivalent"


@given(st.integers(0, 1000), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_units_orders_and_sides_do_not_matter(seed, factor):
    rng = np.random.default_rng(seed)
    main, aa = draw(rng, World(abilities=(3, 3), items=(10, 30)), 3)
    here = decide(main, aa)
    scaled = [[replace(c, without=c.without * factor, with_=c.with_ * factor) for c in cs] for cs in (main, aa)]
    for a, b in zip(here, decide(*scaled)):
        assert (a.verdict, a.n) == (b.verdict, b.n) and b.effect == pytest.approx(a.effect * factor)
        assert b.p_holm == pytest.approx(a.p_holm, rel=1e-6) and b.high == pytest.approx(a.high * factor)
    turned = {e.ability: e for e in decide(main[::-1], aa)}
    assert all(turned[e.ability].p_holm == pytest.approx(e.p_holm) for e in here)
    heavier = [replace(c, weights=c.weights * 3) for c in main]
    assert [e.se for e in decide(heavier, aa)] == pytest.approx([e.se for e in here])


def test_three_seeds_gain_from_pooling_and_from_the_aa_arm():
    """The seeds' part rests on more than two degrees of freedom, and intervals are the narrower for it."""
    rng = np.random.default_rng(5)
    world = WORLDS["seeds loud"]
    wide = {"alone": [], "abilities": [], "both": []}
    for _ in range(30):
        main, aa = draw(rng, replace(world, abilities=(8, 8)), 3)
        for name, effects in (
            ("alone", [decide([c])[0] for c in main]), ("abilities", decide(main)[:-1]),
            ("both", decide(main, aa)[:-1]),
        ):  # fmt: skip
            wide[name] += [(e.high - e.low) / e.without for e in effects]
    alone, abilities, both = (np.mean(v) for v in wide.values())
    assert both < 0.9 * abilities < 0.9 * alone, (both, abilities, alone)


def test_a_shared_control_is_no_evidence_twice():
    """aa - without and with - without share a noisy control: the pooled noise must not take that for agreement."""
    rng = np.random.default_rng(6)
    se = []
    for _ in range(150):
        main, aa = draw(rng, replace(WORLDS["seeds loud"], abilities=(6, 6), lengths=0.0, items=(60, 60)), 3)
        se += [(decide(main, aa)[0].se / main[0].without.mean()) ** 2]
    assert np.mean(se) == pytest.approx(0.01**2 / 3 + (0.01**2 + 0.01**2 / 3) / 60, rel=0.15)


# Simulations: fast ones with room for their own noise, the thousand experiments as slow tests.


@pytest.mark.parametrize("world", ["as planned", "seeds loud", "judged scores"])
def test_false_claims_and_coverage(world):
    found = null(WORLDS[world], 80)
    assert found["false_anything"] <= 0.08 and 0.925 <= found["coverage"] <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "which"),
    [("as planned", "with"), ("two abilities", "with"), ("judged scores", "with"), ("seeds loud", "aa")],
)
def test_false_claims_over_1000_experiments(world, which):
    found = null(WORLDS[world], 1000, which=which)
    assert found["false_anything"] <= 0.064, found
    if which == "with":
        assert 0.93 <= found["coverage"] <= 0.972 and 0.93 <= found["coverage_macro"] <= 0.972, found


# Normal items, as the plan assumes: heavy tails make small standard errors frequent, and the power a few points higher.
POWERED = World(abilities=(5, 5), items=(40, 40), lengths=0.0, tails=1000)
PLANS = [
    (POWERED, (3,)),
    (POWERED, (3, 4, 5)),
    (replace(POWERED, abilities=(2, 2), items=(100, 100)), (3,)),
    (replace(POWERED, abilities=(12, 12)), (3, 4, 5)),
    (replace(POWERED, metric="judge", sd_item=0.2, sd_rest=0.2, sd_seed=0.01), (3,)),
]


def _planned(world, seeds):
    """What planned_mde says for this world's first ability."""
    sd = (world.sd_item**2 + world.sd_rest**2 / max(seeds)) ** 0.5
    items = {f"a{i}": world.items[0] for i in range(world.abilities[0])}
    looks = len(seeds)
    return planned_mde(items, max(seeds), look=looks, looks=looks, metric=world.metric, sd_item=sd,
        sd_seed=world.sd_seed)["a0"]  # fmt: skip


def test_power_is_about_what_was_planned():
    assert power(POWERED, 150, _planned(POWERED, (3,))) == pytest.approx(0.8, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "seeds"), PLANS)
def test_power_is_what_was_planned_over_1000_experiments(world, seeds):
    assert power(world, 1000, _planned(world, seeds), seeds) == pytest.approx(0.8, abs=0.03)


def test_a_plan_says_more_items_see_more():
    plan = planned_mde({"few": 10, "many": 100, "one": 1}, 3)
    assert set(plan) == {"few", "many", MACRO} and plan["few"] > 2 * plan["many"]
    assert planned_mde({"a": 38}, 30, metric="judge", sd_seed=0.0)["a"] == pytest.approx(0.11, abs=0.005)
    assert planned_mde({}) == {}
