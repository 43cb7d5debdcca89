"""Anybody's evaluation logs, read to one plain shape: lm-eval's samples, inspect's logs, OpenCompass' details, our own
scores.parquet, or a table with an id and a score."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instdata.corpus.corpus import read_parquet
from instdata.util.errors import InputError

LARGEST = 1 << 30  # bytes of a log, unpacked: beyond it this is no log
IDS = ("id", "item", "sample_id", "doc_hash", "doc_id", "question_id", "instance_id", "idx", "index")
SCORES = ("score", "value", "correct", "is_correct", "acc", "accuracy", "exact_match", "em", "f1", "pass")
TASKS = ("task", "ability", "dataset", "subset", "benchmark", "suite")
WORDS = {
    "C": 1.0,
    "I": 0.0,
    "P": 0.5,
    "N": 0.0,
    "true": 1.0,
    "false": 0.0,
    "pass": 1.0,
    "fail": 0.0,
}  # inspect's letters first
SAMPLES = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*\.jsonl$")


@dataclass(frozen=True)
class ItemScore:
    """One score: of which task, item and metric; `cluster`: what the item shares with others (a passage, a document);
    `run`: an epoch or seed. `value` is None where the log has no usable score."""

    task: str
    item: str
    metric: str
    value: float | None
    cluster: str | None = None
    run: int = 0


def read_log(path: Path, cluster: str | None = None) -> list[ItemScore]:
    """All scores of a file, or of a folder's logs. Raises InputError naming file and line."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.suffix in (".jsonl", ".json", ".eval", ".parquet", ".csv"))
        samples = [p for p in inside if SAMPLES.search(p.name)]
        files = (
            samples
            or [p for p in inside if p.name == "scores.parquet"]
            or [p for p in inside if p.suffix == ".eval"]
            or inside
        )
    else:
        files = [path]
    found = [score for file in files for score in _read(file, cluster)]
    if not found:
        raise InputError(f"{path}: holds no scores; known are lm-eval's samples_*.jsonl, inspect's .eval or .json, OpenCompass' "
                         "details, scores.parquet, and tables with an id and a score")  # fmt: skip
    return found


def _read(path: Path, cluster: str | None) -> Iterator[ItemScore]:
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes; a log of more than {LARGEST:,} is not read")
    if path.suffix == ".parquet":
        yield from _table(read_parquet(path).to_pylist(), path, cluster)
    elif path.suffix == ".eval":
        yield from _inspect_archive(path, cluster)
    elif path.suffix == ".csv":
        yield from _table(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))), path, cluster)
    elif path.suffix == ".jsonl":
        yield from _table(_lines(path), path, cluster)
    else:
        yield from _json(path, cluster)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except ValueError as e:
                    raise InputError([(str(path), number, f"not JSON: {e}")]) from e
                if not isinstance(record, dict):
                    raise InputError([(str(path), number, "a line of a log is an object with an id and a score")])
                yield record


def _json(path: Path, cluster: str | None) -> Iterator[ItemScore]:
    try:
        log = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise InputError(f"{path}: not JSON: {e}") from e
    if isinstance(log, dict) and isinstance(log.get("samples"), list) and isinstance(log.get("eval"), dict):
        for sample in log["samples"]:
            yield from _inspect(sample, str(log["eval"].get("task", path.stem)), cluster)
    elif isinstance(log, dict) and isinstance(log.get("details"), (dict, list)):  # OpenCompass
        details = log["details"]
        records = (
            [{"id": k, **v} for k, v in details.items() if isinstance(v, dict)]
            if isinstance(details, dict)
            else details
        )
        yield from _table(records, path, cluster)
    elif isinstance(log, list):
        yield from _table(log, path, cluster)


def _inspect_archive(path: Path, cluster: str | None) -> Iterator[ItemScore]:
    """inspect's .eval: a zip of JSON, header.json and samples/*.json."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(i.file_size for i in archive.infolist()) > LARGEST:
                raise InputError(f"{path}: unpacks to more than {LARGEST:,} bytes")
            header = json.loads(archive.read("header.json")) if "header.json" in archive.namelist() else {}
            task = str(header.get("eval", {}).get("task", path.stem))
            for name in sorted(n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json")):
                yield from _inspect(json.loads(archive.read(name)), task, cluster)
    except (zipfile.BadZipFile, ValueError) as e:
        raise InputError(f"{path}: not an inspect log: {e}") from e


def _inspect(sample: Mapping[str, Any], task: str, cluster: str | None) -> Iterator[ItemScore]:
    group = (sample.get("metadata") or {}).get(cluster) if cluster else None
    for metric, score in (sample.get("scores") or {}).items():
        value = _number(score.get("value") if isinstance(score, dict) else score)
        yield ItemScore(
            task,
            str(sample.get("id")),
            metric,
            value,
            None if group is None else str(group),
            int(sample.get("epoch", 1)),
        )


def _table(records: Iterable[Mapping[str, Any]], path: Path, cluster: str | None) -> Iterator[ItemScore]:
    """Records with an id and scores: lm-eval's, ours, or a table of somebody's."""
    named = SAMPLES.search(path.name)
    for number, record in enumerate(records, 1):
        own = record["evaluation"] if isinstance(record.get("evaluation"), dict) else {}
        task = named["task"] if named else next((str(record[k]) for k in TASKS if record.get(k)), "all")
        key = next((record[k] for k in IDS if record.get(k) is not None), None)
        if key is None:
            raise InputError(
                [
                    (
                        str(path),
                        number,
                        f"no id: one of {', '.join(IDS)} names the item. It has {', '.join(map(str, list(record)[:8]))}",
                    )
                ]
            )
        group = (
            record.get(cluster, (record.get("doc") or {}).get(cluster) if isinstance(record.get("doc"), dict) else None)
            if cluster
            else None
        )
        item = str(key) + (f"/{record['filter']}" if record.get("filter") not in (None, "none") else "")
        run = record.get("seed") or record.get("epoch") or 0
        for metric, value in _metrics(record | own, path, number):
            yield ItemScore(task, item, metric, value, None if group is None else str(group), int(run))


def _metrics(record: Mapping[str, Any], path: Path, number: int) -> Iterator[tuple[str, float | None]]:
    """(metric, value) of a record: those that it lists, the one that it names, else those of known names."""
    if isinstance(record.get("metrics"), list):
        yield from ((m, _number(record.get(m))) for m in record["metrics"])
    elif isinstance(record.get("metric"), str) and "value" in record:
        yield record["metric"], _number(record["value"])
    else:
        found = [k for k in SCORES if k in record]
        if not found:
            raise InputError(
                [
                    (
                        str(path),
                        number,
                        f"no score: one of {', '.join(SCORES)}, or --metric. It has {', '.join(map(str, list(record)[:8]))}",
                    )
                ]
            )
        yield from ((k, _number(record[k])) for k in found)


def _number(value: Any) -> float | None:
    """A score as a number; None for what is none (NaN too)."""
    if isinstance(value, str):
        value = WORDS.get(value, WORDS.get(value.strip().lower(), value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number and abs(number) != float("inf") else None
