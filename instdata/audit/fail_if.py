"""`--fail-if`: conditions over an audit's counts, for CI. Names, numbers, six comparisons, `and`, `or`; nothing is
evaluated.

leaks > 0 or unanswered > 5%
"""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

COMPARE = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
CONDITION = re.compile(r"\s*([A-Za-z_]\w*)\s*(>=|<=|==|!=|>|<)\s*(\d{1,15}(?:\.\d{1,15})?)\s*(%?)\s*")
JOINED = re.compile(r"\s+(or|and)\s+")


@dataclass(frozen=True)
class Condition:
    """One comparison; with `percent`, of the share that the count is of all rows."""

    name: str
    compare: str
    number: float
    percent: bool

    def holds(self, counts: Mapping[str, int]) -> bool:
        value: float = counts[self.name]
        if self.percent:
            value = 100 * value / max(1, counts["rows"])
        return COMPARE[self.compare](value, self.number)


Gate = list[list[Condition]]  # any of them, of which all


def read_gate(expression: str, known: Collection[str]) -> Gate:
    """The conditions of an expression; `and` binds closer than `or`. Raises InputError for an unknown name, naming all
    that are known, and for anything else that is no such expression."""
    parts = JOINED.split(expression)
    gate: Gate = [[]]
    for i, part in enumerate(parts):
        if i % 2:
            gate += [[]] if part == "or" else []
            continue
        match = CONDITION.fullmatch(part)
        if match is None:
            raise InputError(
                f"--fail-if {expression!r}: {part.strip()!r} is no condition. Write NAME OP NUMBER, joined by "
                f"and/or, as in "
                '"leaks > 0 or unanswered > 5%"; OP is one of > >= < <= == !='
            )
        name, compare, number, percent = match.groups()
        if name not in known:
            raise InputError(f'--fail-if: unknown name "{name}".{did_you_mean(name, known)} Known: {", ".join(known)}')
        gate[-1].append(Condition(name, compare, float(number), bool(percent)))
    return gate


def held(gate: Gate, counts: Mapping[str, int]) -> list[str]:
    """Why a gate holds: `name is value` for each condition of the first alternative all of which hold; [] where none
    does."""
    for every in gate:
        if all(c.holds(counts) for c in every):
            return [f"{c.name} is {counts[c.name]:,} ({c.compare} {c.number:g}{'%' * c.percent})" for c in every]
    return []
