"""What reviews say, for people at a terminal."""

from __future__ import annotations

from typing import Any

from instdata.util.safe_text import bounded, plain

WHAT = {
    "precision": "share of a rule's drops that people would drop too; of kept rows: that are right",
    "purity": "share of labels that people leave as they are",
    "right": "share of rows that people pass",
}
NAMES = {
    "percent": "percent agreement",
    "cohen": "Cohen's kappa",
    "krippendorff": "Krippendorff's alpha",
    "ac1": "Gwet's AC1",
}


def estimates(found: dict[str, Any]) -> None:
    """The table of strata, the whole, agreement, and whether it is enough."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name, side in (
        (found["by"], "left"),
        ("rows", "right"),
        ("reviewed", "right"),
        (found["measure"], "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for s in found["strata"]:
        enough = "" if s["enough"] else "too wide yet" if s["reviewed"] else "not looked at"
        table.add_row(Text(bounded(s["name"])), f"{s['rows']:,}", f"{s['reviewed']:,}", interval(s), enough)
    kept = found["by"] == "rule"  # the whole is then the rules' drops; kept rows are a stratum of their own
    seen = sum(s["reviewed"] for s in found["strata"] if not kept or s["measure"] == found["measure"])
    table.add_row("all drops" if kept else "all", f"{found['all']['rows']:,}", f"{seen:,}", interval(found["all"]), "")
    console.print(table)
    console.print(f"\n{found['measure']}: {WHAT[found['measure']]}; in brackets 95 % intervals", markup=False)
    if difference := found.get("difference"):
        value, low, high = (f"{difference[k]:+.2f}" for k in ("value", "low", "high"))
        print(f"{plain(difference['what'])}: {value} [{low}, {high}]")
    agreement = found["agreement"]
    if agreement["items"]:
        print(f"\nagreement over {agreement['items']} rows that two or more looked at")
        for key, name in NAMES.items():
            print(
                f"  {name:<22}{interval({'value': agreement[key], 'low': agreement.get(key + '_low'), 'high': agreement.get(key + '_high')})}"  # noqa: E501
            )
    if found["self"]["n"]:
        print(f"  with oneself          {interval(found['self'])}, {found['self']['n']:,} asked again")
    for n, line in (
        (found["disagreements"], "disagreements wait: --queue disagreements"),
        (found["deferred"], "rows are put off"),
        (found["stale"], "reviews are of texts or strata that are no longer there; they count for nothing"),
    ):
        if n:
            print(f"{n} {line}")
    print(
        f"\nenough: every interval is at most {found['width']:g} wide"
        if found["enough"]
        else f"\nnot enough yet for intervals of {found['width']:g}"
    )


def interval(share: dict[str, Any]) -> str:
    """A value with its interval; a dash where there is none."""
    if share["value"] is None:
        return "–"
    ends = "" if share["low"] is None else f" [{share['low']:.2f}, {share['high']:.2f}]"
    return f"{share['value']:.2f}{ends}"
