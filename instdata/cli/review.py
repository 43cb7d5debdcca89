"""review: people look at a sample of a build's rows, and what they say estimates the whole."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result, sayer, serve
from instdata.util.safe_text import plain


class By(str, Enum):
    ability = "ability"
    rule = "rule"
    arm = "arm"
    source = "source"


class Queue(str, Enum):
    sample = "sample"
    disagreements = "disagreements"


class Tool(str, Enum):
    label_studio = "label-studio"
    argilla = "argilla"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(review)


def review(
    build: BuildDir = None,
    who: Annotated[str | None, typer.Option("--as", help="Your name.", metavar="NAME", show_default=False)] = None,
    by: Annotated[
        By,
        typer.Option(
            help="What the sample is drawn by: purity of labels, precision of rules, human or model, sources."
        ),
    ] = By.ability,
    width: Annotated[
        float, typer.Option(min=0.01, max=1, help="Ask until each interval, from low to high, is that narrow.")
    ] = 0.1,
    queue: Annotated[Queue, typer.Option(help="The sample, or what people disagree about.")] = Queue.sample,
    estimate: Annotated[bool, typer.Option("--estimate", help="Print what the reviews say so far; no page.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the sample, with reviews, for another tool.", metavar="FILE.json", show_default=False),
    ] = None,
    format: Annotated[Tool, typer.Option(help="For which one.")] = Tool.label_studio,
    import_: Annotated[
        Path | None,
        typer.Option("--import", help="Read what people said there.", metavar="FILE.json", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page on 127.0.0.1; 0: a free one.")] = 0,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look at a sample of rows in the browser, blind, until what is asked is known well enough."""
    from instdata.builds import find_build
    from instdata.cli.output_review import estimates
    from instdata.report.review.session import Reviewing
    from instdata.util.errors import InputError

    ways = [w for w, on in {"--estimate": estimate, "--export": export, "--import": import_}.items() if on]
    if len(ways) > 1:
        raise InputError(f"{' and '.join(ways)}: one at a time")
    if not ways and not who:
        raise InputError(
            "review: who reviews? `instdata review BUILD --as NAME` opens the page; --estimate prints what reviews say"
        )
    session = Reviewing(find_build(build), who or "nobody", by.value, width, queue.value)
    if export or import_:
        done = _exchange(session, export, format, import_)
        result(done, json_, lambda: print(plain(_told(done))), quiet)
        return
    if not estimate:
        from instdata.report.review.session import shown
        from instdata.report.server import Server

        serve(Server("review.html", shown(session), session.answers(), port), json_, sayer(quiet))
        if json_:
            return
    found = session.estimate()
    result(found, json_, lambda: estimates(found), quiet)


def _exchange(session: Any, out: Path | None, format: Tool, file: Path | None) -> dict[str, Any]:
    from instdata.report.review.label_tools import export_reviews, import_reviews, label_config

    if file is not None:
        return import_reviews(session, file)
    assert out is not None
    done = export_reviews(session, format.value, out)
    return done | ({"config": label_config(session.plan.abilities)} if format is Tool.label_studio else {})


def _told(done: dict[str, Any]) -> str:
    if "added" in done:
        return f"{done['file']}: {done['reviews']} reviews, {done['added']} of them new"
    config = f"\nthe labelling interface to paste:\n{done['config']}" if "config" in done else ""
    return f"{done['out']}: {done['rows']} rows, {done['reviews']} reviews{config}"
