"""A recipe beyond its file: resolved, as it is kept in the build and shown, and as it is hashed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from instdata.recipe.model import Recipe
from instdata.util.atomic import digest


def published(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as it is kept and shown: where a path is absolute, only its last part, since the rest belongs
    to this machine. Text that is no path is kept as it is."""
    plain = recipe.plain()
    plain["steps"] = [_at_paths(data, step.paths, _portable) for data, step in zip(plain["steps"], recipe.steps)]
    plain["sources"] = [_at_paths(data, {"path"}, _portable) for data in plain["sources"]]
    return _at_paths(plain, {"taxonomy"}, _portable) if isinstance(plain.get("taxonomy"), str) else plain


def _at_paths(data: dict[str, Any], names: Collection[str], change: Callable[[str], str]) -> dict[str, Any]:
    """Plain data with each text under one of the names, at any depth, changed."""

    def walk(value: Any, inside: bool) -> Any:
        if isinstance(value, dict):
            return {k: walk(v, k in names) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, inside) for v in value]
        return change(value) if inside and isinstance(value, str) else value

    return walk(data, False)


def _portable(text: str) -> str:
    rooted = len(text) > 1 and "\n" not in text and (Path(text).is_absolute() or text.startswith("~"))
    return Path(text).name if rooted else text


def _digest_of(text: str, base: Path) -> str:
    """The digest of the file that a text is the path of; other text as it is. (A bare word is a path only with a
    suffix: a file that happens to be called "auto" is nobody's option.)"""
    looks = 0 < len(text) < 1024 and "\0" not in text and "\n" not in text and ("/" in text or "." in text)
    return digest(base / text) if looks and (base / text).is_file() else text


def digested(steps: list[dict[str, Any]], recipe: Recipe, base: Path) -> list[dict[str, Any]]:
    """The recipe's steps as plain data, with the digests of files in place of their paths."""
    return [_at_paths(data, step.paths, lambda text: _digest_of(text, base)) for data, step in zip(steps, recipe.steps)]
