"""Where more rows pay: growth curves in, rows for each ability out.

Each ability's gain is taken as a concave function of its own rows, and a budget of rows goes, row by row, where the next
one gains most (water-filling). DoIT (arXiv 2310.19651) did so by hand: its "Reconstruct" capped what had stopped growing
and refilled the rest. What is assumed: an ability grows with its own rows; transfer between abilities is not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from instdata.grow import fit as fits
from instdata.grow.fit import Fit
from instdata.util.errors import InputError

POINTS = 200  # of each gain curve; rows in between are shared out in proportion
REDRAWN = 8  # every so manyth draw is planned anew, to see how much choosing by noise promises too much


@dataclass(frozen=True)
class Growth:
    """An ability's curve over its own rows. Values are turned so that more is better, and divided by `unit`."""

    ability: str
    fit: Fit
    unit: float

    def _upward(self, means: np.ndarray | None) -> np.ndarray:
        return (self.fit.means if means is None else means) * (-1 if self.fit.lower_is_better else 1) / self.unit

    @property
    def _shape(self) -> str:
        return "log-linear" if self.fit.kind in ("flat", None) else str(self.fit.kind)

    def gains(self, at: np.ndarray, means: np.ndarray | None = None) -> np.ndarray:
        """The curve to allocate by, at rows `at` [points]: never falling, every doubling worth less; for other rung means,
        if given.

        From five rungs on the shape that AICc chose, flat only where it was also shown to be. With fewer no bend can be
        fitted: then the lowest such curve that lies above all rungs, its last slope continued. What did not rise over
        the last step gains nothing from another.
        """
        y = self._upward(means)
        if self.fit.rungs >= fits.SATURATING_RUNGS:
            values = fits.curve((self.fit.label == "flat" and self.fit.kind) or self._shape, self.fit.rows, y, at)
            return values if values[-1] > values[0] else np.full(len(at), values.max())
        x = np.log2(np.array(self.fit.rows, float))
        knots = _knots(x, np.maximum.accumulate(y))
        return _through(x[knots], np.maximum.accumulate(y)[knots], np.log2(at))

    def score(self, at: np.ndarray, means: np.ndarray | None = None) -> np.ndarray:
        """The curve to state gains by, without bias from noise: the fitted shape (a line where it is flat, since a slope
        that was not found may be there), or the rungs' own scores joined by lines and continued as `gains` is."""
        y = self._upward(means)
        if self.fit.rungs >= fits.SATURATING_RUNGS:
            return fits.curve(self._shape, self.fit.rows, y, at)
        x, to = np.log2(np.array(self.fit.rows, float)), np.log2(at)
        before = _knots(x, np.maximum.accumulate(self._upward(None)))[-2]
        slope = (y[-1] - y[before]) / (x[-1] - x[before])
        return np.interp(to, x, y) + slope * np.maximum(0, to - x[-1])


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

    Water-filling: each ability starts at its floor; pieces go by gain per row, largest first, ties in order of names. Rows
    that would gain nothing stay unspent. Raises InputError where the floors alone are over the budget.
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
    """The allocation and what it should gain over the present mix of the same size.

    The expected gain is the mean over abilities, less what choosing by noisy curves adds to it (the bootstrap's optimism,
    Efron 1983); its 95 % interval comes from the same draws of the rung means. An ability's own gain is not corrected.
    """
    total = sum(ladder.now.values()) + sum(ladder.others.values())
    whole = total if budget is None else budget
    if whole < 1:
        raise InputError("--budget is a number of rows, at least 1")
    kept = {a: round(n * whole / total) for a, n in ladder.others.items()}
    budget = whole - sum(kept.values())
    grids = {}
    for g in ladder.growth:
        low = max(1, ladder.floors[g.ability])
        high = max(low, min(ladder.ceilings[g.ability], budget))
        grids[g.ability] = np.unique(np.concatenate([[low, high], np.geomspace(low, high, POINTS)]))
    base = {g.ability: max(1.0, ladder.now[g.ability] * whole / total) for g in ladder.growth}

    def chosen(which: int | None) -> dict[str, int]:
        drawn = {g.ability: None if which is None else g.fit.sampled[which] for g in ladder.growth}
        return allocate(
            {g.ability: (grids[g.ability], g.gains(grids[g.ability], drawn[g.ability])) for g in ladder.growth}, budget
        )

    def gain(rows: Mapping[str, int], which: int | None) -> np.ndarray:
        means = [None if which is None else g.fit.sampled[which] for g in ladder.growth]
        pairs = [g.score(np.array([base[g.ability], rows[g.ability]], float), m) for g, m in zip(ladder.growth, means)]
        return np.array([after - before for before, after in pairs])

    rows = chosen(None)
    gains = gain(rows, None)
    draws = np.array([gain(rows, i) for i in range(fits.DRAWS)])
    again = [(i, chosen(i)) for i in range(0, fits.DRAWS, REDRAWN)]
    optimism = float(np.median([(gain(r, i) - gain(r, None)).mean() for i, r in again]))
    low, high = np.quantile(draws.mean(1), [0.025, 0.975]) - optimism
    table = [
        _ability_row(g, int(base[g.ability]), rows[g.ability], float(value), spread)
        for g, value, spread in zip(ladder.growth, gains, draws.T)
    ]
    spent = sum(rows.values())
    notes = _notes(ladder, kept, table, budget - spent)
    return {
        "budget": whole, "rows": spent + sum(kept.values()), "metric": ladder.metric, "unit": ladder.unit, "seeds": ladder.seeds,
        "gain": float(gains.mean()) - optimism, "low": float(low), "high": float(high), "optimism": optimism,
        "abilities": table, "others": kept, "notes": notes,
    }  # fmt: skip


def _ability_row(g: Growth, now: int, rows: int, gain: float, draws: np.ndarray) -> dict[str, Any]:
    """What the plan says of one ability; draws: its gain over the bootstrap's draws."""
    low, high = (float(x) for x in np.quantile(draws, [0.025, 0.975]))
    step = g.gains(np.array([rows, rows + 1], float))
    top = max(g.fit.rows)
    return {
        "ability": g.ability, "rows_now": now, "rows": rows, "gain": gain, "low": low, "high": high,
        "gain_per_1000_rows": float(step[1] - step[0]) * 1000, "label": g.fit.label, "kind": g.fit.kind,
        "slope": g.fit.slope, "seen_to": top, "extrapolated": rows > top,
    }  # fmt: skip


def _notes(ladder: CurveTable, kept: Mapping[str, int], table: list[dict[str, Any]], unspent: int) -> list[str]:
    """What a reader of the plan should know beside its figures."""
    notes = list(ladder.notes)
    if kept:
        notes.append(
            f"no curve (no items, or fewer than three sizes with rows of their own); they keep their share: {', '.join(kept)}"
        )
    beyond = [t["ability"] for t in table if t["extrapolated"]]
    if beyond:
        notes.append(f"extrapolated, more rows than any run had: {', '.join(beyond)}")
    if unspent > len(table):
        notes.append(f"{unspent:,} rows stay unspent: no curve, or no row that is left, gains from them")
    return notes
