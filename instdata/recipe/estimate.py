"""A build's plan: rows, requests, money and time, before anything runs or is written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from instdata.corpus.rows import SHARD, Rows
from instdata.read.open_sources import Input
from instdata.read.shard_index import until_damage
from instdata.read.shards import tables
from instdata.recipe.model import Recipe
from instdata.util.build_context import Context

# Rows a second on one core, measured (docs/benchmarks.md); a plan needs the order of magnitude only.
RATES = {"read": 15_000, "quality": 8_000, "dedup": 25_000, "categorize": 10_000}
OTHER = 100_000
PEEK = 2_000  # rows of each input that a step which adds rows bases its estimate on


def estimate(recipe: Recipe, opened: list[list[Input]], context: Context) -> dict[str, Any]:
    """{sources, steps, rows, seconds, usd, unpriced}: the files are counted, each step that adds rows is asked.

    `unpriced` names steps whose model has no known price."""
    inputs = [i for source in opened for i in source]
    sources: list[dict[str, Any]] = [
        {"source": i.source, "file": i.file, "format": i.format, "rows": _count(i, recipe.limit)} for i in inputs
    ]
    read = rows = sum(s["rows"] for s in sources)
    sample = _sample(inputs, context) if inputs else None
    steps = []
    for step in recipe.steps:
        item: dict[str, Any] = {"name": step.name, "kind": step.kind, "scope": step.scope}
        cost = step.estimate(sample) if sample is not None else None
        if cost is not None and sample is not None:
            if cost.pop("every_row", False) and len(sample):
                cost = {k: v if v is None else type(v)(v * rows / len(sample)) for k, v in cost.items()}
            item |= {**cost, "seconds": round(cost["minutes"] * 60)}
            rows += cost.get("rows", 0)
        else:
            item["seconds"] = round(rows / RATES.get(step.kind, OTHER) / context.jobs, 1)
        steps.append(item)
    return {
        "sources": sources,
        "steps": steps,
        "rows": read,
        "seconds": round(read / RATES["read"] / context.jobs + sum(s["seconds"] for s in steps), 1),
        "usd": round(sum(s.get("usd") or 0 for s in steps), 4),
        "unpriced": [s["name"] for s in steps if "usd" in s and s["usd"] is None],
    }


def _sample(inputs: list[Input], context: Context) -> Rows:
    """The first rows of each input: seeds come whole."""
    parts = [t for i in inputs for t in tables(i, context.taxonomy, PEEK)]
    return Rows(pa.concat_tables([SHARD.empty_table(), *parts]).combine_chunks(), context)


def _count(item: Input, limit: int | None) -> int:
    count = 0
    for _, records in until_damage(item.blocks(limit), []):
        count += (
            sum(1 for r in records if not isinstance(r, bytes) or r.strip())
            if isinstance(records, list)
            else len(records)
        )
    return count
