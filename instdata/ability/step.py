"""categorize: a label and a calibrated confidence for every row, learned from the rows that have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from instdata.errors import InputError
from instdata.record import UNKNOWN, Rows
from instdata.step import Context, Scope, Scores, Step, Threshold, Verdicts

if TYPE_CHECKING:
    from instdata.ability.linear import Linear

Method = Literal["auto", "learned"]


class TrainFile(BaseModel):
    """Labelled rows to learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | list[str] = Field(description="A file, folder or glob; relative to the recipe.")
    map: dict[str, str] = Field(
        {}, description="Our field: their column, e.g. {instruction: question, ability: class}."
    )


class Categorize(Step):
    """Give every row an ability of the taxonomy. A label that came with the row is kept."""

    kind: ClassVar[str] = "categorize"
    scope: ClassVar[Scope] = "corpus"
    reads_labels: ClassVar[bool] = True

    method: Method = Field("auto", description="learned: a linear model on n-grams and the task's form.")
    train: TrainFile | None = Field(None, description="Labelled rows to learn from, besides those of the sources.")
    min_confidence: float = Threshold(0.3, ge=0, le=1, description='Below this the label is "unknown".')
    override: bool = Threshold(False, description="Replace labels that came with the row, too.")

    def resolve(self, context: Context) -> Self:
        return self.model_copy(update={"method": "learned"}) if self.method == "auto" else self

    def check(self, context: Context) -> list[str]:
        from instdata.ability.examples import inputs

        try:
            inputs(self.train, context)
        except InputError as e:
            return [message for _, _, message in e.problems]
        return []

    def scoring(self, context: Context) -> dict[str, Any]:
        from instdata.ability.examples import inputs

        files = [[i.digest, i.format, i.fields] for i in inputs(self.train, context)]
        taxonomy = context.taxonomy.digest() if context.taxonomy else None
        return {**super().scoring(context), "files": files, "taxonomy": taxonomy}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """label and confidence of every row. A row that was learned from gets the label that a model without it gives,
        so that labels which came with rows can be compared with it."""
        from instdata.ability.examples import labelled
        from instdata.ability.linear import train

        examples = labelled(rows, self.train)
        model = train(examples.prompts, examples.responses, examples.labels, examples.classes)
        scores = model.scores(rows.prompt, rows.response)
        mine = examples.row >= 0
        scores[examples.row[mine]] = model.held_out[mine]
        rows.context.say(f"categorize: {examples.describe()}; {quality(model, examples.labels)}")
        return {
            "label": pa.array(examples.classes).take(pa.array(scores.argmax(1))),
            "confidence": np.round(model.confidence(scores), 4).astype(np.float32),
            "_given": known_labels(rows.ability),
        }

    def decide(self, scores: Scores) -> Verdicts:
        given, label, confidence = (scores.column(c).combine_chunks() for c in ("_given", "label", "confidence"))
        kept = pc.and_(pc.is_valid(given), not self.override)
        sure = pc.greater_equal(confidence, pa.scalar(self.min_confidence, pa.float32()))
        ability = pc.if_else(kept, given, pc.if_else(sure, label, UNKNOWN))
        return Verdicts(
            pa.nulls(len(scores), pa.string()),
            set={"ability": ability, "ability_confidence": pc.if_else(kept, pa.scalar(1.0, pa.float32()), confidence)},
        )


def known_labels(ability: pa.Array) -> pa.Array:
    """The labels, null in place of "unknown"."""
    return pc.if_else(pc.equal(ability, UNKNOWN), pa.scalar(None, pa.string()), ability)


def quality(model: Linear, labels: np.ndarray) -> str:
    """How good held-out predictions are, in words."""
    from instdata.ability.calibration import calibration_error

    right = model.held_out.argmax(1) == labels
    error, low, high = calibration_error(model.confidence(model.held_out), right)
    return f"held-out accuracy {right.mean():.2f}, calibration error {error:.3f} ({low:.3f} to {high:.3f})"
