"""Single values of a record: what they are, and the text that they stand for."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from instdata.read.json_numbers import holds_float, loads, spelled


class BadRow(ValueError):
    """Why one record cannot be read. It costs that record only."""


def said_of(error: Exception) -> str:
    """Why a record cannot be read: what a BadRow says, else which error it met."""
    return str(error) if isinstance(error, BadRow) else f"{type(error).__name__}: {error}"


def json_text(text: str) -> Any:
    """What a column of JSON text holds, numbers as written; the text itself where it is no JSON list or object."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            found = loads(text)
            return spelled(text) if holds_float(found) else found
        except (ValueError, RecursionError):
            return text
    return text


def is_nan(value: Any) -> bool:
    """Whether a value is NaN: what tables write for nothing."""
    return isinstance(value, float) and math.isnan(value)


def kind(value: Any) -> str:
    """What a value is, in words."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}
    return "missing" if value is None else names.get(type(value), f"a {type(value).__name__}")


def as_text(value: Any, where: str) -> str:
    """Text as it was written: numbers and booleans too. Raises BadRow for a list or an object."""
    if isinstance(value, str):
        return value
    if value is None or is_nan(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        said = getattr(value, "text", None)  # json_numbers.py and arrow_values.py know how it was written
        return str(value) if said is None else said
    if isinstance(value, Decimal):
        return str(value)
    raise BadRow(f"{where} is {kind(value)}, expected text")
