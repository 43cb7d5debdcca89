"""The rows that a build dropped, with their text and why: read from its folder, exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.forms_and_dropped import DROPPED
from instdata.corpus.read_build_folder import manifest
from instdata.corpus.rows import told
from instdata.util.checksums import part
from instdata.util.errors import InputError
from instdata.util.output_files import claimed
from instdata.util.yaml import did_you_mean


def export_dropped(build: Path, which: str, out: Path) -> dict[str, int]:
    """Write the rows that a build dropped, of a step, of one of its reasons (`step.reason`) or "all", as JSON lines
    with step, reason and evidence. Raises InputError where there is no such step or reason."""
    if out.suffix != ".jsonl":
        raise InputError(f"{out}: dropped rows are written as JSON lines: give a file that ends in .jsonl")
    steps = {s["name"]: s["reasons"] for s in manifest(build)["steps"]}
    # A step's name may have points: the longest one that fits is meant.
    step = next((n for n in sorted(steps, key=len, reverse=True) if which == n or which.startswith(f"{n}.")), None)
    reason = which[len(step) + 1 :] if step else ""
    if step is None and which != "all":
        raise InputError(
            f'{build}: no step "{which}".{did_you_mean(which, steps) or " There are: " + ", ".join(steps) + "."}'
        )
    if reason and reason not in {*steps[step or ""], "step_error"}:
        there = ", ".join(steps[step or ""]) or "none"
        raise InputError(f'{build}: step {step} dropped nothing as "{reason}"; its reasons: {there}')
    written = 0
    with claimed(out) as file:
        for row in _dropped(build, step, reason):
            evidence = orjson.loads(row["evidence"]) if row.get("evidence") else None
            file.write(
                orjson.dumps({**row, "messages": [told(t) for t in row["messages"]], "evidence": evidence}) + b"\n"
            )
            written += 1
    return {"written": written}


def _dropped(build: Path, step: str | None, reason: str) -> Iterator[dict[str, Any]]:
    path = part(build, DROPPED)
    if not path.is_file():
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1_000):
            table = pa.table(batch)
            if step is not None:
                table = table.filter(pc.equal(table["step"], step))
            if reason:
                table = table.filter(pc.equal(table["reason"], reason))
            yield from table.to_pylist()
