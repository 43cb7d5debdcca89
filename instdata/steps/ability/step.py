"""categorize: a label and a calibrated confidence for every row, learned from the rows that have one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.ability.calibration import FEW, calibration_error, cutoffs, too_few
from instdata.steps.ability.label_inputs import known_labels, texts, was_generated
from instdata.steps.ability.options import CategorizeOptions
from instdata.steps.ability.training_examples import labelled
from instdata.steps.base import MISSING, Scores, Verdicts
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.ability.embedding import Embedded
    from instdata.steps.ability.linear import Linear
    from instdata.steps.ability.training_examples import Examples

    Model = Linear | Embedded

EM_ROWS = 20_000  # from which the classes' shares are estimated
NONE = 2.0  # how much more frequent rows of no ability are taken to be among the rows than among the examples


class Categorize(CategorizeOptions):
    """Give every row an ability of the taxonomy. A label that came with the row is kept."""

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """label and confidence of every row, and `given`, the label that it came with (null where none); `_missing`:
        why a language model that was asked gave none. A row that was learned from gets the label that a model without
        it gives, so that the two can be compared: confusion.py."""
        from instdata.steps.ability import llm

        context = rows.context
        examples = labelled(rows, self.train, none=self.method in ("auto", "learned", "embedding") and not self.teacher)
        missing = np.full(len(rows), None, object)
        if self.teacher:
            examples, missing = llm.taught(self, rows, examples)
        names = context.taxonomy.names if context.taxonomy else [c for c in examples.classes if c != UNKNOWN]
        given = known_labels(rows.ability)
        best, confidence = np.full(len(rows), len(names)), np.zeros(len(rows))  # unknown, until somebody says
        if self.method != "llm":
            model = fit(self, context, examples)
            best, confidence = label(model, examples, rows, key(self, examples, context))
            best = np.array([[*names, UNKNOWN].index(c) for c in model.classes])[best]
            context.say(f"{self.name or self.kind}: {examples.describe()}; {quality(model, examples)}")
        if self.method in ("llm", "cascade"):
            ask = np.asarray(given.is_null()) | self.override  # nothing is paid for a label that is there
            ask &= (confidence < self.ask_below) | (self.method == "llm")
            at = np.flatnonzero(ask)
            found, sure, missing[at] = llm.label_rows(self, context, rows.prompt.take(pa.array(at)), examples)
            best[at[found >= 0]], confidence[at[found >= 0]] = found[found >= 0], sure[found >= 0]
        return {
            "label": pa.array([*names, UNKNOWN]).take(pa.array(best)),
            # Rounded: the last digits of a matrix inverse depend on the number of threads.
            "confidence": np.round(confidence, 4).astype(np.float32),
            "given": given,
            **({MISSING: pa.array(missing, pa.string())} if self.asks else {}),
            "_asked_for": pa.chunked_array([was_generated(b.meta) for b in rows.batches(columns=["meta"])], pa.bool_()),
        }

    def decide(self, scores: Scores) -> Verdicts:
        """Labels below `min_confidence`, or among the least sure that would bring their ability's expected precision
        below `min_precision`, become "unknown".

        A row's own label is kept, with confidence 1 where somebody gave it. What a generator was merely asked for is
        kept too, but is as likely right as the model finds it: p where both agree, 1 - p where they do not, null where
        the model said nothing."""
        given, label, confidence = (scores.column(c).combine_chunks() for c in ("given", "label", "confidence"))
        kept = pc.and_(pc.is_valid(given), not self.override)
        codes = label.dictionary_encode()
        free = np.asarray(pc.invert(kept))
        number, value = np.asarray(codes.indices), np.asarray(confidence)
        bar = cutoffs(number[free], value[free], len(codes.dictionary), self.min_precision)
        sure = pa.array(value >= np.maximum(bar[number] - 1e-9, self.min_confidence))
        one, silent = pa.scalar(1.0, pa.float32()), pa.scalar(None, pa.float32())
        checked = pc.if_else(pc.equal(label, given), confidence, pc.subtract(one, confidence))
        checked = pc.if_else(pc.equal(label, UNKNOWN), silent, checked)
        own = pc.if_else(scores.column("_asked_for").combine_chunks(), checked, one)
        return Verdicts(
            pa.nulls(len(scores), pa.string()),
            set={
                "ability": pc.if_else(kept, given, pc.if_else(sure, label, UNKNOWN)),
                "ability_confidence": pc.if_else(kept, own, confidence),
            },
        )

    def estimate(self, rows: Rows) -> dict[str, Any] | None:
        """What the language model would be asked and cost: the teacher its sample, `llm` every row without a label of
        its own, `cascade` those of which a model learned from these rows is not sure. None where nobody is asked."""
        if not self.asks:
            return None
        from instdata.llm.structured_asks import Options, estimate
        from instdata.steps.ability import llm

        context = rows.context
        free = np.flatnonzero(np.asarray(known_labels(rows.ability).is_null()) | self.override)
        if self.method == "cascade" and len(free):
            examples = labelled(rows, self.train)
            free = free[
                label(fit(self, context, examples), examples, rows, key(self, examples, context))[1][free]
                < self.ask_below
            ]
        sample = [llm.request(context.taxonomy, p) for p in rows.prompt.take(pa.array(free[:200])).to_pylist()]
        every_row = self.method in ("llm", "cascade")
        total = len(free) if every_row else min(self.sample, len(free))
        return {"rows": 0, **estimate(Options.of(self), sample, total), "every_row": every_row}


def key(step: Categorize, examples: Examples, context: Context | None = None) -> str:
    """Names the model that a step makes of examples, and of the taxonomy's words or an encoder's weights where the
    method goes by those: rows that it has scored are not scored by it again."""
    shown = [examples.prompts.to_pylist(), examples.responses.to_pylist(), examples.labels.tolist(), examples.classes]
    other: list[Any] = []
    if step.method == "rules" and context and context.taxonomy:
        other = [context.taxonomy.digest()]
    if step.method == "embedding" and context:
        from instdata.steps.dedup.embeddings import identity, located

        other = [identity(located(step.encoder, context.base))]
    told = json.dumps([step.kind, step.version, step.method, step.encoder, *shown, *other])
    return hashlib.sha256(told.encode()).hexdigest()


def label(model: Model, examples: Examples, rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """(class number, confidence) of every row: texts are read a batch at a time, those that the model of this key has
    scored not again. The calibration is moved to the shares that the classes have among the rows. A row that was
    learned from is judged by a model without it."""
    width = len(model.classes)

    parts = [c for table in rows.scored(key, partial(_scores, model)) for c in table["scores"].chunks]
    scores = np.concatenate(
        [np.empty((0, width), np.float32), *(np.asarray(c.flatten()).reshape(-1, width) for c in parts)]
    )
    mine = examples.row >= 0
    scores[examples.row[mine]] = model.held_out[mine]
    curve = model.calibration
    if not mine.any():  # the examples are of other authors than the rows
        known = rows.context.taxonomy.read if rows.context.taxonomy else {}
        curve = replace(curve, curve=np.array([known.get(c, own) for c, own in zip(model.classes, curve.curve)]))
    curve = curve.at_hand(scores[:: -(-len(scores) // EM_ROWS) or 1])
    # What belongs nowhere is no class of one kind: its share would be estimated as nothing.
    if (none := np.array(model.classes) == UNKNOWN).any():
        curve = replace(curve, shift=np.where(none, NONE, curve.shift))
    parts = [curve.best(scores[i : i + EM_ROWS]) for i in range(0, len(scores), EM_ROWS)]
    return (
        np.concatenate([np.empty(0, np.int64), *(b for b, _ in parts)]),
        np.concatenate([np.empty(0), *(c for _, c in parts)]),
    )


def _scores(model: Model, batch: Rows) -> dict[str, Any]:
    """What the model says of a batch: scores, a list of one float32 a class for each row."""
    found = model.scores(*texts(batch)).astype(np.float32)
    return {"scores": pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), len(model.classes))}


def fit(step: Categorize, context: Context, examples: Examples) -> Model:
    """The model that a method makes of the examples."""
    if step.method == "rules":
        from instdata.steps.ability.rules import from_words

        return from_words(context.taxonomy, examples)
    if step.method == "embedding":
        from instdata.steps.ability.embedding import train as train_embedding
        from instdata.steps.dedup.embeddings import located

        return train_embedding(examples, located(step.encoder, context.base))
    from instdata.steps.ability.kept_model import kept
    from instdata.steps.ability.linear import train

    def learn() -> Linear:
        return train(examples.prompts, examples.responses, examples.labels, examples.classes)

    return kept(key(step, examples, context), examples, learn, context.fresh)


def quality(model: Model, examples: Examples) -> str:
    """How good held-out predictions are, in words."""
    best, confidence = model.calibration.best(model.held_out)
    right = np.array(model.classes)[best] == np.array(examples.classes)[examples.labels]
    found = calibration_error(confidence, right)
    if found is None:
        said = f"{len(right)} examples are too few to say how often a label is right"
    else:
        said = (
            f"held-out accuracy {right.mean():.2f}, calibration error {found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})"
        )
    if few := too_few(examples.labels, examples.classes):
        said += f"; fewer than {FEW} examples, so never sure: {', '.join(few)}"
    if examples.taught.any():
        said += f", agreement with the teacher {right[examples.taught].mean():.2f}"
    return said
