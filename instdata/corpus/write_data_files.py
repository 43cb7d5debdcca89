"""data/*.parquet: rows in the ladder's order, cut into files, by whoever the engine asks.

A distribution sort in two rounds of tasks. A shard's rows go to a file of their own, in the order of their places and
cut into buckets of neighbouring ones; then each data file takes its buckets from all shards, puts their rows in order
and writes them. So memory is bounded whatever the corpus holds, and the bytes do not depend on who did what.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.corpus import HOLDOUT, ROW_GROUP, Corpus, Sidecar, Writer
from instdata.corpus.ladder import Ladder
from instdata.corpus.ledger import score_fields
from instdata.corpus.optional_columns import fields_used, published_schema
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.row_states import State
from instdata.corpus.rows import SHARD, with_fields
from instdata.util.atomic import whole
from instdata.util.checksums import running_sha256
from instdata.util.engine import Engine

BUCKET = 128 << 20  # bytes of rows in a bucket
LARGE = 512 << 20  # bytes of rows from which on it pays to start processes for writing them


def write_data(corpus: Corpus, pool: np.ndarray, ladder: Ladder, folder: Path, engine: Engine) -> Writer:
    """Write data/*.parquet of the pool's rows (their numbers) and of the holdout; returns the manifest's configs."""
    place = np.full(corpus.n, -1, np.int64)  # row -> its place: the ladder first, then the holdout
    place[pool[ladder.order]] = np.arange(len(pool))
    held = np.flatnonzero((corpus.state.step < 0) & (corpus.state.config == HOLDOUT))
    held = held[np.argsort(np.asarray(corpus.view(held).id.to_numpy(zero_copy_only=False)), kind="stable")]
    place[held] = len(pool) + np.arange(len(held))
    files = [(f"data/{i:02d}-{name}.parquet", end) for i, (name, end) in enumerate(ladder.cuts)]
    if len(held):
        files.append(("data/holdout.parquet", len(pool) + len(held)))
    yield from _write_in_order(corpus, place, files, folder, engine)
    labels = np.full(len(pool) + len(held), -1, np.int32)
    labels[place[place >= 0]] = corpus.state.ability[place >= 0]

    def config(names: list[str], start: int, end: int, sha256: str) -> dict[str, Any]:
        codes, counts = np.unique(labels[start:end], return_counts=True)
        by = dict(sorted((corpus.abilities.words[c], int(n)) for c, n in zip(codes, counts)))
        return {"rows": end - start, "files": names, "sha256": sha256, "by_ability": by}

    shas = running_sha256([folder / f for f, _ in files[: len(ladder.cuts)]])
    configs = {
        name: config([f for f, _ in files[:k]], 0, files[k - 1][1], shas[k]) for name, k in ladder.configs.items()
    }
    if len(held):
        configs["holdout"] = config([files[-1][0]], len(pool), len(labels), running_sha256([folder / files[-1][0]])[-1])
    return configs


@dataclass(frozen=True)
class ShardRows:
    """The rows of one shard that are published, on their way to a worker, which puts them in order."""

    corpus: Corpus  # of this shard alone
    at: np.ndarray  # the rows that are published
    place: np.ndarray  # the place of each
    edges: np.ndarray  # places: where buckets begin, and where the last one ends
    schema: pa.Schema
    out: Path

    def write(self) -> list[int]:
        """Write them, a record batch for each bucket of which there are some; returns which these are."""
        order = np.argsort(self.place)
        rows = _published(self.corpus, self.at[order], self.schema).append_column("place", pa.array(self.place[order]))
        rows = rows.combine_chunks()
        cuts = np.searchsorted(self.place[order], self.edges)
        some = np.flatnonzero(np.diff(cuts)).tolist()
        with pa.OSFile(str(self.out), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            for bucket in some:
                writer.write_batch(rows.slice(cuts[bucket], cuts[bucket + 1] - cuts[bucket]).to_batches()[0])
        return some


@dataclass(frozen=True)
class DataFile:
    """One file of data/, on its way to a worker: some buckets, one after the other."""

    buckets: list[list[tuple[Path, int]]]  # where the rows of each are: files that ShardRows wrote, batches in them
    schema: pa.Schema
    out: Path

    def write(self) -> None:
        """Write the rows of each bucket in order, in row groups of ROW_GROUP."""
        held = self.schema.empty_table()
        with parquet_file(self.out, self.schema) as append:
            for table in chain.from_iterable(map(_sorted, self.buckets)):
                held = pa.concat_tables([held, table])
                while len(held) >= ROW_GROUP:
                    append(held.slice(0, ROW_GROUP).combine_chunks())
                    held = held.slice(ROW_GROUP)
            if len(held):
                append(held.combine_chunks())


def _sorted(bucket: list[tuple[Path, int]]) -> Iterator[pa.Table]:
    """All rows of a bucket by place, some at a time: of its pieces, sorted each, those that come next are put in order
    together. (To sort it as a whole would copy it twice.)"""
    pieces = [pa.ipc.open_file(pa.memory_map(str(path))).get_batch(batch) for path, batch in bucket]
    if not pieces:
        return
    places = [np.asarray(piece["place"]) for piece in pieces]
    end = max(int(p[-1]) for p in places) + 1
    starts = [*range(min(int(p[0]) for p in places), end, ROW_GROUP), end]
    cuts = [np.searchsorted(p, starts) for p in places]
    for i in range(len(starts) - 1):
        some = [piece.slice(c[i], c[i + 1] - c[i]) for piece, c in zip(pieces, cuts) if c[i] < c[i + 1]]
        table = pa.Table.from_batches(some).combine_chunks()
        yield table.take(pc.sort_indices(table["place"])).drop_columns(["place"])


def _write_in_order(
    corpus: Corpus, place: np.ndarray, files: list[tuple[str, int]], folder: Path, engine: Engine
) -> Writer:
    """Rows sorted by place, cut into files."""
    schema = published_schema(fields_used(corpus, place >= 0), score_fields(corpus))
    size = sum(s.size for s in corpus.shards) / files[-1][1]  # bytes of a row
    edges, buckets = [0], []
    for _, end in files:
        count = max(1, int(-(-(end - edges[-1]) * size // BUCKET)))
        buckets.append(range(len(edges) - 1, len(edges) - 1 + count))
        edges += np.linspace(edges[-1], end, count + 1).astype(np.int64)[1:].tolist()
    # What other machines write must lie where all of them see it.
    far = engine.near() is not engine
    engine = engine if far or size * files[-1][1] >= LARGE else Engine()
    where = corpus.context.folder / "scores" if far else folder
    where.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=where))
    try:
        parts = [scratch / str(shard) for shard in range(len(corpus.shards))]
        tasks = (
            ShardRows(_alone(corpus, i), at, place[corpus.span(i)][at], np.array(edges), schema, part)
            for i, part in enumerate(parts)
            for at in [np.flatnonzero(place[corpus.span(i)] >= 0)]
        )
        written = engine.map(ShardRows.write, tasks)
        filled: list[list[tuple[Path, int]]] = [[] for _ in edges[1:]]
        for part in parts:
            yield
            for batch, bucket in enumerate(next(written)):
                filled[bucket].append((part, batch))
        places = [(scratch if far else folder) / name for name, _ in files]
        by_size = sorted(zip(buckets, places), key=lambda file: edges[file[0].start] - edges[file[0].stop])
        tables = (DataFile(filled[b.start : b.stop], schema, path) for b, path in by_size)
        for _ in engine.map(DataFile.write, tables):
            pass  # the largest comes first: the others fill the gaps
        for path, (name, _) in zip(places if far else (), files):
            with open(path, "rb") as made, whole(folder / name) as file:
                shutil.copyfileobj(made, file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _alone(corpus: Corpus, shard: int) -> Corpus:
    """One shard as a corpus, with what its published rows show."""
    span = corpus.span(shard)
    state = State(*(getattr(corpus.state, f.name)[span] for f in fields(State)))
    sidecars = [Sidecar(s.step, {0: s.parts[shard]} if shard in s.parts else {}) for s in corpus.sidecars]
    return Corpus([corpus.shards[shard]], state, corpus.context.silent, abilities=corpus.abilities, sidecars=sidecars)


def _published(corpus: Corpus, at: np.ndarray, schema: pa.Schema) -> pa.Table:
    """The rows `at` of the one shard of a corpus as they are published."""
    stored = [n for n in schema.names if n in SHARD.names]
    table = corpus.columns(0, stored).take(pa.array(at))
    columns: dict[str, Any] = {n: table[n] for n in stored}
    columns["messages"] = with_fields(table["messages"].combine_chunks(), schema.field("messages").type)
    columns["ability_confidence"] = pa.array(corpus.state.confidence[at], pa.float32(), from_pandas=True)
    columns |= corpus.scores(0, at)
    # Of a shard of which every row raised, a step has no scores.
    arrays = [columns.get(f.name, pa.nulls(len(at), f.type)) for f in schema]
    return pa.table(arrays, schema=schema)
