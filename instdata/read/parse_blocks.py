"""The records of a block into rows of a shard, and what of them cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import OPTIONAL, SHARD, SPAN, TURNS, UNKNOWN, message_id, row_id, split_messages, turns_array
from instdata.corpus.taxonomy import Taxonomy, normalise_label
from instdata.read.adapters import Conversation, adapt, cut_back, meta
from instdata.read.blocks import Bad, parsed, raw_text
from instdata.read.column_names import Record, normalise_keys
from instdata.read.fast_path import INPUT, PLAIN, Usual
from instdata.read.field_text import is_nan, said_of
from instdata.read.formats import used_keys
from instdata.read.json_numbers import dumps, holds_float, spelled
from instdata.read.language import detect as detect_languages
from instdata.read.open_sources import Input
from instdata.read.plain_columns import plain_columns
from instdata.read.plain_rows import PlainRows, joined
from instdata.read.question_sets import listed
from instdata.read.source_form import plain, record_of, texts_of, written

JSON = frozenset([bytes, Bad])  # what a block of JSON text consists of


@dataclass(frozen=True)
class Parsed:
    """A row on the way into a shard: of record `number`, its `nth`; `label` is the ability that the taxonomy makes of
    its own, `form` how the record was written (on the first row of a record)."""

    number: int
    nth: int
    row: Conversation
    meta: str | None
    label: str | None
    form: str | None


@dataclass(frozen=True)
class BlockRows:
    """A block's records, read: plain ones as columns, others as rows; what could not be read as (record number, error,
    raw text)."""

    plain: list[PlainRows]
    rows: list[Parsed]
    bad: list[tuple[int, str, str]]

    def table(self, item: Input) -> pa.Table:
        """The rows in the order of their records, as a SHARD table."""
        if not self.plain:
            return _with_language(_table(self.rows, item))
        plain = joined(self.plain)
        table = _plain_table(plain, item)
        numbers = np.concatenate([plain.numbers, np.array([p.number for p in self.rows], np.int64)])
        if self.rows:
            table = pa.concat_tables([table, _table(self.rows, item)])
        if (np.diff(numbers) < 0).any() or self.rows:
            table = table.take(pa.array(np.argsort(numbers, kind="stable")))
        return _with_language(table)


def parse(records: Any, first: int, item: Input, taxonomy: Taxonomy | None) -> BlockRows:
    """A block's records as rows, and what could not be read; `first` is the number of its first record."""
    read: list[tuple[int, Record, list[Conversation]]] = []
    bad: list[tuple[int, str, str]] = []
    used, usual = used_keys(item.fields), Usual(item.format, item.fields)
    quick, text = item.format in PLAIN, isinstance(records, list)
    found, plain = list(parsed(records)), list[PlainRows]()
    left: Iterable[int] = range(len(found))
    if quick:
        plain, left = plain_columns(found, first, usual, text and JSON.issuperset(map(type, records)))
    for i in left:
        record = found[i]
        if isinstance(record, dict):
            if quick and usual.take(first + i, record, text and isinstance(records[i], bytes)):
                continue
            try:
                read.append((first + i, *_conversations(normalise_keys(record), records, i, item)))
                continue
            except MemoryError:  # the machine's, not the row's
                raise
            except Exception as e:  # one bad row costs one row, whatever is wrong with it
                record = Bad(said_of(e))
        if record is not None:
            bad.append((first + i, record.error, raw_text(records, i)))
    labels = _match([c.ability for _, _, talks in read for c in talks], taxonomy)
    rows: list[Parsed] = []
    at = 0
    for number, record, talks in read:
        try:
            rows += _described(number, record, talks, labels[at : at + len(talks)], used)
        except MemoryError:
            raise
        except Exception as e:
            bad.append((number, f"{type(e).__name__}: {e}", raw_text(records, number - first)))
        at += len(talks)
    return BlockRows([*plain, usual.columns()] if usual.numbers else plain, rows, sorted(bad))


