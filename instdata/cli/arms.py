"""`instdata arms`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, as_folder, result, sayer
from instdata.cli.harness_options import MaxItems, Recipe, Sets, Suites, TaxonomyName


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("arms")(arms)


def arms(
    build: BuildDir = None,
    filter: Annotated[
        str | None,
        typer.Option(help="A step, STEP.REASON, or source=, origin=, ability=, lang=NAME.", show_default=False),
    ] = None,
    export: Annotated[str, typer.Option(help="Whose configs: trl, axolotl or llamafactory.")] = "trl",
    out: Annotated[Path, typer.Option(callback=as_folder, help="The folder to write.")] = Path("arms"),
    sizes: Annotated[str | None, typer.Option(help="Rows: 64,128,256 (default).", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Trainings of every arm and size.")] = 3,
    model: Annotated[str | None, typer.Option(help="Default: the recipe's (auto).", show_default=False)] = None,
    match: Annotated[
        str, typer.Option(help="What arms have as many of: supervised (tokens that are learned), tokens or rows.")
    ] = "supervised",
    recipe: Recipe = "proxy",
    set_: Sets = None,
    suite: Suites = None,
    max_items: MaxItems = None,
    taxonomy: TaxonomyName = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The arms of an ablation for your own trainer: rows, a config for each, and the table that `ablate --cells`
    scores."""
    from instdata.builds import find_build
    from instdata.compare.ablate import prepare
    from instdata.compare.export_arms import check_arms, export_arms
    from instdata.train.training_recipe import training

    check_arms(export, out)
    say = sayer(quiet, "the arms")
    ablation = prepare(
        find_build(build), filter, None, sizes=sizes, seeds=seeds, most=seeds, model=model, match=match, metric="bits",
        judge=None, recipe=training(recipe, set_ or []), max_items=max_items, taxonomy=taxonomy, out=None, say=say,
        suites=suite or [],
    )  # fmt: skip
    found = export_arms(ablation, export, out, say)
    result(found, json_, lambda: _show(found), quiet)


def _show(found: dict[str, Any]) -> None:
    from rich.markup import escape

    from instdata.cli.output import _console, _table

    console = _console()
    table = _table("arm", ">size", ">seed", ">rows", ">tokens", ">learned", ">steps", title=escape(found["filter"]))
    for c in found["cells"]:
        table.add_row(c["arm"], *(f"{c[k]:,}" for k in ("size", "seed", "rows", "tokens", "supervised", "steps")))
    console.print(table)
    console.print(f"\ntrain them  {escape(found['train'])}", soft_wrap=True)
    console.print(f"then        {escape(found['score'])}", soft_wrap=True)
