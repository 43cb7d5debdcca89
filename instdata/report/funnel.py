"""The funnel as a flow: a band as wide as the rows are many runs down through the steps; what a step drops leaves it to
the right, what it adds joins it from there. Shapes only: the words beside them are the page's, in its language."""

from __future__ import annotations

from typing import Any

WIDE, HIGH = 1000, 100  # a step's picture, which the page stretches to its place
BAND = 0.72 * WIDE  # the widest band; the rest is for what leaves it
IN, OUT = 4, 55  # where what is added comes in at the right edge, and where what is dropped goes out
MOST, LEAST = 45, 1.5  # how high all rows, and a few, stand at that edge
REASONS = 3  # of a step, named beside its band


def flow(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """A part for reading, each step and what is left: {name, kind, in, added, dropped, quarantined, kept, reasons:
    [(reason, rows)], more: reasons not named, shapes: [(class, SVG path)]}, in a picture of WIDE by HIGH."""
    totals, steps = manifest["totals"], manifest["steps"]
    unread = totals["quarantined"] - sum(s["quarantined"] for s in steps)
    nothing = {"added": 0, "dropped": 0, "quarantined": 0, "reasons": {}}
    read = nothing | {"name": "read", "kind": "", "in": totals["in"], "quarantined": unread}
    parts = [read | {"kept": totals["in"] - unread}, *steps]
    widest = max((p["in"] + p["added"] for p in parts), default=0)
    return [_part(p, widest) for p in parts] if widest else []


def _part(step: dict[str, Any], widest: int) -> dict[str, Any]:
    reasons = sorted(step["reasons"].items(), key=lambda r: (-r[1], r[0]))
    keys = ("name", "kind", "in", "added", "dropped", "quarantined", "kept")
    return {k: step[k] for k in keys} | {
        "reasons": reasons[:REASONS],
        "more": max(0, len(reasons) - REASONS),
        "shapes": _shapes(step, BAND / widest),
    }


def _shapes(step: dict[str, Any], scale: float) -> list[tuple[str, str]]:
    """The paths of a step: the band that comes in, the one that goes on, what joins and what leaves between them."""
    came, all_, on = (scale * n for n in (step["in"], step["in"] + step["added"], step["kept"]))
    half = HIGH / 2
    shapes = [("kept", _box(came, 0, half)), ("kept", _box(on, half, HIGH))]
    if step["added"]:
        shapes.append(("added", _link(came, all_, (IN, IN + _height(all_ - came)), half)))
    if step["dropped"] + step["quarantined"]:
        kind = "dropped" if step["dropped"] else "quarantined"
        shapes.append((kind, _link(on, all_, (OUT + _height(all_ - on), OUT), half)))
    return shapes


def _box(width: float, top: float, bottom: float) -> str:
    """From the left edge; half a unit longer than it is, so that no seam shows where two meet."""
    return f"M0 {_n(top)}H{_n(width)}V{_n(bottom + 0.5)}H0Z"


def _link(left: float, right: float, edge: tuple[float, float], at: float) -> str:
    """From `left` to `right` of the band at height `at` in a bow to the right edge, whose heights there are the outer
    side's (that of `left`) and the inner side's."""
    outer, inner = map(_n, edge)
    a, b = _n(left), _n(right)
    return f"M{a} {_n(at)}C{a} {outer} {a} {outer} {WIDE} {outer}V{inner}C{b} {inner} {b} {inner} {b} {_n(at)}Z"


def _height(width: float) -> float:
    return max(LEAST, MOST * width / BAND)


def _n(value: float) -> str:
    """A number of a path, as short as it may be."""
    return f"{value:.1f}".removesuffix(".0")
