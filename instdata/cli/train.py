"""`instdata train`: one model fine-tuned on a size of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Model, Quiet, as_folder, result, sayer
from instdata.cli.harness_options import Recipe, Sets


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


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
    from instdata.builds import find_build
    from instdata.cli.output_train import show_rows, show_run
    from instdata.train.run import shown_rows, train_build
    from instdata.train.training_recipe import training

    found, how, say = find_build(build), training(recipe, set_ or []), sayer(quiet, "training")
    if show:
        rows = shown_rows(found, config, model, how, show, say)
        result({"rows": rows}, json_, lambda: show_rows(rows))
        return
    done = train_build(found, config, model, how, seed, out, say)
    result(done, json_, lambda: show_run(done), quiet)
