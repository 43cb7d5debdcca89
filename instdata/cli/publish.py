"""What leaves a build: files for trainers, the published dataset, and checks of both."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result, sayer
from instdata.util.plain import plain


class Format(str, Enum):
    alpaca = "alpaca"
    sharegpt = "sharegpt"
    messages = "messages"
    prompt_completion = "prompt_completion"
    source = "source"
    lm_eval = "lm-eval"
    inspect = "inspect"


class Trainer(str, Enum):
    llamafactory = "llamafactory"
    axolotl = "axolotl"
    trl = "trl"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command("push-to-hub")(push_to_hub)
    app.command()(verify)


def export(
    build: BuildDir = None,
    format: Annotated[
        Format,
        typer.Option(
            help="What a trainer reads; source: every record as it came in; lm-eval, inspect: the items as a task."
        ),
    ] = Format.messages,
    out: Annotated[Path, typer.Option(help="The file: .jsonl, or .json for one array; of a task its folder.")] = ...,  # type: ignore[assignment]
    config: Annotated[str, typer.Option(help="Which size, full or holdout.")] = "full",
    ability: Annotated[
        list[str] | None, typer.Option(help="Only rows of this ability; may be repeated.", show_default=False)
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Each record has its id and ability, too.")] = False,
    trainer: Annotated[
        Trainer | None,
        typer.Option(help="Write beside it what makes this trainer read it.", show_default=False),
    ] = None,
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
    """Write a config of a build as a file that trainers read, its items as another harness' task, or what it
    dropped."""
    from instdata.builds import export as write
    from instdata.builds import find_build
    from instdata.publish.trainers import check_trainer, tell_trainer
    from instdata.read.dropped import export_dropped

    if format in (Format.lm_eval, Format.inspect):
        from instdata.cli.added import export_items_of

        export_items_of(find_build(build), format.value, out, json_, quiet)
        return
    if dropped is not None:
        gone = export_dropped(find_build(build), dropped, out)
        result({"out": str(out), **gone}, json_, lambda: print(f"{out}: {gone['written']:,} dropped rows"), quiet)
        return
    if trainer is not None:
        check_trainer(trainer.value, format.value)
    done: dict[str, Any] = dict(write(find_build(build), format.value, out, config, ability or (), ids))
    if trainer is not None:
        done["trainer"] = str(tell_trainer(trainer.value, format.value, out))
    told = f"\n{done['trainer']}: how {trainer.value} reads it" if trainer is not None else ""
    left = f", {done['left_out']:,} left out ({format.value} cannot hold them)" if done["left_out"] else ""
    result(
        {"out": str(out), **done}, json_, lambda: print(f"{plain(out)}: {done['written']:,} rows{left}{told}"), quiet
    )


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
    """Publish a build as one Hub dataset, or a trained run as a model: one commit, a tag. The same again changes
    nothing."""
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
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build it again from its own recipe, and compare the bytes.")
    ] = False,
    sources: Annotated[
        Path | None,
        typer.Option(help="With --rebuild: where the recipe's paths start (default: here).", show_default=False),
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a published set, or a build, against its manifest: hashes, counts, nesting, shares, leaks, ledger, ids."""
    from instdata.builds import find_build
    from instdata.cli.output import verification
    from instdata.publish.verify import verify as check

    meant = target or find_build(None)
    found = check(meant, revision)
    if rebuild:
        from instdata.rebuild import rebuild as again

        one = again(meant, sources, revision, sayer(quiet))
        found["checks"].append(one)
        found["problems"] += [f"rebuild: {p}" for p in one["problems"]]
        found["ok"] = not found["problems"]
    result(found, json_, lambda: verification(found), quiet)
    if not found["ok"]:
        raise typer.Exit(1)
