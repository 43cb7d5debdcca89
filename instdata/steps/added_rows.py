"""The rows that a source step adds, as new shards of the corpus."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.corpus.cached_tables import write_cached
from instdata.corpus.corpus import BAD, Corpus, Shard
from instdata.corpus.row_states import State
from instdata.corpus.rows import OPTIONAL, SHARD, TURNS, Rows, message_id, row_id, with_fields
from instdata.corpus.word_codes import ability_codes
from instdata.read.language import detect as detect_languages
from instdata.steps.base import SourceStep, Verdicts
from instdata.util.sealed import sound

PRODUCED = 10_000  # rows in a shard that a step adds


def produce(step: SourceStep, corpus: Corpus, cache: Path) -> tuple[Corpus, np.ndarray, Verdicts, list[Shard]]:
    """The corpus with a source step's rows as new last shards."""
    positions = np.flatnonzero(corpus.alive)
    made = step.produce(corpus.view(positions))
    good = made.table.filter(made.table["error"].is_null()).combine_chunks()
    broken = made.table.filter(made.table["error"].is_valid())
    source = pa.array([step.name] * len(broken), pa.string())
    bad = pa.table([source, *(broken[c].cast(t) for c, t in zip(BAD.names[1:], BAD.types[1:]))], schema=BAD)
    shards = [
        _produced_shard(step.name, good.slice(at, PRODUCED), bad.slice(0, 0 if at else len(bad)), cache)
        for at in range(0, max(len(good), 1), PRODUCED)
    ]
    taxonomy = corpus.context.taxonomy
    labels = good["ability"].combine_chunks() if taxonomy is None else taxonomy.match(good["ability"])
    state = corpus.state.copy()
    state.shown[positions[made.shown]] = True
    state = state + State.fresh(ability_codes(labels, corpus.abilities))
    after = replace(corpus, shards=[*corpus.shards, *shards], state=state)
    verdicts = Verdicts(good["reason"].combine_chunks(), good["evidence"].combine_chunks())
    return after, np.arange(corpus.n, after.n), verdicts, shards


def _produced_shard(step: str, rows: pa.Table, bad: pa.Table, cache: Path) -> Shard:
    """Some of a source step's rows as a shard, named by its content."""
    messages = with_fields(rows["messages"].combine_chunks(), TURNS)
    places = zip(rows["source_file"].to_pylist(), rows["source_row"].to_pylist())
    more = [n for n in (*OPTIONAL.names, "asked_span") if n in rows.column_names]
    tools = rows["tools"].to_pylist() if "tools" in more else [None] * len(rows)
    columns = {
        "rid": pa.array([row_id(step, f, n) for f, n in places], pa.string()),
        "id": pa.array([message_id(c, t) for c, t in zip(messages.to_pylist(), tools)], pa.string()),
        "messages": messages,
        "lang": detect_languages(Rows(pa.table({"messages": messages})).full)[0],
        "source": pa.array([step] * len(rows), pa.string()),
        **{name: rows[name] for name in ("ability", "origin", "source_file", "source_row", "meta", *more)},
    }
    table = pa.table([columns.get(f.name, pa.nulls(len(rows), f.type)) for f in SHARD], schema=SHARD)
    content = pa.BufferOutputStream()
    for part in (table, bad):
        with pa.ipc.new_stream(content, part.schema) as writer:
            writer.write_table(part.combine_chunks())
    key = hashlib.sha256(content.getvalue()).hexdigest()[:40]
    shard = Shard(cache / "shards" / key[:2] / f"{key}.parquet", len(table), len(bad), key, table.nbytes, step)
    if not sound(shard.path) or not sound(shard.bad_path):
        write_cached(bad, shard.bad_path)
        write_cached(table, shard.path)
    return shard
