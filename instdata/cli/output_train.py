"""What `train` and `evaluate` print: a run, rows with what is learned marked, scores."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.text import Text

from instdata.cli.output import _console, _table
from instdata.util.safe_text import plain


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
