"""`instdata reproduce`: a paper's protocol end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Judge, Quiet, as_folder, as_name, result, runs_code, sayer
from instdata.cli.harness_options import MaxItems, MaxUsd, Sets, Suites, TaxonomyName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reproduce)


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
    from instdata.cli.output_reproduce import show_protocol, show_reproduction
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
