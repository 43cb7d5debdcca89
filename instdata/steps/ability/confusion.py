"""What a finished build says about its labels: who is mistaken for whom, where rows came with a label of their own."""

from __future__ import annotations

from typing import Any


def confusion(db: Any, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """{step, abilities, rows, n, agreement}: `rows[i][j]` rows that came labelled abilities[i] and that the last
    categorize step's model, which did not learn from the row itself, calls abilities[j]; agreement is the share on the
    diagonal. None where no row came with a label. `db` is report.build_facts.open_ledger's. What a generator
    was asked for is no label."""
    names = [s["name"] for s in manifest["steps"] if s["kind"] == "categorize"]
    makers = [s["name"] for s in manifest["steps"] if s["kind"] == "generate"]
    if not names:
        return None
    given, label = (f'"score_{names[-1]}_{column}"' for column in ("given", "label"))
    found = db.execute(
        f"select {given}, {label}, count(*) from ledger where {given} is not null and {label} is not null "
        f"and {label} <> 'unknown' and not list_contains(?, source) group by all",
        [makers],
    ).fetchall()
    if not found:
        return None
    count: dict[str, int] = {}
    for i, _, n in found:
        count[i] = count.get(i, 0) + n
    abilities = sorted({a for i, j, _ in found for a in (i, j)}, key=lambda a: (-count.get(a, 0), a))
    rows = [[0] * len(abilities) for _ in abilities]
    for i, j, n in found:
        rows[abilities.index(i)][abilities.index(j)] = n
    total = sum(count.values())
    right = sum(rows[i][i] for i in range(len(abilities)))
    return {"step": names[-1], "abilities": abilities, "rows": rows, "n": total, "agreement": right / total}
