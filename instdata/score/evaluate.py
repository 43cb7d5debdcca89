"""Scores of a model: for every item its prompt, its answer, its score and why. Everything shown is a query over
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from instdata.score.generation import by_answer
from instdata.score.item import Item
from instdata.score.likelihood import by_likelihood
from instdata.score.model import Model
from instdata.score.sandbox import run as sandbox
from instdata.score.score_table import SCHEMA
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

CELL = {"cell": "", "model": "", "arm": "all", "config": "base", "rows": 0, "tokens": 0, "seed": 0}
METRICS = ("bits", "distractors", "answers")  # kinds of scoring; judging is apart, since it costs money
GENERATED = ("exact", "number", "choice", "label", "contains", "json", "unit_tests", "f1")


def metrics(wanted: str | None, default: Sequence[str] = METRICS) -> list[str]:
    """The kinds of scoring that `a,b` names. Raises InputError."""
    named = [w.strip() for w in (wanted or "").split(",") if w.strip()] or list(default)
    for word in named:
        if word not in METRICS:
            raise InputError(f'unknown metric "{word}".{did_you_mean(word, METRICS)} One of {", ".join(METRICS)}')
    return [m for m in METRICS if m in named]


def wanted(item: Item, kinds: Sequence[str], judged: bool = False) -> list[str]:
    """The kinds of scores that an item gets; "judge": an answer that a judge will read."""
    has = {"bits": True, "distractors": bool(item.reference), "answers": item.scorer in GENERATED}
    return [k for k in kinds if has[k]] + ["judge"] * (judged and item.scorer == "judge")


def runnable(items: Sequence[Item], kinds: Sequence[str]) -> None:
    """Raises InputError, before the work, where items have unit tests to run and no sandbox works here."""
    if "answers" in kinds and any(i.scorer == "unit_tests" for i in items):
        sandbox.way()


def score(
    model: Model, items: Sequence[Item], kinds: Sequence[str], cell: dict[str, Any], judged: bool = False
) -> pa.Table:  # fmt: skip
    """Every item's scores as rows of SCHEMA; `cell` says of which model (keys of CELL). Items should have their
    distractors already (distractors.make). `judged`: also write the answers that a judge will score, metric "judge"
    without a value."""
    runnable(items, kinds)
    found: list[dict[str, Any]] = []
    if "bits" in kinds or "distractors" in kinds:
        found += by_likelihood(model, items, kinds)
    asked = [i for i in items if (i.scorer in GENERATED and "answers" in kinds) or (i.scorer == "judge" and judged)]
    if asked:
        found += by_answer(model, asked)
    shared = CELL | cell
    return pa.Table.from_pylist([shared | row for row in found], schema=SCHEMA)
