"""The verify step: every row checked by what its ability can be checked by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.llm.endpoint import LOCAL, server
from instdata.steps.base import MISSING, Scope, Scores, Step, Threshold, Verdicts, drop, keep
from instdata.steps.verify.case import Case, Finding
from instdata.steps.verify.checks_by_ability import BY_NAME, check
from instdata.steps.verify.model_checks import ASKS, finding, question
from instdata.steps.verify.options import VERSION, VerifyOptions, told
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached
from instdata.util.sizes_and_shares import Share

SAMPLE = 200  # rows whose questions an estimate goes by


class Verify(VerifyOptions, Step):
    """Drop rows that are wrong, as far as their ability can be checked: rules for every row, then draws of a language
    model. Rows without a response are left alone."""

    kind: ClassVar[str] = "verify"
    version: ClassVar[int] = VERSION
    scope: ClassVar[Scope] = "alive"
    reads_labels: ClassVar[bool] = True

    max_missing: Share = Threshold(
        0.05,
        description="The largest share of rows without a verdict of the model or the sandbox; beyond it the build "
        "stops.",
    )

    @property
    def asks_models(self) -> tuple[str, ...]:
        return (self.model,) if self.draws else ()

    def resolve(self, context: Context) -> Self:
        """The concrete model in place of `auto`, where one is asked."""
        if not self.draws:
            return self
        from instdata.llm.endpoint import resolve_model

        return self.model_copy(update={"model": resolve_model(self.model, self.base_url)})

    def check(self, context: Context) -> list[str]:
        """Extras that are not installed."""
        if not self.draws:
            return []
        needed = ["openai"] + (["xllamacpp"] if self.model == "auto" or self.model.startswith(LOCAL) else [])
        missing = [name for name in needed if find_spec(name) is None]
        return [f"needs {' and '.join(missing)}: pip install 'instdata[local]', or draws: 0"] if missing else []

    def scoring(self, context: Context) -> dict[str, Any]:
        # A row that fails a rule is not asked about, so what decides is part of what was asked.
        key = {**super().scoring(context), "seed": context.seed, "deciding": {}}
        if self.draws:
            key["deciding"] = {"min": self.min, "skip": self.skip}
            key["server"] = server(self.model, self.base_url, context.base)
        return key

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """rules: the lowest score of the rules, model: of the model's check (float32, NaN where nothing was said);
        _<check>: each (float32, NaN where it says nothing); _missing: the check that could not be told; _evidence: what
        each found (JSON)."""
        found = judged(self, rows)
        columns: dict[str, Any] = {}
        for name in (*BY_NAME, *ASKS):
            columns[f"_{name}"] = np.array([_score(f, name) for f in found], np.float32)
        columns["rules"] = _lowest([columns[f"_{name}"] for name in BY_NAME], len(rows))
        columns["model"] = _lowest([columns[f"_{name}"] for name in ASKS], len(rows))
        columns[MISSING] = pa.array([_missing(f) for f in found], pa.string())
        shown = [{n: f.evidence for n, f in (one or {}).items() if f.evidence} for one in found]
        columns["_evidence"] = pa.array([told(e) if e else None for e in shown], pa.string())
        return columns

    def decide(self, scores: Scores) -> Verdicts:
        """The first check, in the table's order, that is not passed owns the row. A row that could not be told about is
        dropped as "no_verdict". Raises BudgetReached where those are more than `max_missing`."""
        verdicts = keep(len(scores))
        for name in (*BY_NAME, *ASKS):
            if name not in self.skip:
                verdicts |= drop(getattr(scores, f"_{name}") < np.float32(self.least(name)), name)
        missing = pc.and_(pc.is_valid(scores.column("_missing")), pc.is_null(pa.chunked_array([verdicts.reason])))
        if self.skip:
            missing = pc.and_(missing, pc.invert(pc.is_in(scores.column("_missing"), pa.array(self.skip))))
        self._stop(scores, np.asarray(missing))
        verdicts |= drop(missing, "no_verdict")
        verdicts.evidence = self._evidence(scores, verdicts.reason)
        return verdicts

    def estimate(self, rows: Rows) -> dict[str, Any] | None:
        """What the model's draws would cost on these rows, were all to pass the rules; None where it is not asked."""
        if not self.draws:
            return None
        from instdata.llm.structured_asks import Options, estimate

        asked = [c for c in cases(self, rows) if c is not None]
        questions = [q for c in asked if (q := question(c)).name not in self.skip]
        sample = [r for q in questions[:SAMPLE] for r in q.requests(self.draws, 0)]
        return {"rows": 0, **estimate(Options.of(self), sample, len(questions) * self.draws), "every_row": True}

    def _stop(self, scores: Scores, missing: np.ndarray) -> None:
        if missing.sum() <= self.max_missing * len(scores):
            return
        named = Counter(scores.column("_missing").filter(pa.array(missing)).to_pylist()).most_common(1)
        raise BudgetReached(
            f"step {self.name or self.kind}: {int(missing.sum()):,} of {len(scores):,} rows could not be told about, "
            f"more than "
            f"max_missing ({self.max_missing:.2%}). Mostly ({named[0][1]:,}): {named[0][0]}. Mend that and run again "
            f"(answers are "
            "cached), set max_missing higher, or leave the check out with skip"
        )

    def _evidence(self, scores: Scores, reasons: pa.Array) -> pa.Array:
        import orjson

        shown: list[str | None] = [None] * len(scores)
        for row in np.flatnonzero(np.asarray(pc.is_valid(reasons))).tolist():
            reason = reasons[row].as_py()
            name = scores.column("_missing")[row].as_py() if reason == "no_verdict" else reason
            stored = scores.column("_evidence")[row].as_py()
            facts = orjson.loads(stored).get(name, {}) if stored else {}
            mark = {} if reason == "no_verdict" else {"score": round(float(getattr(scores, f"_{name}")[row]), 4),
                "least": self.least(name)}  # fmt: skip
            shown[row] = told({"check": name, **mark, **facts})
        return pa.array(shown, pa.string())


