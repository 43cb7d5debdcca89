"""The commands: parse, call, print. What they do lives in the modules they import."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from instdata.cli import (
    agent,
    arms,
    audit,
    compare,
    experiments,
    export,
    harness,
    job_array,
    keep_drop_relabel,
    models_and_cache,
    publish,
    registry,
    report,
    review,
)
from instdata.cli.common import (
    AsJson,
    Of,
    Quiet,
    Row,
    as_folder,
    json_text,
    result,
    row_of,
    running,
    runs_code,
    sayer,
    wants_json,
)
from instdata.util.redaction import redacted, shown
from instdata.util.safe_text import plain

if TYPE_CHECKING:
    from instdata.build import Plan

app = typer.Typer(
    help="From raw instruction data to nested, ability-labelled subsets, and what each choice did.",
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

RecipeFile = Annotated[
    Path | None, typer.Argument(help="The recipe; by default the only *.yaml here.", show_default=False)
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value: --set dedup.threshold=0.8", metavar="KEY=VALUE")
]


class EngineName(str, Enum):
    local = "local"
    ray = "ray"
    slurm = "slurm"
    array = "local-array"


# A name that no file can have: too long, a link to itself, bytes that the file system refuses.
NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ}
# Commands that load a build's or a network's libraries.
HEAVY = {
    "build",
    "audit",
    "train",
    "evaluate",
    "curves",
    "ablate",
    "arms",
    "next",
    "leaderboard",
    "reproduce",
    "verify",
    "report",
    "push-to-hub",
}
LONG = re.compile(r"\S{400,}")  # a name of thousands of characters is told by its ends
BARE = {"init", "doctor", "cache", "models"}  # those that load nothing


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from instdata import __version__

        print(f"instdata {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
    token = running.set(context)
    context.call_on_close(lambda: running.reset(token))
    if context.invoked_subcommand not in BARE:
        from instdata.util.machine_limits import enough

        enough(context.invoked_subcommand in HEAVY)
    if context.invoked_subcommand in HEAVY:
        sayer(bool({"--quiet", "-q"} & set(sys.argv)), "starting")  # loading what a command needs may take long


OutOrAddress = Annotated[
    str | None,
    typer.Option(
        help="The build folder (default builds/<name>), or an address that it is sent to (s3://bucket/name).",
        metavar="DIR",
        show_default=False,
    ),
]


@app.command()
@runs_code
def build(
    recipe: RecipeFile = None,
    out: OutOrAddress = None,
    set_: Sets = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read at most N rows of each source.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, counts, cost and time; write nothing.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes (default: the cores there are).", show_default=False)
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Where row-wise work runs.")] = EngineName.local,
    rank: Annotated[
        int | None, typer.Option(help="With slurm or local-array: which of the processes.", show_default=False)
    ] = None,
    world: Annotated[int | None, typer.Option(help="… of how many.", show_default=False)] = None,
    wait: Annotated[float, typer.Option(min=0, help="… and how many seconds it waits for rank 0.")] = 600,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Read and score again what is cached (answers of models stay).")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List every reason of every step at the end.")
    ] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build a recipe into a folder. Run it again to resume, or after a change: only what changed is computed."""
    from instdata.build import build as run
    from instdata.build import folder_of, prepare
    from instdata.cli.output import build_result, build_summary
    from instdata.corpus.output_folder import not_another
    from instdata.util.import_guards import lean
    from instdata.util.paths import cores, expanded
    from instdata.util.remote_files import Place, is_url
    from instdata.util.scheduler import number_of

    lean()
    me, say = number_of(engine.value, rank, world), sayer(quiet, "opening the sources")
    path = _recipe(recipe)
    plan = prepare(path, set_ or [], limit, jobs or cores(), fresh, say, bars=sys.stderr.isatty() and not quiet)
    local = expanded(out) if out and not is_url(out) else folder_of(plan.recipe.name, set_ or [], limit)
    as_folder(local)
    if dry_run:
        _estimated(plan, say, json_)
        return
    if me is not None and me[0]:
        did = job_array.take_part(plan, local, *me, wait, say)
        result(did, json_, lambda: print(f"rank {did['rank']} of {did['world']}: {did['tasks']} tasks done"), quiet)
        return
    place = Place(out) if out and is_url(out) else None
    if place is not None:
        not_another(place.url, place.facts("manifest.json"), place.facts("run.json"), plan.sha256, plan.asked)
    with job_array.running(engine.value, plan, local, me, say) as (on, told):
        done = run(plan, local, on)
    if place is not None:
        say(f"{place.url}: {place.send(done.path)} files sent, the manifest last")
        told["sent"] = place.url
    result(build_result(done) | told, json_, lambda: build_summary(done, verbose), quiet)


