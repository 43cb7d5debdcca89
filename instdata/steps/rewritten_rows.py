"""Rows whose text a step changed, as patches of their shards: a row stays in its place and keeps its rid, its id and
language are new."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import read_cached, write_cached, write_patch
from instdata.corpus.corpus import Corpus, Part, Shard
from instdata.corpus.optional_columns import columns_with_values
from instdata.corpus.rows import Rows, message_id
from instdata.corpus.shard_tables import put
from instdata.read.language import detect as detect_languages
from instdata.util.engine import Engine
from instdata.util.progress import track
from instdata.util.sealed import sound

VERSION = 5  # raise it when the same new text makes another shard
# columns of a rewriting step's sidecar: the new text, the new origin, a preference pair's new answers; null: as it was
MESSAGES, ORIGIN, PAIR = "_messages", "_origin", {"_chosen": "chosen", "_rejected": "rejected"}
# what of a shard's rows is looked at for that, and, but for the tools, may be new
REWRITTEN = ["messages", "id", "lang", "origin", "asked_span", "chosen", "rejected", "tools"]


@dataclass(frozen=True)
class Change:
    """A shard and the part of a sidecar with new text of its rows, on the way to a worker."""

    shard: Shard
    part: Part
    cache: Path

    @property
    def made(self) -> Shard:
        """The shard with the new text."""
        told = f"{self.shard.key}:{self.part.key}:{self.part.lo}:{VERSION}"
        key = hashlib.sha256(told.encode()).hexdigest()[:40]
        return replace(self.shard, path=self.cache / "shards" / key[:2] / f"{key}.parquet", key=key)


def rewritten(corpus: Corpus, cache: Path, engine: Engine) -> Corpus:
    """The corpus with the text that its last sidecar holds. Shards of which no row changed are shared."""
    shards = list(corpus.shards)
    new: list[tuple[int, Change]] = []
    for i, part in corpus.sidecars[-1].parts.items():
        change = Change(shards[i], part, cache)
        if _there(change.made):
            shards[i] = change.made
        elif _holds_text(part.path):
            new.append((i, change))
    made = track(engine.map(changed, [change for _, change in new]), sum(c.shard.rows for _, c in new), _rows, _rows)
    for (i, _), shard in zip(new, made):
        shards[i] = shard
    return replace(corpus, shards=shards)


def _rows(shard: Shard) -> int:
    return shard.rows


def _there(shard: Shard) -> bool:
    return sound(shard.path) and sound(shard.bad_path)


def _holds_text(path: Path) -> bool:
    """Whether a sidecar may have new text of any row."""
    return any(name.split(".")[0] in (MESSAGES, *PAIR) for name in columns_with_values(path))


def changed(change: Change, seen: pa.Table | None = None) -> Shard:
    """A shard with the new text of a sidecar's part, kept as a patch of it; itself where nothing changed. `seen`: the
    rows of the part as the step saw them, where they are at hand."""
    shard, part = change.shard, change.part
    names = [n for n in (MESSAGES, ORIGIN, *PAIR) if n in pq.read_schema(part.path).names]
    if MESSAGES not in names:
        return shard  # every row of it raised
    new = read_cached(part.path, names).slice(part.lo, part.hi - part.lo).combine_chunks()
    there = {n: np.flatnonzero(np.asarray(pc.is_valid(new[n]))) for n in names if n != ORIGIN}
    at = np.unique(np.concatenate(list(there.values())))
    if not len(at):
        return shard
    own = at if part.at is None else part.at[at]  # the shard's rows
    if seen is None:
        table = read_cached(shard.path, REWRITTEN).take(pa.array(own))
    else:
        table = seen.select(REWRITTEN).take(pa.array(at))
    if len(there[MESSAGES]):
        table = _with_text(table, np.searchsorted(at, there[MESSAGES]), new.take(pa.array(there[MESSAGES])))
    for name in there.keys() & PAIR.keys():
        turns = new[name].combine_chunks().take(pa.array(there[name]))
        values = turns.cast(table.schema.field(PAIR[name]).type)
        table = put(table, PAIR[name], np.searchsorted(at, there[name]), values)
    made = change.made
    write_cached(read_cached(shard.bad_path), made.bad_path)
    write_patch(table.drop_columns("tools"), own, shard.path, made.path)
    return made


def _with_text(table: pa.Table, at: np.ndarray, new: pa.Table) -> pa.Table:
    """Rows of a shard of which those `at` have new messages, and so another id and language."""
    old = table.take(pa.array(at))
    messages = new[MESSAGES].combine_chunks().cast(table.schema.field("messages").type)
    before, after = old["messages"].to_pylist(), messages.to_pylist()
    moved = [
        moved_span(span, _asking(o), _asking(n)) for span, o, n in zip(old["asked_span"].to_pylist(), before, after)
    ]
    chosen = [_chosen(better, o, n) for better, o, n in zip(old["chosen"].to_pylist(), before, after)]
    columns = {
        "messages": messages,
        "id": pa.array([message_id(row, tool) for row, tool in zip(after, old["tools"].to_pylist())], pa.string()),
        "lang": detect_languages(Rows(pa.table({"messages": messages})).full)[0],
        "origin": pc.coalesce(new[ORIGIN].combine_chunks().cast(pa.string()), old["origin"].combine_chunks()),
        "asked_span": pa.array(moved, table.schema.field("asked_span").type),
        "chosen": pa.array(chosen, table.schema.field("chosen").type),
    }
    for name, column in columns.items():
        table = put(table, name, at, column)
    return table


def _chosen(
    chosen: list[dict[str, str]] | None, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> list[dict[str, str]] | None:
    """The better answer of a preference pair: where it was the conversation's last turns, it is so in the new text."""
    ends = [[{k: t[k] for k in ("role", "content")} for t in talk[-len(chosen or ()) :]] for talk in (before, after)]
    return ends[1] if chosen and ends[0] == chosen else chosen


def _asking(turns: list[dict[str, str]]) -> str:
    return next((t["content"] for t in reversed(turns) if t["role"] == "user"), "")


def moved_span(span: dict[str, int] | None, before: str, after: str) -> dict[str, int] | None:
    """Where the asked part of a turn (bytes) is in its new text. Its ends stand at line breaks: the same ones of the
    new text, where that has as many. None, the whole turn, where it cannot be told."""
    if span is None or before == after:
        return span
    old, new = before.encode(), after.encode()
    if old.count(b"\n") != new.count(b"\n"):
        return None
    olds, news = ([0, *(i + 1 for i, byte in enumerate(text) if byte == 10), len(text) + 1] for text in (old, new))

    def place(at: int) -> int | None:
        for line, (start, end) in enumerate(zip(olds, olds[1:])):
            if at == start:
                return news[line]
            if at == end - 1:  # before the break, or at the text's end
                return news[line + 1] - 1
        return None

    start, end = place(span["start"]), place(span["end"])
    return None if start is None or end is None else {"start": start, "end": end}
