"""Calls of tools in any of their spellings, in OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instdata.read.field_text import json_text
from instdata.read.json_numbers import dumps

ARGUMENTS = ("arguments", "parameters", "input", "args")
IDS = ("id", "call_id", "tool_call_id", "toolUseId")


def call(name: str, arguments: Any, id: Any = None) -> dict[str, Any]:
    """One call; its arguments as JSON text."""
    text = arguments if isinstance(arguments, str) else dumps(arguments or {}).decode()
    function = {"name": name, "arguments": text}
    return {"id": None if id is None else str(id), "type": "function", "function": function}


def calls(value: Any) -> list[dict[str, Any]] | None:
    """Calls of one or several; None where it is something else."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, Mapping):
            return None
        inner = next((item[k] for k in ("function", "custom") if isinstance(item.get(k), Mapping)), item)
        name = inner.get("name")
        if not isinstance(name, str):
            return None
        id = next((item[k] for k in IDS if item.get(k) is not None), None)
        found.append(call(name, next((inner[k] for k in ARGUMENTS if k in inner), None), id))
    return found or None


def calls_of(text: str | None) -> list[dict[str, Any]] | None:
    """The tool calls that a JSON text holds (xLAM's answers, ShareGPT's function_call); None where it holds something
    else."""
    found = json_text(text or "")
    return None if isinstance(found, str) else calls(found)
