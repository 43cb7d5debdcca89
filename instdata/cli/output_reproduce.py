"""What `reproduce` prints: a paper's protocol, and the scores of the study."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.compare.effect import FEW
from instdata.compare.grid_summary import plan_line

MARKS = {"done": "=", "differs": "~", "missing": "-"}


def show_protocol(took: dict[str, Any]) -> None:
    """A paper's protocol, element by element, and what the study takes here."""
    console = _console()
    table = _table("element", "paper", "here", title=f"{took['paper']}: the paper's protocol, and this study")
    for e in took["protocol"]:
        here = e["here"] + (f" ({e['why']})" if e["why"] else "")
        table.add_row(f"{MARKS[e['status']]} {escape(e['element'])}", escape(e["paper"]), escape(here))
    console.print(table)
    console.print(
        "\n= done as in the paper, ~ differs, - not done here: "
        + ", ".join(f"{n} {k}" for k, n in took["counts"].items())
    )
    if "cells" in took:
        console.print(escape(plan_line(took)))
    else:
        console.print(f"no build yet: `instdata build recipes/{took['paper']}.yaml`, or name a build or a recipe")


def show_reproduction(found: dict[str, Any]) -> None:
    """One table for each model, arm and suite, sizes as columns; the published one beside it where the scale is the
    same."""
    console = _console()
    keys = ("model", "arm", "suite")
    published = found["published"]
    base = {(p["model"], p["suite"], p["ability"]): p["value"] for p in found["table"] if p["config"] == "base"}
    for key in dict.fromkeys(tuple(p[k] for k in keys) for p in found["table"] if p["config"] != "base"):
        mine = [p for p in found["table"] if tuple(p[k] for k in keys) == key and p["config"] != "base"]
        sizes = [c for _, c in sorted({(p["rows"], p["config"]) for p in mine})]
        theirs = [f"{n / 1e6:g}M" for n in published["rows"]] if published else []
        table = _table(
            "ability",
            ">base",
            *(f">{s}" for s in sizes),
            *(f">BELLE {s}" for s in theirs),
            title=escape(", ".join(key)),
        )
        value = {(p["ability"], p["config"]): p for p in mine}
        for ability in dict.fromkeys(p["ability"] for p in mine):
            start = base.get((key[0], key[2], ability))
            shown = [_cell(value.get((ability, s))) for s in sizes]
            beside = published["scores"].get(ability, [None] * len(theirs)) if published else []
            table.add_row(escape(ability), _number(start), *shown, *map(_number, beside))
        console.print(table)
        console.print()
    if found["matrix"]:
        _show_matrix(console, found["matrix"])
    differs = sum(e["status"] != "done" for e in found["protocol"])
    console.print(
        f"{differs} of {len(found['protocol'])} elements differ from the paper; reproduction.json says each and why"
    )
    console.print(escape(f"{found['folder']}: reproduction.json, scores.parquet"), soft_wrap=True)


def _show_matrix(console: Any, matrix: list[dict[str, Any]]) -> None:
    """Trained on a row's ability alone: the change of each column's score. Columns have the numbers of the rows, since
    ten names and ten intervals do not fit on 80 characters."""
    for model in dict.fromkeys(m["model"] for m in matrix):
        mine = [m for m in matrix if m["model"] == model]
        examined = list(dict.fromkeys(m["examined"] for m in mine))
        trained = list(dict.fromkeys(m["trained"] for m in mine))
        names = [*trained, *(e for e in examined if e not in trained)]
        title = f"{model}: change against the untrained model, and half of its 95 % interval"
        table = _table("trained on", *(f">{names.index(e) + 1}" for e in examined), title=escape(title))
        table.padding = (0, 1, 0, 0)
        for row in trained:
            by = {m["examined"]: m for m in mine if m["trained"] == row}
            table.add_row(escape(f"{names.index(row) + 1} {row}"), *(_change(by.get(e)) for e in examined))
        console.print(table)
        apart = "; ".join(f"{names.index(e) + 1} {e}" for e in examined if e not in trained)
        if apart:
            console.print(escape(f"examined alone: {apart}"))
        fewest = min(m["n"] for m in mine)
        few = f"; ?: fewer than {FEW} items (as few as {fewest}), so no verdict" if fewest < FEW else ""
        console.print(f"* better or worse after Holm's correction over the matrix{few}\n")


def _change(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["effect"] is None:
        return "-"
    star = "*" if cell["verdict"] in ("better", "worse") else ""
    change = _short(f"{cell['effect']:+.2f}")
    few = cell["n"] < FEW or cell["low"] is None
    return f"{change}{star}\n±{'?' if few else _short(format((cell['high'] - cell['low']) / 2, '.2f'))}"


def _short(number: str) -> str:
    """.12, +.12 of 0.12, +0.12."""
    return number.replace("0.", ".", 1) if number.lstrip("+-").startswith("0.") else number


def _cell(point: dict[str, Any] | None) -> str:
    return "-" if point is None or point["value"] is None else f"{point['value']:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