@app.command()
def validate(recipe: RecipeFile = None, set_: Sets = None, json_: AsJson = False, quiet: Quiet = False) -> None:
    """Report every problem of a recipe at once, with lines and fixes. Runs nothing."""
    from instdata.build import prepare
    from instdata.util.errors import InputError
    from instdata.util.import_guards import lean

    lean()
    path = recipe
    problems: list[tuple[str, int | None, str]] = []
    code = 2
    say = sayer(quiet or json_, "opening the sources")
    try:
        path = _recipe(recipe)
        for seen in prepare(path, set_ or [], say=say, online=False).looks:
            say(f"source {seen.source}: {seen.glance}")
    except InputError as e:
        problems, code = e.problems, e.exit_code
    if json_:
        from instdata.cli.error_fixes import fixes

        told = [{"file": f, "line": n, "message": shown(m), "fix": fixes([(f, n, m)], 2, [])} for f, n, m in problems]
        print(json_text({"errors": told}))
    elif problems:
        print(shown(InputError(problems)), file=sys.stderr)
        print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {plain(path)}", file=sys.stderr)
    elif not quiet:
        print(f"{plain(path)}: fine")
    if problems:
        raise typer.Exit(code)


@app.command()
def why(
    id: Row,
    build: Of = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a row's history: where it came from, what each step scored and decided, and its text."""
    from instdata.cli.output import row_history
    from instdata.finished_build import history, recipe_of
    from instdata.steps.threshold_bounds import bounds_of

    folder, wanted = row_of(id, build)
    bounds = bounds_of(recipe_of(folder))
    rows = [r | {"bounds": {k: v for k, v in bounds.items() if k in r["scores"]}} for r in history(folder, wanted)]
    result({"rows": rows}, json_, lambda: row_history(rows))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="BUILD")],
    after: Annotated[Path, typer.Argument(metavar="BUILD")],
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what the second build has that the first has not: rows in and out, labels and decisions that changed."""
    from instdata.cli.output import build_difference
    from instdata.finished_build import difference, find_build

    found = difference(find_build(before), find_build(after))
    result(found, json_, lambda: build_difference(found))


@app.command()
def schema(json_: AsJson = False, quiet: Quiet = False) -> None:
    """Print the JSON schema of recipes, for editors."""
    from instdata.recipe.model import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=None if json_ else 2))


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The recipe's name.")] = "dataset",
    taxonomy: Annotated[
        bool, typer.Option("--taxonomy", help="Write a taxonomy file to begin with instead: NAME.taxonomy.yaml.")
    ] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a first recipe and the seed tasks that it reads, ready to build."""
    from instdata.cli.init import write_recipe, write_taxonomy

    files = write_taxonomy(name, Path()) if taxonomy else write_recipe(name, Path())
    now = f"now: taxonomy: {files[0]} in a recipe here" if taxonomy else f"now: instdata build {files[0]}"
    result(
        {"files": [str(f) for f in files]},
        json_,
        lambda: print(plain(f"wrote {', '.join(map(str, files))}\n{now}")),
        quiet,
    )


@app.command()
def doctor(json_: AsJson = False, quiet: Quiet = False) -> None:
    """Show what is installed, configured and cached, and what to install for the rest."""
    from instdata.cli.doctor import examine
    from instdata.cli.output import examination

    found = examine()
    result(found, json_, lambda: examination(found))


for room in (
    export,
    publish,
    arms,
    audit,
    compare,
    experiments,
    harness,
    keep_drop_relabel,
    report,
    review,
    agent,
    models_and_cache,
):
    room.register(app)
registry.tell(app)


