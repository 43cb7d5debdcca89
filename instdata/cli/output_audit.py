"""What `audit` prints for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instdata.cli.output import _console, _table

ALWAYS = ("rows", "unanswered", "defects", "near_copies", "leaks", "secrets", "personal_data", "unknown_ability")


def audit_summary(found: dict[str, Any], folder: Path, recipe: Path | None) -> None:
    """The counts, what they are, and where the page lies."""
    from instdata.audit.run import COUNTS

    counts, rows = found["counts"], found["counts"]["rows"]
    shown = _table("", ">rows", ">share", "what")
    for name, n in counts.items():
        if name == "leaks" and not found["against"]:
            continue
        if name in ALWAYS or (n and name not in ("languages", "unused_columns", "damaged_files")):
            share = f"{100 * n / max(1, rows):.2f} %" if name not in ("rows", "unreadable") else ""
            shown.add_row(name, f"{n:,}", share, COUNTS[name])
    _console().print(shown)
    if found["objection"]:
        _console().print(found["objection"])
    _console().print(
        f"page: {folder / 'audit.html'}\njson: {folder / 'audit.json'}"
        + (f"\nnow:  instdata build {recipe}" if recipe else "")
    )
