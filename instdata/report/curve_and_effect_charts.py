"""Charts of the harness as Vega-Lite: growth of one ability, effects of one ablation; and PNG files of them."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from instdata.report import curves_and_effects
from instdata.report.build_charts import Spec, drawn, name, number, require, whole_spec
from instdata.util.atomic import whole

SERIES = ("#2a9d8f", "#c77f2a", "#6a7fdb", "#b5578d", "#7a8a3c", "#8d8d99")  # read on light and dark
ARMS = {"without": SERIES[1], "with": SERIES[0], "aa": SERIES[5]}
VERDICTS = {"better": "#2a9d8f", "worse": "#e0734f", "equivalent": "#6a7fdb", "undecided": "#8d8d99"}
SHAPES = {"better": "triangle-up", "worse": "triangle-down", "equivalent": "square", "undecided": "circle"}
QUIET = "#8d8d99"
TOP = ("$schema", "config")  # what stands in a whole spec only
LINE = 24  # pixels of one line of a forest
FACET = 120  # pixels: the height of one of the small multiples


def specs(views: list[dict[str, Any]], prefix: str) -> dict[str, dict[str, Any]]:
    """A Vega-Lite spec for each view and ability: `<prefix>-<view>-<number of the ability>`."""
    return {
        f"{prefix}-{view['key']}-{i}": {**spec, "width": "container"}
        for view in views
        for i, spec in enumerate(ability_growth(view))
    }


def colours(names: list[str]) -> list[str]:
    """A colour for each series: an arm's own, or the next."""
    return [ARMS.get(n.rpartition(" ")[2], SERIES[i % len(SERIES)]) for i, n in enumerate(names)]


def ability_growth(view: dict[str, Any]) -> list[dict[str, Any]]:
    """The small multiples of a view, a spec for each ability: a line with its interval for each series over the rows it
    was trained on, the chance level, and BELLE's published curve. They differ in their data alone."""
    found = []
    for ability in view["abilities"]:
        data = _growth_data(view, ability)
        layers = [{"data": {"values": data[of]}, **layer} for of, layer in _growth(view) if data[of]]
        found.append(whole_spec({"layer": layers, "height": FACET}))
    return found


def _growth(view: dict[str, Any]) -> list[tuple[str, Spec]]:
    """The layers, each with the name of its data: chance, belle, points. Scores share the scale 0 to 1; bits have their
    own in each."""
    rows = sorted({r for r, _ in view["sizes"]})
    least, most = min((r for r in rows if r), default=1), max([*rows, 1])
    # Base stands at 0, so the axis is logarithmic but for its start.
    domain = [0 if 0 in rows else least, most]
    scale = {"type": "symlog", "constant": max(1, least / 2), "domain": domain, "nice": False}
    label = "datum.value == 0 ? 'base' : format(datum.value, '~s')"
    x = number("rows", title=None, scale=scale, axis={"values": rows, "labelExpr": label, "grid": False})
    y_scale = {"zero": False, "padding": 6} if view["lower"] else {"domain": [0, 1]}
    y = number("value", title=None, scale=y_scale, axis={"tickCount": 4, "grid": True})
    low = number("from", title=None, scale=y_scale)
    palette = {"domain": view["series"], "range": colours(view["series"])}
    three = [number(k, format=".3f") for k in ("value", "low", "high")]
    tips = [name("series"), name("config"), number("rows", format=","), *three, number("n"), number("seeds")]
    belle_tips = [name("BELLE"), number("value", title="judge score", format=".3f")]
    mine = {"x": x, "color": name("series", scale=palette, legend=None)}
    # An area needs two sizes.
    interval = {"type": "area", "opacity": 0.22} if len(rows) > 1 else {"type": "rule", "strokeWidth": 2}
    dashed = {"type": "line", "color": QUIET, "strokeDash": [5, 3], "strokeWidth": 1.4}
    diamond = {"type": "point", "color": QUIET, "filled": True, "opacity": 1, "shape": "diamond", "size": 22}
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 28}
    known = [{"filter": "isValid(datum.from)"}]
    return [
        ("chance", {"mark": {"type": "rule", "color": QUIET, "strokeDash": [2, 3]}, "encoding": {"y": y}}),
        ("belle", {"mark": dashed, "encoding": {"x": x, "y": y}}),
        ("belle", {"mark": diamond, "encoding": {"x": x, "y": y, "tooltip": belle_tips}}),
        ("points", {"mark": interval, "encoding": {**mine, "y": low, "y2": {"field": "to"}}, "transform": known}),
        ("points", {"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": {**mine, "y": y}}),
        ("points", {"mark": dot, "encoding": {**mine, "y": y, "tooltip": tips}}),
    ]


