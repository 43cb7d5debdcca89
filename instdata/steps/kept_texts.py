"""Text of few rows that lie in many shards, kept for the next build: it compares nearly the same rows, and to read one
row costs as much as to read its shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from instdata.corpus.cached_tables import kept_table, write_cached
from instdata.corpus.corpus import CorpusRows, versions
from instdata.corpus.rows import TEXT, Rows

KEPT = 1 << 26  # bytes of text that are kept under one name at most


def texts_at(rows: Rows, name: str, at: np.ndarray) -> Iterator[tuple[np.ndarray, Rows]]:
    """(numbers, TEXT) of the rows `at` (they ascend), batch by batch: first those that were asked for under this name
    when a build of the same name asked last, then the others, read from their shards. What is asked for now is kept
    in their place."""
    if not isinstance(rows, CorpusRows) or rows.context.cache is None:
        yield from _read(rows, at)
        return
    told = repr((sorted(versions().items()), rows.context.build, name))
    key = hashlib.sha256(told.encode()).hexdigest()[:40]
    path = rows.context.cache / "kept" / f"{key}.parquet"
    known = None if rows.context.fresh else kept_table(path)
    kept, parts, size = at[:0], [], 0
    if known is not None:
        number, by = np.unique(_numbers(rows, known), return_index=True)
        asked = np.isin(number, rows.positions[at])
        parts, kept = [known.take(pa.array(by[asked]))], np.searchsorted(rows.positions, number[asked])
        size = parts[0].nbytes
        if len(kept):
            yield kept, Rows(parts[0], rows.context)
    others = at[~np.isin(at, kept)]
    for some, batch in _read(rows, others):
        size += batch.table.nbytes
        parts = [*parts, _named(rows, some, batch.table)] if size <= KEPT else []
        yield some, batch
    if parts and (known is None or len(others) or len(kept) < len(known)):
        write_cached(pa.concat_tables(parts), path)


def _read(rows: Rows, at: np.ndarray) -> Iterator[tuple[np.ndarray, Rows]]:
    start = 0
    for batch in rows.only(at).batches(columns=TEXT):
        yield at[start : start + len(batch)], batch
        start += len(batch)


def _named(rows: CorpusRows, at: np.ndarray, table: pa.Table) -> pa.Table:
    """The rows' text, with the key of the shard of each and its number there."""
    number = rows.positions[at]
    shard = np.searchsorted(rows.corpus.starts, number, side="right") - 1
    keys = pa.array([rows.corpus.shards[s].key for s in shard.tolist()], pa.string())
    return table.append_column("shard", keys).append_column("row", pa.array(number - rows.corpus.starts[shard]))


def _numbers(rows: CorpusRows, table: pa.Table) -> np.ndarray:
    """The numbers that rows named so have now, -1 where their shard is gone."""
    shards = {shard.key: start for shard, start in zip(rows.corpus.shards, rows.corpus.starts.tolist())}
    start = np.array([shards.get(key, -1) for key in table["shard"].to_pylist()], np.int64)
    return np.where(start < 0, -1, start + np.asarray(table["row"]))
