"""`instdata leaderboard`: selectors of rows against random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Model, Quiet, as_folder, drawn, result, sayer
from instdata.cli.harness_options import MaxItems, Plan, Recipe, Sets, Suites, TaxonomyName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaderboard)


def leaderboard(
    pool: BuildDir = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Selectors: rds,target_loss,embed,ifd,longest, and installed ones; by default all that can run.",
            show_default=False, metavar="A,B",
        ),
    ] = None,
    keep: Annotated[str, typer.Option(help="What each selects: 10% of the pool's rows, or a number.")] = "10%",
    seeds: Annotated[int, typer.Option(help="Runs of every arm, 5 or more.")] = 5,
    model: Model = "auto",
    proxy: Annotated[
        str | None, typer.Option(help="The model that selects, by default the one that is trained.", show_default=False)
    ] = None,
    metric: Annotated[str, typer.Option(help="What verdicts rest on: bits or distractors.")] = "bits",
    recipe: Recipe = "proxy",
    set_: Sets = None,
    suite: Suites = None,
    query: Annotated[
        list[Path] | None,
        typer.Option(help="Suites to choose for; by default half of the scored items.", show_default=False),
    ] = None,
    max_items: MaxItems = None,
    taxonomy: TaxonomyName = None,
    out: Annotated[
        Path | None, typer.Option(callback=as_folder, help="Default: leaderboards/<build>.", show_default=False)
    ] = None,
    plan: Plan = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Selectors against random rows of a build, at equal supervised tokens: a table with Holm's verdicts, and a
    page."""
    from instdata.builds import find_build
    from instdata.cli.output_leaderboard import leaderboard_page, show_leaderboard, show_leaderboard_plan
    from instdata.compare import leaderboard as board
    from instdata.train.training_recipe import training

    say = sayer(quiet, "leaderboard")
    found = board.prepare(
        find_build(pool), methods=methods, keep=keep, seeds=seeds, model=model, proxy=proxy, metric=metric,
        recipe=training(recipe, set_ or []), suites=suite or [], query=query or [], max_items=max_items,
        taxonomy=taxonomy, out=out, say=say,
    )  # fmt: skip
    if plan:
        took = board.plan(found)
        result(took, json_, lambda: show_leaderboard_plan(took))
        return
    done = board.run(found)
    done["report"] = drawn(lambda folder: leaderboard_page(folder, done), Path(done["folder"]), say)
    result(done, json_, lambda: show_leaderboard(done), quiet)
