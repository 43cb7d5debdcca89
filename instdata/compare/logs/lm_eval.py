"""lm-evaluation-harness: `samples_<task>_<time>.jsonl` as `--log_samples` writes them, a record for each document and
filter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instdata.compare.logs.log_rows import Asked, LogRow, bad, fingerprint, head, newest, number, records

NAME = "lm-eval"
FILE = re.compile(r"samples_(.+?)(?:_(\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl(?:\.gz|\.zst)?")
# What is no score. Newer logs list their metrics under "metrics"; of older ones every other number is one.
NO_METRIC = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
    "target_hash")
)  # fmt: skip


def claims(path: Path) -> bool:
    return ".jsonl" in path.suffixes and (FILE.fullmatch(path.name) is not None or b'"filtered_resps"' in head(path))


def choose(files: list[Path], asked: Asked) -> list[Path]:
    """The newest samples of each task and model (a folder each)."""

    def about(path: Path) -> tuple[tuple[str, ...], str]:
        named = FILE.fullmatch(path.name)
        return (str(path.parent), _task(path)), (named[2] if named else None) or ""

    return newest(files, about, asked)


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """A metric is called as lm-eval calls it: its name, and ",filter" where the filter is not "none"."""
    task, model = _task(path), path.parent.name
    for line, sample in records(path):
        doc = sample.get("doc")
        if sample.get("doc_id") is None and doc is None:
            raise bad(path, line, "no doc_id: this is no sample of lm-eval; write the logs with --log_samples")
        text = sample.get("doc_hash") or (fingerprint(doc) if doc is not None else "")
        item = str(sample["doc_id"]) if sample.get("doc_id") is not None else text
        yield LogRow(task, item, metrics_of(sample), text, cluster=asked.cluster_of(doc, sample), model=model)


def metrics_of(sample: dict[str, Any]) -> dict[str, float | None]:
    """The numbers among a sample's metrics; what is only meaningful over all samples (a pair for F1, say) is none."""
    listed = sample.get("metrics")
    names = listed if isinstance(listed, list) else [k for k in sample if k not in NO_METRIC]
    kind = sample.get("filter") or "none"
    found = {}
    for name in names:
        try:
            found[name if kind == "none" else f"{name},{kind}"] = number(sample.get(name))
        except ValueError:
            continue
    return found


def _task(path: Path) -> str:
    named = FILE.fullmatch(path.name)
    return named[1] if named else path.name.partition(".")[0]
