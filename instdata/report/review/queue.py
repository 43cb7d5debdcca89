"""What a reviewer is asked next. A function of the sample and of what was said: nothing to lose when the server
dies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from instdata.report.review.estimate import counted, estimate
from instdata.report.review.sampling import Picked, Sampling
from instdata.steps.reviews_file import DEFER, Opinion, settle
from instdata.util.agreement import wilson

EVERY = 20  # rows after which one is asked about again: 5 %
FRESH = 10  # the last rows, which one still remembers, are not among them


@dataclass(frozen=True)
class UpNext:
    """A row to ask about. `repeat`: a second time. `settles`: what was said of it, where people disagree."""

    item: Picked
    repeat: bool = False
    settles: tuple[Opinion, ...] = ()


def upcoming(
    plan: Sampling, opinions: Sequence[Opinion], who: str, width: float, skip: Collection[str] = ()
) -> tuple[list[UpNext], int]:
    """(what to ask `who`, in order; how many of them are left before every interval is narrow enough, at most).

    Blind and double: what others were asked is asked here too, in the same order, without what they said. Then rows of
    strata whose interval is still too wide; those put off come last."""
    said = counted(plan, opinions)
    first = {o.rid: o for o in said if o.who == who and not o.repeat and not o.settles}
    done = [rid for rid, o in first.items() if o.verdict != DEFER]
    done_set = set(done)
    later = {rid for rid, o in first.items() if o.verdict == DEFER}
    others = {o.rid for o in said if o.who != who and o.verdict != DEFER}
    wide = {s["name"] for s in estimate(plan, said, width)["strata"] if not s["enough"]}
    wanted = [i for i in plan.items if i.rid not in first and (i.rid in others or i.stratum in wide)]
    put_off = [i for i in plan.items if i.rid in later]
    again = _again(plan, said, who, done)
    left = sum(i.stratum not in wide for i in wanted) + len(put_off)
    for name in wide:
        need = _needed(plan.sizes[name], width)
        left += max(1, need - sum(i.stratum == name and i.rid in done_set for i in plan.items))
    asked = [*again, *(UpNext(i) for i in [*wanted, *put_off])]
    return [a for a in asked if a.item.rid not in skip], left if asked else 0


@lru_cache(1024)
def _needed(size: int, width: float) -> int:
    """Rows of a stratum that make its interval narrow enough, whatever its share."""
    low, high = 1, size
    while low < high:
        n = (low + high) // 2
        low, high = (low, n) if wilson(n // 2, n, size).width <= width else (n + 1, high)
    return low


def disputed(plan: Sampling, opinions: Sequence[Opinion], skip: Collection[str] = ()) -> tuple[list[UpNext], int]:
    """(the rows that people disagree about, with what they said, how many)."""
    found = settle(counted(plan, opinions))
    asked = [UpNext(i, settles=found[i.rid].opinions) for i in plan.items if i.rid in found and found[i.rid].disputed]
    return [a for a in asked if a.item.rid not in skip], len(asked)


def _again(plan: Sampling, said: Sequence[Opinion], who: str, done: list[str]) -> list[UpNext]:
    """The row to ask a person about a second time, where one is due: the one with the least hash of those he forgot."""
    repeated = {o.rid for o in said if o.who == who and o.repeat}
    if len(repeated) >= len(done) // EVERY:
        return []
    order = sorted(set(done[:-FRESH]) - repeated, key=lambda rid: hashlib.sha256(f"{who}:{rid}".encode()).digest())
    items = {i.rid: i for i in plan.items}
    return [UpNext(items[rid], repeat=True) for rid in order[:1]]
