"""What the harness' commands print for people: plans, curves, effects, scores, runs, next recipes."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.text import Text

from instdata.cli.output import _console, _table
from instdata.compare.outcome import plan_line
from instdata.judge.trust import FLIPS, named, percent, points
from instdata.score.metric import MACRO, metric_of
from instdata.util.plain import plain


def show_curves(result: dict[str, Any]) -> None:
    """The table in BELLE's style: abilities by sizes, macro mean last, slope (with half of its 95 % interval) and label
    beside it; a table for each model, arm, suite and metric."""
    console = _console()
    by: dict[tuple, list[dict[str, Any]]] = {}
    for point in result["table"]:
        by.setdefault((point["model"], point["arm"], point["suite"], point["metric"]), []).append(point)
    labels = {(f["model"], f["arm"], f["suite"], f["metric"], f["ability"]): f for f in result["fits"]}
    base = {
        (p["model"], p["suite"], p["metric"], p["ability"]): p["value"]
        for p in result["table"]
        if p["config"] == "base"
    }
    for (model, arm, suite, metric), mine in by.items():
        sizes = sorted({(p["rows"], p["config"]) for p in mine if p["config"] != "base"})
        if not sizes or metric in ("distractor_fine", "distractor_coarse"):  # the report shows these apart
            continue
        kind = metric_of(metric)
        unit = f"{kind.unit}, lower is better" if kind.lower_is_better else f"{metric}, 0 to 1"
        table = _table(
            "ability",
            ">base",
            *(f">{n}" for _, n in sizes),
            ">per doubling",
            "curve",
            title=escape(f"{model}, {arm} rows, {suite}: {unit}"),
        )
        value = {(p["ability"], p["config"]): p["value"] for p in mine}
        names = sorted({p["ability"] for p in mine} - {MACRO})
        for ability in [*names, MACRO]:
            fit = labels.get((model, arm, suite, metric, ability))
            slope = _slope(fit)
            cells = [_number(base.get((model, suite, metric, ability)))] + [
                _number(value.get((ability, n))) for _, n in sizes
            ]
            table.add_row(escape(ability), *cells, slope, fit["label"] if fit else "-")
        console.print()
        console.print(table)
        chance = next((p["chance"] for p in mine if p["chance"] is not None and p["ability"] == MACRO), None)
        seeds = max(p["seeds"] for p in mine)
        items = max(p["n"] for p in mine)
        console.print(
            f"{items} items, {seeds} seed{'s' * (seeds > 1)}" + (f", chance {chance:.2f}" if chance is not None else "")
        )
    show_agreement(result["card"])
    if result.get("not_judged"):
        console.print(f"not judged (no judge asked): {', '.join(result['not_judged'])}")
    console.print(
        f"\n{result['folder']}: scores.parquet, curves.parquet, summary.json; charts in the build's report.html"
    )


def _slope(fit: dict[str, Any] | None) -> str:
    """A slope and half of its 95 % interval; without the interval where that says nothing."""
    if not fit or fit["slope"] is None:
        return "-"
    half, slope = (fit["high"] - fit["low"]) / 2, round(fit["slope"], 4) + 0.0  # no -0.0000
    return f"{slope:+.4f} ±{half:.4f}" if half < 1 else f"{slope:+.4f} ±?"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


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


def show_evaluation(found: dict[str, Any]) -> None:
    """A table for each suite, in-domain ones first: abilities by metrics, each with its interval; chance in the last
    row."""
    console = _console()
    suites = sorted({s["suite"] for s in found["scores"]}, key=lambda s: (s in found["out_of_domain"], s))
    for suite in suites:
        mine = [s for s in found["scores"] if s["suite"] == suite]
        metrics = sorted({s["metric"] for s in mine}, key=lambda m: (m != "bits", not m.startswith("distractor"), m))
        apart = " (out of domain)" if suite in found["out_of_domain"] else ""
        for metric in metrics:
            unit = "bits per byte of the reference, lower is better" if metric == "bits" else metric
            table = _table(
                "ability", ">score", ">95 %", ">items", ">missing", ">chance", title=escape(f"{suite}{apart}: {unit}")
            )
            for row in [s for s in mine if s["metric"] == metric]:
                value = "-" if row["value"] is None else f"{row['value']:.3f}"
                span = "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
                chance = "-" if row["chance"] is None else f"{row['chance']:.2f}"
                table.add_row(escape(row["ability"]), value, span, str(row["n"]), str(row["missing"] or ""), chance)
            console.print()
            console.print(table)
    if found["not_judged"]:
        console.print(f"\nnot judged (no judge asked): {', '.join(found['not_judged'])}")
    console.print(f"\n{found['file']}: every prompt, answer, score and reason")


def show_run(done: dict[str, Any]) -> None:
    """What `train` prints at the end."""
    loss = "" if done["loss"] is None else f", loss {done['loss']:.3f}"
    print(f"{plain(done['run'])}: {done['rows']:,} rows, {done['steps']} steps, seed {done['seed']}{loss}")
    print(plain(f"score it: instdata evaluate {done['run']} --build {done['build']['name']}"))


def show_rows(rows: list[list[tuple[str, bool]]]) -> None:
    """Rows with what is learned in green and bold, the rest dim; where there are no colours, in ⟦brackets⟧."""
    console = _console()
    for row in rows:
        text = Text()
        for piece, learned in ((plain(text), learn) for text, learn in row):
            marked = f"⟦{piece}⟧" if learned and not console.is_terminal else piece
            text.append(marked, "bold green" if learned else "dim")
        console.print(text)
        console.rule(style="dim")


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
    _show_judge(found)
    show_agreement(found["card"])
    if found.get("transfer"):
        _show_transfer(found["transfer"])
    console.print("decided" if found["decided"] else "undecided: more seeds, items or rows would tell")
    console.print(f"{found['folder']}: scores.parquet, effects.json, curves.parquet, report.html")


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


def _show_transfer(card: dict[str, Any]) -> None:
    first, second = (escape(str(m)) for m in card["models"])
    said = "-" if card["sign"] is None else f"{card['sign']:.2f} [{card['low']:.2f}, {card['high']:.2f}]"
    _console().print(
        f"{first} against {second}: {card['pairs']} abilities, the same sign in {said}; "
        f"{card['same_verdict']} of {card['decided']} decided ones with the same verdict"
    )


def _show_judge(found: dict[str, Any]) -> None:
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
