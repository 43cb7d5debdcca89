"""`instdata next`: the next recipe, by the curves or by a design of mixtures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, Model, Quiet, result, sayer
from instdata.cli.harness_options import MaxItems, Plan, Recipe, Sets, Suites, TaxonomyName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("next")(next_)


def next_(
    build: Annotated[
        Path | None,
        typer.Argument(help="A build with curves (the newest by default), or a CSV of scores.", show_default=False),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Rows of the next set (default: the largest size's).", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Default: <name>.next.yaml here.", show_default=False)] = None,
    design: Annotated[bool, typer.Option("--design", help="Train mixtures, and measure what a new one is "
                                                          "worth.")] = False,
    rows: Annotated[int | None, typer.Option(min=8, help="Rows of each mixture (256).", show_default=False)] = None,
    mixtures: Annotated[int, typer.Option(help="How many, 6 or more.")] = 8,
    seeds: Annotated[int, typer.Option(help="Runs of each: half choose, half judge.")] = 2,
    fresh_seeds: Annotated[int, typer.Option("--fresh-seeds", help="Runs that confirm.")] = 3,
    model: Model = "auto",
    metric: Annotated[str, typer.Option(help="What the law is of: bits or distractors.")] = "bits",
    recipe: Recipe = "proxy",
    set_: Sets = None,
    suite: Suites = None,
    max_items: MaxItems = None,
    taxonomy: TaxonomyName = None,
    plan: Plan = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """The next recipe: by the curves, which promise nothing; or, with --design, by mixtures, with an interval,
    confirmed."""
    from instdata.api import recipe_problems
    from instdata.builds import find_build
    from instdata.cli.output_next import show_next
    from instdata.grow.next import next_recipe
    from instdata.train.training_recipe import training
    from instdata.util.errors import InputError

    table = build is not None and build.suffix.lower() == ".csv"
    if not design:
        if plan or rows:
            raise InputError(f"--{'plan' if plan else 'rows'} belongs to --design: the curves are there already")
        found = next_recipe(build if table and build else find_build(build), budget, out, recipe_problems)
        result(found, json_, lambda: show_next(found))
        return
    if table:
        raise InputError(f"{build}: a table cannot be trained on: --design needs a build")
    _design(
        find_build(build), budget, out, plan, json_, quiet, model=model, rows=rows, mixtures=mixtures, seeds=seeds,
        fresh_seeds=fresh_seeds, metric=metric, recipe=training(recipe, set_ or []), suites=suite or [],
        max_items=max_items, taxonomy=taxonomy,
    )  # fmt: skip


def _design(
    build: Path, budget: int | None, out: Path | None, plan: bool, json_: bool, quiet: bool, **wanted: Any
) -> None:
    """Plan or run a design, write its recipe, print."""
    from instdata.api import recipe_problems
    from instdata.cli.output_next import show_design, show_design_plan
    from instdata.grow import mixture_design as mixtures
    from instdata.grow.next import mixture_recipe

    found = mixtures.prepare(build, **wanted, say=sayer(quiet, "the mixtures"))
    if plan:
        took = mixtures.plan(found)
        result(took, json_, lambda: show_design_plan(took))
        return
    done = mixtures.run(found)
    length = dict(zip(found.abilities, map(float, found.length)))
    written = mixture_recipe(build, done, length, budget, out, recipe_problems)
    done |= {"recipe": written["recipe"], "next_rows": written["rows"], "notes": written["notes"]}
    result(done, json_, lambda: show_design(done), quiet)
