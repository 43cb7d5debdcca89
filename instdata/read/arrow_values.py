"""Cells of Arrow columns as Python values, their meaning kept: JSON columns are decoded, classes know their names."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from instdata.read.json_numbers import spelled


class Label(int):
    """A class of the Hub's ClassLabel columns: a number that stands for a name."""

    text: str


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> the names of its classes, from what datasets writes beside a schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {n: f["names"] for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError):
        return {}


def meaning(values: list[Any], kind: pa.DataType, names: list[str] | None) -> list[Any]:
    """A column's values (to_pylist) as they were meant: JSON (datasets' Json columns, arrow.json), at any depth,
    decoded; classes named."""
    if names:
        return [_label(v, names) if isinstance(v, int) else v for v in values]
    return [_meant(v, kind) for v in values] if _holds_json(kind) else values


def _is_json(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.json"


def _holds_json(kind: pa.DataType) -> bool:
    inner = range(kind.num_fields) if pa.types.is_nested(kind) else ()
    return _is_json(kind) or any(_holds_json(kind.field(i).type) for i in inner)


def _meant(value: Any, kind: pa.DataType) -> Any:
    if value is None or _is_json(kind):
        return value if value is None else _decoded(value)
    if isinstance(value, list):
        return [_meant(v, kind.value_type) for v in value] if not pa.types.is_map(kind) else value
    if isinstance(value, dict):
        return {k: _meant(v, kind.field(k).type) for k, v in value.items()}
    return value


def _decoded(text: Any) -> Any:
    try:
        return spelled(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _label(number: int, names: list[str]) -> int:
    if not -1 <= number < len(names):
        return number
    label = Label(number)
    label.text = names[number] if number >= 0 else ""  # -1: datasets' word for "no label"
    return label
