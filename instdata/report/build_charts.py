"""The report's charts as Vega-Lite, and Vega itself as one script. Colours that must read on light and dark alike are
set here; the page's script sets those of text and lines."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

from instdata.util.atomic import write_text
from instdata.util.errors import MissingExtra
from instdata.util.paths import home

VERDICTS = {"kept": "#2a9d8f", "dropped": "#e0734f", "quarantined": "#8d8d99"}
BEFORE, AFTER = "#a9a9b5", "#2a9d8f"
SCORED = (VERDICTS["kept"], VERDICTS["dropped"], "#b9b9c4")
BOUND = "#7c5cd6"
COUNT = "format(datum.value, '~s')"  # each label by itself; an axis format gives all the largest one's prefix: 0k
BAR = 20  # pixels of one horizontal bar, its gap included
CHARTS = ("funnel", "reasons", "abilities", "sizes", "prompt", "response", "languages", "similarity")


def require() -> Any:
    """The module that holds Vega. Raises MissingExtra where it or altair is absent."""
    try:
        import altair  # noqa: F401
        import vl_convert
    except ImportError as e:
        raise MissingExtra("report.html", "report") from e
    return vl_convert


def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, out of vl-convert; kept in $INSTDATA_HOME, for making it takes a
    second. Raises MissingExtra."""
    vl_convert = require()
    path = home() / "report" / f"vega-{version('vl-convert-python')}.js"
    if not path.is_file():
        write_text(path, vl_convert.javascript_bundle())
    return path.read_text("utf-8")


def png(name: str, facts: dict[str, Any], width: int = 760) -> bytes | None:
    """One chart as a picture, `width` pixels wide; None where there is nothing to draw. Raises MissingExtra."""
    vl_convert = require()
    spec = specs(facts).get(name)
    if spec is None:
        return None
    return vl_convert.vegalite_to_png(spec | {"width": width, "background": "white"}, scale=2)


