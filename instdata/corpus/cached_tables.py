"""Tables of the cache: written whole and with their seal, read when they are what was sealed. A shard of which a step
changed some rows is a patch: it names the shard below it, and is read as the shard that both make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instdata.corpus.shard_tables import Recent, put
from instdata.util.atomic import whole
from instdata.util.errors import BuildError
from instdata.util.sealed import seal, sound

ROW_GROUP = 10_000
UNDER, AT = b"instdata.under", "_at"  # of a patch: the shard below it, the column that says which of its rows
LATELY = Recent(128 << 20)  # bytes of shards' columns


def write_cached(table: pa.Table, path: Path) -> None:
    """Write a table into the cache, whole and with its seal; the same table gives the same bytes."""
    hashes = any(pa.types.is_fixed_size_binary(field.type) for field in table.schema)
    options: dict[str, Any] = {"compression": "zstd"}
    if hashes:  # nothing makes them smaller, and nobody asks for the least of them
        options = {"compression": "none", "write_statistics": False}
    with whole(path) as file:
        pq.write_table(table, file, row_group_size=ROW_GROUP, use_dictionary=False, **options)
    seal(path)


def read_cached(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table of the cache. Raises BuildError where it is not what was written: it was, when the build began."""
    if not sound(path):
        raise BuildError(f"{path}: this file of the cache was damaged or removed meanwhile; run the same command again")
    return read_parquet(path, columns)


def kept_table(path: Path) -> pa.Table | None:
    """A table of the cache that may be missing: another build may replace or remove it at any time."""
    try:
        return read_cached(path)
    except (BuildError, OSError):
        return None


def written(path: Path) -> int | None:
    """When a file of the cache was written; None where it is not there, or damaged: reading it says so."""
    return path.stat().st_mtime_ns if sound(path) else None


def lately(path: Path, names: Sequence[str]) -> pa.Table:
    """Columns of a shard, of those that were read lately."""
    return LATELY.get((path, written(path)), list(names), partial(read_cached, path))


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, or some of its columns; a patch (`write_patch`) as the shard that it makes. (pyarrow's read_table
    would open a dataset for each.)"""
    with pq.ParquetFile(path) as file:
        under = (file.metadata.metadata or {}).get(UNDER)
        if under is None:
            return file.read(columns=columns)
        over = file.read(columns=None if columns is None else [AT, *columns])
    table, at = read_cached(path.parents[1] / under.decode(), columns), over[AT].to_numpy()
    for name in over.column_names:
        table = table if name == AT else put(table, name, at, over[name].combine_chunks())
    return table


def write_patch(new: pa.Table, at: np.ndarray, under: Path, path: Path) -> None:
    """Write a shard that is another one of the cache but for some columns of its rows `at`, which ascend."""
    told = {UNDER: f"{under.parent.name}/{under.name}".encode()}
    write_cached(new.append_column(AT, pa.array(at, pa.int64())).replace_schema_metadata(told), path)


def lies_on(path: Path) -> Path | None:
    """The shard that a file patches; None of any other file."""
    under = (pq.read_metadata(path).metadata or {}).get(UNDER)
    return None if under is None else path.parents[1] / under.decode()
