"""How a source wrote a record: with the row and its meta it gives the record back, and holds no text twice.

A form is the record with references in place of what the row has already: `{"=": {"instruction": {"$": [0]}, "input":
"", "output": {"$": [1]}}}`. In `{"$": […]}` a number is a text of the row (its turns' contents, reasoning and calls'
arguments in their order, then its columns), `[n, start, end]` a part of one, and text stands for itself, joined one
after the other; `{"$": "column"}` is that column of `meta`. A record that cannot be said so is kept whole: `{"raw":
…}`. `notes` come first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from instdata.corpus.rows import OPTIONAL
from instdata.read.column_names import normalise_key
from instdata.read.json_numbers import dumps, loads


class _Ambiguous(Exception):
    """A record that uses the key of references itself."""


PART = 24  # characters from which on a text is looked for inside others
CHANGED = ("ability",)  # keys of meta that reading writes itself


def texts_of(messages: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> list[str]:
    """Every text of a row, in a fixed order."""
    out = []
    for turn in messages:
        out += [turn["content"], turn.get("reasoning_content")]
        out += [call["function"]["arguments"] for call in turn.get("tool_calls") or ()]
    for name in OPTIONAL.names if columns else ():
        value = columns.get(name)
        if isinstance(value, str):
            out.append(value)
        elif isinstance(value, list):
            out += [turn["content"] for turn in value]
    return [text for text in out if text]


def written(
    record: Mapping[str, Any] | list[Any], texts: list[str], meta: Collection[str], notes: Collection[str] = ()
) -> str:
    """The form of a record: `texts` are the row's, `meta` the columns that its meta holds."""
    places = {text: n for n, text in reversed(list(enumerate(texts)))}
    long = [(n, text) for n, text in enumerate(texts) if len(text) >= PART]

    def leaf(text: str) -> Any:
        if text in places and text:
            return {"$": [places[text]]}
        if len(text) < PART:
            return text
        for n, whole in long:
            at = whole.find(text) if len(whole) > len(text) else -1
            if at >= 0:
                return {"$": [[n, at, at + len(text)]]}
        return _composed(text, long)

    def skeleton(value: Any) -> Any:
        if isinstance(value, str):
            return leaf(value)
        if isinstance(value, Mapping):
            if "$" in value:
                raise _Ambiguous
            return {k: skeleton(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [skeleton(v) for v in value]
        return value

    form: dict[str, Any] = {"notes": sorted(notes)} if notes else {}
    try:
        if not isinstance(record, Mapping):  # C3's: [dialogue, questions, id]
            return dumps({**form, "=": skeleton(record)}).decode()
        found = {}
        for key, value in record.items():
            name = normalise_key(key)
            found[key] = {"$": name} if name in meta and name not in CHANGED else skeleton(value)
        if "$" in record:
            raise _Ambiguous
    except _Ambiguous:
        return dumps({**form, "raw": record}).decode()
    return dumps({**form, "=": found}).decode()


def record_of(form: str, messages: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], meta: str | None) -> Any:
    """The record that a form, the row and its meta stand for."""
    found = loads(form)
    if "raw" in found:
        return found["raw"]
    texts, rest = texts_of(messages, columns), None

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(v) for v in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and "$" in value:
            parts = value["$"]
            if not isinstance(parts, str):
                return part(parts[0]) if len(parts) == 1 else "".join(map(part, parts))
            nonlocal rest
            rest = loads(meta or "{}") if rest is None else rest
            return rest[parts]
        return {k: filled(v) for k, v in value.items()}

    def part(value: Any) -> str:
        if isinstance(value, str):
            return value
        return texts[value] if isinstance(value, int) else texts[value[0]][value[1] : value[2]]

    return filled(found["="])


def plain(record: Any) -> Any:
    """A record as JSON holds it: what it cannot hold, as text."""
    return loads(dumps(record))


def _composed(text: str, long: list[tuple[int, str]]) -> Any:
    """A text out of the row's, with what stands between them; the text itself where it holds none of them."""
    parts: list[Any] = []
    at = 0
    for n, inner in long:
        found = text.find(inner, at)
        if found >= 0:
            parts += [text[at:found], n] if found > at else [n]
            at = found + len(inner)
    return {"$": [*parts, text[at:]] if at < len(text) else parts} if parts else text
