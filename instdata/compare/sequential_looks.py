"""Looks at an ablation, remembered over invocations: however often somebody comes back with more seeds, all looks
together err at most 5 times in 100.

A plan of looks spends SHARE of the error that is left, in O'Brien and Fleming's shape (Lan and DeMets 1983); who comes
back for more seeds spends the same share of the rest. What was looked at stays as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from instdata.util import stats
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.stats import ALPHA

SHARE = 0.8


@dataclass(frozen=True)
class OneLook:
    """One look, after so many seeds. level: two-sided, for a difference; same: one-sided, for equivalence. made:
    whether it was made, so that its part of the error is spent."""

    seeds: int
    level: float
    same: float
    made: bool = False


@dataclass(frozen=True)
class Looks:
    """All looks at one question, by seeds, and how many plans there were."""

    looks: tuple[OneLook, ...] = ()
    plans: int = 0

    def planned(self, seeds: int, most: int) -> Looks:
        """With a look after each number of seeds from `seeds` to `most`, where these were not planned already. Raises
        InputError with fewer than two seeds."""
        if seeds < 2:
            raise InputError(
                "one seed says nothing about the next one: a verdict needs two at least, better three (--seeds 3)"
            )
        wanted = range(seeds, most + 1)
        if set(wanted) <= {k.seeds for k in self.looks}:
            return self
        made = [k for k in self.looks if k.made]
        new = [s for s in wanted if not made or s > made[-1].seeds]
        if not new:
            return replace(self, looks=tuple(made))
        counts = [*(k.seeds for k in made), *new]
        fractions = tuple(c / counts[-1] for c in counts)
        plans = self.plans + 1 if made else 1  # a plan of which no look was made spent nothing
        spent = ALPHA * (1 - (1 - SHARE) ** plans)
        levels = stats.spending_levels(fractions, spent, tuple(k.level for k in made))
        same = stats.spending_levels(fractions, 2 * spent, tuple(2 * k.same for k in made))
        looks = [OneLook(s, a, b / 2) for s, a, b in list(zip(counts, levels, same))[len(made) :]]
        return Looks((*made, *looks), plans)

    def due(self, seeds: int, most: int) -> list[OneLook]:
        """The looks of an invocation that asks for these seeds; the last one made, where more seeds were looked at
        before."""
        asked = [k for k in self.looks if seeds <= k.seeds <= most]
        return asked or [k for k in self.looks if k.made][-1:]

    def after(self, look: OneLook) -> Looks:
        """With that look made."""
        return replace(self, looks=tuple(replace(k, made=True) if k.seeds == look.seeds else k for k in self.looks))


def read_looks(folder: Path, question: str) -> Looks:
    """The looks at a question that a folder remembers."""
    kept = _all(folder).get(question)
    return Looks(tuple(OneLook(**k) for k in kept["looks"]), kept["plans"]) if kept else Looks()


def write_looks(folder: Path, question: str, looks: Looks) -> None:
    """Remember them."""
    kept = _all(folder) | {question: {"plans": looks.plans, "looks": [asdict(k) for k in looks.looks]}}
    write_text(folder / "looks.json", json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


def one_look(folder: Path, asked: Any, seeds: int) -> OneLook:
    """The look, after all of so many seeds, at what was asked (anything that JSON holds, the number of seeds left out),
    remembered: who comes back with more seeds spends a part of the error that is left, who asks again none."""
    question = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=12).hexdigest()
    looks = read_looks(folder, question).planned(seeds, seeds)
    look = looks.due(seeds, seeds)[-1]
    write_looks(folder, question, looks.after(look))
    return replace(look, made=True)


def others(folder: Path, question: str) -> int:
    """How many other questions the folder was asked: each has an error of its own."""
    return sum(any(k["made"] for k in v["looks"]) for q, v in _all(folder).items() if q != question)


def _all(folder: Path) -> dict[str, dict]:
    path = folder / "looks.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
        for kept in found.values():
            Looks(tuple(OneLook(**k) for k in kept["looks"]), int(kept["plans"]))
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise InputError(
            f"{path}: cannot be read ({e}): it remembers which looks were made, so mend it, or ask in another folder "
            f"(--out)"
        ) from None


def made(looks: Sequence[OneLook]) -> list[int]:
    """The seeds after which looks were made."""
    return [k.seeds for k in looks if k.made]
