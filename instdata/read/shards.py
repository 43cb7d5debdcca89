"""Reading: the records of each input as shards of the corpus.

A file is cut into blocks of records, in file order; each block becomes one shard, made by whatever worker is free. What
cannot be read is quarantined beside the shard: row, error, raw text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from instdata.corpus.corpus import BAD, Shard, read_parquet, write_parquet
from instdata.corpus.rows import CORPUS, MESSAGES, UNKNOWN, Rows, message_id, row_id
from instdata.corpus.taxonomy import Taxonomy, normalise_label
from instdata.read.adapters import INPUT, BadRow, Conversation, adapt, meta, used_keys
from instdata.read.blocks import Bad, block_count, decode, raw_blocks, raw_text
from instdata.read.language import detect as detect_languages
from instdata.read.sources import Input
from instdata.util.atomic import write_text
from instdata.util.context import Context
from instdata.util.engine import Engine
from instdata.util.errors import BudgetReached
from instdata.util.progress import track


@dataclass(frozen=True)
class Block:
    """Some records of a file, from number `first` on, on the way to a worker."""

    input: Input
    first: int
    records: Any  # list of bytes (JSON), of dicts and Bad (CSV), or an Arrow batch
    path: Path  # where the shard goes
    key: str
    taxonomy: Taxonomy | None
    fresh: bool


class Unreadable(BudgetReached):
    """Too many rows of a source cannot be read; `shards` hold which."""

    def __init__(self, message: str, shards: list[Shard]):
        super().__init__(message)
        self.shards = shards


def read_sources(
    opened: list[list[Input]], limits: list[float], engine: Engine, context: Context, limit: int | None = None
) -> list[Shard]:
    """All rows as shards, in the recipe's order of sources and the files' order of names; cached by content.

    `limits` holds each source's max_bad. Raises BudgetReached where more rows than that cannot be read.
    """
    shards: list[Shard] = []
    for inputs, max_bad in zip(opened, limits):
        mine: list[Shard] = []
        left = limit
        for item in inputs:
            got = _read_input(item, engine, context, left)
            mine += got
            left = None if left is None else left - sum(s.rows + s.bad for s in got)
        rows, bad = sum(s.rows for s in mine), sum(s.bad for s in mine)
        if bad >= 10 and bad > max_bad * (rows + bad):
            raise Unreadable(_too_many_bad(inputs, mine, rows, bad, max_bad), mine)
        shards += mine
    return shards


def _too_many_bad(inputs: list[Input], shards: list[Shard], rows: int, bad: int, max_bad: float) -> str:
    first = next(t for s in shards if s.bad for t in read_parquet(s.bad_path).slice(0, 1).to_pylist())
    return (
        f"source {inputs[0].source}: {bad} of {rows + bad} rows cannot be read, more than max_bad ({max_bad:.2%}). "
        f"The first: {first['source_file']}, row {first['source_row']}: {first['error']}. Mend the file, or raise max_bad: in the recipe"
    )


def _read_input(item: Input, engine: Engine, context: Context, limit: int | None) -> list[Shard]:
    if limit is not None and limit <= 0:
        return []
    cache, taxonomy = context.cache, context.taxonomy
    key = item.key(taxonomy, limit)
    index = cache / "sources" / f"{key}.json"
    if index.exists() and not context.fresh:
        shards = [
            Shard(cache / s["path"], s["rows"], s["bad"], s["key"], s["size"]) for s in json.loads(index.read_text())
        ]
        if all(s.path.exists() and s.bad_path.exists() for s in shards):
            return shards
    blocks = (
        Block(
            item,
            first,
            records,
            cache / "shards" / key[:2] / f"{key}-{i:05d}.parquet",
            f"{key}-{i:05d}",
            taxonomy,
            context.fresh,
        )
        for i, (first, records) in enumerate(raw_blocks(item.path, item.hub, limit))
    )
    made = engine.map(read_block, blocks)
    shards = list(track(made, f"read {item.source}", block_count(item.path), lambda s: s.rows, context.bars))
    entries = [
        {"path": str(s.path.relative_to(cache)), "rows": s.rows, "bad": s.bad, "key": s.key, "size": s.size}
        for s in shards
    ]
    write_text(index, json.dumps(entries))
    return shards


def read_block(block: Block) -> Shard:
    """Turn one block of records into a shard (and its quarantine); a no-op where both are there already."""
    item = block.input
    bad_path = block.path.with_suffix(".bad.parquet")
    if not block.fresh and block.path.exists() and bad_path.exists():
        there = read_parquet(block.path)
        return Shard(block.path, len(there), pq.read_metadata(bad_path).num_rows, block.key, there.nbytes)
    rows, bad = _parse(block.records, block.first, item)
    table = _table(rows, item, block.taxonomy)
    bads = pa.table(
        {
            "source": pa.array([item.source] * len(bad), pa.string()),
            "source_file": pa.array([item.file] * len(bad), pa.string()),
            "source_row": pa.array([b[0] for b in bad], pa.int64()),
            "error": pa.array([b[1] for b in bad], pa.string()),
            "raw": pa.array([b[2] for b in bad], pa.string()),
        },
        schema=BAD,
    )
    write_parquet(bads, bad_path)
    write_parquet(table, block.path)
    return Shard(block.path, table.num_rows, len(bad), block.key, table.nbytes)


def tables(item: Input, taxonomy: Taxonomy | None, most: int | None = None) -> Iterator[pa.Table]:
    """The rows of an input, or of its first `most` records, as they would enter the corpus, a block at a time. Writes
    nothing; what cannot be read is left out. For files that are looked at beside the corpus."""
    for first, records in raw_blocks(item.path, item.hub, most):
        yield _table(_parse(records, first, item)[0], item, taxonomy)


Parsed = tuple[int, int, Conversation, str | None]  # record number, instance, conversation, meta


def _parse(records: Any, first: int, item: Input) -> tuple[list[Parsed], list[tuple[int, str, str]]]:
    """(rows, what could not be read as (record number, error, raw text)) of a block's records."""
    rows: list[Parsed] = []
    bad: list[tuple[int, str, str]] = []
    used = used_keys(item.fields)
    for i, record in enumerate(decode(records)):
        if isinstance(record, dict):
            try:
                rows += [
                    (first + i, nth, c, _meta(record, used, c))
                    for nth, c in enumerate(adapt(record, item.format, item.fields))
                ]
                continue
            except Exception as e:  # one bad row costs one row, whatever is wrong with it
                record = Bad(str(e) if isinstance(e, BadRow) else f"{type(e).__name__}: {e}")
        if record is not None:
            bad.append((first + i, record.error, raw_text(records, i)))
    return rows, bad


