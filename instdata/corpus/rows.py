"""The row schema and the columns derived from it.

A row is a conversation. Shards hold one text column, `messages`; prompt, response and full text are views computed
from it a batch at a time, so that no text is stored twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus import views

if TYPE_CHECKING:
    from instdata.util.context import Context

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
Messages = Sequence[Mapping[str, Any]]  # one conversation as plain turns: role, content, …
ROLES = ("system", "user", "assistant", "tool")
UNKNOWN = "unknown"

# What a shard of the corpus holds. `ability` is the label that came with the row (null where none did);
# steps may set it later, in a sidecar. `raw_ability` stays in meta.
CORPUS = pa.schema(
    [
        ("rid", pa.string()),
        ("id", pa.string()),
        ("messages", MESSAGES),
        ("ability", pa.string()),
        ("lang", pa.string()),
        ("origin", pa.string()),
        ("source", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("meta", pa.string()),
    ]
)

# What data/*.parquet holds, before the score columns; meta comes last.
PUBLISHED = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES),
        ("ability", pa.string()),
        ("ability_confidence", pa.float32()),
        ("lang", pa.string()),
        ("origin", pa.string()),
        ("source", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
    ]
)


def message_id(messages: list[tuple[str, str]]) -> str:
    """32 hex digits for a conversation: blake2b over role and content, length-prefixed so that no two collide by joining."""
    digest = hashlib.blake2b(digest_size=16)
    for role, content in messages:
        data = content.encode()
        digest.update(f"{role}:{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def row_id(source: str, file: str, row: int) -> str:
    """The unique, readable key of a row: `source/file:row`."""
    return f"{source}/{file}:{row}"


@dataclass
class Rows:
    """Some rows of the corpus as columns. `table` follows CORPUS (its `ability` being the current label); `scores`
    holds what earlier steps published, under their `score_<step>_<name>` names; each is as long as the rows."""

    table: pa.Table
    context: Context | None = None
    scores: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    def __getattr__(self, name: str) -> Any:
        # Only CORPUS columns: id, rid, messages, ability, lang, origin, source, source_file, source_row, meta.
        if name in CORPUS.names:
            return _one(self.table[name])
        raise AttributeError(name)

    @cached_property
    def prompt(self) -> pa.Array:
        """Everything before the response, turns joined by a newline (string, never null)."""
        return self._texts[0]

    @cached_property
    def response(self) -> pa.Array:
        """The last turn where it is the assistant's, else null (string)."""
        return self._texts[1]

    @cached_property
    def full(self) -> pa.Array:
        """Prompt and response, joined by a newline (string, never null)."""
        return pc.binary_join_element_wise(self.prompt, self.response, "\n", null_handling="skip")

    @cached_property
    def system(self) -> pa.Array:
        """The first turn where it is the system's, else null (string)."""
        messages = self.messages
        first = np.asarray(messages.offsets)[:-1]
        roles, contents = _turns(messages)
        some = np.diff(np.asarray(messages.offsets)) > 0
        at = pa.array(np.where(some, first, 0), mask=~some)
        is_system = pc.equal(roles.take(at), "system")
        return pc.if_else(is_system, contents.take(at), pa.scalar(None, pa.string()))

    def view(self, name: str) -> pa.Array:
        """One of views.VIEWS as a string array as long as the rows; null where a row has no such part."""
        if name in ("prompt", "full", "system"):
            return getattr(self, name)
        if name in ("reasoning", "answer"):
            return views.thought_of(self.response)[name == "answer"]
        if name not in views.VIEWS:
            raise KeyError(f"no view {name}: one of {', '.join(views.VIEWS)}")
        return views.turn_texts(self.messages, name)

    @cached_property
    def _texts(self) -> tuple[pa.Array, pa.Array]:
        return split_messages(self.messages)

    def take(self, at: np.ndarray) -> Rows:
        """The rows at these positions, in this order."""
        index = pa.array(at)
        return Rows(self.table.take(index), self.context, {k: v.take(index) for k, v in self.scores.items()})

    def batches(self, rows: int = 8192) -> Iterator[Rows]:
        """The rows in order, a batch at a time."""
        for start in range(0, len(self), rows):
            part = {k: v.slice(start, rows) for k, v in self.scores.items()}
            yield Rows(self.table.slice(start, rows), self.context, part)


def split_messages(messages: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(prompt, response) of a messages array; see Rows.prompt and Rows.response."""
    offsets = np.asarray(messages.offsets).astype(np.int64)
    roles, contents = _turns(messages)
    count = np.diff(offsets)
    last = offsets[1:] - 1
    some = count > 0
    at = pa.array(np.where(some, last, 0), mask=~some)
    answered = np.asarray(pc.fill_null(pc.equal(roles.take(at), "assistant"), False))
    response = contents.take(pa.array(np.where(answered, last, 0), mask=~answered))
    if np.all(count == 2) and answered.all():
        return contents.take(pa.array(offsets[:-1])), response
    in_prompt = np.ones(offsets[-1] - offsets[0], dtype=bool)
    in_prompt[last[answered] - offsets[0]] = False
    kept = contents.slice(offsets[0], offsets[-1] - offsets[0]).filter(pa.array(in_prompt))
    prompt_offsets = np.concatenate([[0], np.cumsum(count - answered)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(prompt_offsets), kept), "\n"), response


def _turns(messages: pa.Array) -> tuple[pa.Array, pa.Array]:
    values = messages.values
    return values.field("role"), values.field("content")


def _one(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )
