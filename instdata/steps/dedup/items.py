"""Evaluation items as they come: a question, what is given with it, options and an answer, from whatever columns hold
them.

An evaluation item is not a training record: its answer may be a number, a truth value, an option's place or a list, it
may have no answer at all, and its columns have other names. What has no text to compare is counted, see `unreadable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from instdata.read.adapters import adapt
from instdata.read.blocks import Bad, raw_blocks, records
from instdata.read.keys import normalise_keys
from instdata.read.plain import BadRow, said_of
from instdata.read.shapes import columns
from instdata.steps.dedup.others import File, files
from instdata.util.context import Context
from instdata.util.errors import BudgetReached, InputError

QUESTION = (
    "question",
    "question_stem",
    "prompt",
    "instruction",
    "problem",
    "query",
    "stem",
    "goal",
    "turns",
    "text",
    "input",
)
GIVEN = (
    "passage",
    "context",
    "article",
    "story",
    "document",
    "paragraph",
    "dialogue",
    "background",
    "premise",
    "text",
    "input",
)
OPTIONS = ("options", "choices", "choice", "endings", "candidates")
ANSWER = (
    "answer", "answers", "label", "answerkey", "answer_key", "target", "output", "response", "completion", "reference",
    "std_answer",
    "solution", "canonical_solution", "correct", "correct_answer", "best_answer", "gold", "answer_index", "answer_idx",
)  # fmt: skip
SPREAD = (("a", "b", "c", "d", "e"), tuple(f"option_{x}" for x in "abcde"), ("opa", "opb", "opc", "opd", "ope"))
OURS = {"instruction": "question", "prompt": "question", "input": "given", "passage": "given", "choices": "options",
    "reference": "answer", "output": "answer"}  # fmt: skip
LABELLED = re.compile(r"^\s*(?:[(（]\s*[A-Ja-j1-9]\s*[)）]|[A-Ja-j]\s*[.．、:：)）])\s*")
LETTER = re.compile(r"^\s*[(（]?\s*([A-Ja-j])\s*[)）.．]?\s*$")
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
        bad, first, number = 0, "", -1
        for number, item in enumerate(_items(file)):
            if isinstance(item, str):
                bad, first = bad + 1, first or f"{file.name}:{number}: {item}"
            else:
                found.append(item)
        total = number + 1
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


def _items(file: File) -> Iterator[EvalItem | str]:
    """Each record of a file as an item, or why it is none."""
    missing = set(file.map.values())
    for number, record in enumerate(records(raw_blocks(str(file.path)))):
        if isinstance(record, Bad) or not isinstance(record, dict):
            yield getattr(record, "error", "not an object")
            continue
        try:
            record = normalise_keys(record)
            missing -= record.keys()
            yield _item(record, file.map, f"{file.name}:{number}")
        except MemoryError:
            raise
        except Exception as e:  # one bad record costs one record, whatever is wrong with it
            yield said_of(e)
    if missing:
        raise InputError(f'{file.path}: there is no column "{min(missing)}", which its suite maps')


def _item(record: dict[str, Any], mapping: dict[str, str], where: str) -> EvalItem:
    """The item in a record with normalised keys. Raises BadRow where it has nothing to compare."""
    for key, format in (("messages", "messages"), ("conversations", "sharegpt"), ("instances", "seeds")):
        if isinstance(record.get(key), list):
            turns = adapt(record, format, columns(format, {}))[0].messages
            answered = len(turns) > 1 and turns[-1][0] == "assistant"
            asked = [text for role, text in (turns[:-1] if answered else turns) if role != "system"]
            return _checked(
                EvalItem(where, asked[-1] if asked else "", "\n".join(asked[:-1]), (), turns[-1][1] if answered else "")
            )
    ours: dict[str, list[str]] = {}
    for field, column in mapping.items():
        ours.setdefault(OURS.get(field, field), []).append(column)
    question, column = _first(record, ours.get("question", QUESTION))
    given = [_text(record.get(c)) for c in ours.get("given", GIVEN) if c != column]
    shown = _options(record, ours.get("options", OPTIONS))
    options = tuple(LABELLED.sub("", option) for option in shown)
    answer = next((record[c] for c in ours.get("answer", ANSWER) if record.get(c) is not None and c != column), None)
    return _checked(
        EvalItem(where, question, "\n".join(filter(None, given)), options, _answer(answer, options, record), shown)
    )


def _checked(item: EvalItem) -> EvalItem:
    if not any(c.isalnum() for text in (item.question, item.given, *item.options) for c in text):
        raise BadRow("no text to compare")
    return item


def _first(record: dict[str, Any], names: tuple[str, ...] | list[str]) -> tuple[str, str]:
    """(text, column) of the first column that has a text."""
    for name in names:
        if text := _text(record.get(name)):
            return text, name
    return "", ""


def _text(value: Any) -> str:
    """Any value as text: numbers and truth values as JSON writes them, the parts of a list a line each."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return _text(
            next((value[k] for k in ("text", "content", "value") if k in value), json.dumps(value, ensure_ascii=False))
        )
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(_text, value)))
    return json.dumps(value, default=str)


def _options(record: dict[str, Any], names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    for name in names:
        value = record.get(name)
        if isinstance(value, dict):  # {"text": [...], "label": [...]}, or {"A": "...", "B": "..."}
            value = value["text"] if isinstance(value.get("text"), list) else list(value.values())
        if isinstance(value, list) and value:
            return tuple(_text(v) for v in value)
    for letters in SPREAD:
        if len(spread := [_text(record[c]) for c in letters if record.get(c) is not None]) > 1:
            return tuple(spread)
    return ()


def _answer(value: Any, options: tuple[str, ...], record: dict[str, Any]) -> str:
    """The answer's text; of an option's letter or place the option's."""
    if options and value is not None:
        choices = record.get("choices")
        labels = choices.get("label") if isinstance(choices, dict) else None
        if isinstance(labels, list) and value in labels:
            return options[labels.index(value)]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(options):
            return options[value]
        if (
            isinstance(value, str)
            and (letter := LETTER.match(value))
            and (at := ord(letter[1].upper()) - 65) < len(options)
        ):
            return options[at]
    return _text(value)
