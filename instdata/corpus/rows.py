"""The row schema and the columns derived from it.

A row is a conversation. Shards hold its text once, in `messages`; prompt, response and full text are views computed
from it a batch at a time (corpus/views.py). A turn is a role and a content; what else a turn or a row may hold is
optional: shards have all of it, null where nobody used it, and data files only what some row of the build uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus import views
from instdata.util.build_context import Context

T = TypeVar("T")

CALL = pa.struct([("id", pa.string()), ("type", pa.string()),
                  ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())]))])  # fmt: skip
TURN = {
    "role": pa.string(),
    "content": pa.string(),  # never null
    # Optional, in TRL's and the Hub's spelling:
    "reasoning_content": pa.string(),
    "name": pa.string(),
    "tool_calls": pa.list_(CALL),
    "tool_call_id": pa.string(),
    "weight": pa.float32(),  # 0: not learned
    "extra": pa.string(),  # JSON of the keys that nobody knows
}
SEEN = ("name", "reasoning_content", "tool_call_id")  # of the optional ones, text that the model sees


def messages_type(fields: Collection[str] = ()) -> pa.DataType:
    """The type of `messages` with these optional turn fields."""
    return pa.list_(pa.struct([(n, t) for n, t in TURN.items() if n in ("role", "content") or n in fields]))


MESSAGES = messages_type()  # of plain rows
TURNS = messages_type(TURN)  # what shards hold
Messages = Sequence[Mapping[str, Any]]  # one conversation as plain turns: role, content, …; keys without a value absent
ROLES = ("system", "user", "assistant", "tool")
UNKNOWN = "unknown"

# What every row of the corpus has. `ability` is the label that came with the row (null where none did); steps may set
# it later, in a sidecar. `raw_ability` stays in meta.
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

# What some rows have: columns of the data only where a row of the build has them.
OPTIONAL = pa.schema(
    [
        ("tools", pa.string()),  # JSON list of tool schemas
        ("chosen", MESSAGES),  # of a preference pair: the better answer's turns (the last of `messages` too) …
        ("rejected", MESSAGES),  # … and the worse one's
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
        ("reference", pa.string()),  # what an answer can be verified against
        ("license", pa.string()),
        ("generator", pa.string()),
        ("category", pa.string()),
    ]
)

# What a shard holds. `asked_span`: where the last user turn holds what is asked, bytes [start, end); the rest of that turn  # noqa: E501
# is given material (passage, input); null where nobody told them apart. `form`: how the source wrote the record
# (read/source_form.py).
SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32())])
READ = pa.schema([CORPUS.field(n) if n != "messages" else ("messages", TURNS) for n in CORPUS.names])
SHARD = pa.schema([*READ, *OPTIONAL, ("asked_span", SPAN), ("form", pa.string())])
SEEN_BY_STEPS = [n for n in SHARD.names if n != "form"]
TEXT = ("messages", "asked_span", "tools")  # what views are made of

# What data/*.parquet holds, before optional columns and scores; meta comes last.
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


def message_id(messages: Iterable[Mapping[str, Any] | tuple[str, str]], tools: str | None = None) -> str:
    """32 hex digits for all that the model sees of a conversation (turns as dicts, or as pairs of role and content):
    blake2b over role and content, then names, reasoning and tool calls, then the tools; length-prefixed so that no two
    collide by joining."""
    parts: list[bytes] = []

    def add(label: str, text: str) -> None:
        data = text.encode()
        parts.append(b"%s:%d:%s" % (label.encode(), len(data), data))

    for turn in messages:
        if isinstance(turn, tuple):
            add(*turn)
            continue
        add(turn["role"], turn["content"])
        for name in SEEN:
            if turn.get(name):
                add(f"+{name}", turn[name])
        for call in turn.get("tool_calls") or ():
            add("+call", call.get("id") or "")
            add("+function", call["function"]["name"] or "")
            add("+arguments", call["function"]["arguments"] or "")
    if tools:
        add("+tools", tools)
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def told(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A turn with only the keys that have a value, as templates and trainers want it: those of its tool calls too, and
    a whole weight as a whole number."""
    out = {k: v for k, v in turn.items() if v is not None and k != "extra"}
    if "weight" in out and out["weight"] == int(out["weight"]):
        out["weight"] = int(out["weight"])
    if "tool_calls" in out:
        calls = [{k: v for k, v in c.items() if v is not None} for c in out.pop("tool_calls")]
        out |= {"tool_calls": calls} if calls else {}
    return out


