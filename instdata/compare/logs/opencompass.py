"""OpenCompass: `results/<model>/<dataset>.json` with details, and predictions that are choices by perplexity.

Predictions of generation are not scored (the dataset's own evaluator does that), so they are refused with the
remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from instdata.compare.logs.log_rows import Asked, LogRow, bad, document, fingerprint, head, number

NAME = "OpenCompass"
SCORES = ("correct", "is_correct", "score")
REMEDY = "evaluate with --dump-eval-details and give the results folder"
NUMBERED = re.compile(rb'\s*\{\s*"0"\s*:\s*\{')


def claims(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    start = head(path)
    placed = path.parent.parent.name in ("results", "predictions") and start.lstrip().startswith(b"{")
    return placed or bool(NUMBERED.match(start)) or re.search(rb'"details"\s*:\s*[\[{]', start) is not None


def choose(files: list[Path], asked: Asked) -> list[Path]:
    """Results where there are any, else predictions: a run's folder has both."""
    return [f for f in files if f.parent.parent.name == "results"] or files


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """An item's id is its place in the dataset."""
    log = document(path)
    details = log.get("details", log if "0" in log else None)
    if details is None:
        raise bad(path, None, f"only totals are in it: {REMEDY}")
    listed = enumerate(details) if isinstance(details, list) else details.items()
    found = 0
    for index, detail in listed:
        if not str(index).isdigit():  # "type": "GEN"
            continue
        if not isinstance(detail, dict):
            raise bad(path, None, f"entry {index} is no object: {REMEDY}")
        name, value = _score(detail, path, str(index))
        right = next((detail[k] for k in ("references", "answer", "gold") if k in detail), None)
        text = "" if right is None else fingerprint(str(right))
        found += 1
        yield LogRow(
            path.stem, str(index), {name: value}, text, cluster=asked.cluster_of(detail), model=path.parent.name
        )
    if not found:
        raise bad(path, None, f"no item is in it: {REMEDY}")


def _score(detail: dict[str, Any], path: Path, index: str) -> tuple[str, float | None]:
    for name in SCORES:
        if name in detail:
            value = detail[name]
            try:
                several = [number(v) for v in value] if isinstance(value, list) else [number(value)]
            except ValueError:
                raise bad(path, None, f"entry {index}: {name} is {value!r}, no number") from None
            known = [v for v in several if v is not None]
            return name, float(np.mean(known)) if known else None
    if any(k.startswith("label: ") for k in detail) and {"prediction", "gold"} <= set(detail):
        return "correct", float(str(detail["prediction"]) == str(detail["gold"]))
    raise bad(path, None, f"entry {index} has no score (none of {', '.join(SCORES)}): {REMEDY}")
