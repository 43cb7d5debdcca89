"""Looks, remembered: coming back for more seeds does not raise the error."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instdata.compare.paired_comparison import Matched, decide
from instdata.compare.sequential_looks import Looks, one_look, read_looks, write_looks
from instdata.score.metric import metric_of
from instdata.util.errors import InputError
from instdata.util.stats import spending_levels


def made(looks: Looks, *seeds: int) -> Looks:
    for look in looks.looks:
        looks = looks.after(look) if look.seeds in seeds else looks
    return looks


def test_a_plan_is_the_same_however_often_it_is_asked():
    first = Looks().planned(3, 5)
    assert [k.seeds for k in first.looks] == [3, 4, 5]
    assert first.planned(3, 5) == first and made(first, 3).planned(3, 5) == made(first, 3)
    assert [k.seeds for k in made(first, 3, 4, 5).due(3, 5)] == [3, 4, 5]


def test_more_seeds_keep_what_was_looked_at_and_spend_what_is_left():
    first = made(Looks().planned(3, 5), 3, 4, 5)
    more = first.planned(3, 8)
    assert more.looks[:3] == first.looks and [k.seeds for k in more.looks] == [3, 4, 5, 6, 7, 8]
    assert more.plans == 2 and all(0 < k.level < 0.05 for k in more.looks)
    assert [k.seeds for k in first.planned(6, 8).due(6, 8)] == [6, 7, 8]


def test_looks_that_were_planned_and_not_made_cost_nothing():
    once = made(Looks().planned(3, 5), 3)
    more = once.planned(3, 4).planned(6, 6)
    assert [k.seeds for k in more.looks] == [3, 6] or [k.seeds for k in more.looks] == [3, 4, 5, 6]


def test_fewer_seeds_than_were_looked_at_show_the_last_look():
    done = made(Looks().planned(5, 5), 5)
    assert [k.seeds for k in done.planned(3, 3).due(3, 3)] == [5]


def test_a_leaderboard_that_is_run_again_with_more_seeds_spends_what_is_left(tmp_path):
    first = one_look(tmp_path, ["pool", "longest"], 5)
    assert one_look(tmp_path, ["pool", "longest"], 5) == first
    assert first.level == pytest.approx(0.04) and first.same == pytest.approx(0.04)
    more = one_look(tmp_path, ["pool", "longest"], 8)
    assert more.seeds == 8 and more.level < 0.05 and read_looks(tmp_path, "none") == Looks()
    assert one_look(tmp_path, ["pool", "longest"], 5) == first  # what was looked at stays as it was
    assert one_look(tmp_path, ["pool", "rds"], 5) == first  # another question
    pair = Matched(np.zeros((3, 20)), np.random.default_rng(1).normal(0.4, 1, (3, 20)), np.ones(20))
    (plain,), (looked,) = (decide([pair], [(metric_of("bits"), None)], look) for look in (None, first))
    assert looked.p_holm == pytest.approx(min(1, plain.p_holm * 0.05 / 0.04)) and looked.mde > plain.mde


def test_one_seed_is_refused():
    with pytest.raises(InputError, match="--seeds 3"):
        Looks().planned(1, 3)


def test_what_a_folder_remembers_comes_back_and_a_broken_memory_is_refused(tmp_path):
    looks = made(Looks().planned(2, 3), 2)
    write_looks(tmp_path, "q", looks)
    assert read_looks(tmp_path, "q") == looks and read_looks(tmp_path, "other") == Looks()
    (tmp_path / "looks.json").write_text(json.dumps({"q": {"looks": 3}}))
    with pytest.raises(InputError, match="remembers which looks were made"):
        read_looks(tmp_path, "q")


def test_levels_of_no_past_are_the_classic_ones():
    assert spending_levels((0.6, 0.8, 1.0)) == pytest.approx((0.0076, 0.0221, 0.0423), abs=1e-4)


@pytest.mark.parametrize("plans", [[(3, 5)], [(3, 5), (6, 8)], [(2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]])
def test_all_looks_together_err_at_most_five_times_in_a_hundred(plans):
    """A null world, a normal test statistic whose information is counted in seeds: 40,000 walks, every look of every
    plan."""
    looks = Looks()
    for seeds, most in plans:
        looks = looks.planned(seeds, most)
        looks = made(looks, *range(seeds, most + 1))
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((40_000, looks.looks[-1].seeds)).cumsum(1)
    from scipy.special import ndtri

    wrong = np.zeros(len(steps), bool)
    for look in looks.looks:
        wrong |= abs(steps[:, look.seeds - 1]) / np.sqrt(look.seeds) > -ndtri(look.level / 2)
    assert wrong.mean() <= 0.052
    naive = (abs(steps[:, 2:]) / np.sqrt(np.arange(3, steps.shape[1] + 1)) > 1.96).any(1)
    assert naive.mean() > wrong.mean() if len(plans) > 1 else True
