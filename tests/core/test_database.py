"""One database a process, and connections that do not see each other."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.util.database import connected


def test_a_view_is_its_connections_own_and_ends_with_it(tmp_path: Path) -> None:
    for i, name in enumerate(("it's [1].parquet", "it's 1.parquet")):
        pq.write_table(pa.table({"n": [i]}), tmp_path / name)
    files = [tmp_path / "it's [1].parquet"], [tmp_path / "it's 1.parquet"]
    with connected(rows=files[0]) as one, connected(rows=files[1]) as two, connected(rows=files[0] + files[1]) as both:
        assert [db.execute("select sum(n), count(*) from rows").fetchone() for db in (one, two, both)] == [
            (0, 1), (1, 1), (1, 2)
        ]  # fmt: skip
        one.execute("create temp table kept as from rows")
        with pytest.raises(duckdb.CatalogException):
            two.execute("from kept")
    with connected() as db:
        assert db.execute("select count(*) from duckdb_views() where not internal").fetchone() == (0,)
