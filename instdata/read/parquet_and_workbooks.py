"""Rows of Parquet files and workbooks, in batches whose size in memory is bounded whatever the file claims."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.read.arrow_values import class_names, meaning
from instdata.read.bytes_to_records import Bad, pieces
from instdata.read.file_kind import PIECE, RECORD_LIMIT, Beside, Damaged
from instdata.read.json_numbers import dumps
from instdata.read.parquet_footer import sound_footer
from instdata.util.errors import InputError, MissingExtra
from instdata.util.yaml import did_you_mean

BATCH_ROWS = 16_384
GROUP_BYTES = 1 << 30  # a page may be as large as its row group says: one that is mostly air is refused beyond this
RUN = 64 << 20  # bytes of row groups that one reader goes over
AIR = 1_000  # unpacked bytes, or values, that a packed byte may claim to hold
WORKBOOK_BYTES = 512 << 20  # of a workbook's parts, unpacked
SHEET, FORMULA = re.compile(r"/?xl/worksheets/.*\.xml$"), re.compile(rb"<(?:\w+:)?f[ >/]")


def rows_a_block(size: int, rows: int) -> int:
    """How many rows of a table of `size` bytes make a block of about PIECE bytes."""
    return max(1, min(BATCH_ROWS, PIECE * rows // max(size, 1)))


def parquet_batches(path: Path, packed: bool) -> Iterator[pa.RecordBatch]:
    """Row batches of about PIECE bytes. A compressed copy is unpacked first: Parquet is read from its end. Raises
    Damaged where the file breaks off, or holds fewer rows than its footer promises."""
    with tempfile.TemporaryFile() as plain:
        source: Any = str(path)
        if packed:
            for piece in pieces(path):
                plain.write(piece)
            plain.seek(0)
            source = plain
        promised, read = None, 0
        try:
            promised, batches = _opened(source)
            for batch in batches:
                read += batch.num_rows
                yield from _slices(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
            of = "" if promised is None else f" after {read:,} of {promised:,} rows"
            said = (str(e) or type(e).__name__).splitlines()[0][:160]
            raise Damaged(f"the Parquet data is damaged{of} ({said}): fetch the file again") from e
        if read != promised:
            raise Damaged(f"the Parquet footer promises {promised:,} rows, the file holds {read:,}: fetch it again")


def _opened(source: Any) -> tuple[int, Iterator[pa.RecordBatch]]:
    """(rows that the footer promises, the rows in batches)"""
    if not isinstance(source, str):  # an unpacked copy; of a file itself, form_of has looked at it
        if not sound_footer(source):
            raise Damaged("the Parquet footer is damaged: fetch the file again")
        source.seek(0)
    try:
        metadata = pq.read_metadata(source)
    except UnicodeDecodeError:  # a column's name: pyarrow.dataset does not look at names
        import pyarrow.dataset as ds

        found = ds.dataset(source, format="parquet")
        batches = found.to_batches(batch_size=BATCH_ROWS // 16, batch_readahead=1, fragment_readahead=1)
        return found.count_rows(), batches
    _refuse_air(metadata)
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return metadata.num_rows, _batches(source, metadata, rows_a_block(size, metadata.num_rows))


def _batches(source: Any, metadata: pq.FileMetaData, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches. A text that a page holds once is held once: dictionaries are written out by slices. A reader
    goes over RUN bytes of row groups: it never forgets an entry of a dictionary, those that it makes of plain pages
    (every writer's, where a dictionary grew too long) included."""
    run: list[int] = []
    size = 0
    for i in range(metadata.num_row_groups):
        run.append(i)
        size += metadata.row_group(i).total_byte_size
        if size < RUN and i + 1 < metadata.num_row_groups:
            continue
        held = [metadata.row_group(g) for g in run]
        texts = [
            metadata.schema.column(c).path
            for c in range(metadata.num_columns)
            if metadata.schema.column(c).physical_type == "BYTE_ARRAY"
            and any(g.column(c).has_dictionary_page for g in held)
        ]
        file = pq.ParquetFile(source, metadata=metadata, read_dictionary=texts)
        yield from file.iter_batches(batch_size=rows, row_groups=run)
        run, size = [], 0


