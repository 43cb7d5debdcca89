"""Rows that somebody has in memory, as a file that a source can read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.util.atomic import digest, whole
from instdata.util.errors import InputError


def stored(rows: Any, folder: Path) -> Path:
    """The path of a file under `folder` that holds `rows`, named after its content: an Arrow table, a datasets.Dataset,
    a pandas or polars frame, or an iterable of mappings. Raises InputError for anything else."""
    table = _table(rows)
    suffix = ".parquet" if table is not None else ".jsonl"
    partial = folder / f".rows-{id(rows)}{suffix}"
    if table is not None:
        with whole(partial) as file:
            pq.write_table(table, file, compression="zstd")
    else:
        with whole(partial) as file:
            for row in rows:
                if not isinstance(row, Mapping):
                    raise InputError(f"a source's rows are mappings; one is a {type(row).__name__}")
                file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")
    content = digest(partial)[:16]
    return partial.rename(folder / f"rows-{content}{suffix}")


def is_rows(value: Any) -> bool:
    """Whether a value of a recipe's `sources` is rows rather than a description of where they are."""
    return not isinstance(value, (str, Mapping, Path)) and (_table_like(value) or isinstance(value, Iterable))


def _table_like(value: Any) -> bool:
    return isinstance(value, pa.Table) or hasattr(value, "__arrow_c_stream__") or hasattr(value, "to_parquet")


def _table(rows: Any) -> pa.Table | None:
    """Rows that are columns already, as an Arrow table; None where they are not."""
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "with_format") and hasattr(rows, "data"):  # datasets.Dataset: its indices, if it has any, applied
        return rows.with_format("arrow")[:]
    if hasattr(rows, "__arrow_c_stream__"):  # polars, pandas 2.2 and later, DuckDB
        return pa.table(rows)
    if type(rows).__module__.startswith("pandas"):
        return pa.Table.from_pandas(rows, preserve_index=False)
    return None
