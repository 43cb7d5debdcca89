"""What a judge must show before its verdicts decide: that it does not go by the order of answers, nor by their length;
on people's labels, where it has a card, and in the ablation itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.effect import FEW, Effect
from instdata.judge.judge_card import FLIPS
from instdata.judge.length_bias import WinRate, win_rate
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.paths import file_text

UNCHECKED = (
    "this judge was never checked: instdata judge-card --judge {} --on LABELS --json > card.json, "
    "then --judge-card card.json"
)
Say = Callable[[str], None]


def carded(judge: str | None, path: Path | None, say: Say) -> dict[str, Any] | None:
    """A judge's card, as `instdata judge-card --json` printed it; None without one. Why the judge may not decide is
    said, or that it has no card. Raises InputError for what is no card, and for another judge's."""
    if path is None:
        if judge:
            say(f"no card of {judge}, so this will end undecided: {UNCHECKED.format(judge)}")
        return None
    if judge is None:
        raise InputError("--judge-card is the card of a judge: it needs --judge MODEL")
    try:
        card = json.loads(file_text(path))
        name, bars = card["judge"], [str(b) for b in card["barred"]]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"--judge-card {path}: no judge's card ({type(e).__name__}): write there what judge-card --json prints"
        ) from None
    if name != judge:
        raise InputError(f"--judge-card {path}: it is the card of {name}, not of {judge}")
    if bars:
        say(f"{judge} may not decide, so this will end undecided: {'; '.join(bars)}")
    return {**card, "barred": bars}


def write_card(card: dict[str, Any] | None, folder: Path) -> None:
    """Put a judge's card beside an ablation's result, whose page shows it; none where this one has no card."""
    path = folder / "judge_card.json"
    if card is None:
        path.unlink(missing_ok=True)
    else:
        write_text(path, json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def win_rates(scores: pa.Table, control: str, size: int, metric: str = "pairs") -> dict[str, WinRate]:
    """By arm the share of comparisons that it wins against the control, and the same at equal lengths. Of grades
    (metric "judge") the better one wins, equal ones tie."""
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], metric), pc.equal(scores["config"], str(size))))
    rows = mine.select(["arm", "item", "seed", "value", "answer", "cluster"]).to_pylist()
    controls = {(r["item"], r["seed"]): r for r in rows if r["arm"] == control and r["answer"] is not None}
    found = {}
    for arm in sorted({r["arm"] for r in rows} - {control}):
        pairs = [
            (r, controls[r["item"], r["seed"]])
            for r in rows
            if r["arm"] == arm and r["answer"] is not None and (r["item"], r["seed"]) in controls
        ]
        values = np.array([[np.nan if x["value"] is None else x["value"] for x in p] for p in pairs], float)
        values = values.reshape(-1, 2)
        rate = win_rate(
            values[:, 0] if metric == "pairs" else (1 + np.sign(values[:, 0] - values[:, 1])) / 2,
            [a["answer"] for a, _ in pairs],
            [b["answer"] for _, b in pairs],
            np.array([a["cluster"] or a["item"] for a, _ in pairs]),
            np.array([a["seed"] for a, _ in pairs]),
        )
        if rate is not None:
            found[arm] = rate
    return found


def below(judge: str, card: dict[str, Any] | None, swaps: dict[str, Any] | None) -> str | None:
    """Why a judge may decide nothing: it has no card, its card bars it, or judging in both orders showed that it goes
    by the order; None where it may."""
    if card is None:
        return UNCHECKED.format(judge)
    if card["barred"]:
        return f"its card says: {'; '.join(card['barred'])}"
    flips = (swaps or {}).get("flip_rate")
    if flips is not None and swaps and swaps["swapped"] >= FEW and flips > FLIPS:
        return f"{flips:.0%} of the judge's winners change with the order"
    return None


def by_length(rate: WinRate | None) -> str | None:
    """Why a judge's winner may be but the longer answer; None where one shows at equal lengths too, or none at all."""
    if rate is None or rate.raw == 0.5 or (rate.low > 0.5 if rate.raw > 0.5 else rate.high < 0.5):
        return None
    return "at equal lengths no winner is shown"


def floored(effects: Sequence[Effect], why: str | None, rate: WinRate | None = None) -> list[Effect]:
    """The effects. None is decided, nor called equivalent, where the judge may not decide (`why`): one that guesses
    finds any two arms alike. Better and worse are undecided, too, where lengths may explain them, or where more
    answers win on the other side than the effect's."""

    def told(e: Effect) -> Effect:
        reason = why
        if e.verdict in ("better", "worse"):
            against = rate is not None and (rate.raw < 0.5 if e.verdict == "better" else rate.raw > 0.5)
            reason = why or by_length(rate) or ("most comparisons are won by the other arm" if against else None)
        return replace(e, verdict="undecided", why=reason) if reason and e.verdict != "undecided" else e

    return [told(e) for e in effects]
