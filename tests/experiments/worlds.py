"""Simulated worlds: runs of mixtures whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from instdata.grow.mixture_draws import dirichlet
from instdata.grow.mixture_law import MixtureRuns, best_mixture, fit_law, gain

ABILITIES, BUDGET = 5, 20_000
SLOPES = np.array([0.05, 0.03, 0.02, 0.01, 0.0])
Truth = Callable[[np.ndarray], np.ndarray]  # tokens [..., abilities] -> scores


def no_transfer(tokens: np.ndarray) -> np.ndarray:
    return 0.3 + SLOPES * np.log2(tokens)


def pure_transfer(tokens: np.ndarray) -> np.ndarray:
    return 0.3 + SLOPES * np.log2(tokens.sum(-1, keepdims=True))


def shared(tokens: np.ndarray) -> np.ndarray:
    """30 % of every other row's worth, 70 % is an ability's own alone."""
    return 0.3 + SLOPES * np.log2(tokens + 0.3 * (tokens.sum(-1, keepdims=True) - tokens))


def saturating(tokens: np.ndarray) -> np.ndarray:
    return 0.8 - 3 * SLOPES * (tokens / 2000) ** -0.7


WORLDS: dict[str, Truth] = {
    "no transfer": no_transfer, "pure transfer": pure_transfer, "30/70": shared, "saturating": saturating,
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What was said of one simulated study, and the truth. None where no mixture was proposed. form: what would have
    been said had the runs and items that judge no noise."""

    value: float | None
    low: float | None
    high: float | None
    true: float
    form: float | None = None


@lru_cache(None)
def shares_of(mixtures: int, seed: int) -> np.ndarray:
    """A design around the even mixture; the worlds share it."""
    return dirichlet(np.full(ABILITIES, 1 / ABILITIES), np.full(ABILITIES, 1.0), mixtures, seed)


def study(truth: Truth, seed: int, mixtures: int = 8, seeds: int = 2, items: int = 60, noise: float = 0.01,
          designs: int | None = None) -> Outcome:  # fmt: skip
    """Design, simulate, choose, and say what the choice is worth over the present (even) mixture. designs: how many
    designs are drawn from, which takes most of the time; every seed has its own by default."""
    rng = np.random.default_rng(seed)
    present = np.full(ABILITIES, BUDGET / ABILITIES)
    shares = shares_of(mixtures, seed if designs is None else seed % designs)
    which = np.repeat(np.arange(mixtures), seeds)
    tokens = shares[which] * BUDGET
    run_noise = rng.normal(0, noise, (len(which), 1)) * 0.5 + rng.normal(0, noise, (len(which), ABILITIES))
    means = truth(tokens) + run_noise
    values = [
        means[:, [a]] + rng.normal(0, 0.2, items) + rng.normal(0, 0.1, (len(which), items)) for a in range(ABILITIES)
    ]
    chooses = np.tile(np.arange(seeds) % 2 == 0, mixtures)
    runs = MixtureRuns(
        [f"a{i}" for i in range(ABILITIES)], tokens, which, chooses, values, [np.ones(items)] * ABILITIES
    )
    law = fit_law(runs.half(True))
    to = best_mixture(law, tokens.min(0), tokens.max(0), BUDGET, present / BUDGET)
    if to is None:
        return Outcome(None, None, None, 0.0)
    found = gain(runs.half(False), to, present)
    silent = replace(runs, values=[truth(tokens)[:, [a]] + np.zeros(items) for a in range(ABILITIES)])
    form = gain(silent.half(False), to, present).value
    return Outcome(found.value, found.low, found.high, float((truth(to) - truth(present)).mean()), form)
