"""audit: what a set holds, without a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result, sayer
from instdata.util.safe_text import plain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    set_: Annotated[
        str, typer.Argument(metavar="SET", help="A file, folder, glob, owner/name on the Hub, or a build.")
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="A suite to find leaks of: a file, folder or well-known name; may be repeated.", metavar="SUITE"
        ),
    ] = None,
    fail_if: Annotated[
        str | None, typer.Option(help='Exit 1 where it holds: "leaks > 0 or unanswered > 5%".', metavar="EXPR")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Write a recipe that mends what is found.", metavar="FILE", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder (default audits/<name>).", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most N rows.", show_default=False)] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look a set over, without a recipe: its shape, defects, copies, leaks, keys, abilities, as one page and one
    JSON."""
    from instdata.audit.fail_if import held, read_gate
    from instdata.audit.repair_recipe import check_recipe_name
    from instdata.audit.run import COUNTS
    from instdata.audit.run import audit as run
    from instdata.cli.output_audit import audit_summary
    from instdata.util.errors import InputError
    from instdata.util.paths import cores

    gate = read_gate(fail_if, COUNTS) if fail_if is not None else []
    if not against and any(c.name == "leaks" for every in gate for c in every):
        raise InputError("--fail-if: leaks are told by suites: add --against SUITE")
    if recipe is not None:
        check_recipe_name(recipe)
    found, folder = run(set_, against or [], out, recipe, limit, cores(), sayer(quiet, "audit"))
    why = held(gate, found["counts"])
    paths = {"page": str(folder / "audit.html"), "json": str(folder / "audit.json"), "recipe": recipe and str(recipe)}
    short = {"set": found["set"], "counts": found["counts"], **paths, "failed": why}
    result(short, json_, lambda: audit_summary(found, folder, recipe), quiet)
    if why:
        print(plain(f"--fail-if: {' and '.join(why)}"), file=sys.stderr)
        raise typer.Exit(1)
