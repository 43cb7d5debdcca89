"""The records that a method makes, as columns on disk: what was written is not held as objects."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.steps.generate.new_row_checks import Broken, NewRow, row_of, schema

AT_ONCE = 4096  # records that are held before they go to the file


class Records:
    """Records in the order in which they were made. A context manager: the file has no name and goes with it, so the
    table must have been read before."""

    def __init__(self, method: str, folder: Path | None = None):
        self.method, self.count = method, 0
        self.counts: Counter[str] = Counter()  # records by what became of them
        self.given_up: dict[str, int] = {}  # rows that an ability left to the others
        self._rows: list[dict[str, Any]] = []
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with this object
        self._writer = pa.ipc.new_stream(self._file, schema())

    def append(self, record: NewRow | Broken) -> None:
        """Add one; it must not be changed afterwards."""
        self.counts[record.reason or "accepted" if isinstance(record, NewRow) else "unusable"] += 1
        self._rows.append(row_of(self.count, record, self.method))
        self.count += 1
        if len(self._rows) >= AT_ONCE:
            self._flush()

    def extend(self, records: Iterable[NewRow | Broken]) -> Records:
        for record in records:
            self.append(record)
        return self

    def table(self) -> pa.Table:
        """All of them, as step.Produced wants them. Nothing can be added afterwards."""
        self._flush()
        self._writer.close()
        self._file.flush()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            table = reader.read_all()
        self._file.close()
        return table

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=schema()))
            self._rows = []
