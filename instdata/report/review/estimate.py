"""What reviews say of a whole build: shares of each stratum with intervals, and how far people agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from instdata.report.review.sampling import KEPT, Sampling
from instdata.steps.reviews_file import DEFER, VERDICTS, Opinion, Settled, latest, settle
from instdata.util.agreement import Share, coefficients, cohen, stratified, wilson

LEAST = 8  # reviewed rows below which no interval is narrow enough, unless they are all there are


def counted(plan: Sampling, opinions: Sequence[Opinion]) -> list[Opinion]:
    """The opinions that speak of this sample: given on it, about rows whose text is still the one that was looked
    at."""
    ids = {item.rid: item.id for item in plan.items}
    return [o for o in opinions if o.by == plan.by and ids.get(o.rid) == o.id]


def estimate(plan: Sampling, opinions: Sequence[Opinion], width: float) -> dict[str, Any]:
    """What `instdata review --estimate --json` prints.

    {build, by, measure, width, reviewers: {who: rows}, reviewed, stale, deferred, disagreements, strata: [{name, rows,
    reviewed, pass, fail, unsure, disputed, value, low, high, enough, right}], all: {rows, value, low, high, n}, enough,
    agreement, self, difference}. value: `precision`, the share of a rule's drops that people fail; `purity`, the share
    of labels that people do not mend; `right`, the share that they pass. Rows that nobody is sure of, or that are
    disputed, are in no share."""
    mine = counted(plan, opinions)
    settled = settle(mine)
    strata = [_stratum(plan, name, settled, width) for name in plan.sizes]
    measured = [s for s in strata if not (plan.by == "rule" and s["name"] == KEPT)]
    whole = stratified([_share(s) for s in measured], [s["rows"] for s in measured])
    asked = latest(mine)
    people: dict[str, int] = {}
    for said in asked.values():
        for who in said:
            people[who] = people.get(who, 0) + 1
    waiting = {(o.who, o.rid): o.verdict for o in mine if not o.repeat and not o.settles}
    found = {
        "build": str(plan.build),
        "by": plan.by,
        "measure": plan.measure,
        "width": width,
        "reviewers": dict(sorted(people.items())),
        "reviewed": len(settled),
        "stale": len([o for o in opinions if o.by == plan.by]) - len(mine),
        "deferred": sum(v == DEFER for v in waiting.values()),
        "disagreements": sum(s.disputed for s in settled.values()),
        "strata": strata,
        "all": {"rows": sum(s["rows"] for s in measured), **_plain(whole)},
        "enough": all(s["enough"] for s in strata),
        "agreement": agreement(asked),
        "self": self_agreement(mine),
    }
    return found | ({"difference": _difference(strata)} if plan.by == "arm" else {})


def _stratum(plan: Sampling, name: str, settled: dict[str, Settled], width: float) -> dict[str, Any]:
    """One stratum's counts and share."""
    here = [settled[i.rid] for i in plan.items if i.stratum == name and i.rid in settled]
    sure = [s for s in here if not s.disputed and (s.verdict != "unsure" or plan.measure == "purity")]
    if plan.measure == "purity":
        hits = sum(s.mislabelled is False for s in sure)
    else:
        hits = sum(s.verdict == ("fail" if plan.measure == "precision" and name != KEPT else "pass") for s in sure)
    size = plan.sizes[name]
    share = wilson(hits, len(sure), size)
    right = wilson(sum(s.verdict == "pass" for s in here), sum(s.verdict in ("pass", "fail") for s in here), size)
    asked = {i.rid for i in plan.items if i.stratum == name}
    all_seen = len(here) >= len(asked)
    enough = share.n > 0 and share.width <= width and (share.n >= LEAST or share.n == size)
    return {
        "name": name,
        "rows": size,
        "reviewed": len(here),
        **{v: sum(s.verdict == v for s in here) for v in VERDICTS},
        "disputed": sum(s.disputed for s in here),
        "measure": "right" if name == KEPT and plan.by == "rule" else plan.measure,
        **_plain(share),
        "enough": bool(enough or all_seen),
        "right": _plain(right),
    }


def _plain(share: Share) -> dict[str, Any]:
    return {"value": None if share.n == 0 else share.value, "low": share.low, "high": share.high, "n": share.n}


def _share(stratum: dict[str, Any]) -> Share:
    value = float("nan") if stratum["value"] is None else stratum["value"]
    return Share(value, stratum["low"], stratum["high"], stratum["n"])


def _difference(strata: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Right of human rows less right of all others, with Newcombe's interval (1998, method 10; MOVER over the
    strata)."""
    human = [s for s in strata if s["name"] == "human"]
    other = [s for s in strata if s["name"] != "human"]
    a = stratified([_share(s) for s in human], [s["rows"] for s in human])
    b = stratified([_share(s) for s in other], [s["rows"] for s in other])
    if not a.n or not b.n:
        return None
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return {"what": "right: human less synthetic", "value": value, "low": max(-1.0, low), "high": min(1.0, high)}


def agreement(asked: dict[str, dict[str, Opinion]]) -> dict[str, Any]:
    """How far those who looked at the same rows agree: util.agreement's coefficients, and `cohen`, the mean over pairs
    of people of kappa (Light 1971), weighted by the rows that both saw."""
    twice = [list(said.values()) for said in asked.values() if len(said) > 1]
    counts = np.array([[sum(o.verdict == v for o in said) for v in VERDICTS] for said in twice]).reshape(-1, 3)
    tables: dict[tuple[str, str], np.ndarray] = {}
    for said in twice:
        for a, b in combinations(sorted(said, key=lambda o: o.who), 2):
            table = tables.setdefault((a.who, b.who), np.zeros((3, 3)))
            table[VERDICTS.index(a.verdict), VERDICTS.index(b.verdict)] += 1
    kappas = [(k, t.sum()) for t in tables.values() if (k := cohen(t)) is not None]
    mean = float(np.average([k for k, _ in kappas], weights=[n for _, n in kappas])) if kappas else None
    return {**coefficients(counts), "cohen": mean}


def self_agreement(opinions: Sequence[Opinion]) -> dict[str, Any]:
    """Of rows that a person was asked twice about: how many there are, and the share said alike, with Wilson's
    interval."""
    first: dict[tuple[str, str], str] = {}
    same, n = 0, 0
    for o in opinions:
        if o.verdict == DEFER or o.settles:
            continue
        if not o.repeat:
            first[o.who, o.rid] = o.verdict
        elif (o.who, o.rid) in first:
            n += 1
            same += first[o.who, o.rid] == o.verdict
    return _plain(wilson(same, n))
