"""What a judge must show before its verdicts decide: that it does not go by the order of answers, nor by their
length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.effect import FEW, Effect
from instdata.judge.length import WinRate, win_rate
from instdata.judge.trust import FLIPS


def win_rates(scores: pa.Table, control: str, size: int) -> dict[str, WinRate]:
    """By arm the share of comparisons that it wins against the control, and the same at equal lengths."""
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], "pairs"), pc.equal(scores["config"], str(size))))
    rows = mine.select(["arm", "item", "seed", "value", "answer", "cluster"]).to_pylist()
    controls = {(r["item"], r["seed"]): r["answer"] for r in rows if r["arm"] == control}
    found = {}
    for arm in sorted({r["arm"] for r in rows} - {control}):
        own = [
            r
            for r in rows
            if r["arm"] == arm and r["answer"] is not None and controls.get((r["item"], r["seed"])) is not None
        ]
        rate = win_rate(
            np.array([np.nan if r["value"] is None else r["value"] for r in own], float),
            [r["answer"] for r in own],
            [controls[r["item"], r["seed"]] for r in own],
            np.array([r["cluster"] or r["item"] for r in own]),
            np.array([r["seed"] for r in own]),
        )
        if rate is not None:
            found[arm] = rate
    return found


def below(swaps: dict[str, Any] | None, rate: WinRate | None) -> str | None:
    """Why comparisons may not decide, from what judging in both orders and the answers' lengths showed; None where they
    may."""
    flips = (swaps or {}).get("flip_rate")
    if flips is not None and swaps and swaps["swapped"] >= FEW and flips > FLIPS:
        return f"{flips:.0%} of the judge's winners change with the order"
    if rate is not None and rate.raw != 0.5:
        same = (rate.low > 0.5) if rate.raw > 0.5 else (rate.high < 0.5)
        if not same:
            return "at equal lengths no winner is shown"
    return None


def floored(effects: Sequence[Effect], why: str | None) -> list[Effect]:
    """The effects; better and worse are undecided where the judge may not decide."""
    if why is None:
        return list(effects)
    return [replace(e, verdict="undecided", why=why) if e.verdict in ("better", "worse") else e for e in effects]
