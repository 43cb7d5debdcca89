"""Column names as they are compared, and records under them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from instdata.read.field_text import BadRow


class Record(dict):
    """A record under normalised keys; `original` is the record as it came in."""

    original: Any


@lru_cache(maxsize=4096)
def normalise_key(key: str) -> str:
    """One spelling for a column name: NFKC (so no-break spaces are spaces), trimmed, case-folded, no BOM."""
    return unicodedata.normalize("NFKC", key.lstrip("\ufeff")).strip().casefold()


def normalise_keys(record: dict[str, Any]) -> Record:
    """The record under normalised keys. Raises BadRow where two keys become one."""
    if isinstance(record, Record):
        return record
    out = Record({normalise_key(k): v for k, v in record.items()})
    if len(out) < len(record):
        raise BadRow("two keys differ only in case or spacing")
    out.original = getattr(record, "original", record)
    return out
