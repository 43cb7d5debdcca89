"""Where more rows pay: growth curves in, rows for each ability out.

Each ability's gain is taken as a concave function of its own rows, and a budget of rows goes, row by row, where the
next one gains most (water-filling). DoIT (arXiv 2310.19651) did so by hand: its "Reconstruct" capped what had stopped
growing and refilled the rest. In a ladder all abilities grow together, so whether one grew by its own rows or by the
others' cannot be told: nothing is said of what the new split would gain. mixture_design.py varies the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from instdata.grow import curve_fit as fits
from instdata.grow.curve_fit import Fit
from instdata.util.errors import InputError

POINTS = 200  # of each gain curve; rows in between are shared out in proportion
UNKNOWN_GAIN = (
    "what this split would gain cannot be known from these curves: in them all abilities grow together, so an "
    "ability's own "
    "rows and the others' cannot be told apart. The split takes each to grow by its own rows alone; `instdata next "
    "--design` "
    "trains a handful of mixtures and measures"
)


@dataclass(frozen=True)
class Growth:
    """An ability's curve over its own rows. Values are turned so that more is better, and divided by `unit`."""

    ability: str
    fit: Fit
    unit: float

    @property
    def _shape(self) -> str:
        return "log-linear" if self.fit.kind in ("flat", None) else str(self.fit.kind)

    def gains(self, at: np.ndarray) -> np.ndarray:
        """The curve to allocate by, at rows `at` [points]: never falling, every doubling worth less.

        From five rungs on the shape that AICc chose, flat only where it was also shown to be. With fewer no bend can be
        fitted: then the lowest such curve that lies above all rungs, its last slope continued. What did not rise over
        the last step gains nothing from another.
        """
        y = self.fit.means * (-1 if self.fit.lower_is_better else 1) / self.unit
        if self.fit.rungs >= fits.SATURATING_RUNGS:
            values = fits.curve((self.fit.label == "flat" and self.fit.kind) or self._shape, self.fit.rows, y, at)
            return values if values[-1] > values[0] else np.full(len(at), values.max())
        x = np.log2(np.array(self.fit.rows, float))
        knots = _knots(x, np.maximum.accumulate(y))
        return _through(x[knots], np.maximum.accumulate(y)[knots], np.log2(at))


def _knots(x: np.ndarray, y: np.ndarray) -> list[int]:
    """The points on the upper hull, which is the least concave curve above all (Andrew's monotone chain)."""
    hull = [0]
    for i in range(1, len(x)):
        while len(hull) > 1 and (y[hull[-1]] - y[hull[-2]]) * (x[i] - x[hull[-2]]) <= (y[i] - y[hull[-2]]) * (
            x[hull[-1]] - x[hull[-2]]
        ):
            hull.pop()
        hull.append(i)
    return hull


def _through(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Straight lines through the points, the last one continued."""
    slope = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return np.interp(at, x, y) + slope * np.maximum(0, at - x[-1])


def allocate(gains: Mapping[str, tuple[np.ndarray, np.ndarray]], budget: int) -> dict[str, int]:
    """Rows for each ability, given (rows [points], rising; gain at them, nondecreasing) from its floor to its ceiling.

    Water-filling: each ability starts at its floor; pieces go by gain per row, largest first, ties in order of names.
    Rows that would gain nothing stay unspent. Raises InputError where the floors alone are over the budget.
    """
    names = sorted(gains)
    floors = {a: int(gains[a][0][0]) for a in names}
    left = float(budget - sum(floors.values()))
    if left < 0:
        raise InputError(
            f"{budget:,} rows are fewer than {sum(floors.values()):,}, the least for which there are curves or rows "
            f"already: give --budget {sum(floors.values())} or more"
        )
    pieces = []
    for i, a in enumerate(names):
        rows, gain = gains[a]
        knots = _knots(rows, gain)  # so that the pieces come in the order of their worth
        for size, more in zip(np.diff(rows[knots]), np.diff(gain[knots])):
            if more > 0:
                pieces.append((-more / size, i, size))
    found = {a: float(floors[a]) for a in names}
    for _, i, size in sorted(pieces):
        take = min(size, left)
        found[names[i]] += take
        left -= take
    return {a: int(rows + 1e-6) for a, rows in found.items()}


@dataclass(frozen=True)
class CurveTable:
    """What `next` plans from. now: rows of each ability with a curve at the largest size; others: of those without one,
    which keep their share; floors and ceilings: of what an ability may get."""

    growth: list[Growth]
    now: dict[str, int]
    others: dict[str, int]
    floors: dict[str, int]
    ceilings: dict[str, int]
    metric: str
    unit: str
    seeds: int
    notes: list[str]


def plan(ladder: CurveTable, budget: int | None = None) -> dict[str, Any]:
    """The allocation, were each ability to grow by its own rows alone. Its gain is not known (UNKNOWN_GAIN), so gain,
    low and high are None. Raises InputError."""
    total = sum(ladder.now.values()) + sum(ladder.others.values())
    whole = total if budget is None else budget
    if whole < 1:
        raise InputError("--budget is a number of rows, at least 1")
    kept = {a: round(n * whole / total) for a, n in ladder.others.items()}
    budget = whole - sum(kept.values())
    gains = {}
    for g in ladder.growth:
        low = max(1, ladder.floors[g.ability])
        high = max(low, min(ladder.ceilings[g.ability], budget))
        grid = np.unique(np.concatenate([[low, high], np.geomspace(low, high, POINTS)]))
        gains[g.ability] = (grid, g.gains(grid))
    rows = allocate(gains, budget)
    now = {g.ability: int(max(1.0, ladder.now[g.ability] * whole / total)) for g in ladder.growth}
    table = [
        {"ability": g.ability, "rows_now": now[g.ability], "rows": rows[g.ability], "label": g.fit.label,
        "kind": g.fit.kind,
         "slope": g.fit.slope, "seen_to": max(g.fit.rows), "extrapolated": rows[g.ability] > max(g.fit.rows)}
        for g in ladder.growth
    ]  # fmt: skip
    spent = sum(rows.values())
    return {
        "budget": whole, "rows": spent + sum(kept.values()), "metric": ladder.metric, "unit": ladder.unit,
        "seeds": ladder.seeds,
        "identified": False, "gain": None, "low": None, "high": None, "abilities": table, "others": kept,
        "notes": [UNKNOWN_GAIN, *_notes(ladder, kept, table, budget - spent)],
    }  # fmt: skip


def _notes(ladder: CurveTable, kept: Mapping[str, int], table: list[dict[str, Any]], unspent: int) -> list[str]:
    """What a reader of the plan should know beside its figures."""
    notes = list(ladder.notes)
    if kept:
        notes.append(
            f"no curve (no items, or fewer than three sizes with rows of their own); they keep their share: "
            f"{', '.join(kept)}"
        )
    beyond = [t["ability"] for t in table if t["extrapolated"]]
    if beyond:
        notes.append(f"extrapolated, more rows than any run had: {', '.join(beyond)}")
    if unspent > len(table):
        notes.append(f"{unspent:,} rows stay unspent: no curve, or no row that is left, gains from them")
    return notes
