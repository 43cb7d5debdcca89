"""Charts of the harness as Vega-Lite: growth of one ability, effects of one ablation; and PNG files of them."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from instdata.report import curves_and_effects
from instdata.report.build_charts import require
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
    was trained on, the chance level, and BELLE's published curve. They differ in their data alone, so altair, which
    takes its time, makes one."""
    template = _growth(view).to_dict(validate=False)
    found = []
    for ability in view["abilities"]:
        data = _growth_data(view, ability)
        named = [(layer, data[layer["data"]["name"]]) for layer in template["layer"]]
        layers = [{**layer, "data": {"values": values}} for layer, values in named if values]
        found.append({**template, "layer": layers})
    return found


def _growth(view: dict[str, Any]) -> Any:
    """The layers over data named chance, belle and points. Scores share the scale 0 to 1; bits have their own in
    each."""
    import altair as alt

    rows = sorted({r for r, _ in view["sizes"]})
    least, most = min((r for r in rows if r), default=1), max([*rows, 1])
    # Base stands at 0, so the axis is logarithmic but for its start.
    scale = alt.Scale(type="symlog", constant=max(1, least / 2), domain=[0 if 0 in rows else least, most], nice=False)
    label = "datum.value == 0 ? 'base' : format(datum.value, '~s')"
    x = alt.X("rows:Q", title=None, scale=scale, axis=alt.Axis(values=rows, labelExpr=label, grid=False))
    y_scale = alt.Scale(zero=False, padding=6) if view["lower"] else alt.Scale(domain=[0, 1])
    y = alt.Y("value:Q", title=None, scale=y_scale, axis=alt.Axis(tickCount=4, grid=True))
    low = alt.Y("from:Q", title=None, scale=y_scale)
    palette = alt.Scale(domain=view["series"], range=colours(view["series"]))
    three = [alt.Tooltip(f"{k}:Q", format=".3f") for k in ("value", "low", "high")]
    tips = ["series:N", "config:N", alt.Tooltip("rows:Q", format=","), *three, "n:Q", "seeds:Q"]
    chance = alt.Chart(alt.NamedData("chance")).mark_rule(strokeDash=[2, 3], color=QUIET).encode(y=y)
    belle = alt.Chart(alt.NamedData("belle")).encode(x=x, y=y)
    belle_tips = [alt.Tooltip("BELLE:N"), alt.Tooltip("value:Q", title="judge score", format=".3f")]
    mine = alt.Chart(alt.NamedData("points")).encode(x=x, color=alt.Color("series:N", scale=palette, legend=None))
    known = mine.transform_filter("isValid(datum.from)")
    # An area needs two sizes.
    interval = known.mark_area(opacity=0.22) if len(rows) > 1 else known.mark_rule(strokeWidth=2)
    return alt.layer(
        chance,
        belle.mark_line(strokeDash=[5, 3], strokeWidth=1.4, color=QUIET),
        belle.mark_point(shape="diamond", size=22, filled=True, color=QUIET, opacity=1).encode(tooltip=belle_tips),
        interval.encode(y=low, y2="to:Q"),
        mine.mark_line(strokeWidth=1.8).encode(y=y),
        mine.mark_point(filled=True, size=28, opacity=1).encode(y=y, tooltip=tips),
    ).properties(height=FACET)


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


def forest(effects: list[dict[str, Any]], found: dict[str, Any]) -> Any:
    """Effects with their intervals, one line an ability, the margin of equivalence as a band; None where there is
    nothing to draw. The axis spans the effects and the A/A pair, so that both forests of an ablation compare."""
    import altair as alt

    keys = ("ability", "effect", "low", "high", "n", "seeds", "verdict", "limit")
    rows = [{k: e.get(k) for k in keys} for e in effects if e["effect"] is not None]
    if not rows:
        return None
    span = alt.Scale(domain=_reach([*found["effects"], *found["aa"]]), nice=True)
    axis = alt.Axis(tickCount=5, grid=True, format="~g")

    def x(field: str) -> Any:
        return alt.X(f"{field}:Q", scale=span, title=None, axis=axis)

    colour = alt.Color("verdict:N", scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values())), legend=None)
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())), legend=None)
    y = alt.Y("ability:N", sort=[e["ability"] for e in rows], title=None)
    tips = [alt.Tooltip(f"{k}:Q", format=".4f") for k in ("effect", "low", "high")]
    some = [{**row, "under": -row["limit"]} for row in rows if row["limit"]]
    margins = alt.Chart(alt.Data(values=some)).mark_rule(strokeWidth=LINE, opacity=0.14, color=VERDICTS["equivalent"])
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, color=colour)
    layers = [
        alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(color=QUIET).encode(x=x("at")),
        base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, clip=True).encode(x=x("low"), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x("effect"), shape=shape, tooltip=["ability:N", *tips, "n:Q", "seeds:Q", "verdict:N"]
        ),
    ]
    layers = [margins.encode(x=x("under"), x2="limit:Q", y=y), *layers] if some else layers
    return alt.layer(*layers).properties(height=LINE * len(rows) + 8)


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
    drawn = {side: forest(found[side], found) for side in ("effects", "aa")}
    made = {f"{prefix}-{k}": c.properties(width="container").to_dict(validate=False) for k, c in drawn.items() if c}
    return made | specs(found["views"], prefix)


def curve_charts(folder: Path) -> list[Path]:
    """Write a PNG beside curves.parquet for each metric and suite: small multiples of every ability, as in the report.
    Returns their paths. Raises MissingExtra where altair or vl-convert is absent."""
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
    return None if chart is None else png(chart.properties(width=560).to_dict(validate=False))


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
