"""Preference pairs in a step that changes text: the columns chosen and rejected follow their conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import MESSAGES, Rows, with_fields

PAIR = ("chosen", "rejected")
# The rows that change, their new conversations, what was changed in each.
Found = tuple[np.ndarray, list[list[dict[str, Any]]], list[list[dict[str, Any]]]]


@dataclass
class Mended:
    """What becomes of a row: its new conversation (None: as it was), what was changed, the new turns of chosen and
    rejected where they changed."""

    messages: list[dict[str, Any]] | None = None
    edits: list[dict[str, Any]] = field(default_factory=list)
    pair: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def with_pairs(rows: Rows, mend: Callable[[Rows], Found]) -> dict[int, Mended]:
    """What becomes of the rows that `mend` changes, with both answers of their preference pairs: each is looked at as
    the end of its conversation, so both are mended alike. A pair whose answers would become the same is left as it is:
    that one of them was broken is all that it says."""
    found = {int(row): Mended(turns, notes) for row, turns, notes in zip(*mend(rows))}
    paired: set[int] = set()
    for name in PAIR:
        column = getattr(rows, name)
        there = np.flatnonzero(np.asarray(column.is_valid()))
        if not len(there):
            continue
        paired |= {int(row) for row in there}
        talks, before = _answered_by(rows.messages.take(pa.array(there)), column.take(pa.array(there)))
        for at, turns, notes in zip(*mend(Rows(pa.table({"messages": talks})))):
            row, start = int(there[at]), int(before[at])
            notes = [{**n, "turn": n["turn"] - start, "field": name} for n in notes if n["turn"] >= start]
            if notes:
                mended = found.setdefault(row, Mended())
                mended.pair[name] = [{k: t[k] for k in ("role", "content")} for t in turns[start:]]
                known = {(n["kind"], n["at"], n["before"]) for n in mended.edits}  # chosen: the conversation's end, too
                mended.edits += [n for n in notes if name != "chosen" or (n["kind"], n["at"], n["before"]) not in known]
    return {row: m for row, m in found.items() if row not in paired or _still_differ(rows, row, m)}


def _still_differ(rows: Rows, row: int, mended: Mended) -> bool:
    """Whether the answers of a pair are still two."""
    old = {name: getattr(rows, name)[row].as_py() for name in PAIR}
    if not old["rejected"]:
        return True
    own = rows.messages[row].as_py()
    sides = (old["chosen"] or own, mended.pair.get("chosen") or old["chosen"] or mended.messages or own)
    was, now = ([t["content"] for t in side[-len(old["rejected"]) :]] for side in sides)
    return now != [t["content"] for t in mended.pair.get("rejected", old["rejected"])] or was == [
        t["content"] for t in old["rejected"]
    ]


def _answered_by(messages: pa.Array, answers: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """(conversations that end with other answers than their own, how many turns stand before each answer)."""
    own, other = with_fields(messages, MESSAGES), with_fields(answers, MESSAGES)
    n, k = (np.asarray(pc.list_value_length(a)).astype(np.int64) for a in (own, other))
    starts, turns = np.cumsum(n) - n, own.flatten()
    row = np.repeat(np.arange(len(n)), n)
    asking = np.asarray(pc.not_equal(turns.field("role"), "assistant"))
    before = np.zeros(len(n), np.int64)
    np.maximum.at(before, row[asking], (np.arange(len(row)) - starts[row] + 1)[asking])
    ends = np.concatenate([[0], np.cumsum(before + k)])
    row = np.repeat(np.arange(len(n)), before + k)
    place = np.arange(ends[-1]) - ends[row]
    answer = len(turns) + (np.cumsum(k) - k)[row] + place - before[row]
    index = np.where(place < before[row], starts[row] + place, answer)
    both = pa.concat_arrays([turns, other.flatten()])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), both.take(pa.array(index))), before