def _refuse_air(metadata: pq.FileMetaData) -> None:
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for c in range(group.num_columns):
            column = group.column(c)
            packed = max(column.total_compressed_size, 1)
            if column.total_uncompressed_size > GROUP_BYTES and column.total_uncompressed_size > AIR * packed:
                raise Damaged(
                    f"row group {i} claims {column.total_uncompressed_size >> 20:,} MB in {packed:,} bytes: it is "
                    f"not read"
                )
            many = column.num_values > max(RECORD_LIMIT, AIR * packed, 100 * group.num_rows)
            if many:
                raise Damaged(f"row group {i} claims {column.num_values:,} values in {packed:,} bytes: it is not read")


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch without dictionaries, in slices of about PIECE bytes; a row longer than RECORD_LIMIT has its texts cut
    to an empty row's, by `rows_of_batch` it is bad."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _row_bytes(column)
    start = 0
    total = np.cumsum(sizes)
    while start < batch.num_rows:
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + 4 * PIECE, side="right")))
        part = batch.slice(start, end - start)
        columns = [_plain(c) for c in part.columns]
        fields = [pa.field(name, c.type) for name, c in zip(_names(batch), columns)]
        yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=batch.schema.metadata))
        start = end


def _names(batch: pa.RecordBatch) -> list[str]:
    names = []
    for i in range(batch.num_columns):
        try:
            names.append(batch.schema.field(i).name)
        except UnicodeDecodeError:
            names.append(f"column {i} (its name is not UTF-8)")
    return names


