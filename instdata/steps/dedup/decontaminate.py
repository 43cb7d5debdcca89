"""The decontaminate step: rows that hold evaluation items go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.corpus.rows import TEXT, Rows
from instdata.steps.base import Scope, Scores, Step, Verdicts, drop
from instdata.util.build_context import Context

NGRAMS = {"ours": 13, "tulu3": 8, "gpt3": 13}
COVERED = 0.5  # of an item, by Tülu 3's rule


class Decontaminate(Step):
    """Drop rows that hold what a model will be judged by ("contaminated"), with the item and the matched text as
    evidence.

    A row goes if its prompt is a near copy of an item, if it shares `ngram` consecutive words with an item (characters,
    in scripts without spaces), or if it contains a shorter question as a whole. What more than ten rows or items hold
    is a template, and a question that says nothing of its own is a stem: those are evidence only where the item's
    answer or options come along.
    """

    kind: ClassVar[str] = "decontaminate"
    scope: ClassVar[Scope] = "corpus"
    version: ClassVar[int] = 4

    against: list[str] = Field(
        min_length=1,
        description="Files, folders or globs of evaluation items in any format, suites, and names of well-known ones "
        "(mmlu, ...).",
    )
    preset: Literal["ours", "tulu3", "gpt3"] = Field(
        "ours",
        description="tulu3: 8-grams that cover half of an item; gpt3: any 13-gram that is in no more than ten rows.",
    )
    ngram: Annotated[int, Field(ge=2, le=100)] | Literal["auto"] = Field(
        "auto",
        description="Consecutive words, or characters in scripts without spaces, that may not be shared. auto: the "
        "preset's.",
    )
    threshold: float = Field(
        0.7, ge=0.3, le=1, description="Jaccard similarity from which two prompts are near copies (preset ours)."
    )

    def resolve(self, context: Context) -> Decontaminate:
        return self.model_copy(update={"ngram": NGRAMS[self.preset] if self.ngram == "auto" else self.ngram})

    def check(self, context: Context) -> list[str]:
        from instdata.steps.dedup.outside_texts import missing

        return missing(self.against, context, "against")

    def scoring(self, context: Context) -> dict[str, Any]:
        from instdata.steps.dedup.outside_texts import digests

        key = super().scoring(context)
        return {**key, "options": {**key["options"], "against": digests(self.against, context)}}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """`rule`, null where the row is clean; for decide `_evidence`, and on the first row `_said`: what could not be
        compared."""
        from instdata.steps.dedup.eval_items import read_items

        items, lines = read_items(self.against, rows.context)
        rule, evidence = np.full(len(rows), None, object), np.full(len(rows), None, object)
        for row, item, why, text, similarity in zip(*self._leaks(rows, items)):
            shown = {"rule": why, "item": items[item].where, "text": text}
            rule[row] = why
            evidence[row] = json.dumps(
                shown if np.isnan(similarity) else {**shown, "similarity": round(similarity, 4)}, ensure_ascii=False
            )
        said = np.full(len(rows), None, object)
        said[:1] = "\n".join(lines) or None
        return {
            "rule": pa.array(rule, pa.string()),
            "_evidence": pa.array(evidence, pa.string()),
            "_said": pa.array(said, pa.string()),
        }

    def _leaks(self, rows: Rows, items: list) -> Any:
        from instdata.steps.dedup.leaks import Items, parts_of

        ngram = self.resolve(rows.context).ngram
        ours = self.preset == "ours"
        searched = Items(parts_of(items), int(ngram), self.threshold if ours else None, short=ours)
        found = searched.search(((_prompt(batch), batch.full) for batch in rows.batches(columns=TEXT)), len(rows))
        if self.preset == "tulu3":
            return searched.covered(found, COVERED, lambda at: rows.take(at, TEXT).full)
        along = searched.along(found) if ours else {}
        return searched.explain(found, searched.counting(found), lambda at: rows.take(at, TEXT).full, along)

    def decide(self, scores: Scores) -> Verdicts:
        rule = scores.column("rule").combine_chunks()
        verdicts = drop(pc.is_valid(rule), "contaminated")
        verdicts.evidence = scores.column("_evidence").combine_chunks()
        verdicts.warnings = [
            line for text in scores.column("_said").drop_null().to_pylist() for line in text.split("\n")
        ]
        return verdicts


def _prompt(rows: Rows) -> pa.Array:
    """What a row's prompt is compared by: all of it but the system turn, which an item does not have."""
    own = pc.binary_join_element_wise(rows.view("given"), rows.view("asked"), "\n")
    own = pc.utf8_ltrim(own, "\n")
    return pc.if_else(pc.is_valid(rows.view("system")), own, rows.prompt)
