"""The dedup step: near copies go, the best of each stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.steps.base import Scores, Verdicts
from instdata.steps.dedup.options import DedupOptions


class Dedup(DedupOptions):
    """Drop rows that are near copies of a kept row ("near_duplicate", "exact_duplicate").

    A row goes only if its true similarity to a row that stays is at least `threshold`, in what it asks as in what is
    given (system, earlier turns); that row and the similarity are the evidence. Texts that differ in a number, a
    negation, a language, a code token, or that have each a word of their own, are not copies, however long. Answered
    rows are kept before unanswered ones, then `keep` decides.
    """

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """`similarity`: to the most similar row before it in priority, null for none. For decide, `_rank` (priority),
        `_copy_of` (a row with the same text) and `_near` (rows before it at the floor or above). Rows of `across` are
        -2, -3, ..."""
        from instdata.steps.dedup.find import find

        return find(self.resolve(rows.context), rows, self._floor)

    def decide(self, scores: Scores) -> Verdicts:
        from instdata.steps.dedup.result import KEPT, greedy

        near = scores.column("_near").combine_chunks()
        struct = near.flatten()
        at = np.concatenate([[0], np.cumsum(np.asarray(pc.fill_null(pc.list_value_length(near), 0)))])
        pairs = np.asarray(struct.field("row")), np.asarray(struct.field("similarity"))
        rank = np.asarray(scores._rank)
        order = np.argsort(rank, kind="stable")[np.count_nonzero(rank < 0) :]
        target, value = greedy(order, np.asarray(scores._copy_of), at, *pairs, self._threshold)
        drops = target != KEPT
        reason = "exact_duplicate" if self.method == "exact" else "near_duplicate"
        older = scores.column("_older").combine_chunks().flatten().to_pylist() if self.across else []
        names = {entry["row"]: entry["where"] for entry in older}
        evidence = np.full(len(scores), None, object)
        for row in np.flatnonzero(drops):
            other = {"across": names[target[row]]} if target[row] < KEPT else {}
            evidence[row] = json.dumps({"similarity": round(float(value[row]), 4), **other}, ensure_ascii=False)
        reasons = pc.if_else(pa.array(drops), pa.scalar(reason), pa.scalar(None, pa.string()))
        return Verdicts(reasons, pa.array(evidence, pa.string()), np.where(target >= 0, target, -1))
