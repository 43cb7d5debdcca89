"""`build --engine slurm | local-array`: what this process does as one rank of several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instdata.util.errors import InputError
from instdata.util.paths import cache_address
from instdata.util.redaction import redact
from instdata.util.scheduler import job_of

if TYPE_CHECKING:
    from instdata.build import Plan
    from instdata.steps.job_array import BuildCalls
    from instdata.util.engine import Engine
    from instdata.util.job_array_tasks import Rank


def take_part(plan: Plan, out: Path, rank: int, world: int, wait: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Do tasks of rank 0's build until it is done; what to print."""
    from instdata.steps.compile_kernels import warm
    from instdata.util.caches import in_use
    from instdata.util.job_array import attend

    warm([step.kind for step in plan.recipe.steps], plan.context.jobs, say)  # once, not in each process
    with in_use(plan.context.folder):
        return {"rank": rank, "world": world, "tasks": attend(*_member(plan, out, rank, world), wait, say)}


@contextmanager
def running(
    engine: str, plan: Plan, out: Path, me: tuple[int, int] | None, say: Callable[[str], None]
) -> Iterator[tuple[str | Engine, dict[str, Any]]]:
    """(what a build runs on, what to add to what it prints: the tasks that each rank did)."""
    from instdata.util.job_array import driving

    told: dict[str, Any] = {}
    if me is None:
        yield engine, told
        return
    with driving(*_member(plan, out, *me), say) as on:
        yield on, told
        told["ranks"] = {"world": me[1], "tasks": {str(r): n for r, n in sorted(on.done.items())}}


def _member(plan: Plan, out: Path, rank: int, world: int) -> tuple[Rank, BuildCalls]:
    from instdata.corpus.corpus import versions
    from instdata.steps.job_array import BuildCalls
    from instdata.util.job_array_tasks import Rank

    context = plan.context
    if url := cache_address():
        raise InputError(
            f"{redact(url)}: ranks of a job meet in a folder that all of them see: set INSTDATA_CACHE to one, or take "
            f"--engine ray"
        )
    same = hashlib.sha256(json.dumps([plan.sha256, sorted(versions().items()), context.fresh]).encode()).hexdigest()
    folder = context.folder / "array" / job_of(out)
    return Rank(rank, world, context.jobs, folder, same), BuildCalls(plan.inputs, plan.recipe.steps, context)
