"""The options of generate, checked and resolved."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from instdata.llm.budget import Price, Wait
from instdata.llm.endpoint import LOCAL, resolve_model, server
from instdata.steps.base import SourceStep, Threshold
from instdata.steps.generate.prompt_templates import LANGUAGES, prefix_of, template
from instdata.steps.quality.perplexity_and_ifd import CausalModel, fixed
from instdata.steps.quality.perplexity_and_ifd import digest as weights_of
from instdata.steps.verify.options import Checking
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import Count

YIELD, YIELD_VERIFIED = 0.75, 0.4  # of the rows written, those accepted, before anything is known
# Characters (zh) or words (en) that an answer is asked to stay under: a small model loses its way in long ones.
CHARS = {"zh": 80, "en": 60}


class GenerateOptions(SourceStep):
    """The options of generate, checked and resolved."""

    kind: ClassVar[str] = "generate"
    version: ClassVar[int] = 5

    method: Literal["self-instruct", "evolve", "respond", "translate", "backtranslate", "multi-turn", "magpie"] = Field(
        "self-instruct", description="How rows are made."
    )
    target: Count | None = Field(
        None,
        gt=0,
        description="Accepted rows, exactly. All methods but self-instruct and evolve do every row where it is left "
        "out.",
    )
    per_ability: int | dict[str, float] | None = Field(
        None, description="With target: weights of abilities. Without: rows for each ability, or for every one."
    )
    model: str = Field(
        "auto",
        description="A model of the endpoint, local:NAME or local:FILE.gguf. auto: the endpoint's, else the embedded "
        "one.",
    )
    base_url: str | None = Threshold(None, description="The endpoint's address; default: OPENAI_BASE_URL.")
    language: str = Field("zh", pattern="^[a-z]{2}$", description="ISO 639-1 code of the rows to write.")
    temperature: float = Field(0.7, ge=0, le=2)
    batch: int | None = Field(None, ge=1, le=20, description="Tasks per request; default: 4, for a local model 2.")
    examples: int | None = Field(
        None, ge=0, le=16, description="Examples shown in a request; default: 4, for a local model 2."
    )
    length: int | None = Field(None, gt=0, description="Characters (zh) or words that an answer should stay under.")
    threshold: float = Field(
        0.7, gt=0, le=1, description="Jaccard similarity of instructions from which a new row is a copy."
    )
    personas: bool = Field(
        False, description="self-instruct: a person who asks, drawn for each request, beside the subjects."
    )
    verify: bool | Checking = Field(
        False,
        description="self-instruct, magpie: check every row while it is written, by rules and draws of the model: "
        "true, or {draws: 3, skip: [...]}.",
    )
    best_of: int = Field(1, ge=1, le=64, description="respond: answers to choose from.")
    judge: str | None = Field(
        None, description="respond: the model that chooses among them; default: agreement, or a verifier."
    )
    student: CausalModel | None = Field(
        None,
        description="respond, with best_of: the answer that this model finds likeliest is taken (GRAPE), where nothing "
        "verifies one.",
    )
    user_prefix: str | None = Field(
        None,
        description="magpie: what the model's chat template writes before a user's words, where we do not know it.",
    )
    prompt: str | None = Field(None, description="A template of one's own, from the recipe's folder.")
    max_usd: float | None = Threshold(
        None, ge=0, description="Never spend more than this; exit code 4 when it is reached."
    )
    max_requests: int | None = Threshold(None, ge=0)
    max_tokens: int | None = Threshold(None, ge=0)
    price: Price | None = Threshold(
        None, description="USD per million tokens, where the built-in list is wrong or lacks the model."
    )
    params: dict[str, Any] | None = Field(None, description="Further parameters of the API, as they are.")
    max_wait: Wait | None = Threshold(
        None, description="What a server may ask us to wait; beyond it the run stops with exit code 4. Default: 10m."
    )
    judge_params: dict[str, Any] | None = Field(None, description="The judge's params, where it is another model.")
    judge_price: Price | None = Threshold(None, description="The judge's price, where it is another model.")
    timeout: float | None = Threshold(
        None, gt=0, description="Seconds to wait for an answer; default: 120, for a local model 600."
    )
    concurrency: int | None = Threshold(None, ge=1, le=1024, description="Requests at once, at most.")
    rpm: float | None = Threshold(None, gt=0, description="Requests a minute, at most.")
    tpm: float | None = Threshold(None, gt=0, description="Tokens a minute, at most.")
    batch_api: bool = Threshold(False, description="Hand requests in as files: half the price, up to a day.")

    @model_validator(mode="after")
    def _needs_target(self) -> Self:
        if self.method in ("self-instruct", "magpie", "evolve") and self.target is None and self.per_ability is None:
            raise ValueError(f"{self.method} needs target: how many rows to write")
        if self.student and (self.method != "respond" or self.best_of < 2 or self.judge):
            raise ValueError("student chooses among answers: it needs method: respond, best_of: 2 or more, no judge")
        if self.verify and self.method not in ("self-instruct", "magpie"):
            raise ValueError(f"verify is for self-instruct and magpie; after {self.method}, put a step `verify`")
        return self

    def resolve(self, context: Context) -> Self:
        """The concrete model in place of `auto`. Only a configured endpoint is asked, for its first model."""
        model = resolve_model(self.model, self.base_url)
        # On a CPU reading costs as much as writing, and a small model copies itself in long answers.
        few = 2 if model.startswith(LOCAL) else 4
        examples, batch = few if self.examples is None else self.examples, self.batch or few
        update: dict[str, Any] = {"model": model, "examples": examples, "batch": batch}
        if self.student:
            update["student"] = fixed(self.student, context)
        return self.model_copy(update=update)

    def check(self, context: Context) -> list[str]:
        """A template that is missing, a language without one, an ability the taxonomy lacks, an extra not installed."""
        from importlib.util import find_spec

        problems = []
        try:
            template(self.method, self.language, self.prompt, context.base)
        except InputError as e:
            problems.append(str(e))
        try:
            if self.method == "magpie" and self.model != "auto":
                prefix_of(self.model, self.user_prefix)
        except InputError as e:
            problems.append(str(e))
        if self.prompt is None and self.language not in LANGUAGES:
            problems.append(
                f"there is no {self.language} prompt (only {', '.join(LANGUAGES)}): give one with prompt: FILE"
            )
        if isinstance(self.per_ability, dict) and context.taxonomy is not None:
            unknown = sorted(set(self.per_ability) - set(context.taxonomy.names))
            problems += [f"per_ability: {name} is not in the taxonomy {context.taxonomy.name}" for name in unknown]
        needed = ["openai"] + (["xllamacpp"] if self.model == "auto" or self.model.startswith(LOCAL) else [])
        missing = [name for name in needed if find_spec(name) is None]
        if missing:
            problems.append(f"needs {' and '.join(missing)}: pip install 'instdata[local]'")
        if self.student:
            extras = [name for name in ("torch", "transformers") if find_spec(name) is None]
            problems += [f"student needs {' and '.join(extras)}: pip install 'instdata[train]'"] if extras else []
        return problems

    def scoring(self, context: Context) -> dict[str, Any]:
        text = template(self.method, self.language, self.prompt, context.base)
        taxonomy = context.taxonomy.digest() if context.taxonomy is not None else None
        return {
            **super().scoring(context),
            "prompt": hashlib.sha256(text.encode()).hexdigest(),
            "taxonomy": taxonomy,
            **({"weights": weights_of(self.student, context)} if self.student else {}),
            "seed": context.seed,
            "servers": [server(m, self.base_url, context.base) for m in (self.model, self.judge) if m],
        }

    @property
    def asks_models(self) -> tuple[str, ...]:
        return (self.model, *([self.judge] if self.judge and self.best_of > 1 else []))

    @property
    def checking(self) -> Checking | None:
        """What is verified of the rows, None for nothing."""
        return Checking() if self.verify is True else self.verify or None

    def words(self) -> int:
        """Characters or words that an answer is asked to stay under."""
        return self.length or CHARS.get(self.language, CHARS["en"])
