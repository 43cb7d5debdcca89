"""Prompts: templates with $words, what is put into them, and how answers are read back.

A template is two parts parted by a line `---`: what the system says, which stays the same from request to request so
that servers reuse it, and what the user asks. Only `$words` are replaced; nothing in a row or a seed is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from instdata.util.errors import InputError
from instdata.util.paths import file_text

HERE = Path(__file__).parent / "prompts"
LANGUAGES = ("zh", "en")
LESS_OF_THE_SAME = {"frequency_penalty": 0.3}  # small models fall into loops


def template(method: str, language: str, own: str | None, base: Path) -> str:
    """The template's text: the user's file, else ours in that language (English where we have none).

    Raises InputError where the user's file cannot be read or has no `---`."""
    if own is None:
        return (HERE / f"{method}.{language if language in LANGUAGES else 'en'}.txt").read_text(encoding="utf-8")
    try:
        text = file_text(base / own)
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"prompt: {own} cannot be read: {e}") from e
    if "\n---\n" not in text:
        raise InputError(f"prompt: {own} needs a line --- between what the system says and what the user asks")
    return text


def render(text: str, values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The (role, content) messages of a template. Raises InputError for a $word that is not in `values`."""
    system, user = text.split("\n---\n", 1)
    try:
        return tuple(
            (role, Template(part).substitute(values).strip()) for role, part in (("system", system), ("user", user))
        )
    except (KeyError, ValueError) as e:
        raise InputError(
            f"prompt: {e} is not something a prompt can show; it knows {', '.join('$' + n for n in values)}"
        ) from e


@cache
def topics(language: str) -> tuple[str, ...]:
    """Subjects that keep a model from writing the same task again."""
    text = (HERE / f"topics.{language if language in LANGUAGES else 'en'}.txt").read_text(encoding="utf-8").strip()
    return tuple(text.split("|") if "|" in text else text.split())


@cache
def personas(language: str) -> tuple[str, ...]:
    """People who might ask (Ge et al. 2024, arXiv 2406.20094, in small)."""
    return tuple(
        (HERE / f"personas.{language if language in LANGUAGES else 'en'}.txt").read_text("utf-8").strip().split("|")
    )


@dataclass(frozen=True)
class TaskForm:
    """What a task of an ability holds and how it is answered, in words, and (task, answer) pairs of that form.
    `kinds`: what tasks of it that a small model gets right are about. `material`: it is about a passage or sentence,
    which has a field of its own: written "first", so that the question is about what stands there, or "after" the
    question."""

    told: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    material: str = ""
    kinds: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a task in an answer, in the order that they are written."""
        return {"first": ("input", "instruction", "response"), "after": ("instruction", "input", "response")}.get(
            self.material, ("instruction", "response")
        )


@cache
def forms(language: str) -> dict[str, TaskForm]:
    """The form of each ability of our taxonomies, by name; without examples where there are none in that language."""
    import yaml

    text = (HERE / "forms.yaml").read_text(encoding="utf-8")
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader, in C
    return {
        name: TaskForm(
            one.get(language, one["en"]),
            tuple((e["instruction"], e["response"]) for e in one.get("examples", {}).get(language, [])),
            one.get("material", ""),
            tuple(kinds.split("|")) if (kinds := one.get("kinds", {}).get(language)) else (),
        )
        for name, one in found.items()
    }


@cache
def families() -> list[dict[str, Any]]:
    """The chat templates that are known: family (of the model's name), prefix, stop."""
    import yaml

    text = (HERE / "templates.yaml").read_text(encoding="utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader, in C


def prefix_of(model: str, own: str | None) -> tuple[str, list[str]]:
    """(what stands before a user's words, what ends them) in the model's chat template. `own`: the user's prefix.

    Raises InputError for a model whose template is not known."""
    if own is not None:
        return own, re.findall(r"<[|｜]\w+[|｜]>|<\w+>", own)[-1:]
    for one in families():
        if re.search(one["family"], model, re.I):
            return one["prefix"], one["stop"]
    raise InputError(
        f"magpie: the chat template of {model} is not known here: give what it writes before a user's words as "
        "user_prefix"
    )


def tasks_schema(count: int, fields: Sequence[str] = TaskForm().fields) -> dict[str, Any]:
    """The JSON schema of an answer with at most `count` tasks."""
    return listing("tasks", {name: {"type": "string"} for name in fields}, count)


def listing(name: str, fields: dict[str, Any], count: int) -> dict[str, Any]:
    """The JSON schema of {name: [{fields…}, …]} with 1 to `count` items."""
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {name: items}, "required": [name], "additionalProperties": False}


def text_of(value: Any) -> str:
    """A field of an item as text: models write numbers, lists and objects where a text was asked for. "" for
    nothing."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
