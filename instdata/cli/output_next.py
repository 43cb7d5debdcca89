"""What `next` prints: the plan by the curves, a design of mixtures and what it found."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.compare.grid_summary import plan_line


def show_next(found: dict[str, Any]) -> None:
    """The plan for people: rows now and next, and which curve says so."""
    console = _console()
    table = _table(
        "ability", ">now", ">next", ">per doubling", "curve",
        title=f"{found['budget']:,} rows by the curves of {found['metric']}",
    )  # fmt: skip
    for a in sorted(found["abilities"], key=lambda a: (-a["rows"], a["ability"])):
        slope = "-" if a["slope"] is None else f"{a['slope']:+.4f}"
        table.add_row(
            escape(a["ability"]), f"{a['rows_now']:,}", f"{a['rows']:,}{'*' if a['extrapolated'] else ''}", slope,
            a["label"]
        )  # fmt: skip
    console.print(table)
    console.print()
    for note in found["notes"]:
        console.print(escape(note if not note.startswith("extrapolated") else f"* {note}"))
    if found["recipe"]:
        console.print(f"\n{'recipe':<8} {escape(found['recipe'])}", soft_wrap=True)


def show_design_plan(took: dict[str, Any]) -> None:
    """What a design takes."""
    console = _console()
    console.print(
        f"{len(took['mixtures'])} mixtures x {took['seeds']} seeds, {took['supervised_tokens']:,} supervised tokens "
        f"each "
        f"(about {took['rows']:,} rows), {took['items']} items; {took['fresh_items']} others confirm, "
        f"{took['fresh_seeds']} seeds"
    )
    console.print(escape(plan_line(took)))
    console.print(escape(f"then the confirmation: {plan_line(took['confirmation'])}"))


def show_design(found: dict[str, Any]) -> None:
    """The proposed mixture, what it is worth, and whether that was confirmed."""
    console = _console()
    table = _table(
        "ability", ">even", ">present", ">proposal", ">slope", title=escape(f"{found['model']}: shares of tokens")
    )
    even, present = found["mixtures"][:2]
    for a in even:
        share = "-" if found["proposal"] is None else f"{100 * found['proposal'][a]:.1f} %"
        table.add_row(
            escape(a), f"{100 * even[a]:.1f} %", f"{100 * present[a]:.1f} %", share, f"{found['slopes'][a]:+.4f}"
        )
    console.print(table)
    console.print(
        f"\nthe law: transfer {found['transfer']:g}, and it foretells {100 * found['held_out']:.0f} % of what "
        f"mixtures that it "
        "has not seen differ by"
    )
    for name, words in (("over_present", "the present mixture"), ("over_even", "the even one")):
        if found[name]:
            g = found[name]
            console.print(
                f"expected over {words}: {g['gain']:+.4f} [{g['low']:+.4f}, {g['high']:+.4f}] ({found['unit']})"
            )
    console.print(f"confirmed on fresh seeds and items, better than even: {found['better_than_even']}")
    console.print(f"better than the present mixture: {found['better_than_present']}")
    for note in found["notes"]:
        console.print(escape(note))
    if found["recipe"]:
        console.print(f"\n{'recipe':<8} {escape(found['recipe'])}", soft_wrap=True)
