"""What a look at an ablation found, as effects.json says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.ablation_setup import Ablation
from instdata.compare.arm import ARMS, CONTROL
from instdata.compare.arm_contrasts import JUDGED, effects_of
from instdata.compare.effect import FEW, Effect
from instdata.compare.equivalence_margin import Margin
from instdata.compare.grid_summary import curve_rows
from instdata.compare.metric_card import metric_card, reads
from instdata.compare.sequential_looks import others
from instdata.judge.length_bias import WinRate
from instdata.score.holdout_items import HOLDOUT
from instdata.score.metric import MACRO, metric_of

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Looked:
    """The last look at an ablation, number `look` of `looks` due; `earlier`: the seeds of looks that were made before;
    `levels` of this one. scores of all cells, effects of with and of aa against without; swaps: what judging in both
    orders showed; rates: by arm, how often it wins, raw and at equal lengths; low: why the judge
    may not decide."""

    look: int
    looks: int
    earlier: list[int]
    levels: tuple[float, float]
    margin: Margin
    scores: pa.Table
    effects: list[Effect]
    aa: list[Effect]
    swaps: dict[str, Any] | None = None
    rates: dict[str, WinRate] = field(default_factory=dict)
    low: str | None = None

    @property
    def headline(self) -> Effect:
        """The effect that decides: the mean over abilities, or the only ability of which something can be said."""
        known = [e for e in self.effects if e.effect is not None]
        return next((e for e in known if e.ability == MACRO), (known or self.effects)[0])

    @property
    def decided(self) -> bool:
        return self.headline.verdict != "undecided"


def _unread(ablation: Ablation, scores: pa.Table) -> dict[str, int] | None:
    """Of how many answers (or comparisons) the judge gave a verdict, and of how many none that could be read."""
    if ablation.metric not in JUDGED:
        return None
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], ablation.metric), pc.is_valid(scores["answer"])))
    if ablation.metric == "pairs":
        mine = mine.filter(pc.not_equal(mine["arm"], CONTROL))
    return {"read": len(mine) - mine["value"].null_count, "unread": mine["value"].null_count}


def effects_found(ablation: Ablation, looked: Looked) -> dict[str, Any]:
    """What effects.json says."""
    kind, pool, seeds = metric_of(ablation.metric), ablation.pool, looked.headline.seeds
    card = card_of(ablation, looked.scores)
    return {
        "schema_version": SCHEMA_VERSION,
        **ablation.asked(),
        "manifest_sha256": ablation.digest,
        "unit": kind.unit,
        "margin": looked.margin.value,
        "margin_why": looked.margin.why,
        "decided": looked.decided,
        "look": looked.look,
        "looks": looked.looks,
        "looks_made": looked.earlier,
        "other_questions": others(ablation.grid.folder, ablation.question),
        "level": looked.levels[0],
        "seeds": seeds,
        "pool": {"rows": len(pool), "passed": int(pool.passed.sum())},
        "leaking_rows_left_out": None if ablation.outside else ablation.leaks(seeds),
        "arms": counts_of(ablation),
        "verdicts": _unread(ablation, looked.scores),
        "swaps": looked.swaps,
        "judge_floor": _floor(ablation, looked),
        "win_rates": {arm: rate.plain() for arm, rate in looked.rates.items()},
        "estimates": _estimates(ablation),
        "card": card,
        "effects": [e.plain() | {"reads": reads(e.verdict, e.metric, e.ability, card)} for e in looked.effects],
        "apart": _apart(ablation, looked),
        "aa": [e.plain() for e in looked.aa],
    }


def _floor(ablation: Ablation, looked: Looked) -> dict[str, Any] | None:
    """Whether the judge may decide: what its card says (None: it has none here), and why not; None without a judge."""
    if ablation.metric not in JUDGED:
        return None
    card = None if ablation.judge_card is None else not ablation.judge_card["barred"]
    return {"card": card, "may_decide": looked.low is None, "why": looked.low}


def card_of(ablation: Ablation, scores: pa.Table) -> list[dict[str, Any]]:
    """How far other metrics agree with bits: over this ablation's cells where they were scored by more (`--card`), else
    as the build's curves say."""
    own = [a.plain() for a in metric_card(scores)]
    if own:
        return own
    path = ablation.pool.build / "curves" / "summary.json"
    try:
        found = json.loads(path.read_text("utf-8")).get("card")
        return [a for a in found or [] if {"ability", "metric", "valid"} <= set(a)]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def counts_of(ablation: Ablation) -> list[dict[str, Any]]:
    """What each arm has at each size, of seed 0: rows, tokens, supervised tokens, steps; unknown of cells from
    outside."""
    if ablation.outside:
        return []
    return [{"arm": arm, **count._asdict()} for arm in ARMS for count in ablation.drawn(0).sizes[arm]]


def _estimates(ablation: Ablation) -> str:
    """What the effects are effects on, in words."""
    suites = sorted({i.suite for i in ablation.grid.items})
    if suites != [HOLDOUT]:
        return f"items of {', '.join(suites)}"
    return "items held out before the step, whether it would pass them or not"


def _apart(ablation: Ablation, looked: Looked) -> dict[str, Any] | None:
    """The mean effect on items that the step would pass, and on those that it would drop; None where that is not
    known."""
    if ablation.passing is None:
        return None
    found: dict[str, Any] = {}
    for name, wanted in (("passed", True), ("dropped", False)):
        ids = [i for i, p in ablation.passing.items() if p == wanted]
        mine = looked.scores.filter(pc.is_in(looked.scores["item"], pa.array(ids, pa.string())))
        found[name] = {"items": len(ids)}
        if len(ids) >= FEW:
            effects, _ = effects_of(mine, ablation.metric, max(ablation.sizes), looked.levels, looked.margin.value)
            whole = next((e for e in effects if e.ability == MACRO), effects[0])
            found[name] |= {k: whole.plain()[k] for k in ("effect", "low", "high", "n")}
    return found


def tell_replaced(ablation: Ablation, say: Callable[[str], None]) -> None:
    """Say where the folder has the result of another question: its cells stay, its tables do not."""
    path = ablation.grid.folder / "effects.json"
    try:
        old = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return
    other = [key for key, value in ablation.asked().items() if key in old and old[key] != value]
    if other:
        say(f"{path}: replaces a result with other {', '.join(other)}, whose cells stay; --out keeps both apart")


def arm_curves(scores: pa.Table) -> pa.Table:
    """The curves of the arms. Matched in tokens, an arm has other row counts in every seed: a point stands at the size
    that they belong to."""
    size = pc.cast(pc.if_else(pc.equal(scores["config"], "base"), "0", scores["config"]), pa.int64())
    return curve_rows(scores.set_column(scores.schema.get_field_index("rows"), "rows", size))
