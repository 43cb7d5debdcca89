"""The ledger: one row for each record that entered or was generated, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import CONFIGS, Corpus, Shard
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.rows import SHARD, UNKNOWN, row_id, told
from instdata.corpus.shard_tables import spread
from instdata.util.atomic import whole

LEDGER = pa.schema(
    [
        ("rid", pa.string()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("verdict", pa.string()),
        ("config", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.string()),
        ("ability", pa.string()),
    ]
)


@contextmanager
def ledger_file(corpus: Corpus, folder: Path) -> Iterator[tuple[pa.Schema, Callable[[int, Path], int]]]:
    """ledger.parquet, a row group a shard.

    (What is asked of each shard, and a function that appends a shard's rows, an Arrow file of these columns, and its
    records that could not be read; it returns how many.)"""
    schema = pa.schema([*LEDGER, *score_fields(corpus)])
    asked = pa.schema([f for f in schema if f.name in SHARD.names or f.name.startswith("score_")])

    def enter(shard: int, path: Path) -> int:
        stored = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table = pa.concat_tables([_rows(corpus, shard, stored, schema), _unreadable(corpus, shard, schema)])
        if len(table):
            append(table)
        return len(table)

    with parquet_file(folder / "ledger.parquet", schema) as append:
        yield asked, enter


def score_fields(corpus: Corpus) -> list[pa.Field]:
    """The score columns that rows and the ledger show."""
    return [pa.field(name, kind) for name, (_, _, kind) in corpus.published.items()]


def _rows(corpus: Corpus, shard: int, stored: pa.Table, schema: pa.Schema) -> pa.Table:
    span, state = corpus.span(shard), corpus.state
    step, quarantined = state.step[span], state.quarantined[span]
    verdict = pa.array(np.where(quarantined, 2, step >= 0).astype(np.int32))
    names = pa.array([t.name for t in corpus.done], pa.string())
    config = pa.array([*CONFIGS], pa.string()).take(pa.array(state.config[span].astype(np.int32)))
    kept = pa.array(step < 0)
    none = pa.scalar(None, pa.string())
    reason = pc.if_else(pa.array(quarantined), "step_error", corpus.reasons.decode(state.reason[span]))
    columns = {
        **{n: stored[n] for n in stored.column_names},
        "verdict": pa.array(["kept", "dropped", "quarantined"]).take(verdict),
        "config": pc.if_else(kept, config, none),
        "step": names.take(pa.array(step, mask=step < 0)),
        "reason": reason,
        "evidence": evidence_of(corpus, shard),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def evidence_of(corpus: Corpus, shard: int) -> pa.Array:
    """Evidence of a shard's rows: what was changed in them, why they were dropped; for rows that a step raised on, the
    error."""
    span = corpus.span(shard)
    out: dict[int, str] = {}
    for rows, texts in corpus.evidence:
        lo, hi = np.searchsorted(rows, [span.start, span.stop])
        for row, text in zip((rows[lo:hi] - span.start).tolist(), texts.slice(lo, hi - lo).to_pylist()):
            out[row] = _both(out[row], text) if row in out else text
    raised = np.flatnonzero(corpus.state.quarantined[span])
    for row in raised.tolist():
        out[row] = json.dumps({"error": corpus.errors[row + span.start]}, ensure_ascii=False)
    at = sorted(out)
    return spread(pa.array([out[row] for row in at], pa.string()), np.array(at, np.int64), span.stop - span.start)


def _both(before: str, after: str) -> str:
    """Two steps' evidence of one row: lists (changes) are joined, else the later one counts."""
    a, b = json.loads(before), json.loads(after)
    joined = {k: a[k] + v for k, v in b.items() if isinstance(v, list) and isinstance(a.get(k), list)}
    return json.dumps({**a, **b, **joined}, ensure_ascii=False)


def _unreadable(corpus: Corpus, shard: int, schema: pa.Schema) -> pa.Table:
    if not corpus.shards[shard].bad:
        return schema.empty_table()
    bad = read_cached(corpus.shards[shard].bad_path)
    n = len(bad)
    rids = [row_id(s, f, r) for s, f, r in zip(*(bad[c].to_pylist() for c in ("source", "source_file", "source_row")))]
    columns = {
        "rid": pa.array(rids, pa.string()),
        **{c: bad[c] for c in ("source", "source_file", "source_row")},
        "verdict": pa.array(["quarantined"] * n, pa.string()),
        "step": pa.array([corpus.shards[shard].step or "read"] * n, pa.string()),
        "reason": pa.array(["unreadable"] * n, pa.string()),
        "evidence": pa.array(
            [json.dumps({"error": e}, ensure_ascii=False) for e in bad["error"].to_pylist()], pa.string()
        ),
        "ability": pa.array([UNKNOWN] * n, pa.string()),
    }
    return pa.table([columns.get(f.name, pa.nulls(n, f.type)) for f in schema], schema=schema)


def write_unreadable(shards: list[Shard], path: Path) -> None:
    """The records of some shards that could not be read, as JSON lines."""
    with whole(path) as file:
        for shard in shards:
            for record in read_cached(shard.bad_path).to_pylist() if shard.bad else []:
                file.write(orjson.dumps(record) + b"\n")


def write_quarantine(corpus: Corpus, path: Path) -> None:
    """quarantine.jsonl: every record that could not be read, and every row that a step raised on."""
    with whole(path) as file:
        for record in _quarantined(corpus):
            file.write(orjson.dumps(record) + b"\n")


def _quarantined(corpus: Corpus) -> Iterator[dict[str, Any]]:
    for shard in corpus.shards:
        if shard.bad:
            yield from read_cached(shard.bad_path).to_pylist()
    rows = np.array(sorted(corpus.errors), np.int64)
    for number, row in zip(rows.tolist(), corpus.view(rows).table.to_pylist() if len(rows) else []):
        error = f"step {corpus.done[corpus.state.step[number]].name}: {corpus.errors[number]}"
        raw = orjson.dumps({"messages": [told(t) for t in row["messages"]]}).decode()
        yield {**{k: row[k] for k in ("source", "source_file", "source_row")}, "error": error, "raw": raw}
