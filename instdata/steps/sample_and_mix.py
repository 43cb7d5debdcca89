"""The steps that draw rows: sample (a number or share of all) and mix (by weights of sources, languages, abilities)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from instdata.corpus.ladder import priority
from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.base import Scope, Scores, Step, Threshold, Verdicts, drop
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import Count, Share


class _Chosen(Step):
    """Steps that choose by a pseudo-random priority of (seed, step, id)."""

    scope: ClassVar[Scope] = "corpus"

    def scoring(self, context: Context) -> dict[str, Any]:
        return {**super().scoring(context), "seed": context.seed, "name": self.name}

    def _priority(self, rows: Rows) -> np.ndarray:
        # A permutation rank: smaller comes first; equal ids in their order.
        order = np.argsort(priority(rows.id, rows.context.seed, self.name), kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank


class Sample(_Chosen):
    """Keep a random sample: a number of rows or a share."""

    kind: ClassVar[str] = "sample"

    rows: Count | None = Threshold(None, ge=1, description="How many rows to keep.")
    share: Share | None = Threshold(None, description="Which share to keep: 10% or 0.1.")

    @model_validator(mode="after")
    def _one(self) -> Sample:
        if (self.rows is None) == (self.share is None):
            raise ValueError("give either rows: or share:")
        return self

    def score(self, rows: Rows) -> Mapping[str, Any]:
        return {"_rank": self._priority(rows)}

    def decide(self, scores: Scores) -> Verdicts:
        n = self.rows if self.rows is not None else int(len(scores) * (self.share or 0) + 0.5)
        return drop(scores._rank >= n, "not_sampled", _places(scores._rank, n))


def _places(rank: np.ndarray, kept: int) -> pa.Array:
    """The evidence of rows that a draw left out: their place in it, and how many it took."""
    place = pc.cast(pa.array(rank + 1), pa.string())
    told = pc.binary_join_element_wise('{"place": ', place, f', "kept": {kept}}}', "")
    return pc.if_else(pa.array(rank >= kept), told, None)


class Mix(_Chosen):
    """Keep as many rows as possible so that sources (or origins, languages, abilities) have the given weights."""

    kind: ClassVar[str] = "mix"
    reads_labels: ClassVar[bool] = True

    by: str = Field("source", pattern="^(source|origin|lang|ability)$", description="source, origin, lang or ability.")
    weights: dict[str, float] = Threshold(..., description="Relative weights; a value that is not named is left out.")

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or any(not 0 <= w < float("inf") for w in value.values()) or not sum(value.values()):
            raise ValueError("weights are numbers of at least 0, one of them more")
        return value

    def score(self, rows: Rows) -> Mapping[str, Any]:
        return {"_rank": self._priority(rows), "_value": pa.array(pc.fill_null(getattr(rows, self.by), UNKNOWN))}

    def decide(self, scores: Scores) -> Verdicts:
        values = pc.dictionary_encode(scores.column("_value")).combine_chunks()
        words, codes = values.dictionary.to_pylist(), np.asarray(values.indices)
        counts = np.bincount(codes, minlength=len(words))
        missing = [v for v, w in self.weights.items() if w and v not in words]
        if missing:
            raise InputError(
                f'step {self.name}: no row has {self.by} "{missing[0]}"; there are {", ".join(map(str, words))}'
            )
        total = min(int(counts[words.index(v)] / w) for v, w in self._shares().items() if w)
        dropped = np.ones(len(codes), bool)
        for code, word in enumerate(words):
            mine = np.flatnonzero(codes == code)
            take = int(total * self._shares().get(word, 0) + 1e-9)
            dropped[mine[np.argsort(scores._rank[mine])[:take]]] = False
        facts = {w: json.dumps({self.by: w, "rows": int(n), "kept": int(k)}, ensure_ascii=False)
                 for w, n, k in zip(words, counts, np.bincount(codes[~dropped], minlength=len(words)))}  # fmt: skip
        told = pa.array([facts[w] for w in words], pa.string()).take(pa.array(codes))
        return drop(dropped, "over_share", pc.if_else(pa.array(dropped), told, None))

    def _shares(self) -> dict[str, float]:
        whole = sum(self.weights.values())
        return {v: w / whole for v, w in self.weights.items()}
