"""What `ablate` prints for people: its plan, and its result on one screen."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.compare.effect import MACRO, metric_of
from instdata.grow.curve import plan_line
from instdata.judge.trust import FLIPS


def show_plan(found: dict[str, Any]) -> None:
    """The plan for people."""
    console = _console()
    console.print(
        f"{escape(found['filter'])}: passes {found['passed']:,} of the {found['pool']:,} rows before it; "
        f"{found['leaking_rows_left_out']} rows in reach hold evaluation items and are left out"
    )
    console.print(
        f"{found['arms']} arms x size{'s' * (len(found['sizes']) > 1)} {', '.join(f'{s:,}' for s in found['sizes'])} x "
        f"{found['seeds']} seeds" + (f"; up to {found['looks']} looks" if found["looks"] > 1 else "")
    )
    console.print(plan_line(found))
    if found["judge_calls"]:
        console.print(_calls(found))
    if found["looks"] > 1:
        most = found["with_all_looks"]
        calls = f"; {_calls(most)}" if most["judge_calls"] else ""
        console.print(f"with every further look at most {most['missing']} cells, {most['minutes']:.0f} min{calls}")
    table = _table(
        "ability",
        ">items",
        ">smallest effect seen 8 times in 10",
        title=f"what {found['seeds']} seeds can see ({found['metric']})",
    )
    relative = metric_of(found["metric"]).relative
    for ability, mde in found["mde"].items():
        seen = f"{100 * mde:.1f} %" if relative else f"{mde:.3f}"
        items = str(found["items"].get(ability, ""))
        table.add_row(escape(ability), items, seen if mde <= 1 else "none: too few items")
    console.print()
    console.print(table)


def _calls(found: dict[str, Any]) -> str:
    usd = "at an unknown price" if found["usd"] is None else f"{found['usd']:.2f} USD"
    return f"at most {found['judge_calls']:,} judge calls, {usd}, {found['judge_minutes']:.0f} min"


def show_ablation(found: dict[str, Any]) -> None:
    """The one-screen table: ability, both arms, the effect with its interval, the verdict."""
    console = _console()
    size, seeds = max(found["sizes"]), found["seeds"]
    lower = " (lower is better)" if metric_of(found["metric"]).lower_is_better else ""
    for key, title in (
        ("effects", f"{found['filter']} at {size:,} rows: {found['unit']}{lower}"),
        ("aa", "A/A: two random draws"),
    ):
        table = _table(
            "ability",
            ">without",
            ">with" if key == "effects" else ">again",
            ">effect [95 %]",
            ">n",
            "verdict",
            title=escape(title),
        )
        for e in found[key]:
            if e["effect"] is None:
                table.add_row(escape(e["ability"]), "-", "-", "-", str(e["n"]), "too few items")
                continue
            known = e["high"] - e["low"] < 20 * max(1.0, abs(e["without"]))  # two items bound next to nothing
            low, high = (f"{e[k]:+.4f}".replace("+0.", "+.").replace("-0.", "-.") for k in ("low", "high"))
            span = f"{e['effect']:+.4f} " + (f"[{low}, {high}]" if known else "(too few items)")
            table.add_row(
                escape(e["ability"]), f"{e['without']:.3f}", f"{e['with']:.3f}", span, str(e["n"]), e["verdict"]
            )
        console.print()
        console.print(table)
    tokens = {a["arm"]: a["tokens"] for a in found["arms"] if a["size"] == size}
    console.print(
        f"\n{seeds} seeds, look {found['look']} of {found['looks']}; tokens of seed 0: "
        + ", ".join(f"{arm} {n:,}" for arm, n in tokens.items())
    )
    console.print(_what_could_be_seen(found["effects"]))
    if found["verdicts"] and found["verdicts"]["unread"]:
        given = found["verdicts"]
        console.print(
            f"the judge gave no verdict that could be read on {given['unread']:,} of {sum(given.values()):,} answers"
        )
    if found["swaps"] and found["swaps"]["swapped"]:
        both, flips = found["swaps"]["swapped"], found["swaps"]["flip_rate"]
        doubt = ": this judge goes by the order of the answers" if flips > FLIPS else ""
        console.print(f"judged in both orders: {both:,}, of these with the opposite winner {flips:.0%}{doubt}")
    console.print("decided" if found["decided"] else "undecided: more seeds, items or rows would tell")
    console.print(f"{found['folder']}: scores.parquet, effects.json, curves.parquet, report.html")


def _what_could_be_seen(effects: list[dict[str, Any]]) -> str:
    """The minimum detectable effects, and what was left out, in a line."""
    # An effect beyond the control's whole value is none that could be: two items see nothing.
    by = {e["ability"]: e["mde"] for e in effects if e["mde"] is not None and e["mde"] < max(1.0, abs(e["without"]))}
    macro = by.pop(MACRO, None)
    parts = [f"{min(by.values()):.4f} to {max(by.values()):.4f} of an ability"] if by else []
    parts += [f"{macro:.4f} of the mean"] if macro is not None else []
    lost = sum(e["missing"] for e in effects if e["ability"] != MACRO)
    left = f"; {lost} items without a score in some cell are left out" if lost else ""
    return f"effects seen 8 times in 10 (mde): {', '.join(parts) or 'none'}{left}"
