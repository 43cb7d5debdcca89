"""The bounds that a build's scores were held against: how near a kept row came to being dropped."""

from __future__ import annotations

from typing import Any

from instdata.steps.base import step_class
from instdata.util.errors import InputError


def bounds_of(recipe: dict[str, Any]) -> dict[str, str]:
    """{<step>_<score>: its bound in words} of a resolved recipe; steps that are not installed here are left out."""
    found: dict[str, str] = {}
    for item in recipe.get("steps") or []:
        ((kind, options),) = item.items() if isinstance(item, dict) else [(item, {})]
        name = str(options.get("name") or kind) if isinstance(options, dict) else str(kind)
        try:
            step = step_class(kind).written(options, name)
        except (KeyError, ValueError, InputError):
            continue
        found |= {f"{name}_{score}": bound for score, bound in step.bounds.items()}
    return found
