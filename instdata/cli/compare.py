"""`instdata compare`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, Quiet, result


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    logs: Annotated[list[Path], typer.Argument(help="Evaluation logs; the others are compared with the first.")],
    metric: Annotated[
        str | None, typer.Option(help="Default: the first that all logs share.", show_default=False)
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="The field that items of one passage or document share.", show_default=False, metavar="FIELD"
        ),
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="A difference below it counts as none.")] = 0.02,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Paired verdicts over anybody's evaluation logs: lm-eval, inspect, OpenCompass, our own, or a table of ids and scores."""
    from instdata.compare.logs import read_log
    from instdata.compare.paired import compare as paired
    from instdata.compare.paired import shared_metric
    from instdata.util.errors import InputError

    if len(logs) < 2:
        raise InputError("compare needs two logs or more: instdata compare A B")
    read = [read_log(path, cluster) for path in logs]
    chosen = shared_metric(read, metric)
    names = [p.name if [q.name for q in logs].count(p.name) == 1 else str(p) for p in logs]
    comparisons, unpaired = paired(read, names, chosen, margin)
    found = {
        "metric": chosen,
        "comparisons": [c.plain() for c in comparisons],
        "unpaired": unpaired,
        "files": [str(p) for p in logs],
    }
    result(found, json_, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    """A table for each log that is compared with the first."""
    from rich.markup import escape

    from instdata.cli.output import _console, _table

    console = _console()
    for name in dict.fromkeys(c["b"] for c in found["comparisons"]):
        mine = [c for c in found["comparisons"] if c["b"] == name]
        title = f"{name} against {mine[0]['a']}: {found['metric']}"
        table = _table("task", ">first", ">this", ">effect [95 %]", ">n", ">mde", "verdict", title=escape(title))
        for c in mine:
            known = c["effect"] is not None
            span = f"{c['effect']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]" if known else "-"
            n = f"{c['n']}" if abs(c["n_effective"] - c["n"]) < 1 else f"{c['n']} ({c['n_effective']:.0f})"
            table.add_row(
                escape(c["task"]), f"{c['mean_a']:.3f}" if known else "-", f"{c['mean_b']:.3f}" if known else "-", span, n,
                "-" if c["mde"] is None else f"{c['mde']:.3f}", c["verdict"],
            )  # fmt: skip
        console.print()
        console.print(table)
    missing = sum(c["missing"] for c in found["comparisons"])
    console.print(
        f"\np over {len(found['comparisons'])} comparisons (Holm); n in brackets: independent items that they are worth"
        + (f"; {found['unpaired']:,} items without a partner" if found["unpaired"] else "")
        + (f"; {missing:,} without a score on one side" if missing else "")
    )
