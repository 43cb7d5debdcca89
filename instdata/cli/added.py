"""What commands do beside their main way: ablate with several arms, export of items as another harness' task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from instdata.cli.common import result, sayer
from instdata.cli.output import _console, _table
from instdata.compare.grid_summary import plan_line
from instdata.util.safe_text import plain


def ablate_several(build: Path | None, plan: bool, json_: bool, quiet: bool, **wanted: Any) -> None:
    """Added sources, or a factorial of two filters. Exit code 3 where all stays undecided."""
    from instdata.compare import several_arms
    from instdata.finished_build import find_build

    found = several_arms.prepare(find_build(build), **wanted, say=sayer(quiet, "the arms"))
    if plan:
        took = several_arms.plan(found)
        result(took, json_, lambda: _show_plan(took))
        return
    done = several_arms.run(found)
    result(done, json_, lambda: show_several(done), quiet)
    if not done["decided"]:
        raise typer.Exit(3)


def _show_plan(took: dict[str, Any]) -> None:
    console = _console()
    console.print(
        f"{len(took['arms'])} arms x {took['seeds']} seeds, {took['supervised_tokens']:,} supervised tokens each "
        f"(about {took['rows']:,} rows of {took['pool']:,})"
    )
    for arm, rows in took["passed"].items():
        console.print(escape(f"{arm}: draws from {rows:,} rows"))
    console.print(escape(plan_line(took)))


def show_several(found: dict[str, Any]) -> None:
    """Every arm against the base."""
    console = _console()
    table = _table(
        "arm",
        ">base",
        ">arm",
        ">effect",
        ">95 %",
        ">p (Holm)",
        "verdict",
        title=escape(f"{found['model']}: {found['unit']}"),
    )
    for e in [*found["effects"], found["aa"]]:
        digits = {k: "-" if e[k] is None else f"{e[k]:.4f}" for k in ("without", "with")}
        span = "-" if e["low"] is None else f"{e['low']:+.4f} to {e['high']:+.4f}"
        p = "-" if e["p_holm"] is None or e is found["aa"] else f"{e['p_holm']:.3f}"
        effect = "-" if e["effect"] is None else f"{e['effect']:+.4f}"
        table.add_row(escape(e["arm"]), digits["without"], digits["with"], effect, span, p, e["verdict"])
    console.print(table)
    again = found["confirmation"]
    if again:
        console.print(
            f"\n{escape(again['arm'])}, the best of several, on fresh seeds: {again['effect']:+.4f}, {again['verdict']}"
        )
    console.print(escape(f"{found['folder']}: several.json, scores.parquet"), soft_wrap=True)


def export_items_of(build: Path, format: str, out: Path, json_: bool, quiet: bool) -> None:
    """The items that a build held out, as a task of lm-eval or inspect."""
    from instdata.score.from_build import items_of, taxonomy_of, with_distractors
    from instdata.score.harness_tasks import export_items

    items = with_distractors(items_of(build, taxonomy_of(build)), ["distractors"])
    done = export_items(items, build.resolve().name, format, out)
    left = "".join(f", {n:,} left out ({why})" for why, n in done["left_out"].items())
    tasks = ", ".join(done["tasks"])
    result(
        {"out": str(out), **done},
        json_,
        lambda: print(plain(f"{out}: {done['written']:,} items as {tasks}{left}")),
        quiet,
    )
