"""overrides: what a person decided about single rows, from a file of JSON lines (overrides_file.py): keep, drop,
relabel or edit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.corpus.rows import Rows
from instdata.steps.base import Rewritten, Scope, Scores, Step, Verdicts, drop
from instdata.steps.overrides_file import Line, read_lines
from instdata.util.atomic import digest
from instdata.util.build_context import Context
from instdata.util.errors import InputError

HUMAN = "human-revised"  # the origin of a row whose text a person changed


class Overrides(Step):
    """Apply a file of decisions about single rows. A kept row is dropped by no later step; a row that an earlier step
    dropped stays dropped, so the step comes first. Of several lines about a row the later one counts."""

    kind: ClassVar[str] = "overrides"
    scope: ClassVar[Scope] = "corpus"
    rewrites: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "path"

    path: str = Field(description="The file of decisions, JSON lines; relative to the recipe.")

    def check(self, context: Context) -> list[str]:
        """A missing file, and every line that cannot be read."""
        try:
            read_lines(context.base / self.path, context.taxonomy)
        except InputError as e:
            return [
                f"{file}{f':{line}' if line else ''}: {message}" if file else message
                for file, line, message in e.problems
            ]
        return []

    def scoring(self, context: Context) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version, "lines": digest(context.base / self.path)}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """_drop and _keep (bool), _label (string, null where nobody gave one), _told (JSON: who, why), and what a
        rewriting step gives. Raises InputError for a row that does not exist."""
        context = rows.context
        file = context.base / self.path
        return decisions(rows, _places(read_lines(file, context.taxonomy), rows, file, context))

    def decide(self, scores: Scores) -> Verdicts:
        return decided(scores, "override")


def files_of(steps: Sequence[Step], base: Path, build: Path) -> list[str]:
    """The files of decisions that steps name, as seen from the build's folder: it may be asked from anywhere."""
    paths = [base / s.path for s in steps if isinstance(s, Overrides)]
    return [os.path.relpath(p.resolve(), build.resolve()) for p in paths]


def decisions(rows: Rows, wanted: list[tuple[int, Line]]) -> dict[str, Any]:
    """What some (row, decision) in their order come to, as columns that `decided` reads."""
    n = len(rows)
    dropped, kept = np.zeros(n, bool), np.zeros(n, bool)
    labels: list[str | None] = [None] * n
    told: list[str | None] = [None] * n
    edits: dict[int, Line] = {}
    for row, line in wanted:
        if line.action in ("keep", "drop"):
            dropped[row], kept[row] = line.action == "drop", line.action == "keep"
        elif line.action == "relabel":
            labels[row] = line.value
        else:
            edits[row] = line
        so_far = told[row]
        before = json.loads(so_far)["overrides"] if so_far else []
        told[row] = json.dumps({"overrides": [*before, line.facts()]}, ensure_ascii=False)
    return {
        "_drop": dropped,
        "_keep": kept,
        "_label": pa.array(labels, pa.string()),
        "_told": pa.array(told, pa.string()),
        **(_rewritten(rows, edits).columns(rows) if edits else {}),
    }


def decided(scores: Scores, reason: str) -> Verdicts:
    """The verdicts of decisions: dropped for `reason`, kept whatever later steps say, relabelled."""
    told = scores.column("_told")
    dropped = np.asarray(scores.column("_drop"))
    why = [_why_dropped(t, reason) if d else None for d, t in zip(dropped, told.to_pylist())]
    found = drop(dropped, reason, why)
    label = scores.column("_label").combine_chunks()
    found.set = {"ability": label, "ability_confidence": pa.array(np.ones(len(scores), np.float32))}
    found.set_where = pc.is_valid(label)
    found.pinned = scores.column("_keep").combine_chunks()
    edits = scores.column("_edits").to_pylist() if "_edits" in scores.table.column_names else [None] * len(scores)
    notes = (_merged(a, b) for a, b in zip(told.to_pylist(), edits))
    found.notes = pa.array(notes, pa.string())
    return found


