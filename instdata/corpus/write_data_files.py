"""data/*.parquet: rows in the ladder's order, cut into files, by whoever the engine asks.

A distribution sort in two rounds of tasks. A shard's rows go to a file of their own, in the order of their places and
cut into buckets of neighbouring ones; then each data file takes its buckets from all shards, puts their rows in order
and writes them. So memory is bounded whatever the corpus holds, and the bytes do not depend on who did what. A shard is
read once: what the ledger and dropped.parquet show of its rows goes to files beside the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.cached_tables import ROW_GROUP, read_cached
from instdata.corpus.corpus import HOLDOUT, Corpus, Part, Shard, Sidecar
from instdata.corpus.forms_and_dropped import dropped_file
from instdata.corpus.ladder import Ladder
from instdata.corpus.ledger import ledger_file, score_fields
from instdata.corpus.optional_columns import fields_used, filled_columns, published_schema
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.row_states import State
from instdata.corpus.rows import with_fields
from instdata.util.atomic import copy_whole
from instdata.util.build_context import Context
from instdata.util.checksums import running_sha256
from instdata.util.engine import Engine
from instdata.util.sealed import Checked, checked, trust

PUBLISHED, GONE, ALL = "rows", "gone", "all"  # what of a shard's rows is written
BUCKET = 128 << 20  # bytes of rows in a bucket
LARGE = 512 << 20  # bytes of rows from which on it pays to start processes for writing them


def write_data(
    corpus: Corpus, pool: np.ndarray, ladder: Ladder, folder: Path, engine: Engine
) -> tuple[dict[str, Any], int]:
    """Write data/*.parquet of the pool's rows (their numbers) and of the holdout, the ledger and dropped.parquet;
    returns the manifest's configs and the ledger's number of rows."""
    place = np.full(corpus.n, -1, np.int64)  # row -> its place: the ladder first, then the holdout
    place[pool[ladder.order]] = np.arange(len(pool))
    held = np.flatnonzero((corpus.state.step < 0) & (corpus.state.config == HOLDOUT))
    held = held[np.argsort(np.asarray(corpus.view(held).id.to_numpy(zero_copy_only=False)), kind="stable")]
    place[held] = len(pool) + np.arange(len(held))
    files = [(f"data/{i:02d}-{name}.parquet", end) for i, (name, end) in enumerate(ladder.cuts)]
    if len(held):
        files.append(("data/holdout.parquet", len(pool) + len(held)))
    entered = _write_in_order(corpus, place, files, folder, engine)
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
    return configs, entered


@dataclass(frozen=True)
class ShardRows:
    """What of one shard goes into a build's folder, on its way to a worker, which reads it once. `told` has a line a
    row: `place` (-1: not published), `gone` (dropped), `ability`, `ability_confidence`."""

    corpus: Corpus  # of this shard alone: its file and its scores
    known: Checked  # its files, which were found sound
    told: pa.Table
    edges: list[int]  # places: where buckets begin, and where the last one ends
    asked: dict[str, pa.Schema]  # columns of the rows that are published, of those that are dropped, of all
    out: Path

    def write(self) -> list[int]:
        """Write the rows of each kind that there are (`written_to`). Those that are published come in order, a record
        batch for each bucket of which there are some; returns which buckets these are."""
        trust(self.known)
        place = self.told["place"].to_numpy()
        at = np.flatnonzero(place >= 0)
        at = at[np.argsort(place[at])]
        gone = np.flatnonzero(self.told["gone"].to_numpy())
        used = [ALL, *([PUBLISHED] if len(at) else []), *([GONE] if len(gone) else [])]
        path, names = self.corpus.shards[0].path, {n for kind in used for n in self.asked[kind].names}
        stored = read_cached(path, filled_columns(path, names))
        columns = {n: stored[n].combine_chunks() for n in stored.column_names}
        columns |= {n: self.told[n] for n in ("ability", "ability_confidence")} | {**self.corpus.scores(0)}
        self._write(ALL, [_rows(columns, self.asked[ALL], len(place))])
        if len(gone):
            self._write(GONE, [_rows(columns, self.asked[GONE], len(place), gone)])
        rows = _rows(columns, self.asked[PUBLISHED], len(place), at).append_column("place", pa.array(place[at]))
        cuts = np.searchsorted(place[at], self.edges)
        some = np.flatnonzero(np.diff(cuts)).tolist()
        self._write(PUBLISHED, [rows.slice(cuts[b], cuts[b + 1] - cuts[b]) for b in some])
        return some

    def _write(self, kind: str, batches: list[pa.Table]) -> None:
        if batches:
            path = str(written_to(self.out, kind))
            with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, batches[0].schema) as writer:
                for batch in batches:
                    writer.write_table(batch)


def written_to(out: Path, kind: str) -> Path:
    """Where ShardRows writes the rows of a kind."""
    return out.with_suffix(f".{kind}")


def _rows(columns: dict[str, Any], schema: pa.Schema, rows: int, at: np.ndarray | None = None) -> pa.Table:
    """A shard's rows, or those at some places, as a schema has them; a column that the shard lacks is null (a step of
    which every row raised has no scores)."""
    index = None if at is None else pa.array(at)
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(rows, field.type)
        elif field.name == "messages":
            column = with_fields(column, field.type)
        arrays.append(column if index is None else column.take(index))
    return pa.table(arrays, schema=schema).combine_chunks()


@dataclass(frozen=True)
class DataFile:
    """One file of data/, on its way to a worker: some buckets, one after the other."""

    buckets: list[list[tuple[Path, int]]]  # where the rows of each are: files that ShardRows wrote, batches in them
    schema: pa.Schema
    out: Path

    def write(self) -> None:
        """Write the rows of each bucket in order, in row groups of ROW_GROUP."""
        with parquet_file(self.out, self.schema) as append:
            for bucket in self.buckets:
                for rows in _row_groups(bucket):
                    append(rows)


def _row_groups(bucket: list[tuple[Path, int]]) -> Iterator[pa.Table]:
    """All rows of a bucket by place, a row group at a time."""
    pieces = [pa.ipc.open_file(pa.memory_map(str(path))).get_batch(batch) for path, batch in bucket]
    if not pieces:
        return
    table = pa.Table.from_batches(pieces).combine_chunks()
    del pieces
    order = np.argsort(table["place"].to_numpy())
    table = table.drop_columns(["place"])
    for start in range(0, len(order), ROW_GROUP):
        yield table.take(pa.array(order[start : start + ROW_GROUP]))


def _write_in_order(
    corpus: Corpus, place: np.ndarray, files: list[tuple[str, int]], folder: Path, engine: Engine
) -> int:
    """Rows sorted by place, cut into files; the ledger and dropped.parquet. Returns the ledger's number of rows."""
    schema = published_schema(fields_used(corpus, place >= 0), score_fields(corpus))
    entered = 0
    size = sum(s.size for s in corpus.shards) / files[-1][1]  # bytes of a row
    edges, buckets = [0], []
    for _, end in files:
        first, count = edges[-1], max(1, int(-(-(end - edges[-1]) * size // BUCKET)))
        cuts = first + np.linspace(0, (end - first) / ROW_GROUP, count + 1)[1:-1].astype(np.int64) * ROW_GROUP
        some = [cut for cut in np.unique(cuts).tolist() if first < cut < end]  # whole row groups
        buckets.append(slice(len(edges) - 1, len(edges) + len(some)))
        edges += [*some, end]
    # What other machines write must lie where all of them see it.
    engine = engine.on_one_disk()
    far = engine.near() is not engine
    engine = engine if far or size * files[-1][1] >= LARGE else Engine()
    where = corpus.context.folder / "scores" if far else folder
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=where, ignore_cleanup_errors=True) as made:
        scratch = Path(made)
        parts = [scratch / str(shard) for shard in range(len(corpus.shards))]
        filled: list[list[tuple[Path, int]]] = [[] for _ in edges[1:]]
        with dropped_file(corpus, folder) as (of_dropped, drop), ledger_file(corpus, folder) as (of_all, enter):
            asked = {PUBLISHED: schema, GONE: of_dropped, ALL: of_all}
            tasks = (_shard_rows(corpus, i, place, edges, asked, part) for i, part in enumerate(parts))
            for shard, some in enumerate(engine.map(ShardRows.write, tasks)):
                for batch, bucket in enumerate(some):
                    filled[bucket].append((written_to(parts[shard], PUBLISHED), batch))
                drop(shard, written_to(parts[shard], GONE))
                entered += enter(shard, written_to(parts[shard], ALL))
        places = [(scratch if far else folder) / name for name, _ in files]
        by_size = sorted(zip(buckets, places), key=lambda file: edges[file[0].start] - edges[file[0].stop])
        tables = (DataFile(filled[some], schema, path) for some, path in by_size)
        for _ in engine.map(DataFile.write, tables):
            pass  # the largest comes first: the others fill the gaps
        for path, (name, _) in zip(places if far else (), files):
            copy_whole(path, folder / name)
    return entered


def _shard_rows(
    corpus: Corpus, shard: int, place: np.ndarray, edges: list[int], asked: dict[str, pa.Schema], out: Path
) -> ShardRows:
    """The task of one shard: of the state of its rows, no more than is written."""
    state, span = corpus.state, corpus.span(shard)
    told = {
        "place": place[span],
        "gone": state.step[span] >= 0,
        "ability": corpus.abilities.decode(state.ability[span]),
        "ability_confidence": pa.array(state.confidence[span], pa.float32(), from_pandas=True),
    }
    parts = [(s.step, s.parts[shard]) for s in corpus.sidecars if s.published and shard in s.parts]
    sidecars = [Sidecar(step, {0: _small(part, corpus.shards[shard].rows)}) for step, part in parts]
    known = checked([corpus.shards[shard].path, *(part.path for _, part in parts)])
    return ShardRows(alone(corpus.shards[shard], sidecars), known, pa.table(told), edges, asked, out)


def alone(shard: Shard, sidecars: list[Sidecar]) -> Corpus:
    """One shard and its scores as a corpus, without the state of its rows."""
    return Corpus([shard], State.fresh(np.empty(0, np.int32)), Context().silent, sidecars=sidecars)


def _small(part: Part, rows: int) -> Part:
    """A part that takes less on its way."""
    at = part.at
    return replace(part, at=None if at is None or len(at) == rows else at.astype(np.int32))