def weighed(ids: Sequence[str], talks: Sequence[Messages]) -> list[str]:
    """The ids of conversations, each with its turns' weights behind it where one is not 1: an id names what the model
    sees, and weights say what it learns of that."""
    weights = [[turn.get("weight", 1) for turn in talk] for talk in talks]
    return [i if all(w == 1 for w in of) else f"{i} {of}" for i, of in zip(ids, weights, strict=True)]


def with_tools(talk: list[dict[str, Any]], tools: str | None) -> list[dict[str, Any]]:
    """The conversation with its tools (a JSON list of schemas) as `tools` of its first turn: they go where it goes."""
    return [{**talk[0], "tools": tools}, *talk[1:]] if tools and talk else talk


def talks_of(rows: pa.Table | pa.RecordBatch) -> list[list[dict[str, Any]]]:
    """The conversations of rows (`messages`, and `tools` where they have it), each with its tools."""
    tools = rows["tools"].to_pylist() if "tools" in rows.schema.names else [None] * rows.num_rows
    return [with_tools([told(t) for t in turns], of) for turns, of in zip(rows["messages"].to_pylist(), tools)]


def turns_array(conversations: Sequence[Messages]) -> pa.Array:
    """Conversations as an array of TURNS; a field that no turn has costs no conversion."""
    turns = [turn for messages in conversations for turn in messages]
    ends = np.cumsum([0, *map(len, conversations)], dtype=np.int32)
    used = {k for turn in turns for k in turn}
    return conversations_of(ends, {n: pa.array([t.get(n) for t in turns], TURN[n]) for n in TURN if n in used})


def conversations_of(ends: np.ndarray, filled: Mapping[str, pa.Array]) -> pa.Array:
    """An array of TURNS, given where each conversation's turns end (int32, from 0) and the turns' fields that have
    values; the others are null."""
    columns = [filled[n] if n in filled else pa.nulls(int(ends[-1]), kind) for n, kind in TURN.items()]
    return pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(columns, list(TURN))).cast(TURNS)


def with_fields(messages: pa.Array, kind: pa.DataType) -> pa.Array:
    """The messages with just the turn fields of another messages type: others are left out, missing ones null."""
    if messages.type == kind:
        return messages
    offsets = np.asarray(messages.offsets)
    values = messages.values.slice(offsets[0], offsets[-1] - offsets[0])
    names = [f.name for f in kind.value_type]
    there = {f.name for f in messages.type.value_type}
    columns = [values.field(n) if n in there else pa.nulls(len(values), TURN[n]) for n in names]
    struct = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), struct, type=kind)


def row_id(source: str, file: str, row: int | str) -> str:
    """The unique, readable key of a row: `source/file:row`."""
    return f"{source}/{file}:{row}"


