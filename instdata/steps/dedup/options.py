"""The options of dedup, checked and resolved."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from instdata.steps.base import Scope, Step, Threshold
from instdata.steps.dedup.option_values import EMBEDDING, FLOOR, NGRAM, THRESHOLD, bands, parse_bytes
from instdata.util.build_context import Context
from instdata.util.errors import InputError


class DedupOptions(Step):
    """The options of dedup, checked and resolved."""

    kind: ClassVar[str] = "dedup"
    scope: ClassVar[Scope] = "corpus"
    version: ClassVar[int] = 8

    method: Literal["exact", "minhash", "semantic"] = Field("minhash",
        description="exact: the same text but for case, width and spaces; minhash: Jaccard similarity of character n-grams; semantic: cosine of sentence embeddings.")  # fmt: skip  # noqa: E501
    view: Literal["prompt", "response", "full", "both"] = Field(
        "prompt", description="What is compared; both: prompts and responses, each for itself."
    )
    threshold: Annotated[float, Field(gt=0, le=1)] | Literal["auto"] = Threshold(
        "auto", description="Similarity from which a row is a near copy. auto: 0.7, for semantic 0.9."
    )
    num_perm: int = Field(128, ge=1, le=4096, description="Hashes of a MinHash signature.")
    ngram: int | Literal["auto"] = Field(
        "auto", description="Width of an n-gram in columns; Chinese, Japanese and Korean characters fill two. auto: 5."
    )
    keep: Literal["first", "longest", "best"] = Field(
        "first", description="Which of several copies stays; best: highest `by`."
    )
    script: Literal["fold", "keep"] = Field(
        "fold", description="fold: traditional and simplified Chinese are one; keep: they are two."
    )
    by: str = Field("", description="With keep: best, the score that decides, e.g. score_quality_overall.")
    across: list[str] = Field([], description="Files of older releases: what they have already goes.")
    model: str = Field(
        "auto", description="With method: semantic, a sentence-transformers model; auto: the one that needs no hub."
    )
    max_memory: str = Field("1GB", description="Beyond it, texts and keys lie in temporary files.")

    @field_validator("max_memory")
    @classmethod
    def _size(cls, value: str) -> str:
        try:
            parse_bytes(value)
        except InputError as e:
            raise ValueError(str(e)) from e
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.keep == "best") != bool(self.by):
            raise ValueError("keep: best and by: <score> go together, e.g. by: score_quality_overall")
        if self.method == "minhash":
            try:
                bands(self._floor, self.num_perm)
            except InputError as e:
                raise ValueError(str(e)) from e
        return self

    @property
    def reads_scores(self) -> bool:  # type: ignore[override]
        return self.keep == "best"

    @property
    def bounds(self) -> dict[str, str]:
        return {"similarity": f"a near copy from {self._threshold:g}"}

    @property
    def _threshold(self) -> float:
        return THRESHOLD[self.method] if self.threshold == "auto" else self.threshold

    @property
    def _named(self) -> str:
        return EMBEDDING if self.model == "auto" else self.model

    @property
    def _floor(self) -> float:
        return 1.0 if self.method == "exact" else min(self._threshold, FLOOR[self.method])

    def resolve(self, context: Context) -> Self:
        ngram, model = NGRAM if self.ngram == "auto" else self.ngram, self._named
        if self.method == "semantic":
            from instdata.steps.dedup.embeddings import fixed

            model = fixed(model, context.base)
        return self.model_copy(update={"ngram": ngram, "model": model, "threshold": self._threshold})

    def check(self, context: Context) -> list[str]:
        from instdata.steps.dedup.outside_texts import missing

        problems = missing(self.across, context, "across")
        if self.method == "semantic":
            from instdata.steps.dedup.embeddings import located, unavailable

            problems += unavailable(located(self._named, context.base))
        return problems

    def scoring(self, context: Context) -> dict[str, Any]:
        from instdata.steps.dedup.outside_texts import digests

        key = super().scoring(context)
        unused = {"max_memory", "across"} | ({"model"} if self.method != "semantic" else {"num_perm", "ngram"})
        options = {k: v for k, v in key["options"].items() if k not in unused}
        if self.method == "semantic":
            from instdata.steps.dedup.embeddings import identity, located

            options["model"] = identity(located(self._named, context.base))
        return {**key, "options": options, "floor": self._floor, "across": digests(self.across, context)}
