"""Records out of JSON text: many in one call of the parser, those that are not plain JSON one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import orjson

from instdata.read.bytes_to_records import Bad
from instdata.read.encoding import advice
from instdata.read.json_numbers import dumps, loads, may_lose, spelled
from instdata.read.question_sets import listed

TOGETHER, FEW = 512, 8  # records that are parsed in one call: where they cannot be, halves of them, down to a few
# What stands between records that are parsed together: a number that has one spelling and that no float equals.
JOINT = 918273645546372819
JOINT_TEXT = b",%d," % JOINT
QUOTE, ESCAPE = ord('"'), ord("\\")
SCALAR = frozenset([str, int, float, bool, type(None)])
NO_NUMBER = frozenset([str, bool, type(None), dict, list])
NOT_JSON = re.compile(rb"\b(?:NaN|Infinity)\b")


class Almost(dict):
    """A record that JSON does not quite allow."""


def parse_lines(texts: list[bytes]) -> Iterator[dict[str, Any] | Bad | None]:
    """parse_json of each text, at a fraction of its cost."""
    for start in range(0, len(texts), TOGETHER):
        yield from _parse(texts[start : start + TOGETHER])


def _parse(texts: list[bytes]) -> list[dict[str, Any] | Bad | None]:
    if len(texts) <= FEW:
        return list(map(parse_json, texts))
    found = parse_together(texts)
    half = len(texts) // 2
    return [*_parse(texts[:half]), *_parse(texts[half:])] if found is None else found


def parse_together(texts: list[bytes]) -> list[dict[str, Any] | Bad | None] | None:
    """The records of texts, parsed as one array; None where any is no JSON by itself, or a key may stand in it twice.

    Texts that are broken could be whole together ('{"a":[1', '2]}'). Then a joint between them is no element of the
    array: as many joints at the odd places as were written, and no others, mean that each text is one value."""
    text = JOINT_TEXT.join(texts)
    if text.count(b"%d" % JOINT) != len(texts) - 1:
        return None
    try:
        held = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError:
        return None
    found = held[::2]
    if len(held) != 2 * len(texts) - 1 or held[1::2].count(JOINT) != len(texts) - 1:
        return None
    quotes, numbers = _quotes_and_numbers(found)
    if quotes != _quotes(text):
        return None
    odd = {i for i, record in enumerate(found) if type(record) is not dict}
    if numbers and may_lose(text):
        odd.update(i for i, one in enumerate(texts) if may_lose(one))
    for i in odd:
        found[i] = parse_json(texts[i])
    return found


def parse_json(raw: bytes) -> dict[str, Any] | Bad | None:
    """The record that a JSON text holds, why it cannot be read, or None where it is blank."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        return None
    try:
        record = loads(raw)
    except (orjson.JSONDecodeError, ValueError, RecursionError) as e:
        record = _almost_json(raw, str(e))
    if isinstance(record, Bad):
        return record
    if not isinstance(record, dict):
        return listed(record) or Bad(f"expected a JSON object, got {type(record).__name__}")
    if _quotes_and_numbers([record])[0] != _quotes(raw) and _has_duplicate_key(raw):
        return Bad("a key stands in the record twice")
    return record


def _quotes_and_numbers(values: list[Any]) -> tuple[int, bool]:
    """(the quotes that the texts and keys of values have in JSON, whether any of them is a number), at any depth."""
    quoted, numbers = 0, False
    level = values
    while level:
        kinds = list(map(type, level))
        quoted += kinds.count(str)
        numbers = numbers or not NO_NUMBER.issuperset(kinds)
        objects = [v for v in level if isinstance(v, dict)] if not SCALAR.issuperset(kinds) else []
        quoted += sum(map(len, objects))
        lists = [v for v in level if type(v) is list] if list in kinds else []
        level = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    return 2 * quoted, numbers


def _quotes(text: bytes) -> int:
    """The quotes of JSON text that are not escaped. A key that stands in an object twice makes them more than what was
    parsed has: the parser keeps the last."""
    data = np.frombuffer(text, np.uint8)
    quotes, escapes = data == QUOTE, data == ESCAPE
    escaped = quotes[1:] & escapes[:-1]
    if not (escaped[1:] & escapes[:-2]).any():
        return int(np.count_nonzero(quotes)) - int(np.count_nonzero(escaped))
    text = text.replace(b"\\\\", b"")  # a backslash, and then perhaps a quote that it does not escape
    return text.count(b'"') - text.count(b'\\"')


def _almost_json(raw: bytes, why: str) -> Any:
    """What a line holds that JSON does not quite allow: a comma behind it, NaN and infinities (all of them NaN, which
    counts as none and is noted). Bad where it is something else."""
    text = raw.strip()
    if text.endswith(b","):
        try:
            return loads(text[:-1])
        except (orjson.JSONDecodeError, ValueError, RecursionError):
            text = text[:-1]
    try:
        text.decode()
    except UnicodeDecodeError:
        return Bad(advice(raw))
    if not NOT_JSON.search(text):
        return Bad(f"invalid JSON: {why}")
    try:
        record = spelled(text)
        dumps(record)  # what Python reads beyond JSON (a lone surrogate, a number without end) stays out
    except (ValueError, RecursionError, TypeError):
        return Bad(f"invalid JSON: {why}")
    return Almost(record) if isinstance(record, dict) else record


def _has_duplicate_key(raw: bytes) -> bool:
    double = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal double
        out = dict(items)
        double = double or len(out) < len(items)
        return out

    try:
        json.loads(raw.strip().removesuffix(b","), object_pairs_hook=pairs)
    except RecursionError:  # deeper than Python reads; orjson read it, so it is valid
        return False
    return double