def _row_bytes(array: pa.Array) -> np.ndarray:
    """How many bytes each row of an array takes when its dictionaries are written out; int64, as long as the array."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _row_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        if not len(array.dictionary):
            if array.null_count < len(array):
                raise pa.ArrowInvalid("a page points into an empty dictionary")
            return np.zeros(len(array), np.int64)
        of = _row_bytes(array.dictionary)
        at = np.asarray(pc.fill_null(array.indices, 0)).astype(np.int64)
        if len(at) and not 0 <= at.min() <= at.max() < len(of):  # Arrow would read beside its memory
            raise pa.ArrowInvalid("a page points beyond its dictionary")
        return of[at]
    if (
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    ):
        return np.asarray(pc.fill_null(pc.binary_length(array), 0)).astype(np.int64)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        offsets = np.asarray(array.offsets).astype(np.int64)
        values = array.items if pa.types.is_map(kind) else array.values
        sums = np.concatenate([[0], np.cumsum(_row_bytes(values) + 8)])
        return sums[offsets[1:]] - sums[offsets[:-1]]
    if pa.types.is_struct(kind):
        return sum((_row_bytes(array.field(i)) for i in range(kind.num_fields)), np.zeros(len(array), np.int64))
    return np.full(len(array), 8, np.int64)


def _plain(array: pa.Array) -> pa.Array:
    """The array without dictionaries."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return array.dictionary_decode()
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [_plain(f) for f in array.flatten()]
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, names=names, mask=array.is_null())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        offsets = np.asarray(array.offsets)
        values = _plain(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
        return make.from_arrays(pa.array(offsets - offsets[0]), values, mask=array.is_null())
    return array


def rows_of_batch(batch: Any) -> Iterator[dict[str, Any] | Bad]:
    """Rows of an Arrow batch or table. A cell that Python has no value for (a date beyond 9999, nanoseconds) is its
    text; one that is not UTF-8 costs its row."""
    classes = class_names(batch.schema)
    cols = {n: meaning(_values(c), c.type, classes.get(n)) for n, c in zip(batch.schema.names, batch.columns)}
    for i in range(batch.num_rows):
        record = {k: v[i] for k, v in cols.items()}
        broken = [k for k, v in record.items() if isinstance(v, Bad)]
        if not broken:
            yield record
            continue
        raw = {k: v.raw if isinstance(v, Bad) else v for k, v in record.items()}
        yield Bad(f"{broken[0]} {record[broken[0]].error}", _json(raw))


def _values(column: Any) -> list[Any]:
    exact = _exact(column.type)
    if exact != column.type:
        column = column.cast(exact)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        return [_cell(v) for v in column]


def _exact(kind: pa.DataType) -> pa.DataType:
    """The type with text in place of what as_py would give as pandas has it, or not at all: nanoseconds, at any
    depth."""
    if getattr(kind, "unit", "") == "ns":
        return pa.int64() if pa.types.is_duration(kind) else pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([kind.field(i).with_type(_exact(kind.field(i).type)) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _exact(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_exact(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_exact(kind.value_type)))
    return _exact(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _cell(value: Any) -> Any:
    if isinstance(value, pa.StructScalar) and value.is_valid:
        return _whole({name: _cell(inner) for name, inner in value.items()})
    if isinstance(value, pa.ListScalar) and not isinstance(value, pa.MapScalar) and value.is_valid:
        return _whole(list(map(_cell, value.values)))
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return Bad(
            "is not UTF-8",
            str(value.cast(pa.binary()).as_py()) if pa.types.is_string(value.type) else str(value.type),
        )
    except (ValueError, OverflowError, TypeError, pa.ArrowException) as e:
        try:
            return value.cast(pa.string()).as_py()
        except (pa.ArrowException, UnicodeDecodeError):
            return Bad(f"cannot be read: {e}", str(value.type))


def _whole(held: Any) -> Any:
    """The list or object, or what is wrong with the first of its cells that cannot be read."""
    broken = [v for v in (held.values() if isinstance(held, dict) else held) if isinstance(v, Bad)]
    return broken[0] if broken else held


def _json(record: Any) -> str:
    try:
        return dumps(record).decode()
    except (TypeError, ValueError):
        return repr(record)


def workbook_rows(
    path: Path, sheets: Sequence[str] = (), beside: Beside | None = None
) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """The rows of these sheets of a workbook, by default the first one's, each under its first row's names; the others'
    names go to `beside`. Needs the extra `excel`. Raises Damaged, InputError where there is no such sheet."""
    try:
        import openpyxl
    except ImportError as e:
        raise MissingExtra(f"{path.name}: reading .xlsx", "excel") from e
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
            if size > WORKBOOK_BYTES:
                raise Damaged(f"the workbook unpacks to {size >> 20:,} MB: save the sheet as .csv")
            formulas = any(_has_formula(archive, part) for part in archive.namelist() if SHEET.match(part))
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        written = openpyxl.load_workbook(path, read_only=True) if formulas else None  # formulas in place of values
        names = [sheet.title for sheet in book.worksheets]
        for name in sheets:
            if name not in names:
                raise InputError(
                    f'{path.name}: there is no sheet "{name}".{did_you_mean(name, names)} Sheets: {", ".join(names)}'
                )
        read = list(sheets) or names[:1]
        if beside is not None:
            beside.sheets = [name for name in names if name not in read]
        for name in read:
            yield from _sheet_rows(book[name], written and written[name])
        for each in (book, written):
            if each is not None:
                each.close()
    except (Damaged, InputError):
        raise
    except Exception as e:  # openpyxl raises whatever its XML and zip readers do
        raise Damaged(f"the workbook is damaged ({type(e).__name__}: {str(e)[:120]}): save it again, or as .csv") from e


def _has_formula(archive: zipfile.ZipFile, part: str) -> bool:
    """Whether a sheet's XML has a formula."""
    with archive.open(part) as file:
        end = b""
        while data := file.read(1 << 20):
            if FORMULA.search(end + data):
                return True
            end = data[-2:]
    return False


def _sheet_rows(sheet: Any, written: Any = None) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """Cells as text where they are dates; rows without a cell are left out. A cell that no name stands above is named
    by its column's number. A row with a formula whose value the file does not hold (`written`: the sheet with its
    formulas in place of values) is bad: (why, its cells as JSON)."""
    header, width = list[str](), -1
    for row, lacking in _valued(sheet, written):
        if first := width < 0:
            header = [_column(v, i) for i, v in enumerate(row)]
            width = len(header)
        more = [_column(None, i) for i in range(len(header), len(row))]
        header += more
        if (first or more) and len(set(header)) < len(header):
            raise Damaged(f"the first row of sheet {sheet.title} has a name twice: it is to name the columns")
        if first:
            continue
        cells = [v.isoformat() if hasattr(v, "isoformat") else v for v in row]
        cells += [None] * (len(header) - len(cells))
        named = {k: v for i, (k, v) in enumerate(zip(header, cells)) if i < width or v is not None}
        if lacking:
            shown = named | {header[i]: formula for i, formula in lacking.items()}
            why = "a formula without its value: open the file in a spreadsheet program and save it"
            yield f"{header[min(lacking)]}: {why}", _json(shown)
        elif any(v is not None for v in cells):
            yield named


def _valued(sheet: Any, written: Any) -> Iterator[tuple[tuple[Any, ...], dict[int, str]]]:
    """Each row's values, and which of its cells (from 0) are formulas without one. A formula may well come to an empty
    text, which is one: openpyxl leaves the kind "str" at it."""
    if written is None:
        yield from ((row, {}) for row in sheet.iter_rows(values_only=True))
        return
    for cells, formulas in zip(sheet.iter_rows(), written.iter_rows()):
        none = [c.value is None and c.data_type != "str" for c in cells]
        found = {i: _formula(c.value) for i, c in enumerate(formulas) if c.data_type == "f" and none[i]}
        yield tuple(c.value for c in cells), found


def _formula(value: Any) -> str:
    return str(getattr(value, "text", value))  # of an array formula its text


def _column(name: Any, at: int) -> str:
    return str(name) if name is not None else f"column {at + 1}"
