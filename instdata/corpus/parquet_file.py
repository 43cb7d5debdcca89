"""A Parquet file of a build, written whole or not at all, row groups as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.util.atomic import whole

AHEAD = 2  # row groups that wait to be written
UNIQUE = {"id", "rid", "evidence", "meta", "form"}  # text that is another one in each row: no dictionary of it is built


@contextmanager
def parquet_file(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends a table, which has rows, as one row group. A thread encodes and compresses it, while the
    caller prepares the next one; what goes wrong there is raised by a later call, or at the end."""
    text = [f.name for f in schema if pa.types.is_string(f.type) and f.name not in UNIQUE]
    roles = ["messages.list.element.role"] if "messages" in schema.names else []
    with (
        whole(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=[*text, *roles]) as writer,
        ThreadPoolExecutor(1) as thread,
    ):
        waiting: deque[Future[Any]] = deque()

        def append(table: pa.Table) -> None:
            if len(waiting) == AHEAD:
                waiting.popleft().result()
            waiting.append(thread.submit(writer.write_table, table, row_group_size=len(table)))

        yield append
        for written in waiting:
            written.result()
