"""What `leaderboard` prints, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.compare.grid_summary import plan_line


def known_line(known: dict[str, Any]) -> str:
    """What is published of selection, in a sentence."""
    return (
        f"known before: of {known['cells']:,} published cells ({known['runs']:,} runs) {known['better_after_holm']} "
        f"beat random "
        f"after Holm's correction ({known['source']})"
    )


def show_leaderboard_plan(took: dict[str, Any]) -> None:
    """What a leaderboard would take and could see."""
    console = _console()
    names = ", ".join(took["selectors"])
    console.print(
        f"{names} against random: {took['seeds']} seeds, {took['supervised_tokens']:,} supervised tokens an arm "
        f"({took['rows']:,} random rows of {took['pool']:,}), {sum(took['items'].values()):,} items, "
        f"{took['query_items']:,} items to choose for"
    )
    for name, cost in took["selecting"].items():
        if cost and cost["tokens"]:
            console.print(f"{name}: reads {cost['tokens']:,} tokens, about {cost['minutes']:.0f} min here")
    console.print(escape(plan_line(took)))
    if took["mde"] is not None:
        console.print(
            f"the mean's smallest visible effect: {took['mde']:.3f} ({took['metric']}), before Holm's correction"
        )
    console.print(escape(known_line(took["known"])))


def show_leaderboard(found: dict[str, Any]) -> None:
    """Selectors, best first, each against random."""
    console = _console()
    table = _table(
        "selector", ">rows", ">score", ">- random", ">95 %", ">p (Holm)", "verdict",
        title=escape(f"{found['model']}: {found['unit']}{', lower is better' if found['lower_is_better'] else ''}"),
    )  # fmt: skip
    for row in found["selectors"]:
        span = "-" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
        effect, score = (
            ("-" if row[k] is None else f"{row[k]:{how}}") for k, how in (("effect", "+.4f"), ("selected", ".4f"))
        )
        p = "-" if row["p_holm"] is None or row["selector"] == "random again" else f"{row['p_holm']:.3f}"
        table.add_row(escape(row["selector"]), f"{row['rows']:,}", score, effect, span, p, row["verdict"])
    console.print(table)
    console.print(
        f"\n{found['seeds']} seeds, {found['supervised_tokens']:,} supervised tokens an arm, {found['items']:,} items. "
        f"{found['better_after_holm']} of {found['compared']} beat random; `random again` shows what chance makes of it"
    )
    console.print(escape(known_line(found["known"])))
    console.print(escape(f"{found['folder']}: leaderboard.json, scores.parquet, report.html"), soft_wrap=True)


def leaderboard_page(folder: Path, found: dict[str, Any]) -> Path:
    """Write report.html of a leaderboard. Raises MissingExtra where jinja is absent."""
    from instdata.report import build_charts
    from instdata.report.page import write_page

    build_charts.require()
    path = folder / "report.html"
    shown = {k: v for k, v in found.items() if k not in ("seconds", "folder", "report")}
    write_page(
        path,
        "leaderboard.html",
        f"{found['build']}: selectors",
        {"a": shown, "known": found["known"], "known_line": known_line(found["known"])},
    )
    return path
