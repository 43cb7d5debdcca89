"""review: what people said of rows (`instdata review`), as scores and decisions: fail drops, pass keeps, a new label, a
new answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from instdata.corpus.rows import Rows
from instdata.steps.base import Scope, Scores, Step, Verdicts
from instdata.steps.overrides import decided, decisions, where
from instdata.steps.overrides_file import Line
from instdata.steps.reviews_file import Settled, agreed, read_reviews, settle
from instdata.util.atomic import digest
from instdata.util.build_context import Context
from instdata.util.errors import InputError


class Review(Step):
    """Apply a file of reviews. A row that most reviewers fail is dropped, or gets the answer that one of them wrote;
    one that they pass is dropped by no later step; a label that they agree on replaces the row's. What is disputed or
    unsure, and what was said of another text, changes nothing."""

    kind: ClassVar[str] = "review"
    scope: ClassVar[Scope] = "corpus"
    rewrites: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "path"

    path: str = Field(description="The reviews.jsonl of a build, or a copy; relative to the recipe.")

    def check(self, context: Context) -> list[str]:
        """A missing file, and every line that cannot be read."""
        file = context.base / self.path
        if not file.is_file():
            return [f"{file}: no such file. `instdata review BUILD --as NAME` writes one into the build's folder"]
        try:
            labels = {(o.at, o.label) for o in read_reviews(file) if o.label}
        except InputError as e:
            return [f"{name}:{line}: {message}" if line else message for name, line, message in e.problems]
        known = None if context.taxonomy is None else set(context.taxonomy.names)
        return [
            f'{file}:{at}: label "{x}" is not in the taxonomy' for at, x in sorted(labels) if known and x not in known
        ]

    def scoring(self, context: Context) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version, "lines": digest(context.base / self.path)}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """verdict, reviewers, disputed (0 or 1), reasons: null where nobody looked at the row; and what `decisions`
        gives."""
        found = settle(read_reviews(rows.context.base / self.path))
        here = _here(rows, found)
        n = len(found) - len(here)
        if n:
            rows.context.say(
                f"{self.name}: reviews of {n} of {len(found)} rows are of another text, or of rows that are not "
                f"here; they are left out"
            )
        places: list[Settled | None] = [None] * len(rows)
        for at, said in here.items():
            places[at] = said
        lines = [(at, line) for at, said in sorted(here.items()) for line in _lines(said)]
        words = [
            None if s is None else ",".join(dict.fromkeys(r for o in s.decided for r in o.reasons)) for s in places
        ]
        return {
            "verdict": pa.array([s and s.verdict for s in places], pa.string()),
            "reviewers": pa.array([s and len(s.opinions) for s in places], pa.int64()),
            "disputed": pa.array([None if s is None else int(s.disputed) for s in places], pa.int64()),
            "reasons": pa.array([w or None for w in words], pa.string()),
            **decisions(rows, lines),
        }

    def decide(self, scores: Scores) -> Verdicts:
        return decided(scores, "review")


def _here(rows: Rows, found: dict[str, Settled]) -> dict[int, Settled]:
    """What was said of the rows here, by position: of the text that they have now, or had when they came."""
    places = where(rows.rid, list(found))
    at = np.array([row for rid in found for row in places.get(rid, [])], np.int64)
    olds = [c for name, c in rows.scores.items() if name.endswith("_derived_from")]
    known = zip(*(c.take(pa.array(at)).to_pylist() for c in (rows.rid, rows.id, *olds)))
    out = {}
    for row, (rid, *ids) in zip(at.tolist(), known):
        said = found[rid]
        texts = {said.id, *(o.was for o in said.opinions if o.was)}
        if texts & {i for i in ids if i}:
            out[row] = said
    return out


def _lines(said: Settled) -> list[Line]:
    """The decisions that reviews of a row come to."""
    if said.disputed:
        return []
    last = max((*said.decided, *said.opinions), key=lambda o: o.at)

    def line(action: str, value: Any = None, why: str | None = None) -> Line:
        return Line(
            last.at, action, said.id, said.rid, value, ", ".join(dict.fromkeys(o.who for o in said.decided)), why
        )

    lines = []
    why = ", ".join(dict.fromkeys(r for o in said.decided for r in o.reasons)) or None
    edits = [o for o in sorted(said.decided, key=lambda o: o.at) if o.value is not None]
    if said.verdict == "pass":
        lines.append(line("keep"))
    elif said.verdict == "fail":
        lines.append(line("edit", edits[-1].value, why) if edits else line("drop", None, why))
    label = agreed(o.label for o in said.decided if o.mislabelled)
    if said.mislabelled and label:
        lines.append(line("relabel", label))
    return lines
