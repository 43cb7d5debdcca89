"""Files of single messages that answer one another (OpenAssistant's flat tables): the messages of each tree as one
record, under the key TREE. What is written back are the messages, as they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from instdata.read.column_names import normalise_keys
from instdata.read.file_kind import PIECE, Damaged
from instdata.read.json_numbers import dumps, loads
from instdata.util.errors import InputError

TREE = "instdata: the messages of one tree"
OWN, PARENT = "message_id", "parent_id"
MOST = 1 << 30  # characters of messages that are held at once: a tree's may lie anywhere in its file
Message = dict[str, Any]


def is_message(record: Mapping[str, Any]) -> bool:
    """Whether a record with normalised keys is a message of a thread: it has a name, and that of what it answers."""
    return OWN in record and PARENT in record and "role" in record and ("text" in record or "content" in record)


def threaded(blocks: Iterator[Any]) -> Iterator[Any]:
    """The blocks of a file; where its first record is a message, the messages of each tree as one record, at the place
    of the first of them (places of the others are blank). Raises InputError where there are more than MOST."""
    first = next(blocks, None)
    if first is None:
        return
    if not _holds_messages(first):
        yield first
        yield from blocks
        return
    rows: list[Any] = []
    error, size = None, 0
    try:
        for block in chain([first], blocks):
            held = _records(block)
            size += sum(map(_size, held))
            if size > MOST:
                raise InputError(f"more than {MOST >> 20:,} MB of single messages: cut the file into several, by trees")
            rows += held
    except Damaged as e:
        error = e
    yield from _cut(_trees(rows))
    if error:
        raise error


def _records(block: Any) -> list[Any]:
    """A block's records: those of a columnar file as objects."""
    if isinstance(block, list):
        return block
    from instdata.read.parquet_and_workbooks import rows_of_batch

    return list(rows_of_batch(block))


def _size(record: Any) -> int:
    return len(record) if isinstance(record, bytes) else len(str(record))


def _cut(rows: list[Any]) -> Iterator[list[Any]]:
    """In blocks of about PIECE characters."""
    start = size = 0
    for i, row in enumerate(rows):
        size += _size(row)
        if size >= PIECE:
            yield rows[start : i + 1]
            start, size = i + 1, 0
    if start < len(rows):
        yield rows[start:]


def _holds_messages(block: Any) -> bool:
    some = _records(block if isinstance(block, list) else block.slice(0, 1))
    record = next((r for r in some if not isinstance(r, bytes) or r.strip()), None)
    if isinstance(record, bytes) and b'"parent_id"' not in record.lower():
        return False
    return (found := _message(record)) is not None and is_message(found)


def _message(record: Any) -> Message | None:
    try:
        found = loads(record.removeprefix(b"\xef\xbb\xbf")) if isinstance(record, bytes) else record
        return normalise_keys(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


def _trees(rows: list[Any]) -> list[Any]:
    """The records, those of each tree as one at the place of the first. A message that answers one which is not there
    begins a tree."""
    found = {i: m for i, r in enumerate(rows) if (m := _message(r)) is not None and is_message(m)}
    places = {str(m[OWN]): i for i, m in found.items()}
    trees: dict[int, list[int]] = {}
    for i in found:
        at, seen = i, {i}
        while (up := places.get(str(found[at][PARENT]))) is not None and up not in seen:
            at = up
            seen.add(up)
        trees.setdefault(min(seen) if up is not None else at, []).append(i)
    out = [b"" if i in found else row for i, row in enumerate(rows)]
    for members in trees.values():
        held = [rows[i] for i in members]
        joined = b",".join(map(_bare, held)) if isinstance(held[0], bytes) else b""
        out[members[0]] = b'{"%b":[%b]}' % (TREE.encode(), joined) if joined else {TREE: held}
    return out


def _bare(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").strip().removesuffix(b",")


def lines(record: Any) -> bytes:
    """A record as it came in: JSON on a line; the messages of a tree a line each."""
    held = record.get(TREE) if isinstance(record, dict) and len(record) == 1 else None
    return b"\n".join(map(dumps, held)) if isinstance(held, list) else dumps(record)


def thread(messages: list[Message]) -> list[dict[str, Any]]:
    """The turns of a tree's best thread: of each message the reply of the best rank, the first of equals. Deleted
    messages and those of a tree whose beginning is missing make none."""
    held = [dict(normalise_keys(m)) for m in messages]
    replies: dict[str, list[Message]] = {}
    for message in held:
        replies.setdefault(str(message[PARENT]), []).append(message)
    node = next((m for m in held if m[PARENT] in (None, "")), None)
    turns: list[dict[str, Any]] = []
    while node is not None and len(turns) <= len(held):
        turns.append({"role": node["role"], "text": node.get("text", node.get("content"))})
        node = min(
            (m for m in replies.get(str(node[OWN]), ()) if m.get("deleted") not in (True, "True", "true")),
            key=rank,
            default=None,
        )
    return turns


def rank(reply: Mapping[str, Any]) -> float:
    """What the best of several replies has least of."""
    try:
        found = float(reply.get("rank"))  # type: ignore[arg-type]  # of CSV a text
    except (TypeError, ValueError):
        return float("inf")
    return found if found == found else float("inf")
