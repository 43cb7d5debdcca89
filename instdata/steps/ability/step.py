"""categorize: a label and a calibrated confidence for every row, learned from the rows that have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.llm.budget import Price, Wait
from instdata.steps.ability.calibration import FEW, calibration_error, cutoffs, too_few
from instdata.steps.ability.examples import inputs, labelled
from instdata.steps.ability.views import known_labels, texts, was_generated
from instdata.steps.base import Scope, Scores, Step, Threshold, Verdicts
from instdata.util.context import Context
from instdata.util.errors import InputError

if TYPE_CHECKING:
    from instdata.steps.ability.embedding import Embedded
    from instdata.steps.ability.examples import Examples
    from instdata.steps.ability.linear import Linear

    Model = Linear | Embedded

WORDLLAMA = "wordllama"
EM_ROWS = 20_000  # from which the classes' shares are estimated
Method = Literal["auto", "rules", "learned", "embedding", "llm", "cascade"]


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
    version: ClassVar[int] = 3

    method: Method = Field(
        "auto",
        description="learned (auto): a linear model on n-grams and the task's form. rules: the taxonomy's own words. "
        "embedding: sentence embeddings. llm: a language model. cascade: learned, and the uncertain rows by the llm.",
    )
    train: TrainFile | None = Field(None, description="Labelled rows to learn from, besides those of the sources.")
    min_confidence: float = Threshold(0.5, ge=0, le=1, description='Below this the label is "unknown".')
    min_precision: float = Threshold(
        0.8,
        ge=0,
        le=1,
        description='An ability\'s least sure rows are "unknown" where its expected precision falls below.',
    )
    override: bool = Field(False, description="Replace labels that came with the row, too.")
    teacher: Literal["llm"] | None = Field(None, description="Label a sample by the llm; the method learns from it.")
    sample: int = Field(500, ge=1, description="Rows that the teacher labels.")
    ask_below: float = Field(0.5, ge=0, le=1, description="cascade: the confidence below which the llm is asked.")
    encoder: str = Field("wordllama", description="embedding: wordllama, or a sentence-transformers model.")
    model: str | None = Field("auto", description="llm and teacher: a model of the endpoint, or local:NAME.")
    base_url: str | None = Threshold(None, description="The endpoint's address; default: OPENAI_BASE_URL.")
    max_usd: float | None = Threshold(None, ge=0, description="Never spend more; exit code 4 when it is reached.")
    max_requests: int | None = Threshold(None, ge=0)
    max_tokens: int | None = Threshold(None, ge=0)
    price: Price | None = Threshold(None, description="USD per million tokens, where the built-in list is wrong.")
    concurrency: int | None = Threshold(None, ge=1, le=1024, description="Requests at once, at most.")
    timeout: float | None = Threshold(None, gt=0, description="Seconds that an answer may take at first.")
    params: dict[str, Any] | None = Field(None, description="Further parameters of the API, as they are.")
    max_wait: Wait | None = Threshold(
        None, description="What a server may ask us to wait; beyond it the run stops with exit code 4. Default: 10m."
    )

    @property
    def asks(self) -> bool:
        """Whether a language model is needed."""
        return self.teacher is not None or self.method in ("llm", "cascade")

    def resolve(self, context: Context) -> Self:
        update: dict[str, Any] = {"method": "learned"} if self.method == "auto" else {}
        if self.asks:
            from instdata.llm.endpoint import resolve_model

            update["model"] = resolve_model(self.model or "auto", self.base_url)
        else:
            update["model"] = None  # nobody is asked
        return self.model_copy(update=update)

    def check(self, context: Context) -> list[str]:

        package = {WORDLLAMA: WORDLLAMA}.get(self.encoder, "sentence_transformers")
        needed = [("openai", "generate")] * self.asks + [(package, "embed")] * (self.method == "embedding")
        problems = [
            f"needs {name}: pip install 'instdata[{extra}]'" for name, extra in needed if find_spec(name) is None
        ]
        if context.taxonomy is None and (self.asks or self.method == "rules"):
            problems.append("needs taxonomy: in the recipe")
        try:
            inputs(self.train, context)
        except InputError as e:
            problems += [message for _, _, message in e.problems]
        return problems

    def scoring(self, context: Context) -> dict[str, Any]:

        files = [[i.digest, i.format, i.fields] for i in inputs(self.train, context)]
        taxonomy = context.taxonomy.digest() if context.taxonomy else None
        seed = context.seed if self.teacher else None
        return {**super().scoring(context), "files": files, "taxonomy": taxonomy, "seed": seed}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """label and confidence of every row, and `given`, the label that it came with (null where none). A row that was
        learned from gets the label that a model without it gives, so that the two can be compared: ability/summary.py."""
        from instdata.steps.ability import llm

        context = rows.context or Context()
        examples = labelled(rows, self.train)
        if self.teacher:
            examples = llm.taught(self, rows, examples)
        names = context.taxonomy.names if context.taxonomy else examples.classes
        given = pa.chunked_array([known_labels(b.ability) for b in rows.batches()], pa.string()).combine_chunks()
        best, confidence = np.full(len(rows), len(names)), np.zeros(len(rows))  # unknown, until somebody says
        if self.method != "llm":
            model = fit(self, context, examples)
            best, confidence = label(model, examples, rows)
            best = np.array([names.index(c) for c in model.classes])[best]
            context.say(f"{self.name or self.kind}: {examples.describe()}; {quality(model, examples)}")
        if self.method in ("llm", "cascade"):
            ask = np.asarray(given.is_null()) | self.override  # nothing is paid for a label that is there
            ask &= (confidence < self.ask_below) | (self.method == "llm")
            at = np.flatnonzero(ask)
            found, sure = llm.label_rows(self, context, rows.prompt.take(pa.array(at)), examples)
            best[at[found >= 0]], confidence[at[found >= 0]] = found[found >= 0], sure[found >= 0]
        return {
            "label": pa.array([*names, UNKNOWN]).take(pa.array(best)),
            # Rounded: the last digits of a matrix inverse depend on the number of threads.
            "confidence": np.round(confidence, 4).astype(np.float32),
            "given": given,
            "_asked_for": pa.chunked_array([was_generated(b.meta) for b in rows.batches()], pa.bool_()),
        }

    def decide(self, scores: Scores) -> Verdicts:
        """Labels below `min_confidence`, or among the least sure that would bring their ability's expected precision below
        `min_precision`, become "unknown".

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
        """What the language model would be asked and cost: the teacher its sample, `llm` every row without a label of its
        own, `cascade` those of which a model learned from these rows is not sure. None where nobody is asked."""
        if not self.asks:
            return None
        from instdata.llm.ask import Options, estimate
        from instdata.steps.ability import llm

        context = rows.context or Context()
        free = np.flatnonzero(np.asarray(known_labels(rows.ability).is_null()) | self.override)
        if self.method == "cascade" and len(free):
            examples = labelled(rows, self.train)
            free = free[label(fit(self, context, examples), examples, rows)[1][free] < self.ask_below]
        sample = [llm.request(context.taxonomy, p) for p in rows.prompt.take(pa.array(free[:200])).to_pylist()]
        every_row = self.method in ("llm", "cascade")
        total = len(free) if every_row else min(self.sample, len(free))
        return {"rows": 0, **estimate(Options.of(self), sample, total), "every_row": every_row}


