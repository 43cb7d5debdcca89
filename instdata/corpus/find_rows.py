"""Rows by what people call them: an id, a rid, or the end of a rid that no other row has; and what to call a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.util.checksums import part
from instdata.util.errors import InputError

LISTED = 4  # rids that a message names


def rows_named(build: Path, wanted: str) -> list[dict[str, Any]]:
    """The ledger rows with this id (also of a text that they once had) or rid, else the one whose rid ends with
    `/wanted`: `zh.jsonl:284`. Raises InputError where there is none, or where that end is several rows'."""
    found, ends = [], []
    for batch in pq.ParquetFile(part(build, "ledger.parquet")).iter_batches():
        table = pa.table(batch)
        names = ["rid", "id", *(n for n in table.column_names if n.endswith("_derived_from"))]
        same = [np.asarray(pc.fill_null(pc.equal(table[n], wanted), False)) for n in names]
        found += table.filter(np.any(same, axis=0)).to_pylist()
        if ":" in wanted:  # an end without a row's number would be many rows
            ends += table.filter(pc.ends_with(table["rid"], f"/{wanted}")).to_pylist()
    if found or len(ends) == 1:
        return found or ends
    raise _several(build, wanted, [r["rid"] for r in ends]) if ends else _no_row(build, wanted)


def _several(build: Path, wanted: str, rids: list[str]) -> InputError:
    named = ", ".join(rids[:LISTED]) + (f" and {len(rids) - LISTED} more" if rids[LISTED:] else "")
    return InputError(f'{build}: {len(rids)} rids end with "{wanted}": {named}. Did you mean "{rids[0]}"?')


def _no_row(build: Path, wanted: str) -> InputError:
    """That no row has this id or rid, with one that has: of the file that is meant, where a path was given."""
    rids = pq.read_table(part(build, "ledger.parquet"), columns=["rid"])["rid"]
    name, _, number = Path(wanted).name.partition(":")
    file = rids.filter(pc.match_substring(rids, f"/{name}:"))
    row = file.filter(pc.ends_with(file, f"/{name}:{number}"))
    last = max(file.to_pylist(), key=_number, default=None) if number.isdigit() and not len(row) else None
    end = f" The last record of {name} is {_number(last)}." if last else ""
    near = f'{end} Did you mean "{row[0] if len(row) else last}"?' if last or len(row) else ""
    example = next((f", as {x[0]}" for x in (row, file, rids) if len(x)), "")
    return InputError(
        f'{build}: no row has the id or rid "{wanted}".{near} An id is 32 hex digits; a rid is source/file:row, rows '
        f"counted from 0{example}. `instdata report {build}` writes a page that shows some, ledger.parquet has all"
    )


def _number(rid: str) -> int:
    digits = rid.rpartition(":")[2]
    return int(digits) if digits.isdecimal() else -1


def copy_of(row: dict[str, Any]) -> tuple[str, str] | None:
    """("exact" or "near", the other's rid) of a ledger row that went for another one; None for others. Exact: the two
    have one id, so every word that a model sees is the same."""
    found = row.get("evidence") or {}
    if not isinstance(found, dict) or "similarity" not in found or not found.get("rid"):
        return None
    return "exact" if found.get("id") == row["id"] else "near", found["rid"]
