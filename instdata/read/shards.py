"""Reading: the records of each input as shards of the corpus.

A file is cut into blocks of records, in file order; each block becomes one shard, made by whatever worker is free. What
cannot be read is quarantined beside the shard: row, error, raw text.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.corpus import BAD, Shard, read_cached, write_cached
from instdata.corpus.rows import OPTIONAL, SHARD, SPAN, UNKNOWN, message_id, row_id, split_messages, turns_array
from instdata.corpus.taxonomy import Taxonomy, normalise_label
from instdata.read.adapters import INPUT, Conversation, adapt, cut_back, meta
from instdata.read.arrow import spelled
from instdata.read.blocks import Bad, Damaged, block_count, decode, raw_text
from instdata.read.container import Beside
from instdata.read.form import plain, record_of, texts_of, written
from instdata.read.indexed import indexed, keep_index, until_damage
from instdata.read.language import detect as detect_languages
from instdata.read.plain import BadRow, unjson
from instdata.read.shapes import Record, normalise_keys, used_keys
from instdata.read.sources import Input
from instdata.util.context import Context
from instdata.util.engine import Engine
from instdata.util.errors import BudgetReached, DamagedInput, InputError
from instdata.util.progress import track
from instdata.util.sealed import sound


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


class Changed(InputError):
    """A file was written while it was read."""


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
    first = next(t for s in shards if s.bad for t in read_cached(s.bad_path).slice(0, 1).to_pylist())
    return (
        f"source {inputs[0].source}: {bad} of {rows + bad} rows cannot be read, more than max_bad ({max_bad:.2%}). "
        f"The first: {first['source_file']}, row {first['source_row']}: {first['error']}. Mend the file, or raise max_bad: in the recipe"
    )


def _read_input(item: Input, engine: Engine, context: Context, limit: int | None) -> list[Shard]:
    if limit is not None and limit <= 0:
        return []
    key = item.key(context.taxonomy, limit)
    index = context.folder / "sources" / f"{key}.json"
    there = None if context.fresh else indexed(index, context, item.file)
    shards, lost, beside = there if there is not None else _read_blocks(item, key, index, engine, context, limit)
    if lost and not item.keep:
        raise DamagedInput(
            f"source {item.source}: {lost}. {sum(s.rows for s in shards):,} rows stand before that: damaged: keep in the "
            "source goes on with them"
        )
    if lost:
        context.say(f"source {item.source}: {lost}. Going on with what is there (damaged: keep)")
    if beside.line:
        context.say(f"source {item.source}: {item.file}: {beside.line}")
    context.lost[f"{item.source}/{item.file}"] = lost
    context.beside[f"{item.source}/{item.file}"] = beside.manifest()
    return shards


def _read_blocks(
    item: Input, key: str, index: Path, engine: Engine, context: Context, limit: int | None
) -> tuple[list[Shard], str, Beside]:
    """(the shards of a file, what was lost of it, what it holds beside its records), read anew. Raises Changed where it is written meanwhile."""
    cache, beside = context.folder, Beside()
    lost: list[Damaged] = []
    blocks = (
        Block(
            item,
            first,
            records,
            cache / "shards" / key[:2] / f"{key}-{i:05d}.parquet",
            f"{key}-{i:05d}",
            context.taxonomy,
            context.fresh,
        )
        for i, (first, records) in enumerate(until_damage(item.blocks(limit, beside), lost))
    )
    made = engine.map(read_block, blocks)
    shards = list(track(made, f"read {item.source}", block_count(item.path), lambda s: s.rows, context.bars))
    if item.changed():
        for shard in shards:
            shard.path.unlink(missing_ok=True)
        raise Changed(f"{item.path}: the file was written while it was read")
    told = str(lost[0]) if lost else ""
    keep_index(index, shards, told, beside, cache)
    return shards, told, beside


def read_block(block: Block) -> Shard:
    """Turn one block of records into a shard (and its quarantine); a no-op where both are there already."""
    item = block.input
    bad_path = block.path.with_suffix(".bad.parquet")
    if not block.fresh and sound(block.path) and sound(bad_path):
        there = read_cached(block.path)
        return Shard(block.path, len(there), pq.read_metadata(bad_path).num_rows, block.key, there.nbytes)
    with uncollected():
        rows, bad = _parse(block.records, block.first, item, block.taxonomy)
        table = _table(rows, item)
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
    write_cached(bads, bad_path)
    write_cached(table, block.path)
    return Shard(block.path, table.num_rows, len(bad), block.key, table.nbytes)


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for reference cycles: a block's rows are many small objects without any, and it takes 40% of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def tables(item: Input, taxonomy: Taxonomy | None, most: int | None = None) -> Iterator[pa.Table]:
    """The rows of an input, or of its first `most` records, as they would enter the corpus, a block at a time. Writes
    nothing; what cannot be read is left out. For files that are looked at beside the corpus."""
    for first, records in until_damage(item.blocks(most), []):
        yield _table(_parse(records, first, item, taxonomy)[0], item)


def any_answered(item: Input) -> bool:
    """Whether any row of an input has an answer: it is read until one has."""
    return any(
        last["role"] == "assistant" and (last["content"].strip() or last.get("tool_calls"))
        for first, records in until_damage(item.blocks(), [])
        for last in (p.row.turns[-1] for p in _parse(records, first, item, None)[0])
    )


@dataclass(frozen=True)
class Parsed:
    """A row on the way into a shard: of record `number`, its `nth`; `label` is the ability that the taxonomy makes of its
    own, `form` how the record was written (on the first row of a record)."""

    number: int
    nth: int
    row: Conversation
    meta: str | None
    label: str | None
    form: str | None


def _parse(
    records: Any, first: int, item: Input, taxonomy: Taxonomy | None
) -> tuple[list[Parsed], list[tuple[int, str, str]]]:
    """(rows, what could not be read as (record number, error, raw text)) of a block's records."""
    read: list[tuple[int, Record, list[Conversation]]] = []
    bad: list[tuple[int, str, str]] = []
    used = used_keys(item.fields)
    for i, record in enumerate(decode(records)):
        if isinstance(record, dict):
            try:
                read.append((first + i, *_conversations(record, records, i, item)))
                continue
            except Exception as e:  # one bad row costs one row, whatever is wrong with it
                record = Bad(str(e) if isinstance(e, BadRow) else f"{type(e).__name__}: {e}")
        if record is not None:
            bad.append((first + i, record.error, raw_text(records, i)))
    labels = _match([c.ability for _, _, rows in read for c in rows], taxonomy)
    parsed: list[Parsed] = []
    at = 0
    for number, record, rows in read:
        try:
            parsed += _described(number, record, rows, labels[at : at + len(rows)], used)
        except Exception as e:
            bad.append((number, f"{type(e).__name__}: {e}", raw_text(records, number - first)))
        at += len(rows)
    return parsed, sorted(bad)


