"""What another threshold would change, from the scores that the ledger has: nothing is scored."""

from __future__ import annotations

from typing import Any

from instdata.report.review.sampling import quoted

BINS = 40
ENDS = "quantile_cont({}, [0.005, 0.995])"
# Reasons that a bound on a score gives, besides low_<score> and high_<score>.
OWN_REASONS = {
    "chars": ("too_short", "too_long"),
    "repetition": ("repetition",),
    "similarity": ("near_duplicate", "near_holdout", "leak"),
}


class Thresholds:
    """The scores of a build, and what bounds on one of them would do. `db` has the view `ledger`."""

    def __init__(self, scores: dict[str, str], steps: list[dict[str, Any]]):
        self.scores = scores
        self.steps = sorted((s["name"] for s in steps), key=len, reverse=True)
        self._ends: dict[str, list[float] | None] = {}  # of the scores that were looked at

    def ranges(self, db: Any) -> list[dict[str, Any]]:
        """[{name, step, score, low, high, n}] of each score that varies: its range, but for the outermost 0.5 % on
        either side."""
        found = []
        for name in self.scores:
            value = f"{quoted(name)}::double"
            sql = (
                f"select {ENDS.format(value)}, min({value}), max({value}), count(*) from ledger where isfinite({value})"
            )
            ends, least, most, n = db.execute(sql).fetchone()
            self._ends[name] = ends
            low, high = ends if n and ends[0] < ends[1] else (least, most)
            if n and low < high:
                step, score = self._parts(name)
                found.append(
                    {"name": name, "step": step, "score": score, "low": float(low), "high": float(high), "n": n}
                )
        return found

    def _parts(self, name: str) -> tuple[str, str]:
        """(step, score) of a column score_<step>_<score>; a step's name may have an underscore itself."""
        rest = name.removeprefix("score_")
        step = next((s for s in self.steps if rest.startswith(f"{s}_")), rest.partition("_")[0])
        return step, rest[len(step) + 1 :]

    def what_if(self, db: Any, asked: dict[str, Any]) -> dict[str, Any]:
        """Of bounds `low` and `high` (either may be null) on `score`: {bins: [{low, high, kept, mine, others}], go:
        kept rows outside the bounds; back: rows that this step dropped for this score and that lie inside: they would
        reach the steps after it; kept, dropped: of how many}. Raises ValueError for a score that is none."""
        name = asked.get("score")
        if name not in self.scores:
            raise ValueError(f"score: no score {name}")
        column = quoted(name)
        step, score = self._parts(name)
        reasons = [f"low_{score}", f"high_{score}", *OWN_REASONS.get(score, ())]
        given = {"low": _number(asked.get("low")), "high": _number(asked.get("high")), "step": step, "reasons": reasons}
        kept, mine = "verdict = 'kept'", "verdict = 'dropped' and step = $step and list_contains($reasons, reason)"
        inside = f"(($low is null or {column} >= $low) and ($high is null or {column} <= $high))"
        first, width = self._scale(db, name)
        sql = f"""select greatest(0, least({BINS - 1}, floor(({column}::double - $from) / $width)::int)) as bin,
            count(*) filter ({kept}), count(*) filter ({mine}), count(*), count(*) filter ({kept} and not {inside}),
            count(*) filter ({mine} and {inside}) from ledger where isfinite({column}::double) group by 1 order by 1"""
        rows = db.execute(sql, {**given, "from": first, "width": width}).fetchall()
        bins = [
            {
                "low": first + b * width,
                "high": first + (b + 1) * width,
                "kept": stay,
                "mine": gone,
                "others": n - stay - gone,
            }
            for b, stay, gone, n, *_ in rows
        ]
        totals = {
            told: sum(row[i] for row in rows) for told, i in (("kept", 1), ("go", 4), ("dropped", 2), ("back", 5))
        }
        return {**totals, "bins": bins}

    def _scale(self, db: Any, name: str) -> tuple[float, float]:
        """(low, width) of BINS of equal width between the 0.5th and 99.5th percentile; the ends have the rest."""
        if name not in self._ends:
            value = f"{quoted(name)}::double"
            sql = f"select {ENDS.format(value)} from ledger where isfinite({value})"
            (self._ends[name],) = db.execute(sql).fetchone()
        low, high = self._ends[name] or (0.0, 1.0)
        return low, (high - low) / BINS or 1.0


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)
