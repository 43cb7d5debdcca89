"""JSON whose numbers stay as they were written, where a machine's number would be another one: 2^100, -0, 1e400."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import orjson

# Digits as 0, E as e, without signs: what may be lost is then looked for at the speed of memory.
FOLDED = bytes(0x30 if 0x30 <= c <= 0x39 else 0x65 if c == 0x45 else c for c in range(256))
LONG, WIDE = b"0" * 19, b"e000"
MINUS = re.compile(rb"-0(?:[\s,\]}]|\Z)")
# -0; 19 digits; an exponent of three digits.
LOST = re.compile(
    rb"(?:[\[:,\s]|\A)(?:-0(?:[\s,\]}]|\Z)|-?(?:[0-9]{19}|[0-9]+\.[0-9]{19}|[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{3}))"
)


class Written(float):
    """A number that remembers how it was written: 0.10. It equals numbers of exactly its value."""

    text: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, float)):
            return NotImplemented
        said = getattr(other, "text", None) or repr(other)
        try:
            return said == self.text or Decimal(said) == Decimal(self.text)
        except ArithmeticError:  # an exponent without end
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = float.__hash__


def written(text: str) -> float:
    """For json.loads(parse_float=…): the number, which remembers its text where its own is another one."""
    number = float(text)
    return number if repr(number) == text else _told(text, number)


def whole(text: str) -> float | int:
    """For json.loads(parse_int=…): whole numbers of more than 64 bits, and -0, remember their text."""
    if text == "-0" or len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        return _told(text, float(text))
    return int(text)


def _told(text: str, number: float) -> Written:
    out = Written(number)
    out.text = text
    return out


def holds_float(value: Any) -> bool:
    """Whether any number in JSON is no whole one: `spelled` would know how it was written."""
    if isinstance(value, dict):
        return any(map(holds_float, value.values()))
    return type(value) is float or (isinstance(value, list) and any(map(holds_float, value)))


def spelled(raw: bytes | str) -> Any:
    """JSON whose numbers remember how they were written; NaN is let pass."""
    return json.loads(raw, parse_float=written, parse_int=whole, parse_constant=lambda word: math.nan)


def may_lose(data: bytes) -> bool:
    """Whether JSON text, or text that holds it, may hold a number that a machine's does not hold: a quick look."""
    folded = data.translate(FOLDED, b"+-")
    return LONG in folded or WIDE in folded or MINUS.search(data) is not None


def loads(raw: bytes | str) -> Any:
    """JSON, numbers that a machine's do not hold as Written. Raises ValueError (RecursionError where it is deep)."""
    data = raw.encode() if isinstance(raw, str) else raw
    if not may_lose(data) or not LOST.search(data):
        return orjson.loads(data)
    try:
        orjson.loads(data)  # Python reads more than JSON
    except orjson.JSONDecodeError as e:
        if "infinity" not in str(e):
            raise
    found = spelled(data)
    try:
        dumps(found)
    except TypeError as e:  # a lone surrogate
        raise ValueError(str(e)) from e
    return found


def dumps(value: Any, option: int = 0) -> bytes:
    """JSON of plain data; what it cannot hold, as text. Raises TypeError."""
    return orjson.dumps(value, default=unjson, option=option)


def unjson(value: Any) -> Any:
    """What JSON cannot hold, for orjson's `default`: a number that a machine's would change as it was written, anything
    else as text."""
    if not isinstance(value, float):
        return str(value)
    held = float(value)
    if isinstance(value, Written) and (value.text.lstrip("-").isdigit() or value != held):
        return orjson.Fragment(value.text)
    return held
