"""data/*.parquet: rows in the ladder's order, cut into files, by whoever the engine asks.

A distribution sort in two rounds of tasks. A shard's rows go to a file of their own, in the order of their places and
cut into buckets of neighbouring ones; then each data file takes its buckets from all shards, puts their rows in order
and writes them. So memory is bounded whatever the corpus holds, and the bytes do not depend on who did what. A shard is
read once: its dropped rows go to a file beside the first, for dropped.parquet.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.corpus import HOLDOUT, ROW_GROUP, Corpus, Part, Sidecar, Writer
from instdata.corpus.forms_and_dropped import dropped_file
from instdata.corpus.ladder import Ladder
from instdata.corpus.ledger import score_fields
from instdata.corpus.optional_columns import fields_used, published_schema, read_filled
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.row_states import State
from instdata.corpus.rows import with_fields
from instdata.util.atomic import whole
from instdata.util.build_context import Context
from instdata.util.checksums import running_sha256
from instdata.util.engine import Engine
from instdata.util.sealed import Checked, checked, trust

OF_STATE = {"ability": "label", "ability_confidence": "confidence"}  # column -> what ShardRows is told of it
BUCKET = 128 << 20  # bytes of rows in a bucket
LARGE = 512 << 20  # bytes of rows from which on it pays to start processes for writing them


def write_data(corpus: Corpus, pool: np.ndarray, ladder: Ladder, folder: Path, engine: Engine) -> Writer:
    """Write data/*.parquet of the pool's rows (their numbers) and of the holdout, and dropped.parquet; returns the
    manifest's configs."""
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
    """What of one shard goes into a build's folder, on its way to a worker, which reads it once. `told` has a line a
    row: `place` (-1: not published), `gone` (dropped), `label`, `confidence`."""

    corpus: Corpus  # of this shard alone: its file and its scores
    known: Checked  # its files, which were found sound
    told: pa.Table
    edges: list[int]  # places: where buckets begin, and where the last one ends
    schema: pa.Schema
    gone: pa.Schema  # of dropped rows
    out: Path

    def write(self) -> list[int]:
        """Write the published rows in order, a record batch for each bucket of which there are some, and beside them the
        dropped ones (`gone_beside`); returns which buckets these are."""
        trust(self.known)
        place = self.told["place"].to_numpy()
        at = np.flatnonzero(place >= 0)
        at = at[np.argsort(place[at])]
        gone = np.flatnonzero(self.told["gone"].to_numpy())
        if not len(at) and not len(gone):
            return []
        names = {*self.schema.names, *(self.gone.names if len(gone) else ())}
        stored = read_filled(self.corpus.shards[0].path, names).combine_chunks()
        if len(gone):
            _write_batches(gone_beside(self.out), [self._rows(stored, gone, self.gone, {})])
        rows = self._rows(stored, at, self.schema, self.corpus.scores(0, at))
        rows = rows.append_column("place", pa.array(place[at]))
        cuts = np.searchsorted(place[at], self.edges)
        some = np.flatnonzero(np.diff(cuts)).tolist()
        _write_batches(self.out, [rows.slice(cuts[b], cuts[b + 1] - cuts[b]) for b in some])
        return some

    def _rows(self, stored: pa.Table, at: np.ndarray, schema: pa.Schema, scores: Mapping[str, Any]) -> pa.Table:
        """The rows `at` as a schema has them."""
        index = pa.array(at)
        columns: dict[str, Any] = {n: stored[n].take(index) for n in stored.column_names if n in schema.names}
        columns["messages"] = with_fields(columns["messages"].combine_chunks(), schema.field("messages").type)
        columns |= {n: self.told[of].take(index) for n, of in OF_STATE.items()} | {**scores}
        # Of a shard of which every row raised, a step has no scores.
        arrays = [columns.get(f.name, pa.nulls(len(at), f.type)) for f in schema]
        return pa.table(arrays, schema=schema).combine_chunks()


def gone_beside(path: Path) -> Path:
    """Where ShardRows writes dropped rows."""
    return path.with_suffix(".gone")


def _write_batches(path: Path, tables: list[pa.Table]) -> None:
    """An Arrow file, a table a batch."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


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
) -> Writer:
    """Rows sorted by place, cut into files."""
    schema = published_schema(fields_used(corpus, place >= 0), score_fields(corpus))
    size = sum(s.size for s in corpus.shards) / files[-1][1]  # bytes of a row
    edges, buckets = [0], []
    for _, end in files:
        first, count = edges[-1], max(1, int(-(-(end - edges[-1]) * size // BUCKET)))
        cuts = first + np.linspace(0, (end - first) / ROW_GROUP, count + 1)[1:-1].astype(np.int64) * ROW_GROUP
        some = [cut for cut in np.unique(cuts).tolist() if first < cut < end]  # whole row groups
        buckets.append(slice(len(edges) - 1, len(edges) + len(some)))
        edges += [*some, end]
    # What other machines write must lie where all of them see it.
    far = engine.near() is not engine
    engine = engine if far or size * files[-1][1] >= LARGE else Engine()
    where = corpus.context.folder / "scores" if far else folder
    where.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=where))
    try:
        parts = [scratch / str(shard) for shard in range(len(corpus.shards))]
        filled: list[list[tuple[Path, int]]] = [[] for _ in edges[1:]]
        with dropped_file(corpus, folder) as (gone, keep):
            tasks = (_shard_rows(corpus, i, place, edges, schema, gone, part) for i, part in enumerate(parts))
            written = engine.map(ShardRows.write, tasks)
            for shard, part in enumerate(parts):
                yield
                for batch, bucket in enumerate(next(written)):
                    filled[bucket].append((part, batch))
                keep(shard, gone_beside(part))
        places = [(scratch if far else folder) / name for name, _ in files]
        by_size = sorted(zip(buckets, places), key=lambda file: edges[file[0].start] - edges[file[0].stop])
        tables = (DataFile(filled[some], schema, path) for some, path in by_size)
        for _ in engine.map(DataFile.write, tables):
            pass  # the largest comes first: the others fill the gaps
        for path, (name, _) in zip(places if far else (), files):
            with open(path, "rb") as made, whole(folder / name) as file:
                shutil.copyfileobj(made, file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _shard_rows(
    corpus: Corpus, shard: int, place: np.ndarray, edges: list[int], schema: pa.Schema, gone: pa.Schema, out: Path
) -> ShardRows:
    """The task of one shard: of the state of its rows, no more than is written."""
    state, span = corpus.state, corpus.span(shard)
    told = {
        "place": place[span],
        "gone": state.step[span] >= 0,
        "label": corpus.abilities.decode(state.ability[span]),
        "confidence": pa.array(state.confidence[span], pa.float32(), from_pandas=True),
    }
    parts = [(s.step, s.parts[shard]) for s in corpus.sidecars if s.published and shard in s.parts]
    sidecars = [Sidecar(step, {0: _small(part, corpus.shards[shard].rows)}) for step, part in parts]
    state_less = State.fresh(np.empty(0, np.int32))
    alone = Corpus([corpus.shards[shard]], state_less, Context().silent, sidecars=sidecars)
    known = checked([corpus.shards[shard].path, *(part.path for _, part in parts)])
    return ShardRows(alone, known, pa.table(told), edges, schema, gone, out)


def _small(part: Part, rows: int) -> Part:
    """A part that takes less on its way."""
    at = part.at
    return replace(part, at=None if at is None or len(at) == rows else at.astype(np.int32))