def _conversations(record: Record, records: Any, i: int, item: Input) -> tuple[Record, list[Conversation]]:
    """A record and its conversations. Where a number stands where text is expected, the record is read again as it is
    written: 0.10 is not 0.1."""
    rows = adapt(record, item.format, item.fields)
    if isinstance(records, list) and isinstance(records[i], bytes) and _has_float(record):
        record = normalise_keys(spelled(records[i].removeprefix(b"\xef\xbb\xbf")))
        rows = adapt(record, item.format, item.fields)
    if item.format in ("messages", "sharegpt"):
        rows = [cut_back(row) for row in rows]
    return record, rows


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    return type(value) is float or (isinstance(value, list) and any(map(_has_float, value)))


def _described(
    number: int, record: Record, rows: list[Conversation], labels: list[str | None], used: set[str]
) -> list[Parsed]:
    """A record's rows with their meta and form. The form is tried: one that does not give the record back is replaced by the
    record itself."""
    out = []
    for nth, (row, label) in enumerate(zip(rows, labels)):
        rest = meta(record, used, row)
        columns = rest.keys() if nth == 0 else ()
        extra = ({INPUT: row.input_chars} if row.input_chars else {}) | (
            {"ability": row.ability} if label == UNKNOWN else {}
        )
        held = rest | extra
        text = orjson.dumps(held, option=orjson.OPT_SORT_KEYS, default=unjson).decode() if held else None
        out.append(Parsed(number, nth, row, text, label, None if nth else _form(record.original, columns, row, text)))
    return out


def _form(record: dict[str, Any], columns: Collection[str], row: Conversation, held: str | None) -> str:
    """The form of a record of which meta, the JSON text `held`, has these columns."""
    form = written(record, texts_of(row.turns, row.columns), columns, row.notes)
    back = record_of(form, row.turns, row.columns, held)
    return form if back == record or back == plain(record) else written(record, [], (), row.notes)


def _table(rows: list[Parsed], item: Input) -> pa.Table:
    """The SHARD table of read conversations."""
    count = len(rows)
    talks = [p.row for p in rows]
    messages = turns_array([c.turns for c in talks])
    prompt, response = split_messages(messages)
    texts = pc.binary_join_element_wise(prompt, response, "\n", null_handling="skip")
    columns = {
        "rid": [row_id(item.source, item.file, p.number) + (f"#{p.nth + 1}" if p.nth else "") for p in rows],
        "id": [message_id(c.turns, c.columns.get("tools")) for c in talks],
        "messages": messages,
        "ability": [p.label for p in rows],
        "lang": detect_languages(texts)[0],
        "origin": [c.origin or item.origin for c in talks],
        "source": [item.source] * count,
        "source_file": [item.file] * count,
        "source_row": [p.number for p in rows],
        "meta": [p.meta for p in rows],
        **{name: [c.columns.get(name) for c in talks] for name in OPTIONAL.names},
        "asked_span": pa.array([_span(c) for c in talks], SPAN),
        "form": [p.form for p in rows],
    }
    made = [c if isinstance(c, pa.Array) else pa.array(c, SHARD.field(n).type) for n, c in columns.items()]
    return pa.table(made, names=list(columns)).select(SHARD.names).cast(SHARD)


def _span(row: Conversation) -> dict[str, int] | None:
    """Where what is asked stands in the last user turn, in bytes."""
    if row.asked is None:
        return None
    text = next(t["content"] for t in reversed(row.turns) if t["role"] == "user")
    start, end = (len(text[:n].encode()) for n in row.asked)
    return {"start": start, "end": end}


def _match(labels: list[str | None], taxonomy: Taxonomy | None) -> list[str | None]:
    """Ability names of raw labels: null where there was none, "unknown" where the taxonomy has no such ability."""
    if taxonomy is None:
        return [normalise_label(label) if label else None for label in labels]
    known = taxonomy.match(pa.array(labels, pa.string())).to_pylist()
    return [None if raw is None else name or UNKNOWN for raw, name in zip(labels, known)]
