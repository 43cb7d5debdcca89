"""The options of categorize, checked and resolved."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from instdata.llm.budget import Price, Wait
from instdata.steps.ability.training_examples import TrainFile, inputs
from instdata.steps.base import Scope, Step, Threshold
from instdata.util.build_context import Context
from instdata.util.errors import InputError

WORDLLAMA = "wordllama"
Method = Literal["auto", "rules", "learned", "embedding", "llm", "cascade"]


class CategorizeOptions(Step):
    """The options of categorize, checked and resolved."""

    kind: ClassVar[str] = "categorize"
    scope: ClassVar[Scope] = "corpus"
    reads_labels: ClassVar[bool] = True
    version: ClassVar[int] = 6
    paths: ClassVar[frozenset[str]] = Step.paths | {"encoder"}

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
    encoder: str = Field(
        "wordllama",
        description="embedding: wordllama, or a sentence-transformers model: its folder, or its name.",
    )
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

    @property
    def asks_models(self) -> tuple[str, ...]:
        return (self.model or "auto",) if self.asks else ()

    @property
    def bounds(self) -> dict[str, str]:
        return {"confidence": f'"unknown" below {self.min_confidence:g}'}

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
        key = {**super().scoring(context), "files": files, "taxonomy": taxonomy, "seed": seed}
        if self.method == "embedding":
            from instdata.steps.dedup.embeddings import identity, located

            key["encoder"] = identity(located(self.encoder, context.base))
        if self.asks:
            from instdata.llm.endpoint import server

            key["server"] = server(self.model or "auto", self.base_url, context.base)
        return key
