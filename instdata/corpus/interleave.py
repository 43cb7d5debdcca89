"""Taking turns fairly: Tijdeman's algorithm for the chairman assignment problem (Discrete Mathematics 32, 1980)."""

from __future__ import annotations

from typing import Any

import numpy as np

from instdata.util.errors import InputError
from instdata.util.kernels import jit


def chairman(counts: np.ndarray) -> np.ndarray:
    """Whose turn it is, for each of sum(counts) turns: for every prefix of length t and stratum i, the number of turns
    of i differs from t * counts[i] / sum(counts) by less than one. int64 counts in, int32 strata out; ties go to the
    lower stratum. Exact in integers while sum * sum * 2 * strata < 2**63."""
    if len(counts) < 2:
        return np.zeros(int(counts.sum()), np.int32)
    if int(counts.sum()) ** 2 * 2 * len(counts) >= 2**63:
        raise InputError(
            f"{int(counts.sum()):,} rows of {len(counts):,} abilities are more than a ladder can order exactly"
        )
    return _turns(counts, int(counts.sum()))


@jit
def _turns(counts: Any, total: int) -> Any:
    # Shares are counts/total; everything below is multiplied by total * slack, so that it stays in integers.
    strata = len(counts)
    slack = 2 * strata - 2
    out = np.empty(total, np.int32)
    taken = np.zeros(strata, np.int64)
    for turn in range(1, total + 1):
        best = -1
        best_time = 0
        for i in range(strata):
            behind = slack * (counts[i] * turn - total * taken[i])  # how far stratum i lags its share
            if counts[i] == 0 or behind < total:
                continue
            # Of those that may take the turn, the one whose next turn is due first: time[i] / counts[i].
            time = total * (slack - 1) - behind
            if best < 0 or time * counts[best] < best_time * counts[i]:
                best, best_time = i, time
        out[turn - 1] = best
        taken[best] += 1
    return out