def cases(step: VerifyOptions, rows: Rows) -> list[Case | None]:
    """Each row as checks see it; None for rows without a response."""
    exact = np.asarray(rows.asked_span.is_valid())
    views = [rows.view(name).to_pylist() for name in ("prompt", "answer", "given")]
    found: list[Case | None] = []
    for task, answer, given, whole, ability, lang in zip(
        *views, exact.tolist(), rows.ability.to_pylist(), rows.lang.to_pylist(), strict=True
    ):
        spoken = step.language or lang or "en"
        some = answer and answer.strip()
        found.append(Case.of(task, answer, ability or UNKNOWN, spoken, given if whole else "") if some else None)
    return found


def judged(step: Verify, rows: Rows) -> list[dict[str, Finding] | None]:
    """What every check says of each row: the rules, and the model where the rules let the row pass."""
    asked = cases(step, rows)
    found = [None if c is None else check(c) for c in asked]
    open_ = [n for n, f in enumerate(found) if step.draws and f is not None and step.fault(f) is None]
    if not open_:
        return found
    from instdata.llm.structured_asks import Options, ask

    context = rows.context or Context()
    questions = {n: q for n in open_ if (c := asked[n]) is not None and (q := question(c)).name not in step.skip}
    for kind in dict.fromkeys(q.compare == "judge" for q in questions.values()):
        at = [n for n, q in questions.items() if (q.compare == "judge") == kind]
        requests = [r for n in at for r in questions[n].requests(step.draws, context.seed)]
        answers = ask(
            Options.of(step), requests, questions[at[0]].read, name=step.name or step.kind,
            shapes=step.scoring(context), context=context,
        )  # fmt: skip
        for place, n in enumerate(at):
            case, said = asked[n], found[n]
            if case is not None and said is not None:
                mine = answers[place * step.draws : (place + 1) * step.draws]
                said[questions[n].name] = finding(case, questions[n], mine)
    return found


def _score(found: dict[str, Finding] | None, name: str) -> float:
    score = found[name].score if found and name in found else None
    return np.nan if score is None else score


def _missing(found: dict[str, Finding] | None) -> str | None:
    return next((name for name, f in (found or {}).items() if f.score is None), None)


def _lowest(columns: list[np.ndarray], rows: int) -> np.ndarray:
    """The lowest score of each row, NaN where there is none."""
    least = np.fmin.reduce(columns) if columns else np.full(rows, np.nan, np.float32)
    return np.asarray(least, np.float32)
