"""`instdata curves`: train on every size, score every ability."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Judge, Quiet, disk, drawn, result, runs_code, sayer
from instdata.cli.harness_options import (
    JudgeRuns,
    Keep,
    MaxItems,
    MaxUsd,
    Metrics,
    Plan,
    Recipe,
    Sets,
    Suites,
    TaxonomyName,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(curves)


@runs_code
def curves(
    build: BuildDir = None,
    model: Annotated[list[str] | None, typer.Option(help="May repeat; auto by default.", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every size.")] = 2,
    sizes: Annotated[
        str | None, typer.Option(help="Configs or numbers of rows: 64,128,256.", show_default=False, metavar="A,B")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="human, synthetic or mixed rows; may repeat; mixed by default.", show_default=False),
    ] = None,
    recipe: Recipe = "proxy",
    set_: Sets = None,
    suite: Suites = None,
    metrics: Metrics = None,
    max_items: MaxItems = None,
    judge: Judge = None,
    judge_runs: JudgeRuns = 1,
    max_usd: MaxUsd = None,
    taxonomy: TaxonomyName = None,
    keep: Keep = "20GB",
    plan: Plan = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train on every size and score every ability: the growth curves, with intervals. Run it again to resume."""
    from instdata.builds import find_build
    from instdata.cli.output_curves import show_curves
    from instdata.compare.grid_summary import plan_line
    from instdata.grow.curve import grids, planned, run_curves
    from instdata.score.evaluate import metrics as kinds
    from instdata.score.from_build import ORIGINS
    from instdata.train.training_recipe import training
    from instdata.util.errors import InputError
    from instdata.util.yaml import did_you_mean

    for word in origin or []:
        if word not in ORIGINS:
            raise InputError(f"--origin {word}: one of {', '.join(ORIGINS)}.{did_you_mean(word, ORIGINS)}")
    where, say = find_build(build), sayer(quiet, "reading the build")
    found = grids(
        where, model or ["auto"], seeds, training(recipe, set_ or []), kinds(metrics, ("bits", "distractors")),
        sizes=sizes, suites=suite or [], max_items=max_items, origins=origin or ["mixed"], taxonomy=taxonomy,
        judge=(judge, judge_runs, max_usd) if judge else None, say=say, keep=disk(keep),
    )  # fmt: skip
    if seeds < 2:
        say("one seed says nothing of the next one: `instdata next` asks for two (--seeds 2)")
    took = planned(found)
    if plan:
        result(took, json_, lambda: print(plan_line(took)))
        return
    say(plan_line(took))
    done = run_curves(where, found)
    done["report"] = drawn(_curve_pages, where, say)
    result(done, json_, lambda: show_curves(done))


def _curve_pages(build: Path) -> Path:
    """The curves as PNG and in the build's report; returns that."""
    from instdata.report.curve_and_effect_charts import curve_charts
    from instdata.report.page import write_report

    curve_charts(build / "curves")
    return write_report(build)
