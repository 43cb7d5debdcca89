"""`instdata build`, `validate` and `schema`: a recipe into a folder, what is wrong with it, what one may hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instdata.cli import job_array
from instdata.cli.common import AsJson, Quiet, as_folder, json_text, result, runs_code, sayer
from instdata.util.redaction import shown
from instdata.util.safe_text import plain

if TYPE_CHECKING:
    from instdata.build import Plan
    from instdata.util.remote_files import Place


class EngineName(str, Enum):
    local = "local"
    ray = "ray"
    slurm = "slurm"
    array = "local-array"


RecipeFile = Annotated[
    Path | None, typer.Argument(help="The recipe; by default the only *.yaml here.", show_default=False)
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value: --set dedup.threshold=0.8", metavar="KEY=VALUE")
]
OutOrAddress = Annotated[
    str | None,
    typer.Option(
        help="The build folder (default builds/<name>), or an address that it is sent to (s3://bucket/name).",
        metavar="DIR",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(build)
    app.command()(validate)
    app.command()(schema)


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
    _begin_early(recipe, out, jobs if engine is EngineName.local and not dry_run else 1)
    from instdata.util.import_guards import lean, unswept
    from instdata.util.remote_address import is_url

    with unswept():
        lean()  # before anything loads numba
        from instdata.build import build as run
        from instdata.build import folder_of, prepare
        from instdata.cli.output import build_result, build_summary
        from instdata.util.paths import cores, expanded
        from instdata.util.remote_files import may_be_sent_to
        from instdata.util.scheduler import number_of

        me, say = number_of(engine.value, rank, world), sayer(quiet, "opening the sources")
        _ = may_be_sent_to(out) if out and is_url(out) else None  # said before the sources are opened
        bars = sys.stderr.isatty() and not quiet
        plan = prepare(_recipe(recipe), set_ or [], limit, jobs or cores(), fresh, say, bars)
    local = expanded(out) if out and not is_url(out) else folder_of(plan.recipe.name, set_ or [], limit)
    as_folder(local)
    if dry_run:
        return _estimated(plan, say, json_)
    if me is not None and me[0]:
        _said_of_part(job_array.take_part(plan, local, *me, wait, say), json_, quiet)
        return
    place = _place(out, plan) if out and is_url(out) else None
    with job_array.running(engine.value, plan, local, me, say) as (on, told):
        done = run(plan, local, on)
    if place is not None:
        say(f"{place.url}: {place.send(done.path)} files sent, the manifest last")
        told["sent"] = place.url
    result(build_result(done) | told, json_, lambda: build_summary(done, verbose), quiet)


def _place(url: str, plan: Plan) -> Place:
    """Where a build is sent, which holds none of another recipe."""
    from instdata.corpus.output_folder import not_another
    from instdata.util.remote_files import Place

    place = Place(url)
    not_another(place.url, place.facts("manifest.json"), place.facts("run.json"), plan.sha256, plan.asked)
    return place


def _begin_early(recipe: Path | None, out: str | None, jobs: int | None) -> None:
    """Let workers load what they need while this process does, unless it seems that none is wanted."""
    from instdata.steps.compile_kernels import ready_to_read
    from instdata.util.engine import begin_early
    from instdata.util.paths import cores

    folder = Path(out) if out else Path("builds") / (recipe.stem if recipe else "")
    wrong = recipe is not None and not recipe.is_file()
    if not wrong and (jobs or cores()) > 1 and not (folder / "manifest.json").exists() and ready_to_read():
        begin_early()


def _said_of_part(did: dict[str, Any], json_: bool, quiet: bool) -> None:
    """What a rank of a job array did."""
    result(did, json_, lambda: print(f"rank {did['rank']} of {did['world']}: {did['tasks']} tasks done"), quiet)


def validate(recipe: RecipeFile = None, set_: Sets = None, json_: AsJson = False, quiet: Quiet = False) -> None:
    """Report every problem of a recipe at once, with lines and fixes. Runs nothing."""
    from instdata.util.import_guards import lean

    lean()
    from instdata.build import prepare
    from instdata.util.errors import InputError

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
        if path is not None:
            print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {plain(path)}", file=sys.stderr)
    elif not quiet:
        print(f"{plain(path)}: fine")
    if problems:
        raise typer.Exit(code)


def schema(json_: AsJson = False, quiet: Quiet = False) -> None:
    """Print the JSON schema of recipes, for editors."""
    from instdata.recipe.model import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=None if json_ else 2))


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
