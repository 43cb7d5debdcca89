"""A build's plan: rows, requests, money and time, before anything runs or is written."""

from __future__ import annotations

from typing import Any

from instdata.build import Plan
from instdata.formats import raw_blocks

# Rows a second on one core, measured (docs/benchmarks.md); a plan needs the order of magnitude only.
RATES = {"read": 25_000, "quality": 8_000, "dedup": 20_000, "categorize": 10_000}
OTHER = 100_000


def estimate(plan: Plan) -> dict[str, Any]:
    """{sources, steps, rows, seconds, usd}: counts by reading the files once, costs by asking each step."""
    sources = [{"source": i.source, "file": i.file, "format": i.format, "rows": _count(i, plan.recipe.limit)} for inputs in plan.inputs for i in inputs]
    rows = sum(s["rows"] for s in sources)
    read = rows / RATES["read"] / plan.context.jobs
    steps = []
    for step in plan.recipe.steps:
        item: dict[str, Any] = {"name": step.name, "kind": step.kind, "scope": step.scope, "seconds": rows / RATES.get(step.kind, OTHER) / plan.context.jobs}
        if step.scope == "source":
            cost = step.cost(plan.context)
            item |= cost
            rows += cost["rows"]
        steps.append(item)
    return {
        "sources": sources,
        "steps": steps,
        "rows": sum(s["rows"] for s in sources),
        "seconds": round(read + sum(s["seconds"] for s in steps), 1),
        "usd": round(sum(s.get("usd") or 0 for s in steps), 4),
    }


def _count(item: Any, limit: int | None) -> int:
    count = 0
    for _, records in raw_blocks(item.path, item.hub, limit):
        count += sum(1 for r in records if not isinstance(r, bytes) or r.strip()) if isinstance(records, list) else len(records)
    return count