@dataclass
class Rows:
    """Some rows of the corpus as columns. `table` has `messages` and any other columns of SHARD (its `ability` being
    the current label); `scores` holds what earlier steps published, under their `score_<step>_<name>` names; each is as
    long as the rows."""

    table: pa.Table
    context: Context = field(default_factory=Context)
    scores: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    engine: Any = None  # where `scored` does its work on other machines

    def __post_init__(self) -> None:
        if self.context is None:  # rows of one's own, outside a build
            self.context = Context()

    def __len__(self) -> int:
        return self.table.num_rows

    def __getattr__(self, name: str) -> Any:
        # Only SHARD columns: id, rid, messages, ability, lang, origin, source, source_file, source_row, meta, tools, …
        if name in SHARD.names:
            if name in self.table.column_names:
                return _one(self.table[name])
            if name not in CORPUS.names:
                return pa.nulls(len(self), SHARD.field(name).type)
        raise AttributeError(name)

    @property
    def id_bytes(self) -> np.ndarray:
        """The 16 bytes of each id, as uint64[rows, 2]: half of what their digits take."""
        return bytes_of_ids(self.id)

    @cached_property
    def prompt(self) -> pa.Array:
        """Everything before the response, turns joined by a newline (string, never null)."""
        return self._texts[0]

    @cached_property
    def response(self) -> pa.Array:
        """The last turn where it is the assistant's, without its reasoning (a field of its own), else null (string)."""
        return self._texts[1]

    @cached_property
    def full(self) -> pa.Array:
        """Tools, prompt, reasoning and response, joined by newlines (string, never null)."""
        before = self.prompt
        for part, first in ((views.reasoning_of(self.messages), False), (self.tools, True)):
            if part.null_count < len(part):
                part = pc.fill_null(part, "")
                before = views.beside(part, before) if first else views.beside(before, part)
        return pc.binary_join_element_wise(before, self.response, "\n", null_handling="skip")

    @cached_property
    def system(self) -> pa.Array:
        """The first turn where it is the system's, else null (string)."""
        return views.system_of(self.messages)

    def view(self, name: str) -> pa.Array:
        """One of views.VIEWS as a string array as long as the rows; null where a row has no such part."""
        if name in ("prompt", "full", "system"):
            return getattr(self, name)
        if name in ("reasoning", "answer"):
            inline, answer = self._thought
            return answer if name == "answer" else pc.coalesce(views.reasoning_of(self.messages), inline)
        if name == "answers":
            return views.answers_of(self.messages)
        if name not in views.VIEWS:
            raise KeyError(f"no view {name}: one of {', '.join(views.VIEWS)}")
        return self._asked_and_given[name == "given"]

    @cached_property
    def _texts(self) -> tuple[pa.Array, pa.Array]:
        return split_messages(self.messages)

    @cached_property
    def _asked_and_given(self) -> tuple[pa.Array, pa.Array]:
        return views.asked_and_given(self.messages, self.asked_span, self.tools)

    @cached_property
    def _thought(self) -> tuple[pa.Array, pa.Array]:
        return views.thought_of(self.response)

    def take(self, at: np.ndarray, columns: Collection[str] | None = None) -> Rows:
        """The rows at these positions, in this order; with `columns` (TEXT: what every view needs) only those."""
        index = pa.array(at)
        table = (
            self.table if columns is None else self.table.select([n for n in self.table.column_names if n in columns])
        )
        return Rows(table.take(index), self.context, {k: v.take(index) for k, v in self.scores.items()})

    def only(self, at: np.ndarray) -> Rows:
        """The rows at these positions, which ascend; those of a corpus are read when they are asked for."""
        return self.take(at)

    def batches(self, rows: int = 8192, columns: Collection[str] | None = None) -> Iterator[Rows]:
        """The rows in order, a batch at a time; with `columns` (TEXT: what every view needs) only those, without
        scores."""
        for start in range(0, len(self), rows):
            part = {k: v.slice(start, rows) for k, v in self.scores.items()}
            yield Rows(self.table.slice(start, rows), self.context, part)

    def scored(
        self,
        key: str,
        score: Callable[[Rows], Mapping[str, Any]],
        columns: list[str] | None = None,
        sees: Sequence[str] = TEXT,
        whole: bool = False,
    ) -> Iterator[pa.Table]:
        """What `score` says of every row, or some columns of it, as tables in the rows' order. `score` sees some
        columns of the shards and looks at each row by itself; `key` names what else shapes it. (Rows of a corpus keep
        it a shard at a time; `whole`: the tables are of all its shards, with the rows that are not among these.)"""
        for batch in self.batches(columns=sees):
            table = pa.table(dict(score(batch)))
            yield table if columns is None else table.select(columns)

    def places(self) -> Iterator[np.ndarray]:
        """For each table of `scored`, which of the rows that `score` saw together it is about."""
        yield from (np.arange(len(batch)) for batch in self.batches(columns=TEXT))


class Lazily(Mapping[str, T]):
    """Values by name, each made when first asked for."""

    def __init__(self, names: Iterable[str], make: Callable[[str], T]):
        self._names, self._make, self._made = dict.fromkeys(names), make, dict[str, T]()

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


DIGITS = np.full(256, 255, np.uint8)  # the value of each hexadecimal digit
DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def bytes_of_ids(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64[ids, 2] of ids of 32 hex digits each, chunk by chunk. Raises ValueError for anything else."""
    parts = []
    for chunk in ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]:
        if not len(chunk):
            continue
        offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        digits = DIGITS[np.frombuffer(chunk.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]]
        if (np.diff(offsets) != 32).any() or (digits > 15).any():
            raise ValueError("an id is not 32 hex digits")
        parts.append((digits[0::2] << 4 | digits[1::2]).view(">u8").reshape(-1, 2).astype(np.uint64))
    return np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)


def split_messages(messages: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(prompt, response) of a messages array; see Rows.prompt and Rows.response."""
    return views.split(messages)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )
