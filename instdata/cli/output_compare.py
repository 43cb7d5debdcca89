"""What `compare` prints for people."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table

TASK = 20  # characters of a task's name on a line
UNPAIRED = 8  # tasks whose unpaired items are said; --json has all


def show_comparisons(found: dict[str, Any]) -> None:
    """A table for each pair of logs, two lines a task, then what was not paired and what the user has to know."""
    console = _console()
    for log in found["files"]:
        model = f", {log['model']}" if log["model"] else ""
        console.print(escape(f"{log['log']}: {log['format']}{model}, {log['items']:,} items"))
    pairs = dict.fromkeys((c["a"], c["b"]) for c in found["comparisons"])
    for a, b in pairs:
        table = _table(
            "task\n  metric", ">n\neff. n", ">A\nB", ">B - A\n95 %", ">p (Holm)\nMDE", "verdict",
            title=escape(f"B {b} against A {a}"),
        )  # fmt: skip
        for c in found["comparisons"]:
            if (c["a"], c["b"]) == (a, b):
                table.add_row(*_cells(c))
        console.print()
        console.print(table)
    for lost in found["unpaired"][:UNPAIRED]:
        said = [
            ("only in A", lost["only_a"]),
            ("only in B", lost["only_b"]),
            ("other text under one id", lost["differ"]),
        ]
        counts = ", ".join(f"{n:,} {word}" for word, n in said if n)
        console.print(escape(f"not paired, {lost['task']} ({lost['b']}): {counts}"))
    if len(found["unpaired"]) > UNPAIRED:
        console.print(f"not paired: {len(found['unpaired']) - UNPAIRED} tasks more (--json)")
    for note in found["notes"]:
        console.print(escape(note))


def _cells(c: dict[str, Any]) -> list[str]:
    name = "\n".join(escape(part) for part in [*wrap(c["task"], TASK), *wrap("  " + c["metric"], TASK)])
    verdict = c["verdict"] + (f"\n{c['why']}" if c["why"] else f"\n{c['missing']:,} missing" if c["missing"] else "")
    counts = f"{c['n']:,}\n{c['n_effective']:,.0f}"
    if c["effect"] is None:
        return [name, counts, "-", "-", "-", verdict]
    arrow = " ↓" if c["lower_is_better"] else ""
    p = "-" if c["p_holm"] is None else f"{c['p_holm']:.3f}" if c["p_holm"] >= 0.001 else "<0.001"
    mde = "-" if c["mde"] is None else _short(c["mde"])
    return [
        name + arrow, counts, f"{_short(c['mean_a'])}\n{_short(c['mean_b'])}",
        f"{_short(c['effect'], '+')}\n{_short(c['low'], '+')} to {_short(c['high'], '+')}", f"{p}\n{mde}", verdict,
    ]  # fmt: skip


def _short(value: float, sign: str = "") -> str:
    """A value in six characters or so."""
    value += 0.0 * (value == 0)  # no -0
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.4g}"
