"""Texts that lie outside the build: older releases, evaluation files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from instdata.corpus.rows import MESSAGES, Rows
from instdata.steps.dedup.suites import fetched, suites
from instdata.util.build_context import Context
from instdata.util.errors import InputError, format_problem
from instdata.util.paths import expanded

if TYPE_CHECKING:
    from instdata.read.open_sources import Input

BATCH = 8192
TEXTS = ("instruction", "input", "messages")  # fields of a suite's map that every reader knows
PARTS = (*TEXTS, "prompt", "question", "passage", "given", "options", "choices", "answer", "reference", "output")
QUESTIONS = (
    "question",
    "prompt",
    "instruction",
    "problem",
    "query",
    "text",
    "input",
    "turns",
)  # where a file has no known format


class File(NamedTuple):
    """A file to compare with."""

    path: Path
    name: str
    map: dict[str, str]  # our field (one of PARTS): the normalised column that feeds it, where a suite says so


def files(paths: list[str], context: Context) -> list[File]:
    """Every file meant by files, folders, globs and suites (relative to the recipe), in the given order. A suite is a
    YAML file that names its items (`items: path`, from its own folder) and, where their columns have other names, maps
    them (`map`); a name that suites.yaml lists is a suite on the Hub. Raises InputError naming what is missing."""
    from instdata.read.find_files import find_files
    from instdata.read.source_options import Source

    found = []
    for path in paths:
        base = context.base
        mapping: dict[str, str] = {}
        if path in suites() and not (base / path).exists():
            found.append(File(fetched(path), path, {}))
            continue
        if path.lower().endswith((".yaml", ".yml")):
            suite = base / expanded(path)
            path, mapping = _suite(suite)
            base = suite.parent
        found += [File(*file, mapping) for file in find_files(Source(path=path), base)]
    return found


def _suite(path: Path) -> tuple[str, dict[str, str]]:
    """(path of the items, map) of a suite file."""
    from instdata.util.yaml import load_yaml

    document = load_yaml(path)
    about = document.data if isinstance(document.data, dict) else {}
    items, mapping = about.get("items"), about.get("map") or {}
    if not isinstance(items, str) or not items.strip():
        raise InputError([(str(path), document.line(("items",)), "a suite names the file of its items: `items: path`")])
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise InputError([(str(path), document.line(("map",)), "map gives our field: their column")])
    from instdata.read.column_names import normalise_key

    return items, {field: normalise_key(mapping[field]) for field in PARTS if field in mapping}


def digests(paths: list[str], context: Context) -> list[str]:
    """What the files hold, and how it is read, whatever they are called: for the cache key."""
    from instdata.util.atomic import digest

    return [
        hashlib.sha256(repr((file.name, file.map)).encode()).hexdigest()[:8] + digest(file.path)
        for file in files(paths, context)
    ]


def missing(paths: list[str], context: Context, what: str) -> list[str]:
    """One line for each path that cannot be read."""
    problems = []
    for path in paths:
        try:
            for file in files([path], context):
                _format(file)
        except InputError as e:
            problems += [f"{what}: {format_problem(*problem)}" for problem in e.problems]
    return problems


def read(paths: list[str], context: Context) -> Iterator[tuple[Rows, pa.Array]]:
    """(rows, `file:row` of each) batch by batch; records that cannot be read are left out, and it is said how many.
    Raises InputError for a file of which none can be: comparing with nothing would find nothing."""
    for file in files(paths, context):
        conversations: list[list[dict[str, str]]] = []
        where: list[str] = []
        number, some, bad = -1, False, list[str]()
        for number, messages in enumerate(_conversations(file)):
            if isinstance(messages, str):
                bad.append(f"record {number}: {messages}")
                continue
            some = True
            conversations.append([{"role": role, "content": content} for role, content in messages])
            where.append(f"{file.name}:{number}")
            if len(where) == BATCH:
                yield _rows(conversations), pa.array(where)
                conversations, where = [], []
        if where:
            yield _rows(conversations), pa.array(where)
        if number >= 0 and not some:
            raise InputError(
                f"{file.path}: none of its records has a text to compare; known are the formats of sources and the "
                f"columns {', '.join(QUESTIONS)}"
            )
        if bad:
            context.say(
                f"{file.path}: {len(bad):,} of {number + 1:,} records cannot be read and are not compared with "
                f"({bad[0]})"
            )


def _rows(conversations: list[list[dict[str, str]]]) -> Rows:
    return Rows(pa.table({"messages": pa.array(conversations, MESSAGES)}))


def _format(file: File) -> Input | None:
    """How to read a file: None where it is no instruction data, for an evaluation file has its question somewhere.
    Raises InputError for a column that a suite maps and the file lacks."""
    from instdata.read.open_sources import open_sources
    from instdata.read.source_options import Source

    try:
        mapping = {field: column for field, column in file.map.items() if field in TEXTS}
        return open_sources([(0, Source(path=str(file.path), map=mapping))], Path())[0][0]
    except InputError as e:
        if file.map:
            raise InputError([("", None, message) for _, _, message in e.problems]) from e
        return None


def _conversations(file: File) -> Iterator[list[tuple[str, str]] | str]:
    """The messages of each record of a file; for one that cannot be read, why."""
    from instdata.read.adapters import adapt
    from instdata.read.blocks import raw_blocks, records
    from instdata.read.column_names import normalise_keys
    from instdata.read.field_text import said_of

    item = _format(file)
    for record in records(raw_blocks(str(file.path))):
        if not isinstance(record, dict):
            yield getattr(record, "error", None) or "no object"
            continue
        try:
            if item is not None:
                talks = adapt(record, item.format, item.fields)
                yield from [talk.messages for talk in talks]  # all or none
            else:
                yield _question(normalise_keys(record)) or "no text to compare"
        except MemoryError:  # the machine's, not the record's
            raise
        except Exception as e:  # one bad record costs one record, whatever is wrong with it
            yield said_of(e)


def _question(record: dict[str, Any]) -> list[tuple[str, str]] | None:
    for name in QUESTIONS:
        value = record.get(name)
        if isinstance(value, list) and value:
            value = "\n".join(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in value)
        if isinstance(value, str) and value.strip():
            return [("user", value)]
    return None
