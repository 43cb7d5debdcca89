"""The report's charts as Vega-Lite, and Vega itself as one script. Colours that must read on light and dark alike are
set here; the page's script sets those of text and lines. Specs are plain mappings: to import what would check them took
a quarter of a second in every build."""

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
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
CHARTS = ("funnel", "reasons", "abilities", "sizes", "prompt", "response", "languages", "similarity")


def require() -> Any:
    """The module that holds Vega. Raises MissingExtra where it is absent."""
    try:
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


Spec = dict[str, Any]


def specs(facts: dict[str, Any]) -> dict[str, Spec]:
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
    return {name: whole_spec(chart) for name, chart in made.items() if chart is not None}


def whole_spec(chart: Spec) -> Spec:
    """A chart, or layers, with what stands in a whole spec only."""
    return {**chart, "config": {"view": {"continuousWidth": 300, "continuousHeight": 300}}, "$schema": SCHEMA}


def number(field: str, **more: Any) -> Spec:
    """A channel of numbers."""
    return {"field": field, "type": "quantitative", **more}


def name(field: str, **more: Any) -> Spec:
    """A channel of names."""
    return {"field": field, "type": "nominal", **more}


def drawn(values: list[Spec], mark: Spec, encoding: Spec) -> Spec:
    """Some data, as marks of one kind."""
    return {"data": {"values": values}, "mark": mark, "encoding": encoding}


ROWS = number("rows", format=",")  # in a tooltip
SHARE = number("share", format=".1%")


def _bar(values: list[Spec], height: int, encoding: Spec, **mark: Any) -> Spec:
    return {**drawn(values, {"type": "bar", **mark}, encoding), "width": "container", "height": height}


def _counted(ticks: int, **more: Any) -> Spec:
    """The axis of rows."""
    return number("rows", title=None, axis={"labelExpr": COUNT, "tickMinStep": 1, "tickCount": ticks, **more})


def _funnel(steps: list[dict[str, Any]]) -> Spec | None:
    """A bar a step: the rows that reached it, cut into those it kept, dropped and quarantined."""
    rows = [
        {"step": s["name"], "verdict": v, "rows": s[v], "order": i}
        for s in steps
        for i, v in enumerate(VERDICTS)
        if s[v]
    ]
    if not rows:
        return None
    scale = {"domain": list(VERDICTS), "range": list(VERDICTS.values())}
    encoding = {
        "x": _counted(6),
        "y": name("step", title=None, sort=[s["name"] for s in steps]),
        "color": name("verdict", title=None, scale=scale, legend={"orient": "top"}),
        "order": number("order"),
        "tooltip": [name("step"), name("verdict"), ROWS],
    }
    return _bar(rows, 24 * len(steps), encoding)


def _reasons(groups: list[dict[str, Any]]) -> Spec | None:
    """A bar a reason, the most frequent first; the axis is logarithmic where they differ much."""
    top = sorted(groups, key=lambda g: (-g["n"], g["step"], g["reason"]))[:30]
    if not top:
        return None
    rows = [{"reason": f"{g['step']}: {g['reason']}", "rows": g["n"]} for g in top]
    encoding = {
        "x": _amount(top[0]["n"], top[-1]["n"]),
        "y": name("reason", title=None, sort=None),
        "tooltip": [name("reason"), ROWS],
    }
    return _bar(rows, BAR * len(rows), encoding, color=VERDICTS["dropped"])


def _amount(most: int, least: int) -> Spec:
    """The axis of rows: linear, or logarithmic where small bars could not be seen beside large ones."""
    if most <= 100 * max(1, least):
        return _counted(4)
    ticks = [0, *(10**k for k in range(10) if 10**k <= most)]
    return number("rows", title="logarithmic", scale={"type": "symlog"}, axis={"labelExpr": COUNT, "values": ticks})


def _abilities(abilities: list[dict[str, Any]]) -> Spec | None:
    """Two bars an ability: its share of the rows read and generated, and of full."""
    total = {side: sum(a[side] for a in abilities) for side in ("before", "after")}
    rows = [
        {"ability": a["ability"], "when": side, "share": a[side] / total[side], "rows": a[side]}
        for a in abilities for side in total if total[side]
    ]  # fmt: skip
    if not rows:
        return None
    scale = {"domain": ["before", "after"], "range": [BEFORE, AFTER]}
    encoding = {
        "x": number("share", title=None, axis={"format": ".0%", "tickCount": 6}),
        "y": name("ability", title=None, sort=None),
        "yOffset": name("when", sort=["before", "after"]),
        "color": name("when", title=None, scale=scale, legend={"orient": "top"}),
        "tooltip": [name("ability"), name("when"), ROWS, SHARE],
    }
    return _bar(rows, 30 * len(abilities), encoding)


