"""`build --engine slurm | local-array`: which rank this process is, and what it does."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instdata.util.errors import InputError

if TYPE_CHECKING:
    from instdata.build import Plan
    from instdata.steps.ranks import BuildCalls
    from instdata.util.engine import Engine
    from instdata.util.tasks import Rank

ARRAYS = ("slurm", "local-array")


def number_of(
    engine: str, rank: int | None, world: int | None, environ: Mapping[str, str] = os.environ
) -> tuple[int, int] | None:
    """(rank, world) as the options say, else as Slurm does: the task of an array, the process of a step, or both. None
    for other engines. Raises InputError where there is none, or the rank is none of the world's."""
    if engine not in ARRAYS:
        if rank is None and world is None:
            return None
        raise InputError(f"--rank and --world go with --engine slurm or local-array, not with {engine}")
    if engine == "slurm" and rank is None and world is None:
        rank, world = _slurm(environ)
    if rank is None or world is None:
        raise InputError(f"--engine {engine} needs --rank R and --world N: one of N processes, the first is 0")
    if not 0 <= rank < world:
        raise InputError(f"rank {rank} of {world}: ranks go from 0 to {max(0, world - 1)} (--rank, --world)")
    return rank, world


def _slurm(environ: Mapping[str, str]) -> tuple[int, int]:
    if not {"SLURM_PROCID", "SLURM_ARRAY_TASK_ID"} & set(environ):
        raise InputError(
            "--engine slurm: neither SLURM_PROCID nor SLURM_ARRAY_TASK_ID is set: start it by srun or sbatch --array, "
            "or say --rank R and --world N"
        )

    def told(name: str, default: int) -> int:
        text = environ.get(name, str(default))
        if not text.isdecimal():
            raise InputError(f'--engine slurm: {name} is "{text}", no number')
        return int(text)

    first, step = told("SLURM_ARRAY_TASK_MIN", 0), max(1, told("SLURM_ARRAY_TASK_STEP", 1))
    place, size = (told("SLURM_ARRAY_TASK_ID", first) - first) // step, told("SLURM_ARRAY_TASK_COUNT", 1)
    process, processes = told("SLURM_PROCID", 0), told("SLURM_NTASKS", 1)
    return place * processes + process, size * processes


def job_of(out: Path, environ: Mapping[str, str] = os.environ) -> str:
    """What ranks of one job call their folder in the cache: by the build's folder, and Slurm's number of the job where
    there is one. A job that is put into the queue again keeps its number."""
    number = environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID") or ""
    return f"{out.name}-{hashlib.sha256(json.dumps([str(out.resolve()), number]).encode()).hexdigest()[:12]}"


def take_part(plan: Plan, out: Path, rank: int, world: int, wait: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Do tasks of rank 0's build until it is done; what to print."""
    from instdata.steps.warm import warm
    from instdata.util.caches import in_use
    from instdata.util.ranks import attend

    warm([step.kind for step in plan.recipe.steps], plan.context.jobs, say)  # once, not in each process
    with in_use(plan.context.folder):
        return {"rank": rank, "world": world, "tasks": attend(*_member(plan, out, rank, world), wait, say)}


@contextmanager
def running(
    engine: str, plan: Plan, out: Path, me: tuple[int, int] | None, say: Callable[[str], None]
) -> Iterator[tuple[str | Engine, dict[str, Any]]]:
    """(what a build runs on, what to add to what it prints: the tasks that each rank did)."""
    from instdata.util.ranks import driving

    told: dict[str, Any] = {}
    if me is None:
        yield engine, told
        return
    with driving(*_member(plan, out, *me), say) as on:
        yield on, told
        told["ranks"] = {"world": me[1], "tasks": {str(r): n for r, n in sorted(on.done.items())}}


def _member(plan: Plan, out: Path, rank: int, world: int) -> tuple[Rank, BuildCalls]:
    from instdata.corpus.corpus import versions
    from instdata.steps.ranks import BuildCalls
    from instdata.util.tasks import Rank

    context = plan.context
    same = hashlib.sha256(json.dumps([plan.sha256, sorted(versions().items()), context.fresh]).encode()).hexdigest()
    folder = context.folder / "array" / job_of(out)
    return Rank(rank, world, context.jobs, folder, same), BuildCalls(plan.inputs, plan.recipe.steps, context)