def _meta(record: dict[str, Any], used: set[str], conversation: Conversation) -> str | None:
    return meta(record, used, {INPUT: conversation.input_chars} if conversation.input_chars else {})


def _table(rows: list[Parsed], item: Input, taxonomy: Taxonomy | None) -> pa.Table:
    """The CORPUS table of read conversations."""
    count = len(rows)
    turns = [turn for _, _, c, _ in rows for turn in c.messages]
    ends = [0]
    for _, _, c, _ in rows:
        ends.append(ends[-1] + len(c.messages))
    struct = pa.StructArray.from_arrays(
        [pa.array([t[0] for t in turns], pa.string()), pa.array([t[1] for t in turns], pa.string())],
        names=["role", "content"],
    )
    messages = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), struct).cast(MESSAGES)
    labels = [c.ability for _, _, c, _ in rows]
    names = _match(labels, taxonomy)
    metas = [_with_label(m, raw) if name == UNKNOWN else m for (_, _, _, m), raw, name in zip(rows, labels, names)]
    texts = Rows(pa.table({"messages": messages})).full
    return pa.table(
        {
            "rid": pa.array(
                [row_id(item.source, item.file, n) + (f"#{nth + 1}" if nth else "") for n, nth, _, _ in rows],
                pa.string(),
            ),
            "id": pa.array([message_id(c.messages) for _, _, c, _ in rows], pa.string()),
            "messages": messages,
            "ability": pa.array(names, pa.string()),
            "lang": detect_languages(texts)[0],
            "origin": pa.array([c.origin or item.origin for _, _, c, _ in rows], pa.string()),
            "source": pa.array([item.source] * count, pa.string()),
            "source_file": pa.array([item.file] * count, pa.string()),
            "source_row": pa.array([n for n, _, _, _ in rows], pa.int64()),
            "meta": pa.array(metas, pa.string()),
        },
        schema=CORPUS,
    )


def _match(labels: list[str | None], taxonomy: Taxonomy | None) -> list[str | None]:
    """Ability names of raw labels: null where there was none, "unknown" where the taxonomy has no such ability."""
    if taxonomy is None:
        return [normalise_label(label) if label else None for label in labels]
    known = taxonomy.match(pa.array(labels, pa.string())).to_pylist()
    return [None if raw is None else name or UNKNOWN for raw, name in zip(labels, known)]


def _with_label(text: str | None, raw: str | None) -> str:
    """meta with the raw label that the taxonomy does not know."""
    return orjson.dumps({**orjson.loads(text or "{}"), "ability": raw}, option=orjson.OPT_SORT_KEYS).decode()
