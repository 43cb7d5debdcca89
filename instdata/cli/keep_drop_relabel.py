"""keep, drop and relabel: decisions about single rows, appended to the build's overrides file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Of, Quiet, Row, result, row_of
from instdata.util.safe_text import plain

Why = Annotated[str, typer.Option("--why", help="The reason, for the ledger.")]
Who = Annotated[str | None, typer.Option("--who", help="Who decided; by default the user's name.", show_default=False)]
To = Annotated[
    Path | None,
    typer.Option("--file", help="The overrides file; by default the one of the build's recipe.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(keep)
    app.command()(drop)
    app.command()(relabel)


def keep(
    id: Row, why: Why, who: Who = None, build: Of = None, file: To = None, json_: AsJson = False, quiet: Quiet = False
) -> None:
    """Keep a row, whatever the steps after `overrides` say: append it to the build's overrides file."""
    _append("keep", id, None, why, who, build, file, json_, quiet)


def drop(
    id: Row, why: Why, who: Who = None, build: Of = None, file: To = None, json_: AsJson = False, quiet: Quiet = False
) -> None:
    """Drop a row: append it to the build's overrides file."""
    _append("drop", id, None, why, who, build, file, json_, quiet)


def relabel(
    id: Row,
    ability: Annotated[str, typer.Option("--ability", help="The row's ability, of the build's taxonomy.")],
    why: Why,
    who: Who = None,
    build: Of = None,
    file: To = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give a row another ability: append it to the build's overrides file."""
    _append("relabel", id, ability, why, who, build, file, json_, quiet)


def _append(
    action: str, id: list[str], value: str | None, why: str, who: str | None, build: Path | None, file: Path | None,
    json_: bool, quiet: bool,
) -> None:  # fmt: skip
    from instdata.steps.overrides_file import append

    done = append(*row_of(id, build), action, value, why, who, file)
    rows = ", ".join(done["rids"])
    told = f"{done['file']}: {action} {rows}" + (f" ({done['hint']})" if done["hint"] else "")
    result(done, json_, lambda: print(plain(told)), quiet)
