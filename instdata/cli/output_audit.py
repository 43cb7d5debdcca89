"""What `audit` prints for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instdata.cli.output import _console, _table

RULES = 8  # that are named; the page has all


def audit_summary(found: dict[str, Any], folder: Path, recipe: Path | None) -> None:
    """The counts, the rules that fire most, and where the page lies."""
    from instdata.audit.findings import ABOUT
    from instdata.audit.run import COUNTS

    counts, rows = found["counts"], found["counts"]["rows"]
    fired = [f["rule"] for f in found["rules"]["fired"]]
    zero = ("unreadable", "damaged_files", "unused_columns", "exact_copies")  # said only where there are any
    of_set = [name for name, n in counts.items() if name not in ABOUT and (n or name not in zero)]
    shown = _table("", ">count", ">share", "what")
    for name in (*of_set, *fired[:RULES]):
        of_rows = name not in ("rows", "unreadable", "damaged_files", "unused_columns", "languages")
        shown.add_row(name, f"{counts[name]:,}", f"{100 * counts[name] / rows:.2f} %" * of_rows, COUNTS[name])
    console = _console()
    console.print(shown)
    if len(fired) > RULES:
        more = len(fired) - RULES
        console.print(f"{more} more rule{'s fire' if more > 1 else ' fires'}: the page has the rest")
    if found["objection"]:
        console.print(found["objection"])
    console.print(f"page: {folder / 'audit.html'}\njson: {folder / 'audit.json'}")
    if recipe:
        console.print(f"now:  instdata build {recipe}")
