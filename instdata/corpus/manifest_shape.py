"""The shape of a manifest.json, which may be damaged or by another hand: checked before anything is read from it."""

from __future__ import annotations

from typing import Any

SCHEMA_VERSION = 1  # of the manifest that this version writes; a later one means something else
# A type, [of each item], {key: where it is there}, {"*": of each value}.
SHAPE: dict[str, Any] = {
    "schema_version": int, "name": str, "recipe_sha256": str, "seed": int, "versions": {"*": str},
    "sources": [{"name": str, "files": [{"file": str, "sha256": str}], "hub": str}],
    "steps": [{"name": str, "kind": str, "in": int, "added": int, "kept": int, "dropped": int, "quarantined": int,
        "reasons": {"*": int}}],
    "configs": {"*": {"rows": int, "files": [str], "sha256": str, "by_ability": {"*": int}}},
    "totals": {"*": int}, "fields": {"*": int}, "published": {"files": {"*": str}},
}  # fmt: skip
WORDS = {str: "text", int: "a whole number", dict: "a mapping", list: "a list"}


def misfit(value: Any, shape: Any = SHAPE, at: str = "") -> str | None:
    """Where a value is not of a shape, in words; None where it is."""
    kind = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind) or isinstance(value, bool):
        return f"{at or 'it'} is no {WORDS[kind].removeprefix('a ')}"
    items: Any = value
    inner: list[tuple[Any, Any, Any]] = []
    if isinstance(shape, list):
        inner = [(i, item, shape[0]) for i, item in enumerate(items)]
    elif isinstance(shape, dict):
        inner = [(k, v, shape.get(k, shape.get("*"))) for k, v in items.items()]
    found = (misfit(v, of, f"{at}.{k}" if at else str(k)) for k, v, of in inner if of is not None)
    return next((told for told in found if told is not None), None)
