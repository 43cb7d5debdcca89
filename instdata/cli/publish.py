"""What leaves a build: files for trainers, the published dataset, and checks of both."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result, sayer
from instdata.util.plain import plain


class Format(str, Enum):
    alpaca = "alpaca"
    sharegpt = "sharegpt"
    messages = "messages"
    prompt_completion = "prompt_completion"
    source = "source"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command("push-to-hub")(push_to_hub)
    app.command()(verify)


def export(
    build: BuildDir = None,
    format: Annotated[
        Format, typer.Option(help="What the trainer reads; source: every record as it came in.")
    ] = Format.messages,
    out: Annotated[Path, typer.Option(help="The file: .jsonl, or .json for one array.")] = ...,  # type: ignore[assignment]
    config: Annotated[str, typer.Option(help="Which size, full or holdout.")] = "full",
    dropped: Annotated[
        str | None,
        typer.Option(
            help="Write dropped rows instead, with why: of a step, of one of its reasons, or all.",
            metavar="STEP[.REASON]|all",
            show_default=False,
        ),
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a config of a build as a file that trainers read, or the rows that it dropped."""
    from instdata.builds import export as write
    from instdata.builds import find_build
    from instdata.read.dropped import export_dropped

    if dropped is not None:
        gone = export_dropped(find_build(build), dropped, out)
        result({"out": str(out), **gone}, json_, lambda: print(f"{out}: {gone['written']:,} dropped rows"), quiet)
        return
    done = write(find_build(build), format.value, out, config)
    left = f", {done['left_out']:,} left out ({format.value} cannot hold them)" if done["left_out"] else ""
    result({"out": str(out), **done}, json_, lambda: print(f"{plain(out)}: {done['written']:,} rows{left}"), quiet)


def push_to_hub(
    build: BuildDir = None,
    repo: Annotated[str | None, typer.Option(help="owner/name; by default the recipe's.", show_default=False)] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public", help="For a new dataset; by default as the recipe says: private.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files and their sizes; send nothing.")] = False,
    accept_unknown_license: Annotated[
        bool, typer.Option("--accept-unknown-license", help="Publish rows whose licence nobody stated.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Pass over an objection; the refusal names it.", metavar="NAME", show_default=False),
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Publish a build as one Hub dataset, or a trained run as a model: one commit, a tag. The same again changes nothing."""
    from instdata.cli.output import pushed
    from instdata.publish.push import publish

    named = [w for item in allow or [] for w in item.split(",")] + ["unknown-license"] * accept_unknown_license
    done = publish(build, repo, private, dry_run, named, sayer(quiet))
    result(done, json_, lambda: pushed(done), quiet)
    if done["objections"]:
        print(plain("\n".join(done["objections"])), file=sys.stderr)
        raise typer.Exit(2)


def verify(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[REPO|BUILD]",
            help="owner/name on the Hub, or a build; the newest build by default.",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A tag or commit of the Hub dataset.", show_default=False)
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a published set, or a build, against its manifest: hashes, counts, nesting, shares, leaks, ledger, ids."""
    from instdata.builds import find_build
    from instdata.cli.output import verification
    from instdata.publish.verify import verify as check

    found = check(target or find_build(None), revision)
    result(found, json_, lambda: verification(found), quiet)
    if not found["ok"]:
        raise typer.Exit(1)
