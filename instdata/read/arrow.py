"""Cells of Arrow columns as Python values, their meaning kept: JSON columns are decoded, classes know their names."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


class Label(int):
    """A class of the Hub's ClassLabel columns: a number that stands for a name."""

    text: str


class Written(float):
    """A number that remembers how it was written: 0.10."""

    text: str


def written(text: str) -> Written:
    """For json.loads(parse_float=…)."""
    number = Written(text)
    number.text = text
    return number


def spelled(raw: bytes) -> Any:
    """JSON whose numbers with a point remember how they were written."""
    return json.loads(raw, parse_float=written)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> the names of its classes, from what datasets writes beside a schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {n: f["names"] for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError):
        return {}


def meaning(values: list[Any], kind: pa.DataType, names: list[str] | None) -> list[Any]:
    """A column's values (to_pylist) as they were meant: JSON (datasets' Json columns, arrow.json) decoded, classes named."""
    if getattr(kind, "extension_name", "") == "arrow.json":
        return [v if v is None else _decoded(v) for v in values]
    if names:
        return [_label(v, names) if isinstance(v, int) else v for v in values]
    return values


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text, parse_float=written)
    except (TypeError, ValueError, RecursionError):
        return text


def _label(number: int, names: list[str]) -> int:
    if not 0 <= number < len(names):
        return number
    label = Label(number)
    label.text = names[number]
    return label
