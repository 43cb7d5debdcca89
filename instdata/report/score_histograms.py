"""The scores of a build as histograms, with the bounds that rows had to keep to."""

from __future__ import annotations

from typing import Any

from instdata.report.browse.thresholds import Thresholds
from instdata.util.errors import InputError

MOST = 12  # scores shown: those with a bound first


def histograms(db: Any, manifest: dict[str, Any], recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """[{step, kind, score, low, high, kept, dropped, bins: [{low, high, kept, mine, others}], …}] of the scores that
    differ from row to row. `low`, `high`: the bounds, None for none; `dropped`: rows that the step dropped for it.

    The outermost 0.5 % on either side stand in the first and last bin. `db` has the view `ledger`."""
    kinds = {
        name: kind
        for name, kind, *_ in db.execute("describe ledger").fetchall()
        if name.startswith("score_") and kind != "VARCHAR"
    }
    thresholds = Thresholds(kinds, manifest["steps"])
    bounds, steps = _bounds(recipe), {s["name"]: s["kind"] for s in manifest["steps"]}
    places = [(known["step"], known["score"]) for known in thresholds.ranges(db)]
    found: list[dict[str, Any]] = []
    for step, score in sorted(places, key=lambda place: place not in bounds):  # stable: else in the ledger's order
        name = f"score_{step}_{score}"
        now = thresholds.what_if(db, {"score": name})
        if now["kept"] and len(found) < MOST:  # what only dropped rows have (similarity) is no score to choose by
            low, high = bounds.get((step, score), (None, None))
            found.append({"step": step, "kind": steps.get(step), "score": score, "low": low, "high": high, **now})
    return found


def _bounds(recipe: dict[str, Any]) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """(step, score) -> its least and largest value that passes, from a build's own recipe."""
    from pydantic import ValidationError

    from instdata.steps.ability.options import CategorizeOptions
    from instdata.steps.base import step_class
    from instdata.steps.quality.step import Quality

    found: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for item in recipe.get("steps") or []:
        for kind, options in item.items():
            if kind not in ("quality", "categorize"):
                continue
            try:
                step = step_class(kind).written(options, kind)
            except (ValidationError, InputError):  # of another instdata: its bounds are not known here
                continue
            if isinstance(step, Quality):
                for score in {**step.largest, **step.min}:
                    found[step.name, score] = (step.min.get(score), step.largest.get(score))
            elif isinstance(step, CategorizeOptions):
                found[step.name, "confidence"] = (step.min_confidence, None)  # below it: unknown
    return found
