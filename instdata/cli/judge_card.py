"""`instdata judge-card`: how far to trust a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result, sayer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("judge-card")(judge_card)


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

    context = Context(say=sayer(quiet, "the judge"))
    card = measure(
        judge, on, options=Options(max_usd=max_usd), limit=limit, strong=strong, share=share, mapping=map_ or [],
        context=context,
    )  # fmt: skip
    result(card, json_, lambda: show_card(card))
