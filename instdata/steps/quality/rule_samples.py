"""What each rule dropped, for a person to read: its count and a few random rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality.rule_table import MEASURED, RULES


@dataclass(frozen=True)
class Fired:
    """One reason: what it means ("" where the step made it up: a language, a score), how many rows it dropped, the
    rids of some of them."""

    reason: str
    about: str
    count: int
    rids: list[str]


def sample(ledger: pa.Table, step: str, rows: int = 10, seed: int = 0) -> list[Fired]:
    """For each reason for which `step` dropped rows, most first: at most `rows` of them, chosen by a hash of seed and
    rid, so the same whatever the order of the ledger."""
    about = {rule.name: rule.about for rule in RULES} | MEASURED
    mine = ledger.filter(pc.and_(pc.equal(ledger["step"], step), pc.equal(ledger["verdict"], "dropped")))
    reasons, rids = np.array(mine["reason"].to_pylist(), object), np.array(mine["rid"].to_pylist(), object)
    found = []
    for reason in dict.fromkeys(reasons.tolist()):
        at = rids[reasons == reason].tolist()
        chosen = sorted(at, key=lambda rid: hashlib.sha256(f"{seed}:{rid}".encode()).digest())[:rows]
        found.append(Fired(reason, about.get(reason, ""), len(at), chosen))
    return sorted(found, key=lambda s: (-s.count, s.reason))
