"""`instdata export`: files that trainers read, items as another harness' task, dropped rows."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result
from instdata.util.safe_text import plain


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
    """Add the command."""
    app.command()(export)


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
    from instdata.publish.trainer_configs import check_trainer, tell_trainer
    from instdata.read.export_dropped import export_dropped

    if format in (Format.lm_eval, Format.inspect):
        _export_items(find_build(build), format.value, out, json_, quiet)
        return
    if dropped is not None:
        gone = export_dropped(find_build(build), dropped, out)
        result(
            {"out": str(out), **gone}, json_, lambda: print(f"{plain(out)}: {gone['written']:,} dropped rows"), quiet
        )
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


def _export_items(build: Path, format: str, out: Path, json_: bool, quiet: bool) -> None:
    """The items that a build held out, as a task of lm-eval or inspect."""
    from instdata.score.from_build import items_of, taxonomy_of, with_distractors
    from instdata.score.harness_tasks import export_items

    items = with_distractors(items_of(build, taxonomy_of(build)), ["distractors"])
    done = export_items(items, build.resolve().name, format, out)
    left = "".join(f", {n:,} left out ({why})" for why, n in done["left_out"].items())
    tasks = ", ".join(done["tasks"])
    result(
        {"out": str(out), **done},
        json_,
        lambda: print(plain(f"{out}: {done['written']:,} items as {tasks}{left}")),
        quiet,
    )
