"""Options that commands which train and score have in common: recipe, suites, metrics, judge, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Plan = Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")]