def specs(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Vega-Lite specs by chart name; charts without data are left out."""
    made = {
        "funnel": _funnel(facts["steps"]),
        "reasons": _reasons(facts["groups"]),
        "abilities": _abilities(facts["abilities"]),
        "sizes": _sizes(facts["configs"], [a["ability"] for a in facts["abilities"]]),
        "prompt": _histogram(facts["lengths"].get("prompt"), "characters"),
        "response": _histogram(facts["lengths"].get("response"), "characters"),
        "languages": _bars(facts["languages"], "lang", "n"),
        "similarity": _similarity(facts["duplicates"]["bins"]),
    }
    made |= {f"score-{i}": _score(score) for i, score in enumerate(facts["scores"])}
    return {name: chart.to_dict(validate=False) for name, chart in made.items() if chart is not None}


def _chart(values: list[dict[str, Any]], height: int) -> Any:
    import altair as alt

    return alt.Chart(alt.Data(values=values)).properties(width="container", height=height)


def _tips(*fields: str) -> list[Any]:
    """Tooltips of fields, and no strings: of each of those altair takes 6 ms to make one."""
    import altair as alt

    return [alt.Tooltip(field) for field in fields]


def _funnel(steps: list[dict[str, Any]]) -> Any:
    """A bar a step: the rows that reached it, cut into those it kept, dropped and quarantined."""
    import altair as alt

    rows = [
        {"step": s["name"], "verdict": v, "rows": s[v], "order": i}
        for s in steps
        for i, v in enumerate(VERDICTS)
        if s[v]
    ]
    if not rows:
        return None
    colour = alt.Color(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values())),
        legend=alt.Legend(orient="top"),
    )
    return _chart(rows, 24 * len(steps)).mark_bar().encode(
        x=alt.X("rows:Q", title=None, axis=alt.Axis(labelExpr=COUNT, tickMinStep=1, tickCount=6)),
        y=alt.Y("step:N", title=None, sort=[s["name"] for s in steps]),
        color=colour, order=alt.Order("order:Q"),
        tooltip=[*_tips("step:N", "verdict:N"), alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip


def _reasons(groups: list[dict[str, Any]]) -> Any:
    """A bar a reason, the most frequent first; the axis is logarithmic where they differ much."""
    import altair as alt

    top = sorted(groups, key=lambda g: (-g["n"], g["step"], g["reason"]))[:30]
    if not top:
        return None
    rows = [{"reason": f"{g['step']}: {g['reason']}", "rows": g["n"]} for g in top]
    return _chart(rows, BAR * len(rows)).mark_bar(color=VERDICTS["dropped"]).encode(
        x=_amount(top[0]["n"], top[-1]["n"]),
        y=alt.Y("reason:N", title=None, sort=None), tooltip=[*_tips("reason:N"), alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip


def _amount(most: int, least: int) -> Any:
    """The axis of rows: linear, or logarithmic where small bars could not be seen beside large ones."""
    import altair as alt

    if most <= 100 * max(1, least):
        return alt.X("rows:Q", title=None, axis=alt.Axis(labelExpr=COUNT, tickMinStep=1, tickCount=4))
    ticks = [0, *(10**k for k in range(10) if 10**k <= most)]
    return alt.X(
        "rows:Q", title="logarithmic", scale=alt.Scale(type="symlog"), axis=alt.Axis(labelExpr=COUNT, values=ticks)
    )


def _abilities(abilities: list[dict[str, Any]]) -> Any:
    """Two bars an ability: its share of the rows read and generated, and of full."""
    import altair as alt

    total = {side: sum(a[side] for a in abilities) for side in ("before", "after")}
    rows = [
        {"ability": a["ability"], "when": side, "share": a[side] / total[side], "rows": a[side]}
        for a in abilities for side in total if total[side]
    ]  # fmt: skip
    if not rows:
        return None
    return _chart(rows, 30 * len(abilities)).mark_bar().encode(
        x=alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=6)),
        y=alt.Y("ability:N", title=None, sort=None),
        yOffset=alt.YOffset("when:N", sort=["before", "after"]),
        color=alt.Color("when:N", title=None, scale=alt.Scale(domain=["before", "after"], range=[BEFORE, AFTER]),
        legend=alt.Legend(orient="top")),
        tooltip=[*_tips("ability:N", "when:N"), alt.Tooltip("rows:Q", format=","),
                 alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip


def _sizes(configs: dict[str, dict[str, Any]], abilities: list[str]) -> Any:
    """A bar a config, cut by ability: the mixture stays, the amount grows."""
    import altair as alt

    sizes = {name: c for name, c in configs.items() if name != "holdout"}
    if len(abilities) < 2:
        return None
    rows = [
        {"config": f"{name} ({c['rows']:,})", "ability": a, "share": c["by_ability"][a] / c["rows"],
        "rows": c["by_ability"][a], "order": i}
        for name, c in sizes.items() for i, a in enumerate(abilities) if c["by_ability"].get(a)
    ]  # fmt: skip
    return _chart(rows, 26 * len(sizes)).mark_bar().encode(
        x=alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=6), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("config:N", title=None, sort=None),
        color=alt.Color("ability:N", title=None, sort=abilities, scale=alt.Scale(scheme="tableau20"),
        legend=alt.Legend(orient="bottom", columns=5, symbolLimit=40)),
        order=alt.Order("order:Q"),
        tooltip=[*_tips("config:N", "ability:N"), alt.Tooltip("rows:Q", format=","),
                 alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip


def _histogram(found: dict[str, Any] | None, title: str) -> Any:
    """Counts over bins of equal width on a logarithmic axis; empty texts stand left of 1."""
    import altair as alt

    if not found:
        return None
    rows = [
        {
            "from": max(b["low"], 0.7),
            "to": max(b["high"], 1),
            "rows": b["n"],
            "at": f"{b['low']:,} to {b['high'] - 1:,}",
        }
        for b in found["bins"]
    ]
    axis = alt.Axis(values=[10**k for k in range(7)], labelExpr=COUNT, grid=False)
    return _chart(rows, 160).mark_bar(color=AFTER, binSpacing=1).encode(
        x=alt.X("from:Q", title=title, bin="binned", scale=alt.Scale(type="log"), axis=axis), x2=alt.X2("to:Q"),
        y=alt.Y("rows:Q", title=None, axis=alt.Axis(labelExpr=COUNT, tickMinStep=1, tickCount=4, grid=True)),
        tooltip=[alt.Tooltip("at:N", title="characters"), alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip


def _score(score: dict[str, Any]) -> Any:
    """Rows by a score, in three colours: kept, dropped for this score, dropped for something else; a line at each bound
    that lies within the picture."""
    import altair as alt

    names = {"kept": "kept", "mine": "dropped for this score", "others": "dropped for something else"}
    rows = [
        {"from": b["low"], "to": b["high"], "rows": b[part], "what": name, "order": i}
        for b in score["bins"]
        for i, (part, name) in enumerate(names.items())
        if b[part]
    ]
    low, high = score["bins"][0]["low"], score["bins"][-1]["high"]
    small = max(abs(low), abs(high)) < 10
    digits = max(2, 1 - math.floor(math.log10(high - low))) if high > low else 2  # a tick differs from the next one
    shown = {"format": f".{digits}~f"} if small else {"labelExpr": COUNT}
    axis = alt.Axis(tickCount=4, grid=False, labelOverlap=True, **shown)
    bars = _chart(rows, 130).mark_bar(binSpacing=0).encode(
        x=alt.X("from:Q", bin="binned", title=None, axis=axis), x2=alt.X2("to:Q"),
        y=alt.Y("rows:Q", title=None, axis=alt.Axis(labelExpr=COUNT, tickMinStep=1, tickCount=4, grid=True)),
        color=alt.Color("what:N", legend=None, scale=alt.Scale(domain=list(names.values()), range=list(SCORED))),
        order=alt.Order("order:Q"),
        tooltip=[alt.Tooltip("from:Q", format=".3~g"), alt.Tooltip("to:Q", format=".3~g"), *_tips("what:N"),
                 alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip
    bounds = [{"at": bound} for bound in (score["low"], score["high"]) if bound is not None and low <= bound <= high]
    if not bounds:
        return bars
    line = alt.Chart(alt.Data(values=bounds)).mark_rule(color=BOUND, strokeWidth=2, strokeDash=[5, 3])
    return alt.layer(bars, line.encode(x=alt.X("at:Q"))).properties(width="container", height=130)


def _bars(values: list[dict[str, Any]], name: str, amount: str) -> Any:
    import altair as alt

    if not values:
        return None
    rows = [{name: v[name] or "undecided", "rows": v[amount]} for v in values]
    return _chart(rows, BAR * len(rows)).mark_bar(color=AFTER).encode(
        x=_amount(values[0][amount], values[-1][amount]), y=alt.Y(f"{name}:N", title=None, sort=None),
        tooltip=[*_tips(f"{name}:N"), alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip


def _similarity(bins: list[dict[str, Any]]) -> Any:
    import altair as alt

    if not bins:
        return None
    return _chart([{"from": b["low"], "to": round(b["low"] + 0.02, 2), "rows": b["n"]} for b in bins],
        120).mark_bar(color=VERDICTS["dropped"]).encode(
        x=alt.X("from:Q", bin="binned", title="similarity", axis=alt.Axis(format=".2f")), x2=alt.X2("to:Q"),
        y=alt.Y("rows:Q", title=None, axis=alt.Axis(labelExpr=COUNT, tickMinStep=1, tickCount=4)),
        tooltip=[*_tips("from:Q", "to:Q"), alt.Tooltip("rows:Q", format=",")],
    )  # fmt: skip