def label(model: Model, examples: Examples, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(class number, confidence) of every row: texts are read a batch at a time. The calibration is moved to the shares that
    the classes have among the rows. A row that was learned from is judged by a model without it."""
    scores = np.concatenate(
        [
            np.empty((0, len(model.classes)), np.float32),
            *(model.scores(*texts(b)).astype(np.float32) for b in rows.batches()),
        ]
    )
    mine = examples.row >= 0
    scores[examples.row[mine]] = model.held_out[mine]
    curve = model.calibration
    if not mine.any():  # the examples are of other authors than the rows
        known = rows.context.taxonomy.read if rows.context and rows.context.taxonomy else {}
        curve = replace(curve, curve=np.array([known.get(c, own) for c, own in zip(model.classes, curve.curve)]))
    curve = curve.at_hand(scores[:: -(-len(scores) // EM_ROWS) or 1])
    parts = [curve.best(scores[i : i + EM_ROWS]) for i in range(0, len(scores), EM_ROWS)]
    return (
        np.concatenate([np.empty(0, np.int64), *(b for b, _ in parts)]),
        np.concatenate([np.empty(0), *(c for _, c in parts)]),
    )


def fit(step: Categorize, context: Context, examples: Examples) -> Model:
    """The model that a method makes of the examples."""
    if step.method == "rules":
        from instdata.steps.ability.rules import from_words

        return from_words(context.taxonomy, examples)
    if step.method == "embedding":
        from instdata.steps.ability.embedding import train as train_embedding

        return train_embedding(examples, step.encoder)
    from instdata.steps.ability.linear import train

    return train(examples.prompts, examples.responses, examples.labels, examples.classes)


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
