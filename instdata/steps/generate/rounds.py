"""Numbered rounds over a fixed list of candidates, for the methods that start from existing rows.

As in self_instruct: what is asked and accepted depends on the answers alone, taken in order.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.steps.generate.check import Broken, NewRow, wrong_language
from instdata.util.errors import BuildError

FIRST_ROUND, LARGEST_ROUND = 8, 512


@dataclass(frozen=True)
class Given:
    """A row that a method starts from. `prompt` is its last question, `before` the (role, content) turns ahead of
    that."""

    row: int
    rid: str
    prompt: str
    response: str
    ability: str | None
    meta: str | None
    before: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Candidate:
    """What is asked about one row: usually one request, several to choose among their answers."""

    given: Given
    requests: tuple[Request, ...]
    what: str = ""


def given_rows(rows: Rows, at: np.ndarray) -> list[Given]:
    """The rows at these positions."""
    pick = pa.array(at)
    columns = (rows.rid, rows.response, rows.ability, rows.meta, rows.messages)
    found = []
    for row, rid, response, ability, meta, messages in zip(
        at, *(c.take(pick).to_pylist() for c in columns), strict=True
    ):
        turns = [(m["role"], m["content"]) for m in messages[: len(messages) - (response is not None)]]
        found.append(Given(int(row), rid, turns[-1][1], response, ability, meta, tuple(turns[:-1])))
    return found


def one_turn(rows: Rows) -> np.ndarray:
    """Which rows are one question, answered or not: longer conversations are not rewritten as one."""
    turns = np.asarray(pc.list_value_length(rows.messages))
    return turns - np.asarray(pc.is_valid(rows.response)) == 1


def shuffled(given: Sequence[Given], seed: int) -> list[Given]:
    """An order by (seed, ability, row): abilities take turns, so that any prefix has some of each."""

    def rank(g: Given) -> bytes:
        return hashlib.blake2b(f"{seed}:{g.rid}".encode(), digest_size=8).digest()

    by_ability: dict[str, list[Given]] = {}
    for g in sorted(given, key=rank):
        by_ability.setdefault(g.ability or "", []).append(g)
    turns = itertools.zip_longest(*(by_ability[name] for name in sorted(by_ability)))
    return [g for turn in turns for g in turn if g is not None]


def run(
    candidates: Iterable[Candidate],
    target: int | None,
    ask: Callable[[Sequence[Request]], list[Answer]],
    take: Callable[[Candidate, list[Answer]], list[NewRow | Broken]],
    say: Callable[[str], None],
) -> list[NewRow | Broken]:
    """Records in order; accepted items beyond the target are surplus. Without a target every candidate is asked.

    Raises BuildError where the candidates end before the target is met."""
    coming = iter(candidates)
    records: list[NewRow | Broken] = []
    accepted = asked = 0
    for turn in itertools.count():
        size = LARGEST_ROUND if target is None else min(LARGEST_ROUND, FIRST_ROUND << min(turn, 10))
        if target is not None:
            size = min(size, math.ceil((target - accepted) * (asked + 8) / (accepted + 6)))
        planned = list(itertools.islice(coming, size))
        if not planned:
            break
        asked += len(planned)
        answers = iter(ask([r for c in planned for r in c.requests]))
        for candidate in planned:
            made = take(candidate, list(itertools.islice(answers, len(candidate.requests))))
            for item in made:
                if isinstance(item, NewRow) and item.reason is None:
                    item.reason = "over_target" if accepted == target else None
                    accepted += item.reason is None
            records += made
        say(
            f"round {turn + 1}: {accepted}{f' of {target}' if target is not None else ''} rows accepted, {asked} "
            f"asked for"
        )
    if target is not None and accepted < target:
        raise BuildError(
            f"{accepted} of {target} rows: every row was used and the model gave no more acceptable ones; lower "
            f"target or add rows"
        )
    return records


def foreign(item: NewRow, language: str) -> bool:
    """Whether the instruction is surely in another language."""
    return bool(wrong_language([item.instruction], language)[0])


def broken(answers: Sequence[Answer], method: str, given: Given) -> list[NewRow | Broken]:
    """One quarantined record for each unusable answer."""
    return [
        Broken(f.text, f.why, {"method": method, "request": f.key, "from": given.rid})
        for a in answers
        for f in a.failures
    ]


def record(
    candidate: Candidate, answer: Answer, method: str, origin: str, instruction: str, response: str, **more: Any
) -> NewRow:
    """The item that an answer makes of a candidate."""
    meta = {"method": method, "request": answer.key, "from": candidate.given.rid, **more}
    ability = candidate.given.ability if candidate.given.ability != "unknown" else None
    return NewRow(instruction, response, ability, origin, meta)
