"""Which of several processes this one is, and of which job: by the options, or as Slurm says."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from instdata.util.errors import InputError

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
