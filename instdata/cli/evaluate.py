"""`instdata evaluate`: a model's scores on what a build held out, or on suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Judge, Quiet, as_folder, result, runs_code, sayer
from instdata.cli.harness_options import AnswerTokens, JudgeRuns, MaxItems, MaxUsd, Metrics, Suites, TaxonomyName, With


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


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
