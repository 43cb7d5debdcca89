"""`instdata why` and `diff`: a row's history; what two builds differ in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from instdata.cli.common import AsJson, Of, Quiet, Row, result, row_of

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(why)
    app.command()(diff)


def why(
    id: Row,
    build: Of = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a row's history: where it came from, what each step scored and decided, and its text."""
    from instdata.builds import history, recipe_of
    from instdata.cli.output import row_history
    from instdata.steps.threshold_bounds import bounds_of

    folder, wanted = row_of(id, build)
    bounds = bounds_of(recipe_of(folder))
    rows = [r | {"bounds": {k: v for k, v in bounds.items() if k in r["scores"]}} for r in history(folder, wanted)]
    result({"rows": rows}, json_, lambda: row_history(rows))


def diff(
    before: Annotated[Path, typer.Argument(metavar="BUILD")],
    after: Annotated[Path, typer.Argument(metavar="BUILD")],
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what the second build has that the first has not: rows in and out, labels and decisions that changed."""
    from instdata.builds import difference, find_build
    from instdata.cli.output import build_difference

    found = difference(find_build(before), find_build(after))
    result(found, json_, lambda: build_difference(found))
