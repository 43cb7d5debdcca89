"""The file of decisions about single rows that the step `overrides` reads and `instdata keep|drop|relabel` appends to.

{"rid": "mine/a.jsonl:3", "action": "drop", "who": "ann", "why": "the answer is wrong"}
{"id": "32 hex digits", "action": "relabel", "value": "math"}
{"rid": "mine/a.jsonl:4", "action": "edit", "value": "The new answer."}
"""

from __future__ import annotations

import getpass
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.builds import history, recipe_of
from instdata.corpus.read_build_folder import run_record
from instdata.corpus.rows import ROLES, TURN
from instdata.corpus.taxonomy import load_taxonomy
from instdata.read.tool_calls import calls_of
from instdata.util.append_lines import append_lines
from instdata.util.errors import InputError
from instdata.util.paths import expanded, file_text
from instdata.util.redaction import no_secret
from instdata.util.yaml import HALF, did_you_mean

ACTIONS = ("keep", "drop", "relabel", "edit")
KEYS = ("id", "rid", "action", "value", "who", "why", "when")
FILE = "fixes.jsonl"  # where decisions go when the build's recipe names no file


@dataclass(frozen=True)
class Line:
    """One decision. `at` is its line in the file, from 1."""

    at: int
    action: str
    id: str | None
    rid: str | None
    value: Any
    who: str | None
    why: str | None

    @property
    def name(self) -> str:
        return self.rid or self.id or ""

    def facts(self) -> dict[str, Any]:
        """What the ledger notes of it."""
        told = {"action": self.action, "who": self.who, "why": self.why, "line": self.at}
        return {k: v for k, v in told.items() if v is not None}


