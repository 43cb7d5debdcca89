"""Values as recipes write them: 200k, 0.2M, 10 %."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

WORD = re.compile(r"^\w[\w.\-]*\Z")  # names of recipes, sources and steps
UNITS = {"k": 1_000, "K": 1_000, "m": 1_000_000, "M": 1_000_000}


def bytes_of(text: str) -> int:
    """20GB, 500MB, 1.5G or plain bytes, in units of a thousand. Raises ValueError with the accepted forms."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])b?|b)?\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError(f'"{text}" is not an amount of bytes: write 20GB, 500MB or 0')
    return int(float(found[1]) * 1000 ** " kmgt".index((found[2] or " ").lower()))


@dataclass(frozen=True)
class Size:
    """One size of a ladder: a number of rows or a share of the pool, and the name of its config."""

    name: str
    rows: int | None = None
    share: float | None = None

    def of(self, pool: int) -> int:
        """The number of rows, given the pool's: a share is rounded to the nearest row, at least one."""
        return self.rows if self.rows is not None else max(1, int(pool * (self.share or 0) + 0.5))


def parse_size(value: Any) -> Size:
    """600, "600", "600k", "0.2M", "10%". Raises ValueError with the accepted forms."""
    text = str(value).strip()
    bad = ValueError(f'"{value}" is not a size: write 600, 200k, 0.2M or 10%')
    unit = UNITS.get(text[-1:], 1)
    digits = text[:-1] if unit > 1 or text.endswith("%") else text
    try:
        number = Decimal(digits.replace("_", ""))
    except InvalidOperation:
        raise bad from None
    if isinstance(value, bool) or not number.is_finite() or not 0 < number < 10**12:
        raise bad
    if text.endswith("%"):
        if number > 100:
            raise ValueError(f'"{value}": a share of the pool is at most 100%')
        return Size(f"{digits}pct", share=float(number / 100))
    rows = number * unit
    if rows != int(rows):
        raise bad
    return Size(text, rows=int(rows))


def count(value: Any) -> Any:
    """200, "200k", "2M" -> a number of rows; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    size = parse_size(value)
    if size.rows is None:
        raise ValueError(f'"{value}" is a share: a number of rows is needed, such as 200k')
    return size.rows


def share(value: Any) -> Any:
    """`1%` or `0.01` -> 0.01. Raises ValueError outside 0..1."""
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip()
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f'"{value}" is not a share: write 0.01 or 1%') from None
    if not 0 <= number <= 1:
        raise ValueError(f"{value} is not a share: write 0.01 or 1%")
    return number


Count = Annotated[
    int, BeforeValidator(count), WithJsonSchema({"type": ["integer", "string"], "pattern": "^[0-9.]+[kKmM]?$"})
]
Share = Annotated[
    float, BeforeValidator(share), WithJsonSchema({"type": ["number", "string"], "pattern": "^[0-9.]+%?$"})
]


class Strict(BaseModel):
    """Plain data read from a file: unknown keys are errors, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)
