"""What the experiments print for people, and the page of a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.compare.effect import FEW
from instdata.compare.grid_summary import plan_line

MARKS = {"done": "=", "differs": "~", "missing": "-"}


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


def show_protocol(took: dict[str, Any]) -> None:
    """A paper's protocol, element by element, and what the study takes here."""
    console = _console()
    table = _table("element", "paper", "here", title=f"{took['paper']}: the paper's protocol, and this study")
    for e in took["protocol"]:
        here = e["here"] + (f" ({e['why']})" if e["why"] else "")
        table.add_row(f"{MARKS[e['status']]} {escape(e['element'])}", escape(e["paper"]), escape(here))
    console.print(table)
    console.print(
        "\n= done as in the paper, ~ differs, - not done here: "
        + ", ".join(f"{n} {k}" for k, n in took["counts"].items())
    )
    if "cells" in took:
        console.print(escape(plan_line(took)))
    else:
        console.print(f"no build yet: `instdata build recipes/{took['paper']}.yaml`, or name a build or a recipe")


def show_reproduction(found: dict[str, Any]) -> None:
    """One table for each model, arm and suite, sizes as columns; the published one beside it where the scale is the
    same."""
    console = _console()
    keys = ("model", "arm", "suite")
    published = found["published"]
    base = {(p["model"], p["suite"], p["ability"]): p["value"] for p in found["table"] if p["config"] == "base"}
    for key in dict.fromkeys(tuple(p[k] for k in keys) for p in found["table"] if p["config"] != "base"):
        mine = [p for p in found["table"] if tuple(p[k] for k in keys) == key and p["config"] != "base"]
        sizes = [c for _, c in sorted({(p["rows"], p["config"]) for p in mine})]
        theirs = [f"{n / 1e6:g}M" for n in published["rows"]] if published else []
        table = _table(
            "ability",
            ">base",
            *(f">{s}" for s in sizes),
            *(f">BELLE {s}" for s in theirs),
            title=escape(", ".join(key)),
        )
        value = {(p["ability"], p["config"]): p for p in mine}
        for ability in dict.fromkeys(p["ability"] for p in mine):
            start = base.get((key[0], key[2], ability))
            shown = [_cell(value.get((ability, s))) for s in sizes]
            beside = published["scores"].get(ability, [None] * len(theirs)) if published else []
            table.add_row(escape(ability), _number(start), *shown, *map(_number, beside))
        console.print(table)
        console.print()
    if found["matrix"]:
        _show_matrix(console, found["matrix"])
    differs = sum(e["status"] != "done" for e in found["protocol"])
    console.print(
        f"{differs} of {len(found['protocol'])} elements differ from the paper; reproduction.json says each and why"
    )
    console.print(escape(f"{found['folder']}: reproduction.json, scores.parquet"), soft_wrap=True)


def _show_matrix(console: Any, matrix: list[dict[str, Any]]) -> None:
    """Trained on a row's ability alone: the change of each column's score. Columns have the numbers of the rows, since
    ten names and ten intervals do not fit on 80 characters."""
    for model in dict.fromkeys(m["model"] for m in matrix):
        mine = [m for m in matrix if m["model"] == model]
        examined = list(dict.fromkeys(m["examined"] for m in mine))
        trained = list(dict.fromkeys(m["trained"] for m in mine))
        names = [*trained, *(e for e in examined if e not in trained)]
        title = f"{model}: change against the untrained model, and half of its 95 % interval"
        table = _table("trained on", *(f">{names.index(e) + 1}" for e in examined), title=escape(title))
        table.padding = (0, 1, 0, 0)
        for row in trained:
            by = {m["examined"]: m for m in mine if m["trained"] == row}
            table.add_row(escape(f"{names.index(row) + 1} {row}"), *(_change(by.get(e)) for e in examined))
        console.print(table)
        apart = "; ".join(f"{names.index(e) + 1} {e}" for e in examined if e not in trained)
        if apart:
            console.print(escape(f"examined alone: {apart}"))
        fewest = min(m["n"] for m in mine)
        few = f"; ?: fewer than {FEW} items (as few as {fewest}), so no verdict" if fewest < FEW else ""
        console.print(f"* better or worse after Holm's correction over the matrix{few}\n")


def _change(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["effect"] is None:
        return "-"
    star = "*" if cell["verdict"] in ("better", "worse") else ""
    change = _short(f"{cell['effect']:+.2f}")
    few = cell["n"] < FEW or cell["low"] is None
    return f"{change}{star}\n±{'?' if few else _short(format((cell['high'] - cell['low']) / 2, '.2f'))}"


def _short(number: str) -> str:
    """.12, +.12 of 0.12, +0.12."""
    return number.replace("0.", ".", 1) if number.lstrip("+-").startswith("0.") else number


def _cell(point: dict[str, Any] | None) -> str:
    return "-" if point is None or point["value"] is None else f"{point['value']:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def leaderboard_page(folder: Path, found: dict[str, Any]) -> Path:
    """Write report.html of a leaderboard. Raises MissingExtra where jinja is absent."""
    from instdata.report import build_charts
    from instdata.report.page import write_page

    build_charts.require()
    path = folder / "report.html"
    shown = {k: v for k, v in found.items() if k not in ("seconds", "folder", "report")}
    write_page(
        path, "leaderboard.html", f"{found['build']}: selectors", {"a": shown, "known": known_line(found["known"])}
    )
    return path
