"""The decontaminate step: rows that hold evaluation items go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.corpus.rows import Rows
from instdata.steps.base import Scope, Scores, Step, Verdicts, drop
from instdata.util.context import Context


class Decontaminate(Step):
    """Drop rows that hold what a model will be judged by ("contaminated"), with the matched text as evidence.

    A row goes if its prompt is a near copy of an item, if it contains a short item as a whole, or if it shares `ngram`
    consecutive words (characters, in scripts without spaces) with an item. N-grams in more than ten rows are boilerplate.
    """

    kind: ClassVar[str] = "decontaminate"
    scope: ClassVar[Scope] = "corpus"
    version: ClassVar[int] = 2

    against: list[str] = Field(
        min_length=1, description="Files, folders or globs of evaluation items, in any format that sources have."
    )
    ngram: int = Field(
        13,
        ge=2,
        le=100,
        description="Consecutive words, or characters in scripts without spaces, that may not be shared.",
    )
    threshold: float = Field(
        0.7, ge=0.3, le=1, description="Jaccard similarity from which two prompts are near copies."
    )

    def check(self, context: Context) -> list[str]:
        from instdata.steps.dedup.others import missing

        return missing(self.against, context, "against")

    def scoring(self, context: Context) -> dict[str, Any]:
        from instdata.steps.dedup.others import digests

        key = super().scoring(context)
        return {**key, "options": {**key["options"], "against": digests(self.against, context)}}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """`rule`, null where the row is clean; for decide `_evidence`."""
        from instdata.steps.dedup.leaks import Items
        from instdata.steps.dedup.others import read

        prompts, names = [], []
        for batch, where in read(self.against, rows.context):
            prompts.append(batch.prompt)
            names += where.to_pylist()
        prompts = pa.concat_arrays(prompts) if prompts else pa.array([], pa.string())
        items = Items(prompts, self.ngram, self.threshold)
        found = items.search((batch.prompt, batch.full) for batch in rows.batches())
        leaks = items.explain(found, items.counting(found), lambda at: rows.take(at).full)
        rule, evidence = np.full(len(rows), None, object), np.full(len(rows), None, object)
        for row, item, why, text, similarity in zip(*leaks):
            shown = {"rule": why, "item": names[item], "text": text}
            rule[row] = why
            evidence[row] = json.dumps(
                shown if np.isnan(similarity) else {**shown, "similarity": round(similarity, 4)}, ensure_ascii=False
            )
        return {"rule": pa.array(rule, pa.string()), "_evidence": pa.array(evidence, pa.string())}

    def decide(self, scores: Scores) -> Verdicts:
        rule = scores.column("rule").combine_chunks()
        verdicts = drop(pc.is_valid(rule), "contaminated")
        verdicts.evidence = scores.column("_evidence").combine_chunks()
        return verdicts
