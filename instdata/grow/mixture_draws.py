"""Mixtures to train on: Dirichlet draws around the even one, within what there is, spread so that every slope can be
seen."""

from __future__ import annotations

import numpy as np

LEAST = 0.25  # of an ability's centre share: what every mixture has of it at least
CONCENTRATION = 1.5  # of the Dirichlet, an ability: the lower, the more mixtures differ
TRIED = 200  # designs, of which the one is taken whose least varied ability varies most


def dirichlet(centre: np.ndarray, most: np.ndarray, mixtures: int, seed: int) -> np.ndarray:
    """Shares [mixtures, abilities] whose rows sum to 1: the centre first, then draws around it, none over `most`
    [abilities], the largest share of a run that an ability has rows for. The same for the same seed."""
    rng, count = np.random.default_rng([seed, mixtures]), len(centre)
    best, found = -1.0, np.tile(centre, (mixtures, 1))
    for _ in range(TRIED):
        drawn = rng.dirichlet(CONCENTRATION * count * centre, mixtures - 1)
        design = np.vstack([centre, [bounded(d, LEAST * centre, most) for d in drawn]])
        x = np.log2(design)
        varied = float(((x - x.mean(0)) ** 2).sum(0).min())
        if varied > best:
            best, found = varied, design
    return found


def bounded(shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The shares within bounds, summing to 1: what is cut from some goes to the others in proportion to their room."""
    found = np.clip(shares, low, high)
    for _ in range(50):
        left = 1 - found.sum()
        if abs(left) < 1e-12:
            break
        room = (high - found) if left > 0 else (found - low)
        if room.sum() <= 1e-15:
            break
        found = np.clip(found + left * room / room.sum(), low, high)
    return found
