"""Our own scores.parquet (`evaluate`, `curves`, `ablate`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.compare.logs.log_rows import Asked, LogRow, bad, fingerprint

NAME = "instdata"
OURS = (
    "suite",
    "ability",
    "item",
    "metric",
    "value",
)  # without one of them a table is somebody else's (plain_tables.py)
COLUMNS = ("model", "arm", "config", "suite", "ability", "item", "metric", "value", "weight", "prompt", "seed")


def claims(path: Path) -> bool:
    if path.suffix != ".parquet":
        return False
    try:
        return set(OURS) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return True  # whose it is cannot be told: rows() says what is wrong


def choose(files: list[Path], asked: Asked) -> list[Path]:
    return files


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """A task is a suite's ability. Seeds are runs of training. A model is a model of one arm and size."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as e:
        raise bad(path, None, f"no Parquet file that can be read ({str(e)[:100]}): evaluate again") from e
    with file:
        there = file.schema_arrow.names
        wanted = [c for c in (*COLUMNS, asked.cluster) if c in there]
        for batch in file.iter_batches(columns=list(dict.fromkeys(wanted))):
            for row in batch.to_pylist():
                model = " ".join(str(row[k]) for k in ("model", "arm", "config") if row.get(k))
                text = fingerprint(row["prompt"]) if row.get("prompt") else ""
                seed = "" if row.get("seed") is None else str(row["seed"])
                weight = 1.0 if row.get("weight") is None else row["weight"]
                yield LogRow(
                    f"{row['suite']}/{row['ability']}", row["item"], {row["metric"]: row["value"]}, text, seed,
                    asked.cluster_of(row), weight, model,
                )  # fmt: skip
