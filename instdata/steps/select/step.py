"""The select step: keep what a published method of data selection ranks first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from typing_extensions import Self

from instdata.corpus.ladder import priority
from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.base import Scope, Scores, Step, Threshold, Verdicts, drop
from instdata.steps.select.ranking import nearest, places
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError
from instdata.util.sizes_and_shares import parse_size

Method = Literal["rds", "target_loss", "embed", "ifd", "longest", "random"]
TARGETED = ("rds", "target_loss", "embed")  # methods that choose for a query
CAUSAL = ("rds", "target_loss", "ifd")  # methods that ask a causal language model
MISSING = 0.05  # the largest share of answered rows that may be left without a score


def _size(value: Any) -> Any:
    """A size as text; ValueError where it is none."""
    parse_size(value)
    return str(value)


Keep = Annotated[
    str,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["integer", "string"], "pattern": "^[0-9.]+[kKmM%]?$"}),
]


class Select(Step):
    """Keep the share of the rows that a selection method ranks first, ties by id. rds, target_loss and embed choose for
    a target (`query`); ifd, longest and random for none."""

    kind: ClassVar[str] = "select"
    version: ClassVar[int] = 3
    scope: ClassVar[Scope] = "corpus"
    paths: ClassVar[frozenset[str]] = Step.paths | {"query"}

    method: Method = Field(
        description="rds: nearest by a causal model's states; target_loss: what learning the query makes likelier; "
        "embed: "
        "nearest by sentence embeddings; ifd: prompts that help least; longest: longest answers; random."
    )
    query: str | list[str] | None = Field(
        None, description="What to choose for: files or suites of items like the target's, not the target's own."
    )
    keep: Keep = Threshold(description="How many rows: 10% or 0.2M; with `per`, of each ability.")
    per: Literal["ability"] | None = Threshold(None, description="ability: choose within each ability.")
    model: str = Field(
        "auto", description="The model to be trained, or a proxy: a folder, .gguf, local:NAME or Hub name; of embed "
                            "a sentence model."
    )  # fmt: skip
    max_tokens: int = Field(1024, ge=8, le=32_768, description="Tokens of a row that a causal model looks at.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.method in TARGETED and not self.query:
            raise ValueError(
                f"method {self.method} chooses for a target: give query: FILE, items like those that matter"
            )
        if self.method not in TARGETED and self.query:
            raise ValueError(
                f"method {self.method} chooses for no target: leave query out, or use {', '.join(TARGETED)}"
            )
        if self.method not in (*CAUSAL, "embed") and self.model != "auto":
            raise ValueError(f"method {self.method} asks no model: leave model out")
        return self

    @property
    def reads_labels(self) -> bool:  # type: ignore[override]
        return self.per == "ability"

    def resolve(self, context: Context) -> Self:
        """A concrete model in place of `auto`, the commit of one of the Hub."""
        if self.method == "embed":
            from instdata.steps.dedup.embeddings import fixed

            return self.model_copy(update={"model": fixed(self._named, context.base)})
        if self.method in CAUSAL:
            from instdata.steps.quality.perplexity_and_ifd import fixed as causal

            return self.model_copy(update={"model": causal(self._causal(), context).path})
        return self

    @property
    def _named(self) -> str:
        """The model's name, that of `auto` too."""
        from instdata.llm.causal_models import AUTO
        from instdata.steps.dedup.option_values import EMBEDDING

        return self.model if self.model != "auto" else EMBEDDING if self.method == "embed" else f"local:{AUTO}"

    def check(self, context: Context) -> list[str]:
        """Missing query files, missing weights, extras that are not installed."""
        problems: list[str] = []
        if self._queries:
            from instdata.steps.dedup.outside_texts import missing

            problems += missing(self._queries, context, "query")
        if self.method == "embed":
            from instdata.steps.dedup.embeddings import located, unavailable

            problems += unavailable(located(self._named, context.base))
        if self.method in CAUSAL:
            if find_spec("transformers") is None:
                return [*problems, "needs transformers: pip install 'instdata[train]'"]
            from instdata.steps.quality.perplexity_and_ifd import LOCAL, weights

            try:
                if not self._named.startswith(LOCAL):
                    weights(self._causal(), context)
            except InputError as e:
                problems += [message.removeprefix("quality: ") for _, _, message in e.problems]
        return problems

    def scoring(self, context: Context) -> dict[str, Any]:
        key = super().scoring(context)
        if self.method == "random":
            key |= {"seed": context.seed, "name": self.name}
        if self._queries:
            from instdata.steps.dedup.outside_texts import digests

            key["options"] = {**key["options"], "query": digests(self._queries, context)}
        if self.method in CAUSAL:
            from instdata.steps.quality.perplexity_and_ifd import digest

            key["options"] = {**key["options"], "model": digest(self._causal(), context)}
        if self.method == "embed":
            from instdata.steps.dedup.embeddings import identity, located

            key["options"] = {**key["options"], "model": identity(located(self._named, context.base))}
        return key

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """score (float32, higher is taken sooner, but for ifd of 1 and more; NaN where there is none), _place (int64:
        in which order the method takes the rows)."""
        context = rows.context or Context()
        score, place = getattr(self, f"_by_{self.method}")(rows, context)
        answered = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(rows.view("answer"), ""))), 0)
        return {
            "score": np.round(score, 5).astype(np.float32),
            "_place": place,
            "_answered": answered,
            "_ability": pc.fill_null(rows.ability, UNKNOWN),
        }

    def decide(self, scores: Scores) -> Verdicts:
        """Within each group the rows with the first places. Rows without a score are never chosen; more than MISSING of
        the answered ones without one: BudgetReached."""
        none, answered = np.isnan(scores.score), np.asarray(scores.column("_answered"))
        if (none & answered).sum() > MISSING * answered.sum():
            raise BudgetReached(
                f"step {self.name or self.kind}: {int((none & answered).sum()):,} of {int(answered.sum()):,} "
                f"answered rows got no "
                f"score, more than {MISSING:.0%}: raise max_tokens, or put this step after those that drop such rows"
            )
        groups = scores.column("_ability").to_numpy() if self.per else np.zeros(len(scores), np.int64)
        rest, place, size = ~none, np.full(len(scores), -1, np.int64), parse_size(self.keep)
        for group in np.unique(groups[~none]) if len(scores) else []:
            mine = np.flatnonzero((groups == group) & ~none)
            mine = mine[np.argsort(scores._place[mine], kind="stable")]
            place[mine] = np.arange(len(mine))
            rest[mine[: size.of(len(mine))]] = False
        facts: list[str | None] = [None] * len(scores)
        for row in np.flatnonzero(rest).tolist():
            shown = {"rule": self.method, "score": round(float(scores.score[row]), 5), "place": int(place[row]) + 1}
            facts[row] = json.dumps(shown)
        why = "no text to score" if self.method in CAUSAL else "no answer"
        unscored = json.dumps({"rule": self.method, "why": why})
        lacking = pc.if_else(pa.array(none), pa.scalar(unscored), pa.scalar(None, pa.string()))
        return drop(none, "no_score", lacking) | drop(rest, "not_selected", facts)

    def estimate(self, rows: Rows) -> dict[str, Any] | None:
        """What a causal model would take on these rows: {rows, requests, tokens, usd, minutes, every_row}."""
        if self.method not in CAUSAL:
            return None
        from instdata.steps.quality.perplexity_and_ifd import estimate

        found = estimate(self._causal(), rows)
        share = {"ifd": 1.0, "rds": 0.75, "target_loss": 1.5}[self.method]  # of reading answers twice and prompts once
        found |= {"tokens": int(found["tokens"] * share), "minutes": round(found["minutes"] * share, 1)}
        return {"rows": 0, **found, "every_row": True}

    # -- methods -----------------------------------------------------------------------------------------------------

    def _by_random(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        score = (priority(rows.id, context.seed, self.name) >> np.uint64(11)) / 2.0**53
        return score, places(score, rows.id)

    def _by_longest(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Characters of the answer (Zhao et al. 2024, "Long Is More for Alignment", count tokens)."""
        chars = pc.utf8_length(rows.view("answer"))
        score = np.asarray(pc.if_else(pc.greater(chars, 0), chars, None).cast(pa.float64()).fill_null(float("nan")))
        return score, places(score, rows.id)

    def _by_embed(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        from instdata.steps.dedup.embeddings import embeddings, located

        asked = pa.array([prompt for prompt, _ in self._targets(context)], pa.string())
        model = located(self._named, context.base)
        ours, theirs = (embeddings([texts], model, context.cache) for texts in (rows.prompt, asked))
        return nearest(ours, theirs, rows.id)

    def _by_rds(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        from instdata.steps.select.proxy import representations

        net, mine, theirs = self._read(rows, context, "bfloat16")
        return nearest(representations(net, mine), representations(net, theirs), rows.id)

    def _by_target_loss(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        from instdata.steps.select.proxy import drops

        net, mine, theirs = self._read(rows, context, "float32")  # bfloat16 weights would round small steps away
        if not any(answer for _, answer in theirs):
            raise InputError(
                f"step {self.name or self.kind}: no item of the query has an answer to learn from; use rds"
            )
        score = np.round(drops(net, mine, theirs), 5)
        return score, places(score, rows.id)

    def _by_ifd(self, rows: Rows, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Instruction-following difficulty, highest first, of 1 and more last: there the prompt does not fit (Li et al.
        2024)."""
        from instdata.steps.quality.perplexity_and_ifd import score as scored

        score = scored(self._causal(), rows)["ifd"]
        return score, places(score, rows.id, first=score < 1)

    def _read(self, rows: Rows, context: Context, dtype: str) -> tuple[Any, list, list]:
        """(network, the rows as token pairs, the query's)."""
        from instdata.steps.quality.perplexity_and_ifd import encode, load, weights

        tokenizer, net = load(weights(self._causal(), context), dtype)
        prompts, answers = zip(*self._targets(context))
        mine = encode(tokenizer, rows.prompt.to_pylist(), rows.view("answer").to_pylist(), self.max_tokens)
        return net, mine, encode(tokenizer, list(prompts), list(answers), self.max_tokens)

    def _causal(self) -> Any:
        from instdata.steps.quality.perplexity_and_ifd import CausalModel

        return CausalModel(path=self._named, max_tokens=self.max_tokens)

    @property
    def _queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else list(self.query or [])

    def _targets(self, context: Context) -> list[tuple[str, str]]:
        """(prompt, answer) of each item of the query, an empty answer where it has none."""
        from instdata.steps.dedup.eval_items import read_items

        items, lines = read_items(self._queries, context)
        for line in lines:
            context.say(line.replace("decontaminate:", f"{self.name or self.kind}:", 1))
        return [("\n".join(filter(None, (i.given, i.question, *i.shown))), i.answer) for i in items]
