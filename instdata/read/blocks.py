"""Files and Hub splits as blocks of records, and records as plain dicts: everything before their meaning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instdata.read.bytes_to_records import Bad, csv_records, lines
from instdata.read.column_names import Record, normalise_keys
from instdata.read.csv_separator import separator
from instdata.read.exam_text import exam_records
from instdata.read.field_text import BadRow
from instdata.read.file_kind import PIECE, SUFFIXES, Beside, Damaged, form_of, kind_of
from instdata.read.json_documents import elements
from instdata.read.json_numbers import dumps
from instdata.read.json_records import parse_json, parse_lines
from instdata.read.parquet_and_workbooks import parquet_batches, rows_a_block, rows_of_batch, workbook_rows
from instdata.read.threads import threaded
from instdata.read.truncated_json import breaks_off

__all__ = ["SUFFIXES", "Bad", "Damaged", "kind_of"]
BLOCK_ROWS = 16_384  # records in one block of a CSV file


def hub_dataset(hub: tuple[str, str | None, str, str]) -> Any:
    """The dataset, memory-mapped from the datasets cache (downloaded where it is not there)."""
    import datasets

    repo, config, split, commit = hub
    return datasets.load_dataset(repo, config, split=split, revision=commit)


def raw_blocks(
    path: str,
    hub: tuple | None = None,
    limit: int | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheets: Sequence[str] = (),
    beside: Beside | None = None,
) -> Iterator[tuple[int, Any]]:
    """(number of the first record, records) of each block; stops after `limit` records that are not blank lines.
    `beside` gets what the file holds that goes into no record, so far as it was read.

    Raises Damaged, after the last good record was given, where a file is no data, or not all of it; InputError where
    its encoding is not clear."""
    first, left = 0, limit
    try:
        for records in threaded(_blocks(path, hub, encoding, delimiter, sheets, beside)):
            step = len(records)
            if left is not None:
                records, taken = _first(records, left)
                left -= taken
            yield first, records
            first += step
            if left == 0:
                return
    except Damaged as e:
        raise Damaged(f"{Path(path).name}: {e}", e.tail) from e


def _first(records: Any, most: int) -> tuple[Any, int]:
    """(the first `most` records that are not blank lines, how many these are) of a block."""
    if not isinstance(records, list):
        records = records.slice(0, most)
        return records, len(records)
    full = [i for i, r in enumerate(records) if not isinstance(r, bytes) or r.strip()]
    return (records[: full[most - 1] + 1] if len(full) >= most else records), min(most, len(full))


def block_count(path: str) -> int | None:
    """About how many blocks a file gives; None where only reading tells."""
    file = Path(path)
    if (
        not file.is_file()
        or kind_of(file) not in (".jsonl", ".ndjson", ".json")
        or file.suffix.lower() in (".gz", ".zst")
    ):
        return None
    return max(1, -(-file.stat().st_size // PIECE))


def _blocks(
    path: str,
    hub: tuple | None,
    encoding: str | None,
    delimiter: str | None,
    sheets: Sequence[str],
    beside: Beside | None,
) -> Iterator[Any]:
    if hub is not None:
        dataset = hub_dataset(hub)
        yield from dataset.with_format("arrow").iter(batch_size=rows_a_block(dataset.data.nbytes, len(dataset)))
        return
    file = Path(path)
    form = form_of(file, encoding)
    if form.suffix == ".parquet":
        yield from parquet_batches(file, bool(form.packing))
    elif form.suffix == ".xlsx":
        yield from _in_blocks(workbook_rows(file, sheets, beside))
    elif form.suffix in (".csv", ".tsv"):
        yield from _in_blocks(csv_records(file, delimiter or separator(file, form), form.encoding))
    elif form.suffix == ".txt":
        yield from _in_blocks(exam_records(file, form.encoding))
    elif form.suffix == ".json":
        yield from elements(file, form.encoding, beside)
    else:
        yield from lines(file, form.encoding, breaks_off)


def _in_blocks(records: Iterator[dict[str, Any] | tuple[str, str]]) -> Iterator[list[dict[str, Any] | Bad]]:
    block: list[dict[str, Any] | Bad] = []
    size = 0
    try:
        for record in records:
            block.append(record if isinstance(record, dict) else Bad(*record))
            texts = record.values() if isinstance(record, dict) else record
            size += sum(len(v) if isinstance(v, str) else 8 for v in texts)
            if size >= PIECE or len(block) == BLOCK_ROWS:
                yield block
                block, size = [], 0
    except Damaged as e:
        if block:
            yield block
        raise e
    if block:
        yield block


def records(blocks: Iterator[tuple[int, Any]]) -> Iterator[dict[str, Any] | Bad]:
    for _, records in blocks:
        yield from (r for r in decode(records) if r is not None)


def parsed(records: Any) -> Iterator[dict[str, Any] | Bad | None]:
    """Each record of a block as a dict, or why it cannot be read; None for a blank line."""
    if not isinstance(records, list):
        yield from rows_of_batch(records)
    elif set(map(type, records)) <= {bytes}:
        yield from parse_lines(records)
    else:
        yield from (parse_json(r) if isinstance(r, bytes) else r for r in records)


def decode(records: Any) -> Iterator[Record | Bad | None]:
    """The same under normalised keys."""
    for record in parsed(records):
        if isinstance(record, dict):
            try:
                record = normalise_keys(record)
            except BadRow as e:
                record = Bad(str(e))
        yield record


def raw_text(records: Any, at: int) -> str:
    """The text of a block's record as it stands in the file (bytes that are not UTF-8 escaped); of a columnar file, its
    row as JSON."""
    record = records[at] if isinstance(records, list) else next(rows_of_batch(records.slice(at, 1)))
    if isinstance(record, bytes):
        return record.decode("utf-8", "backslashreplace").strip()
    return record.raw if isinstance(record, Bad) else as_json(record)


def as_json(record: Any) -> str:
    """JSON of plain data; what JSON cannot hold, as Python writes it."""
    try:
        return dumps(record).decode()
    except (TypeError, ValueError):
        return repr(record)
