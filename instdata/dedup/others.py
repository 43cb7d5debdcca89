"""Texts that lie outside the build: older releases, evaluation files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.errors import InputError
from instdata.record import MESSAGES, Rows
from instdata.step import Context

BATCH = 8192
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


def files(paths: list[str], context: Context) -> list[tuple[Path, str]]:
    """(path, name) of every file meant by files, folders and globs (relative to the recipe), in the given order.
    Raises InputError naming what is missing."""
    from instdata.recipe import Source
    from instdata.sources import find_files

    return [found for path in paths for found in find_files(Source(path=path), context.base)]


def digests(paths: list[str], context: Context) -> list[str]:
    """What the files hold, whatever they are called: for the cache key."""
    from instdata.files import digest

    return [hashlib.sha256(name.encode()).hexdigest()[:8] + digest(path) for path, name in files(paths, context)]


def missing(paths: list[str], context: Context, what: str) -> list[str]:
    """One line for each path that cannot be read."""
    problems = []
    for path in paths:
        try:
            files([path], context)
        except InputError as e:
            problems += [f"{what}: {message}" for _, _, message in e.problems]
    return problems


def read(paths: list[str], context: Context) -> Iterator[tuple[Rows, pa.Array]]:
    """(rows, `file:row` of each) batch by batch; records that cannot be read are left out."""
    for path, name in files(paths, context):
        conversations: list[list[dict[str, str]]] = []
        where: list[str] = []
        for number, messages in enumerate(_conversations(path)):
            if messages is None:
                continue
            conversations.append([{"role": role, "content": content} for role, content in messages])
            where.append(f"{name}:{number}")
            if len(where) == BATCH:
                yield _rows(conversations), pa.array(where)
                conversations, where = [], []
        if where:
            yield _rows(conversations), pa.array(where)


def _rows(conversations: list[list[dict[str, str]]]) -> Rows:
    return Rows(pa.table({"messages": pa.array(conversations, MESSAGES)}))


def _conversations(path: Path) -> Iterator[list[tuple[str, str]] | None]:
    """The messages of each record of a file, None for one that cannot be read."""
    from instdata.adapters import BadRow, adapt, normalise_keys
    from instdata.formats import raw_blocks, records
    from instdata.recipe import Source
    from instdata.sources import open_sources

    try:
        item = open_sources([(0, Source(path=str(path)))], Path())[0][0]
    except InputError:
        item = None  # no instruction data; an evaluation file has its question somewhere
    for record in records(raw_blocks(str(path))):
        if not isinstance(record, dict):
            yield None
            continue
        try:
            if item is not None:
                yield from (conversation.messages for conversation in adapt(record, item.format, item.fields))
            else:
                yield _question(normalise_keys(record))
        except BadRow:
            yield None


def _question(record: dict[str, Any]) -> list[tuple[str, str]] | None:
    for name in QUESTIONS:
        value = record.get(name)
        if isinstance(value, list) and value:
            value = "\n".join(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in value)
        if isinstance(value, str) and value.strip():
            return [("user", value)]
    return None
