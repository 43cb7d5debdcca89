"""Cards: how metrics, model sizes and judges agree."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.judge.judge_card import FLIPS, named, percent, points


def show_agreement(card: list[dict[str, Any]]) -> None:
    """The metric card."""
    if not card:
        return
    table = _table(
        "ability", "metric", ">same order as bits [95 %]", ">rank", ">pairs", ">items",
        title="do other metrics agree with bits?"
    )  # fmt: skip
    for a in card:
        said = "-" if a["sign"] is None else f"{a['sign']:.2f} [{a['low']:.2f}, {a['high']:.2f}]"
        rank = "-" if a["rank"] is None else f"{a['rank']:+.2f}"
        table.add_row(escape(a["ability"]), a["metric"], said, rank, str(a["pairs"]), str(a["n"]))
    _console().print(table)


def show_transfer(card: dict[str, Any]) -> None:
    first, second = (escape(str(m)) for m in card["models"])
    said = "-" if card["sign"] is None else f"{card['sign']:.2f} [{card['low']:.2f}, {card['high']:.2f}]"
    _console().print(
        f"{first} against {second}: {card['pairs']} abilities, the same sign in {said}; "
        f"{card['same_verdict']} of {card['decided']} decided ones with the same verdict"
    )


def show_judge(found: dict[str, Any]) -> None:
    """What a judge's verdicts are worth: those that are missing, flips, length."""
    console = _console()
    if found["verdicts"] and found["verdicts"]["unread"]:
        given = found["verdicts"]
        console.print(
            f"the judge gave no verdict that could be read on {given['unread']:,} of {sum(given.values()):,} answers"
        )
    if found["judge_floor"] and found["judge_floor"]["why"]:
        console.print(f"this judge may not decide: {escape(found['judge_floor']['why'])}")
    for arm, r in found["win_rates"].items():
        console.print(
            f"{arm} wins {r['raw']:.1%} of {r['n']:,} comparisons, at equal lengths {r['controlled']:.1%} "
            f"[{r['low']:.1%}, {r['high']:.1%}]"
            + (f"; the longer answer wins {r['longer']:.0%}" if r["longer"] is not None else "")
        )
    for e in [e for e in found["effects"] if e["worst"] is not None]:
        console.print(
            f"{escape(e['ability'])}: missing scores put its effect anywhere from {e['worst']:+.4f} to {e['best']:+.4f}"
        )
    if found["swaps"] and found["swaps"]["swapped"]:
        both, flips = found["swaps"]["swapped"], found["swaps"]["flip_rate"]
        doubt = ": this judge goes by the order of the answers" if flips > FLIPS else ""
        console.print(f"judged in both orders: {both:,}, of these with the opposite winner {flips:.0%}{doubt}")


def show_card(card: dict[str, Any]) -> None:
    """What `judge-card` prints."""
    console = _console()
    console.print(f"judge: {escape(named(card['judge']))}\n", soft_wrap=True)
    table = _table("", ">value", "")
    interval = f"{percent(card['low'])} to {percent(card['high'])}" if card["low"] is not None else ""
    table.add_row("agreement with people", percent(card["agreement"]), interval)
    table.add_row("  unreadable ones as wrong", percent(card["agreement_counting_unparsed"]), f"{card['n']:,} pairs")
    for name, b in card["baselines"].items():
        better = (
            f"judge {points(b['difference'])} [{points(b['low'])}, {points(b['high'])}]" if b["low"] is not None else ""
        )
        table.add_row(f'  "{name}" every time', percent(b["agreement"]), better)
    table.add_row("  people with each other", percent(card["humans_agree"]), "")
    table.add_row("readable verdicts", percent(card["parse_rate"]), f"{card['unparsed']:,} are not")
    table.add_row("same verdict after a swap", percent(card["swap_consistency"]), f"{card['swapped']:,} pairs")
    table.add_row("opposite winner after a swap", percent(card["flip_rate"]), "")
    table.add_row(
        "the longer answer wins",
        percent(card["longer_preferred"]),
        f"people: {percent(card['humans_prefer_longer'])}",
    )
    if card["seconds_per_1000"] is not None:
        usd = card["usd_per_1000"]
        table.add_row("seconds per 1,000 verdicts", f"{card['seconds_per_1000']:,.0f}", "")
        table.add_row("USD per 1,000 verdicts", "unknown" if usd is None else f"{usd:.2f}", "")
    console.print(table)
    if both := card.get("together"):
        found = f"{percent(both['value'])} [{percent(both['low'])}, {percent(both['high'])}]"
        console.print(
            f"\nwith {escape(named(both['judge']))} on {both['strong']:,} of {both['cheap']:,} pairs: the first "
            f"answer's "
            f"share of wins is {found}\n{both['said']}",
            soft_wrap=True,
        )
    for part in ("by_judge", "by_file"):
        if part in card:
            rows = _table(part.removeprefix("by_"), ">pairs", ">agreement", ">same", ">flipped")
            for name, m in card[part].items():
                figures = map(percent, (m["agreement"], m["swap_consistency"], m["flip_rate"]))
                rows.add_row(escape(name), f"{m['n']:,}", *figures)
            console.print()
            console.print(rows)
    for line in card["warnings"]:
        console.print(f"\nwarning: {escape(line)}", soft_wrap=True)
