"""Which optional columns and turn fields the rows of a build use: data files have those, and no others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import lies_on, read_cached, written
from instdata.corpus.corpus import Corpus
from instdata.corpus.rows import OPTIONAL, PUBLISHED, SHARD, TURN, messages_type

TURN_FIELDS = tuple(n for n in TURN if n not in ("role", "content"))


def fields_used(corpus: Corpus, rows: np.ndarray) -> set[str]:
    """Of OPTIONAL's columns and the optional turn fields, those in which any row of the mask has a value."""
    used: set[str] = set()
    for shard in range(len(corpus.shards)):
        mask = rows[corpus.span(shard)]
        wanted = _filled(corpus.shards[shard].path) - used if mask.any() else set()
        if not wanted:
            continue
        fields = [n for n in wanted if n in TURN_FIELDS]
        names = [*(n for n in wanted if n in OPTIONAL.names), *(["messages"] if fields else [])]
        table = read_cached(corpus.shards[shard].path, names).filter(pa.array(mask))
        used |= {n for n in names if n != "messages" and table[n].null_count < len(table)}
        if fields:
            turns = table["messages"].combine_chunks().flatten()
            used |= {n for n in fields if turns.field(n).null_count < len(turns)}
    return used


def filled_columns(path: Path, names: Collection[str]) -> list[str]:
    """What to read of columns of rows: of their turns the role, the content and the optional fields in which there is
    any value. (To read what nobody used takes longer than all but the content.)"""
    fields = ["role", "content", *(n for n in TURN_FIELDS if n in _filled(path))] if "messages" in names else []
    turns = [f"messages.list.element.{n}" for n in fields]
    return [c for n in SHARD.names if n in names for c in (turns if n == "messages" else [n])]


def published_schema(used: Collection[str], scores: Iterable[pa.Field] = ()) -> pa.Schema:
    """The columns of data files: those of every build, the optional ones used, scores, meta."""
    head = [f if f.name != "messages" else pa.field("messages", messages_type(used)) for f in PUBLISHED]
    return pa.schema([*head, *(f for f in OPTIONAL if f.name in used), *scores, ("meta", pa.string())])


def is_published(schema: pa.Schema) -> list[str]:
    """What is not as data files have it, in words: columns missing, of another type or unknown; scores and meta may
    follow."""
    turns = schema.field("messages").type if "messages" in schema.names else None
    kept = (
        {f.name for f in turns.value_type}
        if turns is not None and pa.types.is_list(turns) and pa.types.is_struct(turns.value_type)
        else set()
    )
    expected = published_schema({*kept, *schema.names})
    wanted = [(f.name, f.type) for f in expected if f.name != "meta"]
    problems = []
    if [(f.name, f.type) for f in schema][: len(wanted)] != wanted:
        problems.append("its columns are not id, messages, ability, … of the published types")
    strange = [n for n in schema.names if n not in expected.names and not n.startswith("score_")]
    return problems + ([f"unknown columns {', '.join(strange)}"] if strange else [])


def _filled(path: Path) -> set[str]:
    """The optional columns and turn fields in which a shard has any value."""
    paths = (name.split(".") for name in columns_with_values(path))
    found = {p[3] if p[0] == "messages" and len(p) > 3 else p[0] for p in paths}
    return found & {*TURN_FIELDS, *OPTIONAL.names}


def columns_with_values(path: Path) -> set[str]:
    """The columns of a Parquet file, by their paths (messages.list.element.role), in which a value may stand that is
    not null, by the file's own statistics."""
    return _columns_with_values(path, written(path))


@lru_cache(maxsize=4096)
def _columns_with_values(path: Path, when: int | None) -> set[str]:
    under = lies_on(path)
    found = columns_with_values(under) if under else set()
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        for group in range(meta.num_row_groups):
            for i in range(meta.num_columns):
                column = meta.row_group(group).column(i)
                stats = column.statistics
                if stats is None or not stats.has_null_count or stats.null_count < column.num_values:
                    found.add(column.path_in_schema)
    return found
