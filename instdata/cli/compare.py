"""compare: verdicts over anybody's evaluation logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B [C …]",
            help="Logs, each a file or folder: lm-eval samples, inspect, Every Eval Ever, OpenCompass, scores.parquet, "
            "or CSV/JSONL/Parquet with id and score. Each is compared with the first.",
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="The metric, where logs have several; may be repeated, for tasks with others.", metavar="NAME"
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="What counts as no difference (0.02 for scores from 0 to 1).", show_default=False),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="The field of records that names what items share: a passage.", metavar="FIELD"),
    ] = None,
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="Less of the metric is better.")] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare evaluation logs, paired by item: effect, interval, what could have been seen, a verdict of B against
    A."""
    from instdata.cli.output_compare import show_comparisons
    from instdata.compare.compare_logs import compare as run

    found = run(logs, metric or (), margin, cluster, lower_is_better)
    result(found, json_, lambda: show_comparisons(found), quiet)
