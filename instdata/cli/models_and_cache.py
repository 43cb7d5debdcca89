"""Commands for what instdata keeps on this machine: models and caches."""

from __future__ import annotations

from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result, sayer
from instdata.util.safe_text import plain


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(models)
    app.command()(cache)


def models(
    action: Annotated[str, typer.Argument(help="list or pull")] = "list",
    name: Annotated[str | None, typer.Argument(help="The model to pull.", show_default=False)] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the local models, or pull one: size and licence are said first, the download resumes and is checked."""
    from instdata.cli.output import model_table
    from instdata.llm.local_models import listing, pull
    from instdata.util.errors import InputError

    if action == "pull" and name:
        path = pull(name, sayer(quiet, "downloading"))
        result({"model": name, "path": str(path)}, json_, lambda: print(plain(path)), quiet)
    elif action == "list" and name is None:
        found = listing()
        result({"models": found}, json_, lambda: model_table(found))
    else:
        raise InputError("models: write `instdata models list` or `instdata models pull NAME`")


def cache(
    action: Annotated[str, typer.Argument(help="size, clean or prune")] = "size",
    days: Annotated[float, typer.Option(min=0, help="prune: what nobody read for so many days.")] = 30,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how large the step cache is, clean it, or prune what is old or was left behind (also kernels of other
    versions, which all caches share). Both wait for builds. Answers of models were paid for: they stay."""
    from instdata.cli.output import sizes_table
    from instdata.util.caches import clean, prune, size
    from instdata.util.errors import InputError

    say = sayer(quiet)
    if action not in ("size", "clean", "prune"):
        raise InputError("cache: write `instdata cache size`, `instdata cache clean` or `instdata cache prune`")
    found = clean(say) if action == "clean" else prune(days, say) if action == "prune" else size()
    result(found, json_, lambda: sizes_table(found), quiet)