def read_lines(path: Path, taxonomy: Any = None) -> list[Line]:
    """The decisions of a file, in its order. Raises InputError with every problem, each with its line."""
    try:
        text = file_text(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. `instdata keep ID --why TEXT` writes one") from None
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {e}") from e
    lines: list[Line] = []
    problems: list[tuple[str, int | None, str]] = []
    for number, raw in enumerate(text.split("\n"), 1):
        if raw.strip():
            try:
                lines.append(_line(number, json.loads(raw), taxonomy))
            except json.JSONDecodeError as e:
                problems.append((str(path), number, f"not JSON: {e.msg}"))
            except (ValueError, InputError) as e:
                problems.append((str(path), number, str(e)))
    if problems:
        raise InputError(problems)
    return lines


def _line(number: int, record: Any, taxonomy: Any) -> Line:
    if not isinstance(record, dict):
        raise ValueError('a line is an object: {"rid": "…", "action": "drop", "why": "…"}')
    for key in record:
        if key not in KEYS:
            raise ValueError(f'unknown key "{key}".{did_you_mean(key, KEYS) or " Known: " + ", ".join(KEYS)}')
    action, value = record.get("action"), record.get("value")
    if action not in ACTIONS:
        raise ValueError(f'action: "{action}" is none of {", ".join(ACTIONS)}.{did_you_mean(str(action), ACTIONS)}')
    for key in ("id", "rid", "who", "why"):
        if not isinstance(record.get(key), (str, type(None))):
            raise ValueError(f"{key}: text is needed")
    if odd := next((k for k, v in record.items() if isinstance(v, str) and HALF.search(v)), None):
        raise ValueError(f"{odd}: half a character, no text")
    for key in ("who", "why"):  # the ledger holds them
        no_secret(record.get(key) or "", key)
    if not (record.get("id") or record.get("rid")):
        raise ValueError("id or rid is missing: which row?")
    if action == "relabel":
        value = _label(value, taxonomy)
    elif action == "edit":
        value = _edited(value)
    return Line(number, action, record.get("id"), record.get("rid"), value, record.get("who"), record.get("why"))


def _label(value: Any, taxonomy: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("relabel: value is the row's ability")
    if taxonomy is None:
        return value.strip()
    known = taxonomy.match(pa.array([value])).to_pylist()[0]
    if known is None:
        raise ValueError(f'relabel: the taxonomy has no ability "{value}".{did_you_mean(value, taxonomy.names)}')
    return known


def _edited(value: Any) -> Any:
    """What an edit gives: a new answer, or a whole conversation with the turn fields that the corpus knows."""
    if isinstance(value, str) and value.strip():
        return value
    if not isinstance(value, list) or not value or not all(isinstance(t, dict) for t in value):
        raise ValueError("edit: value is the new answer, or the whole conversation: [{role, content}, …]")
    return [_turn(n, turn) for n, turn in enumerate(value)]


def _turn(number: int, turn: dict[str, Any]) -> dict[str, Any]:
    where = f"edit: turn {number}"
    for key in turn:
        if key not in TURN:
            raise ValueError(f'{where}: unknown key "{key}".{did_you_mean(key, TURN) or " Known: " + ", ".join(TURN)}')
    given = {k: v for k, v in turn.items() if v is not None}
    if given.get("tool_calls"):
        given["tool_calls"] = _calls(given["tool_calls"], where)
        given.setdefault("content", "")
    if given.get("role") not in ROLES or not isinstance(given.get("content"), str):
        raise ValueError(
            f"{where}: its role is one of {', '.join(ROLES)}, its content text (value is the new answer, or the whole "
            f"conversation)"
        )
    for key, found in given.items():
        kind: Any = (int, float) if key == "weight" else list if key == "tool_calls" else str
        if not isinstance(found, kind):
            raise ValueError(f"{where}: {key} is {'a number' if key == 'weight' else 'no ' + type(found).__name__}")
    return given


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    """Tool calls as turns hold them; arguments may be an object."""
    found = calls_of(json.dumps(value, ensure_ascii=False)) if isinstance(value, list) else None
    parts = {"": ("id", "type", "function"), "function": ("name", "arguments")}
    plain = found and all(
        set(c) <= set(parts[""]) and set(c.get("function", ())) <= set(parts["function"]) for c in value
    )
    if not plain:
        raise ValueError(f"{where}: tool_calls are [{{id, type, function: {{name, arguments}}}}, …]")
    return found or []


def append(
    build: Path, wanted: str, action: str, value: str | None, why: str, who: str | None, file: Path | None
) -> dict[str, Any]:
    """Append a decision about every row with this id or rid to a file: the one given, else the build's own.

    Returns {file, rids, hint: what to do for the decision to count ("" for nothing)}. Raises InputError for a row that
    does not exist, an ability that the taxonomy lacks, an empty reason, a file that cannot be read."""
    if not why.strip():
        raise InputError("--why: say why, for those who read the ledger")
    no_secret(why, "--why")
    no_secret(who or "", "--who")
    if value is not None and (value != value.strip() or len(value) > 200):
        raise InputError(f"--ability {value[:200]!r}: no name: it is too long, or has blanks or a line end around it")
    rows = [row for row in history(build, wanted) if row["id"]]
    if not rows:
        raise InputError(
            f"{wanted}: the record could not be read, so there is no row to decide about: quarantine.jsonl has it"
        )
    recipe = recipe_of(build)
    known = _own_file(build)
    path = expanded(file) if file else known or Path(FILE)
    taxonomy = load_taxonomy(recipe["taxonomy"], build) if action == "relabel" and recipe.get("taxonomy") else None
    if path.exists():
        read_lines(path)
    new = []
    for row in rows:
        record = {"rid": row["rid"], "id": _first_id(row), "action": action, "value": value}
        record |= {"who": who or _user(), "why": why}
        record = {k: v for k, v in record.items() if v is not None}
        try:
            _line(0, record, taxonomy)
        except ValueError as e:
            raise InputError(str(e)) from None
        new.append(json.dumps(record, ensure_ascii=False))
    append_lines(path, "".join(line + "\n" for line in new).encode("utf-8", "surrogatepass"))
    hint = (
        "" if known and path.resolve() == known.resolve() else f"add `- overrides: {path}` as the recipe's first step"
    )
    return {"file": str(path), "rids": [row["rid"] for row in rows], "hint": hint or "build again to apply it"}


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name is known: the line has none
        return None


def _own_file(build: Path) -> Path | None:
    """The overrides file that the build was made with, as seen from here; None where its recipe names none, or where it
    is gone."""
    try:
        found = run_record(build).get("overrides") or []
    except (OSError, ValueError):
        return None
    # Earlier builds told it as seen from where they were made.
    places = [build.resolve() / found[-1], Path(found[-1])] if found else []
    return next((Path(os.path.relpath(p)) for p in places if p.is_file()), None)


def _first_id(row: dict[str, Any]) -> str:
    """The row's id before any step changed its text: the one that it has where overrides come first."""
    old = [v for k, v in row["scores"].items() if k.endswith("_derived_from")]
    return old[0] if old else row["id"]
