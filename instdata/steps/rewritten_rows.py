"""Rows whose text a step changed, as new shards: a row stays in its place and keeps its rid, its id and language are
new."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.corpus import Corpus, Part, Shard, read_cached, write_cached
from instdata.corpus.rows import Rows, message_id
from instdata.read.language import detect as detect_languages
from instdata.util.engine import Engine
from instdata.util.sealed import sound

VERSION = 4  # raise it when the same new text makes another shard
# columns of a rewriting step's sidecar: the new text, the new origin, a preference pair's new answers; null: as it was
MESSAGES, ORIGIN, PAIR = "_messages", "_origin", {"_chosen": "chosen", "_rejected": "rejected"}


def rewritten(corpus: Corpus, cache: Path, engine: Engine) -> Corpus:
    """The corpus with the text that its last sidecar holds. Shards of which no row changed are shared; the others are
    written by the engine's workers, those that are not in the cache yet."""
    shards, missing = list(corpus.shards), []
    for i, part in corpus.sidecars[-1].parts.items():
        if not any(map(len, _there(_new(part)).values())):
            continue
        key = hashlib.sha256(f"{shards[i].key}:{part.key}:{part.lo}:{VERSION}".encode()).hexdigest()[:40]
        made = replace(shards[i], path=cache / "shards" / key[:2] / f"{key}.parquet", key=key)
        if not (sound(made.path) and sound(made.bad_path)):
            missing.append((i, (shards[i], part, made)))
        shards[i] = made
    for (i, _), made in zip(missing, engine.map(_written, (task for _, task in missing))):
        shards[i] = made
    return replace(corpus, shards=shards)


def _new(part: Part) -> pa.Table:
    """The new text that a sidecar's part holds, a column for each of its kinds; none where every row raised."""
    found = pq.read_schema(part.path).names
    names = [n for n in (MESSAGES, ORIGIN, *PAIR) if n in found] if MESSAGES in found else []
    return read_cached(part.path, names).slice(part.lo, part.hi - part.lo).combine_chunks()


def _there(new: pa.Table) -> dict[str, np.ndarray]:
    """The rows that have new text, for each column of it."""
    return {n: np.flatnonzero(np.asarray(pc.is_valid(new[n]))) for n in new.column_names if n != ORIGIN}


def _written(task: tuple[Shard, Part, Shard]) -> Shard:
    """The shard that becomes of one by the new text of a sidecar's part, written into the cache."""
    shard, part, made = task
    new, table = _new(part), read_cached(shard.path)
    there = _there(new)
    own = np.arange(part.hi - part.lo) if part.at is None else part.at  # the shard's rows
    if len(there[MESSAGES]):
        table = _with_text(table, own[there[MESSAGES]], new.take(pa.array(there[MESSAGES])))
    for name in there.keys() & PAIR.keys():
        turns = new[name].combine_chunks().take(pa.array(there[name]))
        table = _put(table, PAIR[name], own[there[name]], turns.cast(table.schema.field(PAIR[name]).type))
    write_cached(read_cached(shard.bad_path), made.bad_path)
    write_cached(table, made.path)
    return replace(made, size=table.nbytes)


def _with_text(table: pa.Table, at: np.ndarray, new: pa.Table) -> pa.Table:
    """A shard's table in which the rows `at` have new messages, and so another id and language."""
    messages = new[MESSAGES].combine_chunks().cast(table.schema.field("messages").type)
    tools = table["tools"].take(pa.array(at)).to_pylist() if "tools" in table.column_names else [None] * len(at)
    ids = [message_id(row, tool) for row, tool in zip(messages.to_pylist(), tools)]
    langs = detect_languages(Rows(pa.table({"messages": messages})).full)[0]
    before = table["origin"].combine_chunks().take(pa.array(at))
    columns = {
        "messages": messages,
        "id": pa.array(ids, pa.string()),
        "lang": langs,
        "origin": pc.coalesce(new[ORIGIN].combine_chunks().cast(pa.string()), before),
    }
    if "asked_span" in table.column_names:
        old = table.select(["messages", "asked_span"]).take(pa.array(at)).to_pylist()
        moved = [
            moved_span(o["asked_span"], _asking(o["messages"]), _asking(n)) for o, n in zip(old, messages.to_pylist())
        ]
        columns["asked_span"] = pa.array(moved, table.schema.field("asked_span").type)
    if "chosen" in table.column_names and table["chosen"].null_count < len(table):
        pairs = zip(table.select(["messages", "chosen"]).take(pa.array(at)).to_pylist(), messages.to_pylist())
        chosen = [_chosen(old["chosen"], old["messages"], now) for old, now in pairs]
        columns["chosen"] = pa.array(chosen, table.schema.field("chosen").type)
    for name, column in columns.items():
        table = _put(table, name, at, column)
    return table


def _put(table: pa.Table, name: str, at: np.ndarray, values: pa.Array) -> pa.Table:
    """The table with other values of a column in the rows `at`."""
    index = np.arange(len(table))
    index[at] = len(table) + np.arange(len(at))
    both = pa.concat_arrays([table[name].combine_chunks(), values])
    return table.set_column(table.column_names.index(name), table.schema.field(name), both.take(pa.array(index)))


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
