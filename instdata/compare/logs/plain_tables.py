"""Anybody's table: CSV, TSV, Parquet, JSON lines or one JSON array with an id (or a prompt) and a score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.compare.logs.log_rows import Asked, LogRow, bad, fingerprint, number, records
from instdata.read.bytes_to_records import csv_records
from instdata.read.csv_separator import separator
from instdata.read.file_kind import Damaged, form_of, kind_of

NAME = "table"
IDS = ("id", "item", "item_id", "sample_id", "doc_id", "question_id", "example_id")
PROMPTS = ("prompt", "question", "input", "instruction")
TASKS = ("task", "dataset", "benchmark", "suite")
SCORES = ("score", "correct", "is_correct", "accuracy", "acc", "exact_match", "value", "f1", "reward")


def claims(path: Path) -> bool:
    return kind_of(path) in (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def choose(files: list[Path], asked: Asked) -> list[Path]:
    return files


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """Columns: id or prompt; score (or those of --metric); task, seed, epoch, cluster and model where there are any. An
    item that stands in several rows of one seed was drawn again."""
    kind = kind_of(path)
    found = (
        csv_rows(path)
        if kind in (".csv", ".tsv")
        else parquet_rows(path, asked)
        if kind == ".parquet"
        else records(path)
    )
    for line, row in found:
        id_, prompt = _first(row, IDS), _first(row, PROMPTS)
        if id_ is None and prompt is None:
            has = ", ".join(list(row)[:8])
            raise bad(path, line, f"no id and no prompt: add a column id (it has {has})")
        text = "" if prompt is None else fingerprint(prompt)
        metrics = {name: _value(row.get(name), name, path, line) for name in _names(row, path, line, asked)}
        cluster = asked.cluster_of(row) if asked.cluster else _text(row.get("cluster"))
        yield LogRow(
            str(_first(row, TASKS) or "all"),
            text if id_ is None else str(id_), metrics, text, _text(row.get("seed")), cluster,
            model=_text(row.get("model")),
        )  # fmt: skip


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with a header. Raises InputError where a row is broken."""
    line = 2
    try:
        form = form_of(path)
        for row in csv_records(path, separator(path, form), form.encoding):
            if not isinstance(row, dict):
                raise bad(path, line, f"{row[0]}: mend the row")
            yield line, row
            line += 1 + sum(v.count("\n") for v in row.values())
    except Damaged as e:
        raise bad(path, None, str(e)) from e


def parquet_rows(path: Path, asked: Asked) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row from 1, the columns that matter of it) of a Parquet file. Raises InputError where it cannot be read."""
    wanted = {*IDS, *PROMPTS, *TASKS, *SCORES, *asked.metrics, asked.cluster, "seed", "epoch", "cluster", "model"}
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = [n for n in names if n in wanted]
            told = set(known) & {*IDS, *PROMPTS} and set(known) & {*SCORES, *asked.metrics}
            number = 0
            for batch in file.iter_batches(columns=known if told else names[:8]):  # else the error names what it has
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as e:
        raise bad(path, None, f"no Parquet file that can be read ({str(e)[:100]})") from e


def _names(row: dict[str, Any], path: Path, line: int | None, asked: Asked) -> list[str]:
    """The columns that hold scores: those that were asked for, else the first that is called as a score is."""
    names = [m for m in asked.metrics if m in row] or [s for s in SCORES if s in row][:1]
    if not names:
        raise bad(path, line, f"no column score: name one by --metric (it has {', '.join(list(row)[:8])})")
    return names


def _value(value: Any, name: str, path: Path, line: int | None) -> float | None:
    try:
        return number(value)
    except ValueError:
        raise bad(
            path, line, f"{name} is {str(value)[:40]!r}: write a number, true or false, or nothing where it is missing"
        ) from None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[n] for n in names if row.get(n) not in (None, "")), None)
