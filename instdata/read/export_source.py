"""The records of a build as they came in: kept, dropped and unreadable ones, in the order in which they were read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from instdata.corpus.forms_and_dropped import DROPPED, FORMS
from instdata.corpus.read_build_folder import data_files
from instdata.read.json_numbers import loads
from instdata.read.source_form import record_of
from instdata.read.threads import TREE, lines
from instdata.util.checksums import part
from instdata.util.errors import InputError

BATCH = 10_000
PLACE = "source, source_file, source_row"


def source_records(build: Path) -> Iterator[bytes | None]:
    """JSON of every record that a build read, on one line; a record that was no JSON as the line that it was; None for
    one whose row a step has changed since. Raises InputError where the build has no forms."""
    import duckdb

    form_file, ledger_file = part(build, FORMS), part(build, "ledger.parquet")
    if not form_file.is_file():
        raise InputError(f"{build}: no {FORMS} there: build it again with this version")
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as db:
        db.execute(f"set temp_directory = '{_quoted(spill)}'")
        db.execute("create table lines (source varchar, source_file varchar, source_row bigint, line blob)")
        for path in [*data_files(build), part(build, DROPPED)]:
            if path.is_file():
                _rebuild(db, form_file, path)
        _add_unreadable(db, build, ledger_file)
        ledger = f"read_parquet('{_quoted(ledger_file)}', file_row_number = true)"
        forms = f"read_parquet('{_quoted(form_file)}')"
        found = db.execute(
            f"""with files as (select source, source_file, min(file_row_number) place from {ledger} group by all),
                     wanted as (select distinct {PLACE} from {forms} union select {PLACE} from lines),
                     found as (select {PLACE}, any_value(line) line from lines group by all)
                select line from wanted left join found using ({PLACE}) join files using (source, source_file)
                order by place, source_row"""
        )
        while rows := found.fetchmany(BATCH):
            yield from (line for (line,) in rows)


def _rebuild(db: Any, forms: Path, path: Path) -> None:
    """Add the records of a file's rows to `lines`."""
    rows = db.cursor().sql(
        f"""select d.*, f.form from read_parquet('{_quoted(path)}') d
            join read_parquet('{_quoted(forms)}') f using ({PLACE}, id)"""
    )
    for batch in rows.to_arrow_reader(BATCH):
        records = batch.to_pylist()
        _add(db, records, [lines(record_of(r["form"], r["messages"], r, r.get("meta"))) for r in records])


def _add_unreadable(db: Any, build: Path, ledger_file: Path) -> None:
    """Add what could not be read, as quarantine.jsonl has it. (Rows that a step raised on are among the dropped.)"""
    ledger = f"read_parquet('{_quoted(ledger_file)}')"
    unread = set(db.execute(f"select {PLACE} from {ledger} where reason = 'unreadable' and step = 'read'").fetchall())
    records = []
    with open(part(build, "quarantine.jsonl"), "rb") as file:
        for line in file if unread else ():
            record = orjson.loads(line)
            if (record["source"], record["source_file"], record["source_row"]) in unread:
                records.append(record)
    _add(db, records, [_one_line(r["raw"]) for r in records])


def _add(db: Any, records: list[dict[str, Any]], lines: list[bytes]) -> None:
    if records:
        columns = {n: pa.array([r[n] for r in records]) for n in PLACE.split(", ")}
        table = pa.table({**columns, "line": pa.array(lines, pa.binary())})
        db.register("batch_of_lines", table)
        db.execute("insert into lines select * from batch_of_lines")
        db.unregister("batch_of_lines")


def _one_line(raw: str) -> bytes:
    """A record's text on one line: JSON that took several is written anew, anything else is a JSON text there."""
    if "\n" not in raw and "\r" not in raw and TREE not in raw:
        return raw.encode()
    try:
        return lines(loads(raw))
    except ValueError:
        return orjson.dumps(raw)


def _quoted(path: Path | str) -> str:
    return str(path).replace("'", "''")
