"""Numbered rounds over a fixed list of candidates, for the methods that start from existing rows.

As in self_instruct: what is asked and accepted depends on the answers alone, taken in order.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.steps.generate.new_row_checks import OVER_TARGET, Broken, NewRow, wrong_language
from instdata.util.errors import BuildError

FIRST_ROUND, LARGEST_ROUND = 8, 512
# Optional columns that hold of a row whoever answers it …
BROUGHT = ["tools", "reference", "license", "category", "asked_span"]
OF_SOURCE = ("license", "category")  # … and those that hold of another row that is made from it


@dataclass(frozen=True)
class Given:
    """A row that a method starts from. `prompt` is its last question, `talk` its turns, whole, the answer included
    where there is one; `columns` what it has of BROUGHT."""

    row: int
    rid: str
    prompt: str
    response: str | None
    ability: str | None
    meta: str | None
    talk: tuple[dict[str, Any], ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[dict[str, Any], ...]:
        """The turns ahead of the answer, the question last."""
        return self.talk if self.response is None else self.talk[:-1]


@dataclass(frozen=True)
class Candidate:
    """What is asked about one row: usually one request, several to choose among their answers."""

    given: Given
    requests: tuple[Request, ...]
    what: str = ""


def given_rows(rows: Rows, at: np.ndarray) -> list[Given]:
    """The rows at these positions."""
    pick = pa.array(at)
    kept = pa.table([getattr(rows, n).take(pick) for n in BROUGHT], names=BROUGHT).to_pylist()
    columns = (rows.rid, rows.response, rows.ability, rows.meta, rows.messages)
    found = []
    for row, brought, rid, response, ability, meta, messages in zip(
        at, kept, *(c.take(pick).to_pylist() for c in columns), strict=True
    ):
        talk = tuple({k: v for k, v in m.items() if v is not None} for m in messages)
        has = {k: v for k, v in brought.items() if v is not None}
        prompt = talk[-1 if response is None else -2]["content"]
        found.append(Given(int(row), rid, prompt, response, ability, meta, talk, has))
    return found


def carried(rows: Rows, wanted: np.ndarray, method: str, say: Callable[[str], None], single: bool = True) -> np.ndarray:
    """Positions of the rows wanted (bool, as long as the rows) that the method can carry: questions and their answers
    in words, a `single` one each. Rows that offer or call tools, in which no user's turn stands ahead of the answer,
    or of several turns are left out, and it is said how many."""
    left, fits = wanted, one_turn(rows) if single else np.ones(len(rows), bool)
    for good, what in (
        (~calling(rows), "rows with tools, or calls of tools, stay as they are"),
        (asked_by(rows, "user"), "rows stay as they are: no user's turn stands ahead of the answer"),
        (fits, "conversations of several turns stay as they are"),
    ):
        if n := int((left & ~good).sum()):
            say(f"{method}: {n:,} {what}")
        left = left & good
    return np.flatnonzero(left)


def calling(rows: Rows) -> np.ndarray:
    """Which rows offer tools, call them, or hold what one answered: bool, as long as the rows."""
    found = np.asarray(pc.is_valid(rows.tools))
    turns, lengths = pc.list_flatten(rows.messages), np.asarray(pc.list_value_length(rows.messages), np.int64)
    calls = pc.equal(turns.field("role"), "tool")
    if rows.messages.type.value_type.get_field_index("tool_calls") >= 0:
        calls = pc.or_(calls, pc.greater(pc.fill_null(pc.list_value_length(turns.field("tool_calls")), 0), 0))
    of = np.repeat(np.arange(len(rows)), lengths)[np.asarray(calls, bool)]
    return found | (np.bincount(of, minlength=len(rows)) > 0)


def asked_by(rows: Rows, *roles: str) -> np.ndarray:
    """Which rows have a turn of one of these roles right ahead of their answer (or last, where they have none)."""
    lengths = np.asarray(pc.list_value_length(rows.messages), np.int64)
    last = lengths - 1 - np.asarray(pc.is_valid(rows.response))
    place = np.cumsum(lengths) - lengths + last
    some = last >= 0
    found = np.zeros(len(rows), bool)
    who = pc.list_flatten(rows.messages).field("role").take(pa.array(place[some]))
    found[some] = np.asarray(pc.is_in(who, pa.array(roles)), bool)
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
    look: Callable[[Sequence[tuple[Candidate, list[Answer]]]], None] = lambda asked: None,
) -> list[NewRow | Broken]:
    """Records in order; accepted items beyond the target are surplus. Without a target every candidate is asked. `look`
    sees a round's answers together, before any is taken.

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
        told = [(c, list(itertools.islice(answers, len(c.requests)))) for c in planned]
        look(told)
        for candidate, said in told:
            made = take(candidate, said)
            for item in made:
                if isinstance(item, NewRow) and item.reason is None:
                    item.reason = OVER_TARGET if accepted == target else None
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
    columns = {k: v for k, v in candidate.given.columns.items() if k in OF_SOURCE}
    return NewRow(instruction, response, ability, origin, meta, columns=columns)
