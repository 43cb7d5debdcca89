"""What `ablate` prints: the plan, effects and verdicts."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from instdata.cli.output import _console, _table
from instdata.cli.output_cards import show_agreement, show_judge, show_transfer
from instdata.compare.grid_summary import plan_line
from instdata.score.metric import MACRO, metric_of


def show_plan(found: dict[str, Any]) -> None:
    """The plan for people."""
    console = _console()
    console.print(
        f"{escape(found['filter'])}: passes {found['passed']:,} of the {found['pool']:,} rows before it; "
        f"{found['leaking_rows_left_out'] or 0} rows in reach hold evaluation items and are left out"
    )
    _show_counts([a for a in found["counts"] if a["size"] == max(found["sizes"])])
    if found["looks_before"]:
        console.print(
            f"looked at before: {', '.join(map(str, found['looks_before']))} seeds; their part of the error is spent"
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
    tables = (
        ("effects", f"{found['filter']} at {size:,} rows: {found['unit']}{lower}"),
        ("aa", "A/A: two random draws"),
    )
    for key, title in tables:
        if not found[key]:
            continue
        table = _table(
            "ability",
            ">without",
            ">with" if key == "effects" else ">again",
            ">effect [95 %]",
            ">n (eff.)",
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
                escape(e["ability"]),
                f"{e['without']:.3f}",
                f"{e['with']:.3f}",
                span,
                str(e["n"]) + (f" ({e['n_effective']:.0f})" if e["n_effective"] is not None else ""),
                e["why"] or e.get("reads") or e["verdict"],
            )
        console.print()
        console.print(table)
    earlier = found["looks_made"]
    before = f" (looked at before: {', '.join(map(str, earlier))} seeds; they are paid for)" if earlier else ""
    console.print(f"\n{seeds} seeds, look {found['look']} of {found['looks']}, level {found['level']:.4f}{before}")
    if found["other_questions"]:
        console.print(f"{found['other_questions']} other questions were asked here: each has an error of its own")
    _show_counts([a for a in found["arms"] if a["size"] == size])
    console.print(
        f"equivalent: within {found['margin']:.4f}{_share(found)}, {escape(found['margin_why'])}", soft_wrap=True
    )
    console.print(_what_could_be_seen(found["effects"]))
    console.print(f"effects are on {escape(found['estimates'])}{_said_apart(found['apart'])}", soft_wrap=True)
    show_judge(found)
    show_agreement(found["card"])
    if found.get("transfer"):
        show_transfer(found["transfer"])
    console.print("decided" if found["decided"] else "undecided: more seeds, items or rows would tell")
    console.print(f"{found['folder']}: scores.parquet, effects.json, curves.parquet, report.html")


def _share(found: dict[str, Any]) -> str:
    return " of the control's value" if metric_of(found["metric"]).relative else ""


def _show_counts(arms: list[dict[str, Any]]) -> None:
    """What the arms have, of seed 0: all that could be matched, so that one sees what was not."""
    if not arms:
        return
    table = _table("arm", ">rows", ">tokens", ">learned", ">steps", title="what each arm has (seed 0)")
    for a in arms:
        table.add_row(a["arm"], *(f"{a[k]:,}" for k in ("rows", "tokens", "supervised", "steps")))
    _console().print(table)


def _said_apart(apart: dict[str, Any] | None) -> str:
    """The mean effect on items that the step passes and on those that it drops."""
    said = [
        f"on {part['items']} it {'passes' if name == 'passed' else 'drops'}: {part['effect']:+.4f} "
        f"[{part['low']:+.4f}, {part['high']:+.4f}]"
        if part.get("effect") is not None
        else f"{part['items']} it {'passes' if name == 'passed' else 'drops'}"
        for name, part in (apart or {}).items()
    ]
    return f" ({'; '.join(said)})" if said else ""


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


def show_several_plan(took: dict[str, Any]) -> None:
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
