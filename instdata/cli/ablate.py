"""`instdata ablate`: with and without a step, several added sources, two filters crossed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Judge, Quiet, as_folder, disk, drawn, result, runs_code, sayer
from instdata.cli.harness_options import (
    JudgeCard,
    JudgeRuns,
    Keep,
    MaxItems,
    MaxUsd,
    Recipe,
    Sets,
    Suites,
    TaxonomyName,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ablate)


@runs_code
def ablate(
    build: BuildDir = None,
    filter: Annotated[
        str | None,
        typer.Option(
            help="A step, STEP.REASON, or source=, origin=, ability=, lang=NAME; A,B: both, crossed.",
            show_default=False,
        ),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            help="Sources to add to the rest, each by itself: NAME[,NAME].", show_default=False, metavar="A,B"
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with another recipe, or its build, instead.", show_default=False)
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="Rows: 64,128,256 (default).", show_default=False)] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Seeds of the first look (default: the recipe's, 3).", show_default=False)
    ] = None,
    max_seeds: Annotated[int, typer.Option(min=2, help="Seeds of the last look, while undecided.")] = 5,
    model: Annotated[str | None, typer.Option(help="Default: the recipe's (auto).", show_default=False)] = None,
    match: Annotated[
        str, typer.Option(help="What arms have as many of: supervised (tokens that are learned), tokens or rows.")
    ] = "supervised",
    metric: Annotated[
        str, typer.Option(help="What verdicts rest on: bits, distractors, accuracy, one scorer's name, judge or pairs.")
    ] = "bits",
    margin: Annotated[float, typer.Option(help="What counts as no difference, in doublings of data.")] = 0.25,
    card: Annotated[bool, typer.Option("--card", help="Score by every metric, and say how far they agree.")] = False,
    transfer: Annotated[
        Path | None,
        typer.Option(help="The folder of an ablation at another model: do both decide alike?", show_default=False),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(help="Models trained elsewhere: arm,size,seed,model as CSV or YAML.", show_default=False),
    ] = None,
    judge: Judge = None,
    judge_card: JudgeCard = None,
    judge_runs: JudgeRuns = 1,
    max_usd: MaxUsd = None,
    recipe: Recipe = "proxy",
    set_: Sets = None,
    suite: Suites = None,
    max_items: MaxItems = None,
    taxonomy: TaxonomyName = None,
    out: Annotated[
        Path | None, typer.Option(callback=as_folder, help="Default: ablations/<build>-<step>.", show_default=False)
    ] = None,
    keep: Keep = "20GB",
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take and could see, and stop.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before running (asked in a terminal only).")
    ] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """With and without a step: what it did to each ability, with intervals. Exit code 3 where that stays undecided."""
    from instdata.api import build_to_compare
    from instdata.builds import find_build
    from instdata.cli.output_ablate import show_ablation, show_plan
    from instdata.compare.ablate import plan as planned
    from instdata.compare.ablate import prepare, run, transferred
    from instdata.compare.grid_summary import plan_line
    from instdata.report.page import ablation_page
    from instdata.train.training_recipe import training

    say = sayer(quiet, "reading the build")
    if add or "," in (filter or ""):
        alone = {"--against": against, "--judge": judge, "--cells": cells, "--card": card, "--transfer": transfer}
        _several(add, filter, sizes, match, alone)(
            build, plan, json_, quiet, add=add, filters=filter, seeds=seeds or 3, model=model or "auto", metric=metric,
            recipe=training(recipe, set_ or []), suites=suite or [], max_items=max_items, taxonomy=taxonomy, out=out,
        )  # fmt: skip
        return
    base = find_build(build)
    other = build_to_compare(against, base, say, plan) if against else None
    ablation = prepare(
        base, filter, other, sizes=sizes, seeds=seeds, most=max_seeds, model=model, match=match,
        metric=metric, judge=(judge, judge_runs, max_usd) if judge else None, recipe=training(recipe, set_ or []),
        max_items=max_items, taxonomy=taxonomy, out=out, say=say, suites=suite or [], keep=disk(keep),
        doublings=margin, cells=cells, card=card, judge_card=judge_card,
    )  # fmt: skip
    took = planned(ablation)
    if plan:
        result(took, json_, lambda: show_plan(took))
        return
    costs = took["with_all_looks"]["missing"] or took["with_all_looks"]["judge_calls"]
    asks = costs and not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if costs and (asks or not quiet):
        sayer(False)(plan_line(took)) if json_ else show_plan(took)
    if asks:
        typer.confirm("run it?", default=True, abort=True, err=True)
    done = run(ablation, say)
    done["transfer"] = transferred(done, transfer) if transfer else None
    done["report"] = drawn(ablation_page, Path(done["folder"]), say)
    result(done, json_, lambda: show_ablation(done))
    if not done["decided"]:
        raise typer.Exit(3)


def _several(
    add: str | None, filter: str | None, sizes: str | None, match: str, alone: dict[str, Any]
) -> Callable[..., None]:
    """What runs several arms, with the one size that was asked for. Raises InputError for options that it does not
    take: those of `alone`, and to match in anything but supervised tokens."""
    from functools import partial

    from instdata.util.errors import InputError
    from instdata.util.sizes_and_shares import count

    if add and filter:
        raise InputError("--add and --filter are two questions: ask one of them")
    word = next((name for name, value in alone.items() if value), None if match == "supervised" else f"--match {match}")
    if word:
        raise InputError(
            f"{word}: several arms are matched in supervised tokens and scored by bits or distractors: leave it out"
        )
    try:
        rows = count(sizes) if sizes else None
        return partial(ablate_several, rows=rows if rows is None else int(rows))
    except ValueError:
        raise InputError(f"--sizes {sizes}: several arms are compared at one size: --sizes 256") from None


def ablate_several(build: Path | None, plan: bool, json_: bool, quiet: bool, **wanted: Any) -> None:
    """Added sources, or a factorial of two filters. Exit code 3 where all stays undecided."""
    from instdata.builds import find_build
    from instdata.cli.output_ablate import show_several, show_several_plan
    from instdata.compare import several_arms

    found = several_arms.prepare(find_build(build), **wanted, say=sayer(quiet, "the arms"))
    if plan:
        took = several_arms.plan(found)
        result(took, json_, lambda: show_several_plan(took))
        return
    done = several_arms.run(found)
    result(done, json_, lambda: show_several(done), quiet)
    if not done["decided"]:
        raise typer.Exit(3)
