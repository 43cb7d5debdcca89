"""Reading: the records of each input as shards of the corpus.

A file is cut into blocks of records, in file order; each block becomes one shard, made by whatever worker is free. What
cannot be read is quarantined beside the shard: row, error, raw text.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import read_cached, write_cached
from instdata.corpus.corpus import BAD, Shard
from instdata.corpus.rows import Rows
from instdata.corpus.taxonomy import Taxonomy
from instdata.read.blocks import block_count
from instdata.read.file_kind import Beside, Damaged
from instdata.read.open_sources import Input
from instdata.read.parse_blocks import parse
from instdata.read.shard_index import indexed, keep_index, until_damage
from instdata.util.build_context import Context
from instdata.util.engine import Engine
from instdata.util.errors import BudgetReached, DamagedInput, InputError
from instdata.util.progress import track
from instdata.util.sealed import discard, sound


@dataclass(frozen=True)
class Block:
    """Some records of a file, from number `first` on, on the way to a worker."""

    input: Input
    first: int
    records: Any  # list of bytes (JSON), of dicts and Bad (CSV), or an Arrow batch
    path: Path  # where the shard goes
    key: str
    taxonomy: Taxonomy | None
    fresh: bool


class Changed(InputError):
    """A file was written while it was read."""


class Unreadable(BudgetReached):
    """Too many rows of a source cannot be read; `shards` hold which."""

    def __init__(self, message: str, shards: list[Shard]):
        super().__init__(message)
        self.shards = shards


def read_sources(
    opened: list[list[Input]], limits: list[float], engine: Engine, context: Context, limit: int | None = None
) -> list[Shard]:
    """All rows as shards, in the recipe's order of sources and the files' order of names; cached by content.

    `limits` holds each source's max_bad. Raises BudgetReached where more rows than that cannot be read.
    """
    shards: list[Shard] = []
    for inputs, max_bad in zip(opened, limits):
        mine = _read_files(inputs, engine, context) if limit is None else _read_first(inputs, engine, context, limit)
        rows, bad = sum(s.rows for s in mine), sum(s.bad for s in mine)
        if bad >= 10 and bad > max_bad * (rows + bad):
            raise Unreadable(_too_many_bad(inputs, mine, rows, bad, max_bad), mine)
        shards += mine
    return shards


def _too_many_bad(inputs: list[Input], shards: list[Shard], rows: int, bad: int, max_bad: float) -> str:
    first = next(t for s in shards if s.bad for t in read_cached(s.bad_path).slice(0, 1).to_pylist())
    return (
        f"source {inputs[0].source}: {bad} of {rows + bad} rows cannot be read, more than max_bad ({max_bad:.2%}). "
        f"The first: {first['source_file']}, row {first['source_row']}: {first['error']}. Mend the file, or raise "
        f"max_bad: in the recipe"
    )


@dataclass
class _File:
    """A file on the way into shards."""

    item: Input
    key: str
    index: Path
    shards: list[Shard]
    lost: list[Damaged]
    beside: Beside
    known: str | None  # of a file that an earlier build read: what was lost of it


def _read_first(inputs: list[Input], engine: Engine, context: Context, limit: int) -> list[Shard]:
    """The first `limit` records of some files, one file after the other."""
    shards: list[Shard] = []
    for item in inputs:
        left = limit - sum(s.rows + s.bad for s in shards)
        shards += _read_files([item], engine, context, left) if left > 0 else []
    return shards


def _read_files(inputs: list[Input], engine: Engine, context: Context, limit: int | None = None) -> list[Shard]:
    """The shards of some files, in their order. The blocks of all of them go to the engine in one stream: a folder of
    small files keeps as many workers busy as one large file. Raises DamagedInput for a file of which not all is there,
    Changed where one is written meanwhile."""
    files = [_opened(item, context, limit) for item in inputs]
    new = [f for f in files if f.known is None]
    owners: deque[_File] = deque()  # of the blocks that are on the way
    made = engine.map(read_block, _blocks(new, owners, context, limit))
    counts = [block_count(f.item.path) for f in new]
    total = None if None in counts else sum(c or 0 for c in counts)
    left = deque(files)
    for shard in track(made, total, lambda s: s.rows):
        owner = owners.popleft()
        while left[0] is not owner:
            _finish(left.popleft(), context)
        owner.shards.append(shard)
    for file in left:
        _finish(file, context)
    return [s for f in files for s in f.shards]


def _opened(item: Input, context: Context, limit: int | None) -> _File:
    key = item.key(context.taxonomy, limit)
    index = context.folder / "sources" / f"{key}.json"
    there = None if context.fresh else indexed(index, context, item.file)
    if there is None:
        return _File(item, key, index, [], [], Beside(), None)
    shards, lost, beside = there
    return _File(item, key, index, shards, [], beside, lost)


def _blocks(files: list[_File], owners: deque[_File], context: Context, limit: int | None) -> Iterator[Block]:
    """The blocks of files one after the other; whose each is goes into `owners`."""
    for file in files:
        key = file.key
        blocks = until_damage(file.item.blocks(limit, file.beside), file.lost)
        for i, (first, records) in enumerate(blocks):
            path = context.folder / "shards" / key[:2] / f"{key}-{i:05d}.parquet"
            owners.append(file)
            yield Block(file.item, first, records, path, f"{key}-{i:05d}", context.taxonomy, context.fresh)


def _finish(file: _File, context: Context) -> None:
    """A file was read: remember its shards, say what was lost of it."""
    item, lost = file.item, file.known
    if lost is None:
        if item.changed():
            for shard in file.shards:
                discard(shard.path)
            raise Changed(f"{item.path}: the file was written while it was read")
        lost = str(file.lost[0]) if file.lost else ""
        keep_index(file.index, file.shards, lost, file.beside, context.folder)
    if lost and not item.keep:
        raise DamagedInput(
            f"source {item.source}: {lost}. {sum(s.rows for s in file.shards):,} rows stand before that: damaged: keep "
            f"in the source goes on with them"
        )
    if lost:
        context.say(f"source {item.source}: {lost}. Going on with what is there (damaged: keep)")
    if file.beside.line:
        context.say(f"source {item.source}: {item.file}: {file.beside.line}")
    context.lost[f"{item.source}/{item.file}"] = lost
    context.beside[f"{item.source}/{item.file}"] = file.beside.manifest()


def read_block(block: Block) -> Shard:
    """Turn one block of records into a shard (and its quarantine); a no-op where both are there already."""
    item = block.input
    bad_path = block.path.with_suffix(".bad.parquet")
    if not block.fresh and sound(block.path) and sound(bad_path):
        there = read_cached(block.path)
        return Shard(block.path, len(there), pq.read_metadata(bad_path).num_rows, block.key, there.nbytes)
    with uncollected():
        read = parse(block.records, block.first, item, block.taxonomy)
        table, bad = read.table(item), read.bad
    bads = pa.table(
        {
            "source": pa.array([item.source] * len(bad), pa.string()),
            "source_file": pa.array([item.file] * len(bad), pa.string()),
            "source_row": pa.array([b[0] for b in bad], pa.int64()),
            "error": pa.array([b[1] for b in bad], pa.string()),
            "raw": pa.array([b[2] for b in bad], pa.string()),
        },
        schema=BAD,
    )
    write_cached(bads, bad_path)
    write_cached(table, block.path)
    return Shard(block.path, table.num_rows, len(bad), block.key, table.nbytes)


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for reference cycles: a block's rows are many small objects without any, and it takes 40% of the
    time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def tables(item: Input, taxonomy: Taxonomy | None, most: int | None = None) -> Iterator[pa.Table]:
    """The rows of an input, or of its first `most` records, as they would enter the corpus, a block at a time. Writes
    nothing; what cannot be read is left out. For files that are looked at beside the corpus."""
    for first, records in until_damage(item.blocks(most), []):
        yield parse(records, first, item, taxonomy).table(item)


def any_answered(item: Input) -> bool:
    """Whether any row of an input has an answer: it is read until one has."""
    return any(map(answered, tables(item, None)))


def answered(table: pa.Table) -> int:
    """How many rows of a SHARD table have an answer."""
    return pc.sum(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(Rows(table).view("answer"))), 0)).as_py() or 0
