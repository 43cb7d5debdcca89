"""The harness' commands: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Judge, Model, Quiet, as_folder, disk, result, runs_code, sayer

Recipe = Annotated[str, typer.Option("--recipe", help="How to train: proxy, belle or doit.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change it: --set lr=1e-5", metavar="KEY=VALUE")]
Suites = Annotated[
    list[Path] | None,
    typer.Option("--suite", help="Items to score instead of the holdout; may repeat.", show_default=False),
]
Metrics = Annotated[
    str | None, typer.Option("--metrics", help="Of bits,distractors,answers.", show_default=False, metavar="A,B")
]
MaxItems = Annotated[
    int | None,
    typer.Option(
        "--max-items", min=1, help="Score at most N items, of the holdout or of each suite.", show_default=False
    ),
]
TaxonomyName = Annotated[
    str | None, typer.Option("--taxonomy", help="A taxonomy other than the build's.", show_default=False)
]
JudgeCard = Annotated[
    Path | None, typer.Option(help="What judge-card --json said of it; without, undecided.", show_default=False)
]
JudgeRuns = Annotated[int, typer.Option("--judge-runs", min=1, help="Judge calls for each answer (BELLE: 3).")]
MaxUsd = Annotated[float | None, typer.Option("--max-usd", help="Judge for at most that much.", show_default=False)]


Keep = Annotated[
    str, typer.Option("--keep", help="Disk for trained models: with theirs, new items train nothing. 0 keeps none.")
]


AnswerTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Of an answer; by default as many as its reference suggests.", show_default=False),
]
With = Annotated[
    str | None,
    typer.Option(
        "--with", help="Also lm-eval's: lm-eval:gsm8k,tasks/mine.yaml.", metavar="lm-eval:A,B", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for name, command in COMMANDS.items():
        app.command(name)(command)


def train(
    build: BuildDir = None,
    config: Annotated[str | None, typer.Option(help="Which size; full by default.", show_default=False)] = None,
    model: Model = "auto",
    out: Annotated[
        Path | None,
        typer.Option(callback=as_folder, help="The run's folder (default under runs/).", show_default=False),
    ] = None,
    recipe: Recipe = "proxy",
    set_: Sets = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    show: Annotated[
        int, typer.Option(min=0, help="Train nothing: print N rows as the model sees them, learned tokens coloured.")
    ] = 0,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a model on a size of a build. Run it again to resume: the result is the same to the bit on a CPU."""
    from instdata.cli.output_train import show_rows, show_run
    from instdata.finished_build import find_build
    from instdata.train.run import shown_rows, train_build
    from instdata.train.training_recipe import training

    found, how, say = find_build(build), training(recipe, set_ or []), sayer(quiet, "training")
    if show:
        rows = shown_rows(found, config, model, how, show, say)
        result({"rows": rows}, json_, lambda: show_rows(rows))
        return
    done = train_build(found, config, model, how, seed, out, say)
    result(done, json_, lambda: show_run(done), quiet)


@runs_code
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A run, auto, a folder, a .gguf file, owner/name on the Hub, http://host/v1#MODEL, or vllm:NAME."
        ),
    ],
    build: Annotated[
        Path | None,
        typer.Option("--build", help="The build; by default the run's, or the newest.", show_default=False),
    ] = None,
    suite: Suites = None,
    metrics: Metrics = None,
    max_items: MaxItems = None,
    judge: Judge = None,
    judge_runs: JudgeRuns = 1,
    max_usd: MaxUsd = None,
    answer_tokens: AnswerTokens = None,
    with_: With = None,
    out: Annotated[
        Path | None, typer.Option(callback=as_folder, help="Where scores.parquet goes.", show_default=False)
    ] = None,
    taxonomy: TaxonomyName = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on what a build held out, or on suites: likelihood, distractors, and answers that can be
    checked."""
    from instdata.cli.output_train import show_evaluation
    from instdata.compare.evaluate import evaluate_model
    from instdata.score.evaluate import metrics as kinds

    judged = (judge, judge_runs, max_usd) if judge else None
    say = sayer(quiet, "scoring")
    found = evaluate_model(
        model, build, suite or [], kinds(metrics), max_items, out, taxonomy, say, judged, answer_tokens, with_
    )
    result(found, json_, lambda: show_evaluation(found))


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
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train on every size and score every ability: the growth curves, with intervals. Run it again to resume."""
    from instdata.cli.output_curves import show_curves
    from instdata.compare.grid_summary import plan_line
    from instdata.finished_build import find_build
    from instdata.grow.curve import grids, planned, run_curves
    from instdata.score.evaluate import metrics as kinds
    from instdata.score.from_build import ORIGINS
    from instdata.train.training_recipe import training
    from instdata.util.errors import InputError
    from instdata.util.yaml import did_you_mean

    for word in origin or []:
        if word not in ORIGINS:
            raise InputError(f"--origin {word}: one of {', '.join(ORIGINS)}.{did_you_mean(word, ORIGINS)}")
    where, say = find_build(build), sayer(quiet, "the cells")
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
    from instdata.cli.output_ablate import show_ablation, show_plan
    from instdata.compare.ablate import plan as planned
    from instdata.compare.ablate import prepare, run, transferred
    from instdata.compare.grid_summary import plan_line
    from instdata.finished_build import find_build
    from instdata.report.page import ablation_page
    from instdata.train.training_recipe import training

    say = sayer(quiet, "the cells")
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

    from instdata.cli.added import ablate_several
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


def judge_card(
    judge: Annotated[
        str, typer.Option(help="A model; a file of verdicts; or `recorded`, where the --on files hold them.")
    ] = "recorded",
    on: Annotated[list[Path], typer.Option(help="Pairs of answers with people's labels; may repeat.")] = ...,  # type: ignore[assignment]
    limit: Annotated[int | None, typer.Option(min=1, help="Ask about N pairs only.", show_default=False)] = None,
    strong: Annotated[
        str | None, typer.Option(help="A better judge that sees only a share of the pairs.", show_default=False)
    ] = None,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="That share.")] = 0.2,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN[,COLUMN…] of the files; may repeat.", show_default=False),
    ] = None,
    max_usd: Annotated[float | None, typer.Option(help="Ask for at most that much.", show_default=False)] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """How far to trust a judge: agreement with people, swaps, length, cost, against saying "the longer one"."""
    from instdata.cli.output_cards import show_card
    from instdata.judge.judge_card import judge_card as measure
    from instdata.llm.structured_asks import Options
    from instdata.util.build_context import Context

    context = Context(say=sayer(quiet, "the judge"), bars=sys.stderr.isatty() and not quiet)
    card = measure(
        judge, on, options=Options(max_usd=max_usd), limit=limit, strong=strong, share=share, mapping=map_ or [],
        context=context,
    )  # fmt: skip
    result(card, json_, lambda: show_card(card))


def drawn(draw: Callable[[Path], Path], folder: Path, say: Callable[[str], None]) -> str | None:
    """The page that `draw` makes of a folder; None, and said, where the report extra is missing."""
    from instdata.util.errors import MissingExtra

    try:
        return str(draw(folder))
    except MissingExtra as e:
        say(str(e))
        return None


def _curve_pages(build: Path) -> Path:
    """The curves as PNG and in the build's report; returns that."""
    from instdata.report.curve_and_effect_charts import curve_charts
    from instdata.report.page import write_report

    curve_charts(build / "curves")
    return write_report(build)


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "evaluate": evaluate,
    "curves": curves,
    "ablate": ablate,
    "judge-card": judge_card,
}
