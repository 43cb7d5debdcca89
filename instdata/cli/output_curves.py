"""The tables of `curves`."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.cli.output_cards import show_agreement
from instdata.score.metric import MACRO, metric_of


def show_curves(result: dict[str, Any]) -> None:
    """The table in BELLE's style: abilities by sizes, macro mean last, slope (with half of its 95 % interval) and label
    beside it; a table for each model, arm, suite and metric."""
    console = _console()
    by: dict[tuple, list[dict[str, Any]]] = {}
    for point in result["table"]:
        by.setdefault((point["model"], point["arm"], point["suite"], point["metric"]), []).append(point)
    labels = {(f["model"], f["arm"], f["suite"], f["metric"], f["ability"]): f for f in result["fits"]}
    base = {
        (p["model"], p["suite"], p["metric"], p["ability"]): p["value"]
        for p in result["table"]
        if p["config"] == "base"
    }
    for (model, arm, suite, metric), mine in by.items():
        sizes = sorted({(p["rows"], p["config"]) for p in mine if p["config"] != "base"})
        if not sizes or metric in ("distractor_fine", "distractor_coarse"):  # the report shows these apart
            continue
        kind = metric_of(metric)
        unit = f"{kind.unit}, lower is better" if kind.lower_is_better else f"{metric}, 0 to 1"
        table = _table(
            "ability",
            ">base",
            *(f">{n}" for _, n in sizes),
            ">per doubling",
            "curve",
            title=escape(f"{model}, {arm} rows, {suite}: {unit}"),
        )
        value = {(p["ability"], p["config"]): p["value"] for p in mine}
        names = sorted({p["ability"] for p in mine} - {MACRO})
        for ability in [*names, MACRO]:
            fit = labels.get((model, arm, suite, metric, ability))
            slope = _slope(fit)
            cells = [_number(base.get((model, suite, metric, ability)))] + [
                _number(value.get((ability, n))) for _, n in sizes
            ]
            table.add_row(escape(ability), *cells, slope, fit["label"] if fit else "-")
        console.print()
        console.print(table)
        chance = next((p["chance"] for p in mine if p["chance"] is not None and p["ability"] == MACRO), None)
        seeds = max(p["seeds"] for p in mine)
        items = max(p["n"] for p in mine)
        console.print(
            f"{items} items, {seeds} seed{'s' * (seeds > 1)}" + (f", chance {chance:.2f}" if chance is not None else "")
        )
    show_agreement(result["card"])
    if result.get("not_judged"):
        console.print(f"not judged (no judge asked): {', '.join(result['not_judged'])}")
    console.print(
        f"\n{result['folder']}: scores.parquet, curves.parquet, summary.json; charts in the build's report.html"
    )


def _slope(fit: dict[str, Any] | None) -> str:
    """A slope and half of its 95 % interval; without the interval where that says nothing."""
    if not fit or fit["slope"] is None:
        return "-"
    half, slope = (fit["high"] - fit["low"]) / 2, round(fit["slope"], 4) + 0.0  # no -0.0000
    return f"{slope:+.4f} ±{half:.4f}" if half < 1 else f"{slope:+.4f} ±?"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
