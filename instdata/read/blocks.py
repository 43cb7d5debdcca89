"""Files and Hub splits as blocks of records, and records as plain dicts: everything before their meaning."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from instdata.read.arrow import class_names, meaning
from instdata.read.bytes import PIECE, Damaged, csv_records, elements, lines, pieces
from instdata.read.plain import BadRow, unjson
from instdata.read.shapes import normalise_keys

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
BLOCK_ROWS = 16_384  # records in one block of a columnar or CSV file


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read; `raw` only where no block holds its bytes (see raw_text)."""

    error: str
    raw: str = ""


def kind_of(path: Path) -> str | None:
    """The suffix that says how to read a file, compression left out; None where there is none that we know."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes = suffixes[:-1]
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else None


def hub_dataset(hub: tuple[str, str | None, str, str]) -> Any:
    """The dataset, memory-mapped from the datasets cache (downloaded where it is not there)."""
    import datasets

    repo, config, split, commit = hub
    return datasets.load_dataset(repo, config, split=split, revision=commit)


def raw_blocks(path: str, hub: tuple | None = None, limit: int | None = None) -> Iterator[tuple[int, Any]]:
    """(number of the first record, records) of each block; stops after `limit` records that are not blank lines."""
    first, left = 0, limit
    for records in _blocks(path, hub):
        step = len(records)
        if left is not None:
            if isinstance(records, list):
                full = [i for i, r in enumerate(records) if not isinstance(r, bytes) or r.strip()]
                records = records[: full[left - 1] + 1] if len(full) >= left else records
                left -= min(left, len(full))
            else:
                records = records.slice(0, left)
                left -= len(records)
        yield first, records
        first += step
        if left == 0:
            return


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


def _blocks(path: str, hub: tuple | None) -> Iterator[Any]:
    if hub is not None:
        dataset = hub_dataset(hub)
        yield from dataset.with_format("arrow").iter(batch_size=_rows_a_block(dataset.data.nbytes, len(dataset)))
        return
    file = Path(path)
    kind = kind_of(file)
    try:
        if kind == ".parquet":
            yield from _parquet(file)
        elif kind in (".csv", ".tsv"):
            yield from _csv(file, "," if kind == ".csv" else "\t")
        elif kind == ".json":
            yield from elements(file)
        else:
            yield from lines(file)
    except Damaged as e:
        yield [Bad(str(e), e.tail.decode("utf-8", "backslashreplace"))]


def _rows_a_block(size: int, rows: int) -> int:
    """How many rows of a table of `size` bytes make a block of about PIECE bytes."""
    return max(1, min(BLOCK_ROWS, PIECE * rows // max(size, 1)))


def _csv(path: Path, delimiter: str) -> Iterator[list[dict[str, str] | Bad]]:
    block: list[dict[str, str] | Bad] = []
    size = 0
    for record in csv_records(path, delimiter):
        block.append(record if isinstance(record, dict) else Bad(*record))
        size += sum(map(len, record.values() if isinstance(record, dict) else record))
        if size >= PIECE or len(block) == BLOCK_ROWS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _parquet(path: Path) -> Iterator[Any]:
    """Row batches. A compressed copy is unpacked first: Parquet is read from its end."""
    with tempfile.TemporaryFile() as plain:
        source: Any = str(path)
        if path.suffix.lower() in (".gz", ".zst"):
            for piece in pieces(path):
                plain.write(piece)
            source = plain
        try:
            with pq.ParquetFile(source) as file:
                groups = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
                yield from file.iter_batches(batch_size=_rows_a_block(sum(groups), file.metadata.num_rows))
        except (pa.ArrowException, OSError) as e:
            raise Damaged(f"the Parquet data is damaged: {str(e).splitlines()[0]}") from e


def records(blocks: Iterator[tuple[int, Any]]) -> Iterator[dict[str, Any] | Bad]:
    for _, records in blocks:
        yield from (r for r in decode(records) if r is not None)


def decode(records: Any) -> Iterator[dict[str, Any] | Bad | None]:
    """Each record of a block as a dict under normalised keys, or why it cannot be read; None for a blank line."""
    for record in records if isinstance(records, list) else _rows_of_batch(records):
        if isinstance(record, bytes):
            record = _parse_json(record)
        if isinstance(record, dict):
            try:
                record = normalise_keys(record)
            except BadRow as e:
                record = Bad(str(e))
        yield record


def raw_text(records: Any, at: int) -> str:
    """The text of a block's record as it stands in the file (bytes that are not UTF-8 escaped); of a columnar file, its
    row as JSON."""
    record = records[at] if isinstance(records, list) else next(_rows_of_batch(records.slice(at, 1)))
    if isinstance(record, bytes):
        return record.decode("utf-8", "backslashreplace").strip()
    return record.raw if isinstance(record, Bad) else as_json(record)


def as_json(record: Any) -> str:
    """JSON of plain data; what JSON cannot hold, as Python writes it."""
    try:
        return orjson.dumps(record, default=unjson).decode()
    except (TypeError, ValueError):
        return repr(record)


def _parse_json(raw: bytes) -> dict[str, Any] | Bad | None:
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        return None
    try:
        record = orjson.loads(raw)
    except (orjson.JSONDecodeError, ValueError, RecursionError) as e:
        try:
            raw.decode()
        except UnicodeDecodeError:
            encoding = "utf-16" if b"\0" in raw else "gb18030"
            return Bad(f"not UTF-8: convert the file, e.g. iconv -f {encoding} -t utf-8")
        return Bad(f"invalid JSON: {e}")
    if not isinstance(record, dict):
        return Bad(f"expected a JSON object, got {type(record).__name__}")
    # orjson keeps the last of two equal keys; where a key's text occurs twice, look closer.
    if any(raw.count(b'"%s"' % k.encode()) > 1 for k in record) and _has_duplicate_key(raw):
        return Bad("a key stands in the record twice")
    return record


def _has_duplicate_key(raw: bytes) -> bool:
    double = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal double
        out = dict(items)
        double = double or len(out) < len(items)
        return out

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except RecursionError:  # deeper than Python reads; orjson read it, so it is valid
        return False
    return double


def _rows_of_batch(batch: Any) -> Iterator[dict[str, Any] | Bad]:
    """Rows of an Arrow batch or table."""
    cols, classes = {}, class_names(batch.schema)
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            cols[name] = meaning(column.to_pylist(), column.type, classes.get(name))
        except UnicodeDecodeError:
            cols[name] = [_cell(v) for v in column]
    for i in range(batch.num_rows):
        record = {k: v[i] for k, v in cols.items()}
        broken = [k for k, v in record.items() if isinstance(v, Bad)]
        raw = {k: v.raw if isinstance(v, Bad) else v for k, v in record.items()}
        yield Bad(f"{broken[0]} is not UTF-8", as_json(raw)) if broken else record


def _cell(value: Any) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return Bad("", str(value.cast(pa.binary()).as_py()) if pa.types.is_string(value.type) else "a list or struct")
