"""Every Eval Ever: instance-level records (JSON lines), schema 0.2 and later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instdata.compare.logs.log_rows import Asked, LogRow, bad, fingerprint, head, number, records

NAME = "Every Eval Ever"


def claims(path: Path) -> bool:
    first = head(path).partition(b"\n")[0] if ".jsonl" in path.suffixes else b""
    return b'"evaluation_id"' in first and b'"sample_id"' in first and b'"schema_version"' in first


def choose(files: list[Path], asked: Asked) -> list[Path]:
    return files


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """The score of each record. One with an error has a number there only because the schema wants one: missing."""
    for line, record in records(path):
        evaluation, given = record.get("evaluation"), record.get("input")
        if not isinstance(evaluation, dict) or record.get("sample_id") is None:
            raise bad(path, line, "no sample_id and evaluation.score: this is no instance record of Every Eval Ever")
        try:
            score = None if record.get("error") else number(evaluation.get("score"))
        except ValueError:
            raise bad(path, line, f"evaluation.score is {evaluation['score']!r}: write a number") from None
        text = record.get("sample_hash") or ""
        if not text and isinstance(given, dict):
            text = fingerprint([given.get("raw"), given.get("reference")])
        yield LogRow(
            str(record.get("evaluation_name") or "task"), str(record["sample_id"]), {"score": score}, text,
            cluster=asked.cluster_of(record.get("metadata"), record), model=str(record.get("model_id") or ""),
        )  # fmt: skip