def _conversations(record: Record, records: Any, i: int, item: Input) -> tuple[Record, list[Conversation]]:
    """A record and its conversations. Where a number stands where text is expected, the record is read again as it is
    written: 0.10 is not 0.1."""
    rows = adapt(record, item.format, item.fields)
    if isinstance(records, list) and isinstance(records[i], bytes) and holds_float(record):
        found = spelled(records[i].removeprefix(b"\xef\xbb\xbf").strip().removesuffix(b","))
        record = normalise_keys(listed(found) or found)
        rows = adapt(record, item.format, item.fields)
    if item.format in ("messages", "sharegpt"):
        rows = [cut_back(row) for row in rows]
    return record, rows


def _described(
    number: int, record: Record, rows: list[Conversation], labels: list[str | None], used: set[str]
) -> list[Parsed]:
    """A record's rows with their meta and form. The form is tried: one that does not give the record back is replaced
    by the record itself."""
    out = []
    for nth, (row, label) in enumerate(zip(rows, labels)):
        rest = meta(record, used, row)
        columns = rest.keys() if nth == 0 else ()
        extra = ({INPUT: row.input_chars} if row.input_chars else {}) | (
            {"ability": row.ability} if label == UNKNOWN else {}
        )
        held = row.beside | rest | extra
        text = dumps(held, orjson.OPT_SORT_KEYS).decode() if held else None
        out.append(Parsed(number, nth, row, text, label, None if nth else _form(record.original, columns, row, text)))
    return out


def _form(record: dict[str, Any], columns: Collection[str], row: Conversation, held: str | None) -> str:
    """The form of a record of which meta, the JSON text `held`, has these columns."""
    notes = row.notes
    form = written(record, texts_of(row.turns, row.columns), columns, notes)
    back = record_of(form, row.turns, row.columns, held)
    if back != record and _has_nan(record):  # it comes back as null: said, whatever its column
        notes = tuple(sorted({*notes, "nan"}))
        form = written(record, texts_of(row.turns, row.columns), columns, notes)
    return form if back == record or back == plain(record) else written(record, [], (), notes)


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    return is_nan(value) or (isinstance(value, list) and any(map(_has_nan, value)))


def _table(rows: list[Parsed], item: Input) -> pa.Table:
    """The SHARD table of read conversations."""
    talks = [p.row for p in rows]
    columns = {
        "messages": turns_array([c.turns for c in talks]),
        "rid": [row_id(item.source, item.file, p.number) + (f"#{p.nth + 1}" if p.nth else "") for p in rows],
        "id": [message_id(c.turns, c.columns.get("tools")) for c in talks],
        "ability": [p.label for p in rows],
        "origin": [c.origin or item.origin for c in talks],
        "source_row": [p.number for p in rows],
        "meta": [p.meta for p in rows],
        **{name: [c.columns.get(name) for c in talks] for name in OPTIONAL.names},
        "asked_span": pa.array([_span(c) for c in talks], SPAN),
        "form": [p.form for p in rows],
    }
    return _shard(columns, item)


def _plain_table(rows: PlainRows, item: Input) -> pa.Table:
    """The SHARD table of plain records."""
    numbers = pa.array(rows.numbers)
    columns = {
        "messages": rows.messages(),
        "rid": pc.binary_join_element_wise(row_id(item.source, item.file, ""), numbers.cast(pa.string()), ""),
        "id": rows.ids(),
        "origin": pa.repeat(item.origin, len(rows)),
        "source_row": numbers,
        "meta": rows.meta,
        "asked_span": rows.spans(),
        "form": rows.forms,
    }
    return _shard(columns, item)


def _shard(columns: dict[str, Any], item: Input) -> pa.Table:
    """A SHARD table of these columns; those that are missing are the same in every row, or null."""
    count = len(columns["rid"])
    columns |= {"source": pa.repeat(item.source, count), "source_file": pa.repeat(item.file, count)}
    made = []
    for name, kind in zip(SHARD.names, SHARD.types):
        column = columns[name] if name in columns else pa.nulls(count, kind)
        made.append(column if isinstance(column, pa.Array) else pa.array(column, kind))
    return pa.table(made, names=SHARD.names).cast(SHARD)


def _with_language(table: pa.Table) -> pa.Table:
    """A SHARD table with the language of each row."""
    messages = table["messages"].combine_chunks() if len(table) else pa.array([], TURNS)
    texts = pc.binary_join_element_wise(*split_messages(messages), "\n", null_handling="skip")
    return table.set_column(SHARD.get_field_index("lang"), SHARD.field("lang"), detect_languages(texts)[0])


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