def _estimated(plan: Plan, say: Callable[[str], None], json_: bool) -> None:
    """Print what a build would do and cost."""
    from instdata.cli.output import plan_summary
    from instdata.recipe.estimate import estimate

    for seen in plan.looks:
        say(f"source {seen.source}: {seen.glance}")
    estimated = estimate(plan.recipe, plan.inputs, plan.context)
    result(estimated, json_, lambda: plan_summary(estimated))


def _recipe(given: Path | None) -> Path:
    """The recipe that is meant."""
    from instdata.util.errors import InputError

    if given is not None:
        return given
    here = sorted(p for p in [*Path().glob("*.yaml"), *Path().glob("*.yml")] if not p.name.startswith("."))
    if len(here) == 1:
        return here[0]
    raise InputError(
        f"which recipe? {'Here are ' + ', '.join(map(str, here)) if here else 'None is here: `instdata init` writes one'}"  # noqa: E501
    )


def main() -> None:
    """Run a command; every error becomes one clear line and its exit code."""
    from instdata.util.errors import InputError, InstdataError, OutOfTime

    if sys.platform == "win32":
        _fail("instdata runs on Linux and macOS; on Windows, run it in WSL (wsl --install)", 2)
    try:
        code = app(standalone_mode=False, prog_name="instdata")  # a command's exit code; 130 where it was interrupted
        if code == 130:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except InputError as e:
        _fail(str(e), e.exit_code, e.problems)
    except InstdataError as e:
        _fail(str(e), e.exit_code)
    except OutOfTime as e:
        _fail(str(e), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; what was done is kept: run the same command again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as e:
        if hasattr(e, "exit_code") and hasattr(e, "format_message"):  # a usage error of the command line
            hint = f" See: {e.ctx.command_path} --help" if getattr(e, "ctx", None) else ""  # type: ignore[attr-defined]
            from instdata.cli.error_fixes import usage

            _fail(f"{usage(e.format_message())}{hint}", 2)
        from instdata.util.machine_limits import trouble

        if os.environ.get("INSTDATA_DEBUG"):
            print(shown("".join(traceback.format_exception(e))), file=sys.stderr)
        if line := trouble(e, elsewhere=_elsewhere()):
            _fail(line, 1)
        if isinstance(e, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            _fail(
                f"{e.filename}: a {'folder' if isinstance(e, IsADirectoryError) else 'file'} is there; name another", 2
            )
        if isinstance(e, RuntimeError) and str(e).startswith("Symlink loop"):  # pathlib's word until Python 3.13
            _fail(f"{e}: a link to itself", 2)
        if isinstance(e, OSError):
            name = str(e.filename or "")
            short = name if len(name) <= 200 else f"{name[:100]}…{name[-60:]}"
            code = 2 if e.errno in NO_NAME else 1
            _fail(f"{short + ': ' if short else ''}{e.strerror or e}", code)
        from instdata.util.yaml import HALF

        if odd := next((a for a in sys.argv[1:] if HALF.search(a)), None):
            _fail(f"{ascii(odd)[1:-1]} is no text: its bytes are not UTF-8", 2)
        _fail(f"{type(e).__name__}: {e}. This is a bug: INSTDATA_DEBUG=1 shows where", 1)


def _elsewhere() -> str:
    """The option that moves the files of this command, where it has one."""
    command = typer.main.get_command(app).commands.get(next(iter(sys.argv[1:]), ""))  # type: ignore[attr-defined]
    moved = any("--out" in p.opts for p in command.params) if command else False
    return "--out" if moved else ""


def _fail(message: str, code: int, problems: list[tuple[str, int | None, str]] | None = None) -> None:
    """Say an error on stderr, as JSON on stdout where that was asked for, and leave."""
    message = LONG.sub(lambda m: f"{m[0][:100]}…{m[0][-60:]}", shown(message))
    print(message, file=sys.stderr)
    if wants_json():
        from instdata.cli.error_fixes import fixes

        fix = redacted(fixes([(f, n, shown(m)) for f, n, m in problems or [("", None, message)]], code, sys.argv[1:]))
        print(json_text({"error": message, "exit_code": code, "fix": fix}))
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