def _sizes(configs: dict[str, dict[str, Any]], abilities: list[str]) -> Spec | None:
    """A bar a config, cut by ability: the mixture stays, the amount grows."""
    sizes = {name: c for name, c in configs.items() if name != "holdout"}
    if len(abilities) < 2:
        return None
    rows = [
        {"config": f"{name} ({c['rows']:,})", "ability": a, "share": c["by_ability"][a] / c["rows"],
        "rows": c["by_ability"][a], "order": i}
        for name, c in sizes.items() for i, a in enumerate(abilities) if c["by_ability"].get(a)
    ]  # fmt: skip
    legend = {"orient": "bottom", "columns": 5, "symbolLimit": 40}
    encoding = {
        "x": number("share", title=None, axis={"format": ".0%", "tickCount": 6}, scale={"domain": [0, 1]}),
        "y": name("config", title=None, sort=None),
        "color": name("ability", title=None, sort=abilities, scale={"scheme": "tableau20"}, legend=legend),
        "order": number("order"),
        "tooltip": [name("config"), name("ability"), ROWS, SHARE],
    }
    return _bar(rows, 26 * len(sizes), encoding)


def _histogram(found: dict[str, Any] | None, title: str) -> Spec | None:
    """Counts over bins of equal width on a logarithmic axis; empty texts stand left of 1."""
    if not found:
        return None
    rows = [
        {
            "from": max(b["low"], 0.7),
            "to": max(b["high"], 1),
            "rows": b["n"],
            "at": f"{b['low']:,}–{b['high'] - 1:,}",
        }
        for b in found["bins"]
    ]
    axis = {"values": [10**k for k in range(7)], "labelExpr": COUNT, "grid": False}
    encoding = {
        "x": number("from", title=title, bin="binned", scale={"type": "log"}, axis=axis),
        "x2": {"field": "to"},
        "y": _counted(4, grid=True),
        "tooltip": [name("at", title="characters"), ROWS],
    }
    return _bar(rows, 160, encoding, color=AFTER, binSpacing=1)


def _score(score: dict[str, Any]) -> Spec:
    """Rows by a score, in three colours: kept, dropped for this score, dropped for something else; a line at each bound
    that lies within the picture."""
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
    encoding = {
        "x": number("from", bin="binned", title=None,
                    axis={"tickCount": 4, "grid": False, "labelOverlap": True, **shown}),
        "x2": {"field": "to"},
        "y": _counted(4, grid=True),
        "color": name("what", legend=None, scale={"domain": list(names.values()), "range": list(SCORED)}),
        "order": number("order"),
        "tooltip": [number("from", format=".3~g"), number("to", format=".3~g"), name("what"), ROWS],
    }  # fmt: skip
    bounds = [{"at": bound} for bound in (score["low"], score["high"]) if bound is not None and low <= bound <= high]
    if not bounds:
        return _bar(rows, 130, encoding, binSpacing=0)
    rule = {"type": "rule", "color": BOUND, "strokeWidth": 2, "strokeDash": [5, 3]}
    layers = [drawn(rows, {"type": "bar", "binSpacing": 0}, encoding), drawn(bounds, rule, {"x": number("at")})]
    return {"layer": layers, "width": "container", "height": 130}


def _bars(values: list[dict[str, Any]], field: str, amount: str) -> Spec | None:
    if not values:
        return None
    rows = [{field: v[field] or "undecided", "rows": v[amount]} for v in values]
    encoding = {
        "x": _amount(values[0][amount], values[-1][amount]),
        "y": name(field, title=None, sort=None),
        "tooltip": [name(field), ROWS],
    }
    return _bar(rows, BAR * len(rows), encoding, color=AFTER)


def _similarity(bins: list[dict[str, Any]]) -> Spec | None:
    if not bins:
        return None
    rows = [{"from": b["low"], "to": round(b["low"] + 0.02, 2), "rows": b["n"]} for b in bins]
    encoding = {
        "x": number("from", bin="binned", title="similarity", axis={"format": ".2f"}),
        "x2": {"field": "to"},
        "y": _counted(4),
        "tooltip": [number("from"), number("to"), ROWS],
    }
    return _bar(rows, 120, encoding, color=VERDICTS["dropped"])
