"""What is known of each row while a corpus is built, and what a step did in rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class State:
    """One entry a row; `names` spells the codes."""

    step: np.ndarray  # int16: the step that dropped or quarantined the row, -1 while it is alive
    reason: np.ndarray  # int16: code in `reasons`
    quarantined: np.ndarray  # bool
    config: np.ndarray  # int8: TRAIN or HOLDOUT
    ability: np.ndarray  # int32: code in `abilities`
    confidence: np.ndarray  # float32: 1 for a label that came with the row, NaN where nobody said
    shown: np.ndarray  # bool: a generation prompt may have shown it
    pinned: np.ndarray  # bool: a person keeps it, whatever later steps say

    @classmethod
    def fresh(cls, ability: np.ndarray) -> State:
        n = len(ability)
        return cls(
            np.full(n, -1, np.int16), np.full(n, -1, np.int16), np.zeros(n, bool), np.zeros(n, np.int8),
            ability, np.full(n, np.nan, np.float32), np.zeros(n, bool),
            np.zeros(n, bool),
        )  # fmt: skip

    def __add__(self, more: State) -> State:
        return State(*(np.concatenate([getattr(self, f), getattr(more, f)]) for f in self.__dataclass_fields__))

    def copy(self) -> State:
        return State(*(getattr(self, f).copy() for f in self.__dataclass_fields__))


@dataclass(frozen=True)
class Tally:
    """What a step did, in rows: before + added = kept + dropped + quarantined."""

    name: str
    kind: str
    before: int
    added: int
    kept: int
    dropped: int
    quarantined: int
    reasons: dict[str, int]

    def manifest(self) -> dict[str, Any]:
        return {
            "name": self.name, "kind": self.kind, "in": self.before, "added": self.added, "kept": self.kept,
            "dropped": self.dropped, "quarantined": self.quarantined, "reasons": self.reasons,
        }  # fmt: skip