def _growth_data(view: dict[str, Any], ability: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What the layers of one ability's chart show. BELLE's largest size, 2M rows, is set at ours; bits have another
    scale than its scores."""
    keys = ("series", "config", "rows", "value", "low", "high", "n", "seeds")
    points = [{k: p[k] for k in keys} for p in ability["points"] if p["value"] is not None]
    # An interval from few items can be wider than everything else: it is drawn as far as the chart goes.
    values = [p["value"] for p in points] or [0.0]
    reach = max(max(values) - min(values), 0.02 * abs(max(values)))
    least, most = (min(values) - reach, max(values) + reach) if view["lower"] else (0.0, 1.0)
    for p in points:
        if p["low"] is not None and p["high"] is not None:
            p |= {"from": min(max(p["low"], least), most), "to": max(min(p["high"], most), least)}
    level = next((p["chance"] for p in ability["points"] if p.get("chance") is not None), None)
    theirs = view["belle"].get(ability["ability"])
    sizes, largest = curves_and_effects.belle()["rows"], max(r for r, _ in view["sizes"])
    return {
        "points": points,
        "chance": [] if level is None else [{"value": level}],
        "belle": [
            {"rows": largest * r / sizes[-1], "value": s, "BELLE": f"{r / 1e6:g}M rows"}
            for r, s in zip(sizes, theirs or [])
        ],
    }


def forest(effects: list[dict[str, Any]], found: dict[str, Any]) -> Spec | None:
    """Effects with their intervals, one line an ability, the margin of equivalence as a band; None where there is
    nothing to draw. The axis spans the effects and the A/A pair, so that both forests of an ablation compare."""
    keys = ("ability", "effect", "low", "high", "n", "seeds", "verdict", "limit")
    rows = [{k: e.get(k) for k in keys} for e in effects if e["effect"] is not None]
    if not rows:
        return None
    span = {"domain": _reach([*found["effects"], *found["aa"]]), "nice": True}
    axis = {"tickCount": 5, "grid": True, "format": "~g"}

    def x(field: str) -> Spec:
        return number(field, scale=span, title=None, axis=axis)

    colour = name("verdict", scale={"domain": list(VERDICTS), "range": list(VERDICTS.values())}, legend=None)
    shape = name("verdict", scale={"domain": list(SHAPES), "range": list(SHAPES.values())}, legend=None)
    y = name("ability", sort=[e["ability"] for e in rows], title=None)
    tips = [number(k, format=".4f") for k in ("effect", "low", "high")]
    tips = [name("ability"), *tips, number("n"), number("seeds"), name("verdict")]
    some = [{**row, "under": -row["limit"]} for row in rows if row["limit"]]
    band = {"type": "rule", "color": VERDICTS["equivalent"], "opacity": 0.14, "strokeWidth": LINE}
    interval = {"type": "rule", "clip": True, "strokeWidth": 2}
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 70}
    layers = [
        drawn([{"at": 0}], {"type": "rule", "color": QUIET}, {"x": x("at")}),
        drawn(rows, interval, {"x": x("low"), "x2": {"field": "high"}, "y": y, "color": colour})
        | {"transform": [{"filter": "isValid(datum.low)"}]},
        drawn(rows, dot, {"x": x("effect"), "y": y, "color": colour, "shape": shape, "tooltip": tips}),
    ]
    margins = [drawn(some, band, {"x": x("under"), "x2": {"field": "limit"}, "y": y})] if some else []
    return whole_spec({"layer": [*margins, *layers], "height": LINE * len(rows) + 8})


def _reach(effects: list[dict[str, Any]]) -> list[float]:
    """The axis of a forest: every effect and margin, and the intervals, of which the widest may leave the picture."""
    known = [e for e in effects if e["effect"] is not None]
    ends = [0.0, *(e["effect"] for e in known)]
    ends += [sign * e["limit"] for e in known if e["limit"] is not None for sign in (-1, 1)]
    spans = [(e["low"], e["high"]) for e in known if e["low"] is not None and e["high"] is not None]
    typical = median(high - low for low, high in spans) if spans else 0.0
    low, high = min(ends) - typical, max(ends) + typical
    return [max(low, min([*ends, *(a for a, _ in spans)])), min(high, max([*ends, *(b for _, b in spans)]))]


def ablation_specs(found: dict[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    """The specs of an ablation: `<prefix>-effects`, `<prefix>-aa` and its arms' curves."""
    forests = {side: forest(found[side], found) for side in ("effects", "aa")}
    made = {f"{prefix}-{k}": {**spec, "width": "container"} for k, spec in forests.items() if spec}
    return made | specs(found["views"], prefix)


def curve_charts(folder: Path) -> list[Path]:
    """Write a PNG beside curves.parquet for each metric and suite: small multiples of every ability, as in the report.
    Returns their paths. Raises MissingExtra where vl-convert is absent."""
    require()
    points = curves_and_effects.views(curves_and_effects._points(folder), [])
    return [write_png(folder / f"{_slug(v['suite'])}-{_slug(v['metric'])}.png", small_multiples(v)) for v in points]


def small_multiples(view: dict[str, Any], columns: int = 4) -> dict[str, Any]:
    """All charts of a view as one spec, for a picture."""
    titles = [{"text": a["ability"], "fontSize": 12} for a in view["abilities"]]
    parts = [{**spec, "width": 190, "title": title} for spec, title in zip(ability_growth(view), titles)]
    notes = [", ".join(view["series"])]
    notes += ["dashed: BELLE's published judge scores, its 2M rows at the largest size"] if view["belle"] else []
    title = {"text": f"{view['metric']} by rows ({view['suite']})", "subtitle": notes, "anchor": "start", "offset": 12}
    shared = {k: parts[0][k] for k in TOP}
    inner = [{k: v for k, v in part.items() if k not in TOP} for part in parts]
    return {**shared, "title": title, "columns": columns, "concat": inner}


def forest_png(found: dict[str, Any]) -> bytes | None:
    """The effects of an ablation as a picture; None where there are none."""
    chart = forest(found["effects"], found)
    return None if chart is None else png({**chart, "width": 560})


def png(spec: dict[str, Any]) -> bytes:
    """A chart as a picture."""
    return require().vegalite_to_png({**spec, "background": "white"}, scale=1.5)


def write_png(path: Path, spec: dict[str, Any]) -> Path:
    """Write a chart as a picture."""
    with whole(path) as file:
        file.write(png(spec))
    return path


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "suite"
