"""Which rows go: the greedy pass over similar pairs, and its result as an object to question."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from instdata.util.errors import InputError


def greedy(
    order: np.ndarray,
    copy_of: np.ndarray,
    at: np.ndarray,
    earlier: np.ndarray,
    similarity: np.ndarray,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(kept row, similarity) of every row to drop at `threshold`; kept row is -1 where the row stays.

    In priority order a row goes if a *kept* row before it is similar enough, so A~B~C with A!~C keeps A and C. Of
    several kept rows the most similar is named, the earliest among equals. Row i's earlier similar rows are
    earlier[at[i]:at[i+1]] (negative ones belong to older releases: always kept); a copy shares the fate of what it
    copies.
    """
    from instdata.steps.dedup.greedy import greedy_pass

    target, value = np.full(len(copy_of), -1, np.int64), np.full(len(copy_of), np.nan)
    greedy_pass(order, copy_of, at, earlier, similarity, threshold, target, value)
    return target, value


KEPT = -1  # the target of a row that stays; rows of older releases are -2, -3, ...


@dataclass(frozen=True)
class Deduped:
    """The result of `dedup`: rows are positions in the texts given.

    `order` is the priority order of the rows compared, `copy_of` the row of which each is an exact copy (-1: none), and
    row i's similar rows before it in priority are earlier[at[i]:at[i+1]] with `similarity`, for similarities of `floor`
    and more.
    """

    threshold: float
    floor: float
    order: np.ndarray
    copy_of: np.ndarray
    at: np.ndarray
    earlier: np.ndarray
    similarity: np.ndarray

    @cached_property
    def _passed(self) -> tuple[np.ndarray, np.ndarray]:
        return greedy(self.order, self.copy_of, self.at, self.earlier, self.similarity, self.threshold)

    @cached_property
    def kept(self) -> np.ndarray:
        """Rows that stay, ascending (int64)."""
        return np.flatnonzero(self._passed[0] == KEPT)

    @cached_property
    def dropped(self) -> np.ndarray:
        """Rows that go, ascending (int64)."""
        return np.flatnonzero(self._passed[0] != KEPT)

    @cached_property
    def pairs(self) -> pa.Table:
        """dropped (int64), kept (int64), similarity (double): each dropped row and the kept row that it is near to."""
        target, value = self._passed
        return pa.table({"dropped": self.dropped, "kept": target[self.dropped], "similarity": value[self.dropped]})

    def rethreshold(self, threshold: float) -> Deduped:
        """The result at another threshold, from the pairs already found. Raises InputError below the floor searched."""
        if not self.floor <= threshold <= 1:
            raise InputError(
                f"dedup: pairs were searched from similarity {self.floor} to 1, so {threshold} needs a new search: "
                f"call dedup(texts, threshold={threshold})"
            )
        return Deduped(threshold, self.floor, self.order, self.copy_of, self.at, self.earlier, self.similarity)

    def least_similar_dropped(self, n: int = 10) -> pa.Table:
        """The n rows of `pairs` with the lowest similarity: where the threshold hurts."""
        return self.pairs.sort_by([("similarity", "ascending"), ("dropped", "ascending")]).slice(0, n)
