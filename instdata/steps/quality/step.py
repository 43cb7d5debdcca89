"""The quality step: rules, or scores by a classifier, a model or a judge; thresholds; the best share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.base import Scope, Scores, Step, Threshold, Verdicts, drop, keep
from instdata.steps.quality import rule_table as table
from instdata.steps.quality.classifier import Learned
from instdata.steps.quality.judge import JudgeOptions
from instdata.steps.quality.perplexity_and_ifd import CausalModel
from instdata.steps.quality.rule_scores import by_rules
from instdata.steps.quality.rule_text import BATCH
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError
from instdata.util.sizes_and_shares import Share
from instdata.util.yaml import did_you_mean

MOST_REASONS = {"chars": "too_long", "repetition": "repetition"}
LEAST_REASONS = {"chars": "too_short"}
BOUNDS = {"repetition": 0.8, "chars": 50_000}  # what the rules `repetition` and `too_long` mean unless `max` says else


class Quality(Step):
    """Drop rows by named rules and language; or score rows by a classifier of one's own, a language model or a judge,
    and drop those outside bounds or not among the best. Rows without a response are judged by their prompt alone."""

    kind: ClassVar[str] = "quality"
    version: ClassVar[int] = 6
    together: ClassVar[int] = BATCH  # each pattern is compiled anew for every call

    rules: str | list[str] | None = Threshold(
        None,
        description="default, strict, belle, or a list of those and of rule names; -name leaves one out. Unset: "
        "default, or none with a scorer.",
    )
    turns: Literal["last", "all"] = Field(
        "last", description="Which assistant turns the rules read: the last, or all of them."
    )
    language: list[str] = Threshold([], description="Languages to keep, as ISO 639-1 codes: [zh, en]. Empty: all.")
    min_confidence: float = Threshold(
        0.5, ge=0, le=1, description="Confidence below which a language counts as undecided; such rows stay."
    )
    learned: Learned | None = Field(None, description="Score `learned`: a classifier from good and bad rows.")
    model: CausalModel | None = Field(None, description="Scores `perplexity` and `ifd`, by a causal language model.")
    llm: JudgeOptions | None = Field(
        None, description="Scores `llm_quality`, `llm_complexity`, `llm_helpfulness`, by a judge."
    )
    min: dict[str, float] = Threshold({}, description="Least values of scores: {chars: 2, learned: 0.5}.")
    max: dict[str, float] = Threshold({}, description="Largest values of scores: {repetition: 0.5, perplexity: 200}.")
    max_missing: Share = Threshold(
        0.05, description="The largest share of answered rows without a score of the model; beyond it the build stops."
    )
    top: Share | None = Threshold(None, description="Keep the best share of the rows that reach the step: 30% or 0.3.")
    by: str | None = Threshold(
        None,
        description="The score that `top` goes by, highest first. Unset: chars (the longest), or the scorer's first "
        "score.",
    )
    per: str | None = Threshold(None, pattern="^ability$", description="ability: `top` of each ability.")
    diverse: bool = Field(False, description="With `top`: rows whose prompt is like a better one's come last.")

    @field_validator("rules")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        try:
            table.select([value] if isinstance(value, str) else value or [])
        except ValueError as e:
            known = (*table.SETS, *table.NAMES)
            raise ValueError(f'"{e}" is neither a rule nor a set of rules.{did_you_mean(str(e), known)}') from None
        return value

    @field_validator("language", mode="before")
    @classmethod
    def _codes(cls, value: Any) -> Any:
        codes = [value] if isinstance(value, str) else value
        if isinstance(codes, list) and not all(
            isinstance(c, str) and len(c) == 2 and c.isascii() and c.islower() for c in codes
        ):
            raise ValueError("languages are ISO 639-1 codes, two lower-case letters each: [zh, en]")
        return codes

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scored_by and (self.rules or self.language):
            raise ValueError(
                f"{self.scored_by[0]} needs a quality step of its own after the rules: only rows that pass them "
                f"should be scored"
            )
        for name in (*self.min, *self.max, *([self.by] if self.by else [])):
            if name not in self.numbers:
                raise ValueError(
                    f'this step has no score "{name}" ({", ".join(self.numbers)}).{did_you_mean(name, self.numbers)}'
                )
        if self.top is None and (self.by or self.per or self.diverse):
            raise ValueError("by, per and diverse need top: the share to keep")
        return self

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The costly scorers in use."""
        return tuple(name for name in ("learned", "model", "llm") if getattr(self, name) is not None)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the step's scores that are numbers."""
        names = {
            "learned": ("learned",),
            "model": ("ifd", "perplexity"),
            "llm": tuple(f"llm_{s}" for s in self.llm.scales) if self.llm else (),
        }
        return tuple(n for scorer in self.scored_by for n in names[scorer]) or (
            "chars",
            "repetition",
            "lang_confidence",
        )

    @property
    def scope(self) -> Scope:  # type: ignore[override]
        """Rules see every row; a scorer sees the rows still alive, `top` compares them with each other."""
        return "corpus" if self.scored_by or self.top is not None else "rows"

    @property
    def reads_labels(self) -> bool:  # type: ignore[override]
        return self.per == "ability"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the rules that decide, in order."""
        rules = self.rules if self.rules is not None else [] if self.scored_by else "default"
        return table.select([rules] if isinstance(rules, str) else rules)

    @property
    def largest(self) -> dict[str, float]:
        """The largest value of each score that passes: what its rule means, unless `max` says else."""
        rules = (("repetition", "repetition"), ("chars", "too_long"))
        return {name: BOUNDS[name] for name, rule in rules if rule in self.chosen} | self.max

    @property
    def bounds(self) -> dict[str, str]:
        most = {} if self.scored_by and not self.max else self.largest
        found = {name: [f"at most {bound:g}"] for name, bound in most.items()}
        for name, bound in self.min.items():
            found.setdefault(name, []).insert(0, f"at least {bound:g}")
        return {name: ", ".join(words) for name, words in found.items()}

    @property
    def asks_models(self) -> tuple[str, ...]:
        return () if self.llm is None else (self.llm.model,)

    @property
    def outside(self) -> str:
        """The reason for rows in another language: not_zh, not_en_zh."""
        return "not_" + "_".join(sorted(self.language))

    def without(self, rule: str) -> Self:
        """This step less one rule (an ablation of `quality.<rule>`). Raises InputError where it does not use it."""
        if self.language and rule == self.outside:
            return self.model_copy(update={"language": []})
        if rule not in self.chosen:
            raise InputError(f'step {self.name or self.kind} has no rule "{rule}".{did_you_mean(rule, self.chosen)}')
        return self.model_copy(update={"rules": [name for name in self.chosen if name != rule]})

    def resolve(self, context: Context) -> Self:
        """The rules that unset means, the judge's concrete model in place of `auto`, the commit of a Hub's model."""
        update: dict[str, Any] = {}
        if self.model is not None:
            from instdata.steps.quality.perplexity_and_ifd import fixed

            update["model"] = fixed(self.model, context)
        if self.rules is None:
            update["rules"] = [] if self.scored_by else "default"
        if self.llm is not None:
            from instdata.llm.endpoint import resolve_model

            model = resolve_model(self.llm.model, self.llm.base_url)
            update["llm"] = self.llm.model_copy(update={"model": model})
        return self.model_copy(update=update)

    def check(self, context: Context) -> list[str]:
        """Missing files of good and bad rows, missing weights, extras that are not installed."""
        from instdata.steps.quality import classifier as learned
        from instdata.steps.quality import perplexity_and_ifd as model

        needed = {"learned": ("floret", "classify"), "model": ("transformers", "train"), "llm": ("openai", "generate")}
        used = [needed[name] for name in self.scored_by] + ([("wordllama", "embed")] if self.diverse else [])
        problems = [
            f"needs {package}: pip install 'instdata[{extra}]'" for package, extra in used if find_spec(package) is None
        ]
        try:
            if self.learned is not None:
                learned.inputs(self.learned, context)
            if self.model is not None and not self.model.path.startswith(model.LOCAL):
                model.weights(self.model, context)
        except InputError as e:
            problems += [message for _, _, message in e.problems]
        return problems

    def scoring(self, context: Context) -> dict[str, Any]:
        from instdata.steps.quality import classifier as learned
        from instdata.steps.quality import perplexity_and_ifd as model

        options: dict[str, Any] = {"kind": self.kind, "version": self.version, "diverse": self.diverse}
        if self.turns != "last":
            options["turns"] = self.turns
        if self.learned is not None:
            options["learned"] = learned.digest(self.learned, context)
        if self.model is not None:
            options["model"] = [self.model.model_dump(mode="json"), model.digest(self.model, context)]
        if self.llm is not None:
            from instdata.llm.endpoint import server

            options["llm"] = {
                **self.llm.shapes(),
                "server": server(self.llm.model, self.llm.base_url, context.base),
            }
        return options

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """With rules: chars (int32), repetition (float32, 0..1), lang_confidence (float32), flags (string: the rules
        that fired, comma-joined), _found (what they found). With a scorer: its numbers."""
        scores: dict[str, Any] = {} if self.scored_by else by_rules(rows, self.turns)
        if self.learned is not None:
            from instdata.steps.quality.classifier import score as by_classifier

            scores["learned"] = by_classifier(self.learned, rows)
        if self.model is not None:
            from instdata.steps.quality.perplexity_and_ifd import score as by_model

            scores |= by_model(self.model, rows)
        if self.llm is not None:
            from instdata.steps.quality.judge import score as by_judge

            scores |= by_judge(self.llm, self.name or self.kind, rows)
        if self.scored_by:
            scores["_answered"] = np.asarray(
                pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(rows.view("answer"), ""))), 0)
            )
        if self.scope == "corpus":
            scores["_id"] = rows.id
            scores["_ability"] = pc.fill_null(rows.ability, UNKNOWN)
        if self.diverse:
            from instdata.steps.quality.best_share import embed

            vectors = embed(rows.prompt)
            scores["_embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return scores

    def estimate(self, rows: Rows) -> dict[str, Any] | None:
        """What a judge or a causal model would cost on these rows: {requests, tokens, usd, minutes, every_row}; None
        where neither is asked."""
        if self.llm is not None:
            from instdata.llm.structured_asks import Options, estimate
            from instdata.steps.quality.judge import request

            asked = [
                (prompt, response, lang == "zh")
                for prompt, response, lang in zip(
                    *(c.to_pylist() for c in (rows.view("prompt"), rows.view("answer"), rows.lang))
                )
                if response and response.strip()
            ]
            sample = [request(self.llm, *row) for row in asked[:200]]
            return {"rows": 0, **estimate(Options.of(self.llm), sample, len(asked)), "every_row": True}
        if self.model is not None:
            from instdata.steps.quality.perplexity_and_ifd import estimate as by_model

            return {"rows": 0, **by_model(self.model, rows), "every_row": True}
        return None

    def decide(self, scores: Scores) -> Verdicts:
        """The first rule in the table's order owns the row; then bounds, language and top. Raises BudgetReached where
        more rows than `max_missing` lack a model's score that bounds or top go by."""
        verdicts = keep(len(scores))
        if set(self.chosen) - table.MEASURED.keys():
            verdicts = Verdicts(table.owners(scores.column("flags"), self.chosen))
        for name, bound in self.largest.items():
            verdicts |= drop(getattr(scores, name) > bound, MOST_REASONS.get(name, f"high_{name}"))
        for name, bound in self.min.items():
            below = getattr(scores, name) < bound
            if name == "chars":
                below &= scores.chars > 0  # a row without a response is not a short one
            verdicts |= drop(below, LEAST_REASONS.get(name, f"low_{name}"))
        if self.language:
            verdicts |= drop(self._outside(scores), self.outside)
        if self.scored_by:
            verdicts |= self._missing(scores)
        verdicts.evidence = self._evidence(scores, verdicts.reason)
        return verdicts if self.top is None else verdicts | self._top(scores, np.asarray(pc.is_null(verdicts.reason)))

    def _outside(self, scores: Scores) -> np.ndarray:
        lang = scores.column("_lang")
        wanted = pa.array(self.language, pa.string())
        spoken = np.zeros(len(scores), bool)  # a translation task speaks two languages: one of them is enough
        for name in ("_lang", "_prompt_lang", "_row_lang"):
            spoken |= np.asarray(pc.is_in(scores.column(name), wanted))
        if "ja" in self.language:
            spoken |= np.asarray(scores.column("_kanji"))
        return np.asarray(pc.is_valid(lang)) & ~spoken & (scores.lang_confidence >= self.min_confidence)

    def _missing(self, scores: Scores) -> Verdicts:
        """Answered rows without a score that bounds go by: a missing score passes none."""
        used = [n for n in (*self.min, *self.max, *([self.by or self.numbers[0]] if self.top is not None else []))]
        answered = np.asarray(scores.column("_answered"))
        verdicts = keep(len(scores))
        for name in dict.fromkeys(used):
            without = answered & np.isnan(getattr(scores, name))
            if without.sum() > self.max_missing * answered.sum():
                raise BudgetReached(self._told_missing(scores, name, without, int(answered.sum())))
            verdicts |= drop(without, f"no_{name}")
        return verdicts

    def _told_missing(self, scores: Scores, name: str, without: np.ndarray, answered: int) -> str:
        why = ""
        if "_missing" in scores.table.column_names:
            reasons = Counter(r for r in scores.column("_missing").to_pylist() if r)
            why = "".join(f" Mostly ({n:,}): {reason}." for reason, n in reasons.most_common(1))
        return (
            f"step {self.name or self.kind}: {int(without.sum()):,} of {answered:,} rows have no {name}, more than "
            f"max_missing "
            f"({self.max_missing:.2%}).{why} Mend that and run again (answers are cached), or set max_missing higher"
        )

    def _evidence(self, scores: Scores, reasons: pa.Array | pa.ChunkedArray) -> pa.Array:
        """What made each dropped row go: what its rule found, or the score and its bound."""
        rows = np.flatnonzero(np.asarray(pc.is_valid(reasons)))
        shown: list[str | None] = [None] * len(scores)
        found = "_found" in scores.table.column_names
        for row, reason in zip(rows.tolist(), reasons.take(pa.array(rows)).to_pylist()):
            facts = {"rule": reason}
            stored = scores.column("_found")[row].as_py() if found else None
            facts |= orjson.loads(stored).get(reason, {}) if stored else {}
            facts |= self._numbers(scores, row, reason)
            shown[row] = json.dumps(facts, ensure_ascii=False)
        return pa.array(shown, pa.string())

    def _numbers(self, scores: Scores, row: int, reason: str) -> dict[str, Any]:
        """The score that a reason is about, and its bound."""
        if reason == self.outside and self.language:
            lang = scores.column("_lang")[row].as_py()
            return {
                "view": "answer",
                "lang": lang,
                "confidence": round(float(scores.lang_confidence[row]), 3),
                "wanted": self.language,
            }
        for kind, bounds, names in (("max", {**BOUNDS, **self.max}, MOST_REASONS), ("min", self.min, LEAST_REASONS)):
            for name, bound in bounds.items():
                if reason == names.get(name, f"{'high' if kind == 'max' else 'low'}_{name}"):
                    value = round(float(getattr(scores, name)[row]), 3)
                    return {"view": "answer", name: value, kind: bound, **self._asked}
        if reason.startswith("no_") and self.scored_by:
            told = scores.column("_missing")[row].as_py() if "_missing" in scores.table.column_names else None
            return {"why": told or "the model gave no number for it", **self._asked}
        return {}

    @property
    def _asked(self) -> dict[str, str]:
        """The model whose score a row goes by, as evidence; of a path the last part, since the ledger is published."""
        name = self.llm.model if self.llm else self.model.path if self.model else None
        return {} if name is None else {"model": name.rpartition("/")[2] if name.count("/") != 1 else name}

    def _top(self, scores: Scores, kept: np.ndarray) -> Verdicts:
        from instdata.steps.quality.best_share import top

        name = self.by or self.numbers[0]
        value = np.where(kept, getattr(scores, name).astype(np.float64), -np.inf)
        groups = np.array(scores.column("_ability").to_pylist()) if self.per else None
        vectors = None
        if self.diverse:
            flat = scores.column("_embedding").combine_chunks().flatten()
            vectors = np.asarray(flat).reshape(len(scores), -1) if len(scores) else None
        tie = np.array(scores.column("_id").to_pylist(), object).astype("U32") if len(scores) else np.empty(0, "U1")
        assert self.top is not None  # decide asks for it only then
        rest = ~top(value, self.top, groups, tie, vectors)
        facts: list[str | None] = [None] * len(scores)
        for row in np.flatnonzero(rest & kept).tolist():
            facts[row] = json.dumps({"rule": "not_top", name: _rounded(getattr(scores, name)[row]), "share": self.top})
        return drop(rest, "not_top", facts)


def _rounded(value: Any) -> float | None:
    """A score as evidence shows it; None for a missing one."""
    return None if value != value else round(float(value), 3)