def _places(lines: list[Line], rows: Rows, file: Path, context: Context) -> list[tuple[int, Line]]:
    """(row, decision) for the rows here, in the order of the lines; an id may have several rows. Raises InputError
    naming the lines whose row does not exist."""
    by_rid = where(rows.rid, [x.rid for x in lines if x.rid])
    by_id = where(rows.id, [x.id for x in lines if x.id and not x.rid])
    olds = [c for name, c in rows.scores.items() if name.endswith("_derived_from")]
    for old in olds:
        by_id = {**where(old, [x.id for x in lines if x.id and not x.rid]), **by_id}
    found: list[tuple[int, Line]] = []
    missing: list[Line] = []
    for line in lines:
        places = by_rid.get(line.rid, []) if line.rid else by_id.get(line.id or "", [])
        found += [(row, line) for row in places]
        if not places:
            missing.append(line)
    _same_text(found, rows, olds, file)
    gone = _elsewhere(missing, rows)
    unknown = [x for x in missing if x.name not in gone]
    if unknown:
        raise InputError([(str(file), x.at, f'no row has the {"rid" if x.rid else "id"} "{x.name}"') for x in unknown])
    if missing:
        context.say(
            f"overrides: {len(missing)} lines are about rows that an earlier step dropped or held out, the first "
            f"{missing[0].name} "
            f"(line {missing[0].at}): put the step before it"
        )
    return found


def where(column: pa.Array | pa.ChunkedArray, names: list[str]) -> dict[str, list[int]]:
    """The positions of each name in a column."""
    found: dict[str, list[int]] = {}
    at = np.asarray(pc.indices_nonzero(pc.is_in(column, pa.array(names, pa.string()))))
    for row, name in zip(at.tolist(), column.take(pa.array(at)).to_pylist()):
        found.setdefault(name, []).append(row)
    return found


def _same_text(found: list[tuple[int, Line]], rows: Rows, olds: list[pa.ChunkedArray], file: Path) -> None:
    """A line that has an id besides its rid was written about that text. Raises InputError where the row has
    another."""
    both = [(row, line) for row, line in found if line.rid and line.id]
    at = pa.array([row for row, _ in both], pa.int64())
    known = [c.take(at).to_pylist() for c in (rows.id, *olds)]
    problems = [
        (str(file), line.at, f"row {line.rid} has another text now (its id is {ids[0]}): look at it again")
        for (_, line), ids in zip(both, zip(*known))
        if line.id not in ids
    ]
    if problems:
        raise InputError(problems)


def _elsewhere(lines: list[Line], rows: Rows) -> set[str]:
    """Which of these rows are in the corpus, though not among the rows given: dropped before, or held out."""
    corpus = getattr(rows, "corpus", None)
    names = pa.array([x.name for x in lines], pa.string())
    found: set[str] = set()
    if corpus is None or not lines:
        return found
    for shard in range(len(corpus.shards)):
        table = corpus.columns(shard, ["rid", "id"])
        for column in (table["rid"], table["id"]):
            found.update(column.filter(pc.is_in(column, names)).to_pylist())
    return found


def _rewritten(rows: Rows, edits: dict[int, Line]) -> Rewritten:
    """The rows with the text that a person gave them."""
    at = np.array(sorted(edits), np.int64)
    messages, noted = [], []
    for row, turns in zip(at.tolist(), rows.messages.take(pa.array(at)).to_pylist()):
        line = edits[row]
        before = turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else None
        messages.append(list(_turns(turns, line.value)))
        noted.append([{"kind": "edit", "before": before, "after": messages[-1][-1]["content"], **line.facts()}])
    return Rewritten(at, pa.array(messages, rows.messages.type), noted, HUMAN)


def _turns(turns: list[dict[str, Any]], value: Any) -> Iterator[dict[str, Any]]:
    """A conversation with a new last answer, of which all but the text stays, or a new conversation."""
    if isinstance(value, list):
        yield from value
        return
    answered = bool(turns) and turns[-1]["role"] == "assistant"
    yield from turns[:-1] if answered else turns
    yield {**(turns[-1] if answered else {"role": "assistant"}), "content": value}


def _why_dropped(told: str, reason: str) -> str:
    """The evidence of a dropped row: the last decision that drops it."""
    last = [line for line in json.loads(told)["overrides"] if line["action"] == "drop"][-1]
    return json.dumps({"rule": reason, **last}, ensure_ascii=False)


def _merged(told: str | None, edits: str | None) -> str | None:
    """Both notes of a row as one."""
    if told is None or edits is None:
        return told or edits
    return json.dumps({**json.loads(told), **json.loads(edits)}, ensure_ascii=False)
