"""What the card says of a build beyond its rows: curves, ablations, and how labels agree; as Markdown wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def interval(found: dict[str, Any], digits: int = 3) -> str:
    """`[low, high]` of what has an interval, for Markdown."""
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else rf"\[{low:.{digits}f}, {high:.{digits}f}\]"


def findings(build: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What stands in a build's folder but not in what is published of its rows: how its labels agree with those that
    rows came with, `confusion`; what models trained on it showed, `curves`, with a line for each ability and series,
    and `ablations`. None or [] where there is nothing."""
    from instdata.report.build_facts import confusion, open_ledger
    from instdata.report.curves_and_effects import MACRO, read_ablations, read_curves

    curves = read_curves(build)
    for view in curves["views"] if curves else []:
        view["abilities"].sort(key=lambda a: a["ability"] == MACRO)  # last, as in BELLE's table
        for ability in view["abilities"]:
            ability["lines"] = [_line(view, ability, series) for series in view["series"]]
            ability["lines"] = [line for line in ability["lines"] if line]
    with open_ledger(build, manifest) as db:
        mixed = confusion(db, manifest)
    return {"confusion": mixed, "curves": curves, "ablations": read_ablations(build)}


def _line(view: dict[str, Any], ability: dict[str, Any], series: str) -> dict[str, Any] | None:
    points = {p["config"]: p for p in ability["points"] if p["series"] == series}
    if not points:
        return None
    fit = next((f for f in ability["fits"] if f["series"] == series), None)
    said = [points.get(config) for _, config in view["sizes"]]
    return {
        "series": series,
        "cells": [f"{fixed(p['value'])} {interval(p)}" if p else "" for p in said],
        "slope": f"{fixed(fit['slope'])} {interval(fit)}" if fit and fit["slope"] is not None else "",
        "label": fit["label"] if fit else "",
        "n": max(p["n"] for p in points.values()),
        "seeds": max(p["seeds"] for p in points.values()),
    }
