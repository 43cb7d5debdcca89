"""Evaluation items as they come: a question, what is given with it, options and an answer, from whatever columns hold
them.

An evaluation item is not a training record: its answer may be a number, a truth value, an option's place or a list, it
may have no answer at all, and its columns have other names. What has no text to compare is counted, see `unreadable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from instdata.read.adapters import adapt
from instdata.read.blocks import Bad, raw_blocks, records
from instdata.read.field_text import BadRow, said_of
from instdata.read.formats import columns
from instdata.steps.dedup.eval_item_columns import (
    ANSWER,
    GIVEN,
    OPTIONS,
    QUESTION,
    answer_of,
    as_text,
    options_of,
    unfolded,
)
from instdata.steps.dedup.outside_texts import File, files
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError

OURS = {"instruction": "question", "prompt": "question", "input": "given", "passage": "given", "choices": "options",
    "reference": "answer", "output": "answer"}  # fmt: skip
LABELLED = re.compile(r"^\s*(?:[(（]\s*[A-Ja-j1-9]\s*[)）]|[A-Ja-j]\s*[.．、:：)）])\s*")
MOST_BAD = 0.01  # the share of a file's items that may have nothing to compare


class EvalItem(NamedTuple):
    """One item; fields that it does not have are empty."""

    where: str  # file:row
    question: str
    given: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""  # for a choice the option's text
    shown: tuple[str, ...] = ()  # the options as they stand, with their letters where they bring them


def read_items(paths: list[str], context: Context) -> tuple[list[EvalItem], list[str]]:
    """(items of the files, folders, globs, suites and known names in `paths`, one line about each file of which some
    cannot be compared). Raises InputError for a file without items or without any text, BudgetReached where more than 1
    % have none."""
    found: list[EvalItem] = []
    said: list[str] = []
    for file in files(paths, context):
        bad, first, total = 0, "", 0
        for number, item in _items(file):
            total += 1
            if isinstance(item, str):
                bad, first = bad + 1, first or f"{file.name}:{number}: {item}"
            else:
                found.append(item)
        if not total:
            raise InputError(f"{file.path}: holds no evaluation items: comparing with nothing would find nothing")
        if bad == total:
            names = ", ".join(QUESTION)
            raise InputError(
                f"{file.path}: none of its records has a text to compare; known are the formats of sources and the "
                f"columns {names}; "
                "a suite's `map` names others"
            )
        if bad:
            line = f"decontaminate: {bad:,} of {total:,} items of {file.name} cannot be compared (first: {first})"
            if bad > MOST_BAD * total:
                raise BudgetReached(
                    f"{line}: more than {MOST_BAD:.0%}. Mend them, or name their columns in a suite's `map`"
                )
            said.append(line)
    return found, said


def _items(file: File) -> Iterator[tuple[int, EvalItem | str]]:
    """(record, each of its items, or why it is none) of a file."""
    if file.path.is_file() and not file.path.stat().st_size:
        return
    missing = set(file.map.values())
    for number, record in enumerate(records(raw_blocks(str(file.path)))):
        if isinstance(record, Bad):
            yield number, record.error
            continue
        try:
            for item in unfolded(record):
                missing -= item.keys()
                yield number, _item(item, file.map, f"{file.name}:{number}")
        except MemoryError:
            raise
        except Exception as e:  # one bad record costs one record, whatever is wrong with it
            yield number, said_of(e)
    if missing:
        raise InputError(f'{file.path}: there is no column "{min(missing)}", which its suite maps')


def _item(record: dict[str, Any], mapping: dict[str, str], where: str) -> EvalItem:
    """The item in an object with normalised keys. Raises BadRow where it has nothing to compare."""
    ours: dict[str, list[str]] = {}
    for field, column in mapping.items():
        ours.setdefault(OURS.get(field, field), []).append(column)
    question, column = _first(record, ours.get("question", QUESTION))
    given = [as_text(record.get(c)) for c in ours.get("given", GIVEN) if c != column]
    answer = next((record[c] for c in ours.get("answer", ANSWER) if record.get(c) is not None and c != column), None)
    if talk := _talk(record, column):
        question, earlier, said = talk
        given, answer = [earlier], answer if said is None else said
    seen = options_of(record, ours.get("options", OPTIONS))
    options = tuple(LABELLED.sub("", option) for option in seen.shown)
    text = "\n".join(filter(None, given))
    return _checked(EvalItem(where, question, text, options, answer_of(answer, options, seen), seen.shown))


def _talk(record: dict[str, Any], asking: str) -> tuple[str, str, str | None] | None:
    """(the last question, earlier ones, the answer) of an item that is a conversation; None for any other."""
    for key, format in (("messages", "messages"), ("conversations", "sharegpt"), ("instances", "seeds"), (asking, "")):
        turns = record.get(key)
        if not isinstance(turns, list) or (not format and not all(isinstance(t, dict) and "role" in t for t in turns)):
            continue
        whole = record if format else {"messages": turns}
        said = adapt(whole, format or "messages", columns(format or "messages", {}))[0].messages
        answered = len(said) > 1 and said[-1][0] == "assistant"
        asked = [text for role, text in (said[:-1] if answered else said) if role != "system"]
        return asked[-1] if asked else "", "\n".join(asked[:-1]), said[-1][1] if answered else None
    return None


def _checked(item: EvalItem) -> EvalItem:
    if not any(c.isalnum() for text in (item.question, item.given, *item.options) for c in text):
        raise BadRow("no text to compare")
    return item


def _first(record: dict[str, Any], names: Sequence[str]) -> tuple[str, str]:
    """(text, column) of the first column that has a text."""
    for name in names:
        if text := as_text(record.get(name)):
            return text, name
    return "", ""
