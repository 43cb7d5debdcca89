"""categorize: a label and a calibrated confidence for every row, learned from the rows that have one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.llm.budget import Price, Wait
from instdata.steps.base import Scope, Scores, Step, Threshold, Verdicts
from instdata.util.context import Context
from instdata.util.errors import InputError

if TYPE_CHECKING:
    from instdata.steps.ability.embedding import Embedded
    from instdata.steps.ability.examples import Examples
    from instdata.steps.ability.linear import Linear

    Model = Linear | Embedded

WORDLLAMA = "wordllama"
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
    version: ClassVar[int] = 2

    method: Method = Field(
        "auto",
        description="learned (auto): a linear model on n-grams and the task's form. rules: the taxonomy's own words. "
        "embedding: sentence embeddings. llm: a language model. cascade: learned, and the uncertain rows by the llm.",
    )
    train: TrainFile | None = Field(None, description="Labelled rows to learn from, besides those of the sources.")
    min_confidence: float = Threshold(0.3, ge=0, le=1, description='Below this the label is "unknown".')
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
        from instdata.steps.ability.examples import inputs

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
        from instdata.steps.ability.examples import inputs

        files = [[i.digest, i.format, i.fields] for i in inputs(self.train, context)]
        taxonomy = context.taxonomy.digest() if context.taxonomy else None
        seed = context.seed if self.teacher else None
        return {**super().scoring(context), "files": files, "taxonomy": taxonomy, "seed": seed}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """label and confidence of every row, and `given`, the label that it came with (null where none). A row that was
        learned from gets the label that a model without it gives, so that the two can be compared: ability/summary.py."""
        from instdata.steps.ability import llm
        from instdata.steps.ability.examples import labelled, was_generated

        context = rows.context or Context()
        examples = labelled(rows, self.train)
        if self.teacher:
            examples = llm.taught(self, rows, examples)
        names = context.taxonomy.names if context.taxonomy else examples.classes
        given = known_labels(rows.ability)
        best, confidence = np.full(len(rows), len(names)), np.zeros(len(rows))  # unknown, until somebody says
        if self.method != "llm":
            model = fit(self, context, examples)
            scores = model.scores(rows.prompt, rows.response)
            mine = examples.row >= 0
            scores[examples.row[mine]] = model.held_out[mine]
            best = np.array([names.index(c) for c in model.classes])[scores.argmax(1)]
            confidence = model.confidence(scores)
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
            "_asked_for": was_generated(rows.meta),
        }

    def decide(self, scores: Scores) -> Verdicts:
        """A row's own label is kept, with confidence 1 where somebody gave it. What a generator was merely asked for is
        kept too, but is as likely right as the model finds it: p where both agree, 1 - p where they do not, null where
        the model said nothing."""
        given, label, confidence = (scores.column(c).combine_chunks() for c in ("given", "label", "confidence"))
        kept = pc.and_(pc.is_valid(given), not self.override)
        sure = pc.greater_equal(confidence, pa.scalar(self.min_confidence, pa.float32()))
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
        from instdata.steps.ability.examples import labelled

        context = rows.context or Context()
        free = np.flatnonzero(np.asarray(known_labels(rows.ability).is_null()) | self.override)
        if self.method == "cascade" and len(free):
            at = pa.array(free)
            model = fit(self, context, labelled(rows, self.train))
            free = free[model.confidence(model.scores(rows.prompt.take(at), rows.response.take(at))) < self.ask_below]
        sample = [llm.request(context.taxonomy, p) for p in rows.prompt.take(pa.array(free[:200])).to_pylist()]
        every_row = self.method in ("llm", "cascade")
        total = len(free) if every_row else min(self.sample, len(free))
        return {"rows": 0, **estimate(Options.of(self), sample, total), "every_row": every_row}


def known_labels(ability: pa.Array) -> pa.Array:
    """The labels, null in place of "unknown"."""
    return pc.if_else(pc.equal(ability, UNKNOWN), pa.scalar(None, pa.string()), ability)


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
    from instdata.steps.ability.calibration import calibration_error

    right = np.array(model.classes)[model.held_out.argmax(1)] == np.array(examples.classes)[examples.labels]
    error, low, high = calibration_error(model.confidence(model.held_out), right)
    said = f"held-out accuracy {right.mean():.2f}, calibration error {error:.3f} ({low:.3f} to {high:.3f})"
    if examples.taught.any():
        said += f", agreement with the teacher {right[examples.taught].mean():.2f}"
    return said
