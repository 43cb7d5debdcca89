"""Experiments over selectors, papers and mixtures: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, as_folder, as_name, result, runs_code, sayer
from instdata.cli.harness import Judge, MaxItems, MaxUsd, Model, Recipe, Sets, Suites, TaxonomyName, drawn

Plan = Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(leaderboard)
    app.command()(reproduce)
    app.command("next")(next_)


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
    from instdata.cli.output_experiments import leaderboard_page, show_leaderboard, show_leaderboard_plan
    from instdata.compare import leaderboard as board
    from instdata.finished_build import find_build
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


@runs_code
def reproduce(
    paper: Annotated[str, typer.Argument(help="belle or doit.")],
    build: Annotated[
        Path | None,
        typer.Argument(help="A build, or a recipe to build first; by default builds/<paper>.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(callback=as_name, help="May repeat; auto by default.", show_default=False)
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="belle: rows of the largest size, 200 or 10%. doit: rows of an ability at most.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every size.")] = 2,
    set_: Sets = None,
    judge: Judge = None,
    judge_runs: Annotated[int, typer.Option(min=1, help="Judge calls for each answer.")] = 3,
    max_usd: MaxUsd = None,
    suite: Suites = None,
    max_items: MaxItems = None,
    taxonomy: TaxonomyName = None,
    out: Annotated[Path | None,
    typer.Option(callback=as_folder, help="Default: reproductions/<paper>-<build>.", show_default=False)] = None,
    plan: Annotated[bool, typer.Option("--plan", help="List the protocol, each element done or differing, and the "
                                                      "cost.")] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """A paper's protocol end to end: its ladder, its training, its scores, and what differs from the paper and why."""
    from instdata.api import build_of_paper
    from instdata.cli.output_experiments import show_protocol, show_reproduction
    from instdata.grow.papers.run import plan as planned
    from instdata.grow.papers.run import run
    from instdata.grow.papers.study import PaperWanted, study

    say = sayer(quiet, "the study")
    asked = (judge, judge_runs, max_usd) if judge else None
    where = build_of_paper(paper, build, say, plan)
    wanted = PaperWanted(
        paper, where, model or ["auto"], scale, seeds, set_ or [], asked, suite or [], max_items, taxonomy, out, say
    )
    found = study(wanted)
    if plan:
        took = planned(found)
        result(took, json_, lambda: show_protocol(took))
        return
    done = run(found)
    result(done, json_, lambda: show_reproduction(done), quiet)


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
    from instdata.cli.output_curves import show_next
    from instdata.finished_build import find_build
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
    from instdata.cli.output_experiments import show_design, show_design_plan
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
