"""The parts of a search that other machines do, as tasks over files of the cache: the joins of bands, by the sketches
that lie there; the texts of rows that are compared, a shard at a time; the verification of pairs, a block at a time.
Band keys never pass the process that asks, nor does text but of rows in large groups. What they find is what one
process finds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import CorpusRows
from instdata.corpus.rows import TEXT, Rows
from instdata.corpus.shard_tables import of_bytes, rows_at
from instdata.steps.dedup.band_join import Joined, join_bands
from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.minhash import scheme
from instdata.steps.dedup.sketch_shards import Prepared, compared, kept_as
from instdata.steps.dedup.verification import PAIRS, PairVerdicts, together, verified
from instdata.util.atomic import whole
from instdata.util.engine import Engine, PlainCall
from instdata.util.progress import track

KEYS = 1 << 28  # bytes of band keys that a task holds, where it takes several bands
LEAST = 1 << 12  # pairs of a task


class Far:
    """A search's tasks, by an engine. Files between them lie in a folder of the cache, and name others from there."""

    def __init__(self, engine: Engine, rows: CorpusRows, made: tuple[Any, ...], folder: Path):
        self.folder, self._engine, self._rows, self._made, self._key = folder, engine, rows, made, kept_as(made)
        self._older = 0

    def join_bands(self, rows: np.ndarray, bits: np.ndarray, differing: int) -> Iterator[Joined]:
        """See band_join.join_bands; the keys are those of the shards' sketches."""
        bands, n = scheme(*self._made[1:]).bands, len(bits)
        sketches, at = [], [np.empty(0, np.int64)]
        for _, path, own in self._rows.files(self._key):
            assert path is not None  # there is a cache where there are other machines
            sketches.append([self._named(path), len(own)])
            at.append(own)
        _save(self.folder / "sketches.npy", np.concatenate(at))
        with whole(self.folder / "sketches.json", "w") as file:
            json.dump(sketches, file)
        _save(self.folder / "order.npy", rows)
        _save(self.folder / "bits.npy", bits)
        step = max(1, min(bands // self._engine.jobs, KEYS // (4 * max(1, n))))
        calls = [partial(join_task, self.folder, i, min(i + step, bands), differing) for i in range(0, bands, step)]
        for call, _ in zip(calls, self._done(calls)):
            with np.load(_bands(self.folder, call.args[1]), allow_pickle=False) as found:
                yield found["pairs"], found["links"]

    def keep_older(self, keys: np.ndarray) -> None:
        """Band keys (uint32[bands, texts]) of texts that come before the rows."""
        self._older = keys.shape[1]
        _save(self.folder / "older.npy", keys)

    def texts(self, older: list[tuple[np.ndarray, np.ndarray]], rows: np.ndarray) -> Iterator[Prepared]:
        """The texts of rows (sorted positions), prepared, as mapped files; `older`: those of the first of them, which
        are no rows of the corpus, and are not given again."""
        for number, chunk in enumerate(older):
            _save_texts(self.folder, number, *chunk)
        first, done, wanted = len(older), 0, [np.empty(0, np.int64)]
        calls: list[partial[Any]] = []
        own = rows[sum(len(offsets) - 1 for _, offsets in older) :] - self._older
        for path, _, at in self._rows.only(own).files(self._key):
            calls.append(partial(texts_task, self.folder, first + len(calls), path, done, done + len(at), *self._made))
            done += len(at)
            wanted.append(at)
        _save(self.folder / "wanted.npy", np.concatenate(wanted))
        _save(self.folder / "rows.npy", rows)
        for number, _ in enumerate(self._done(calls), first):
            yield _read_texts(self.folder, number)

    def verified(self, rows: np.ndarray, pairs: np.ndarray, floor: float) -> Iterator[PairVerdicts]:
        """See verification.verified; the texts are those that were loaded last."""
        _save(self.folder / "pairs.npy", pairs)
        step = min(PAIRS, max(LEAST, -(-len(pairs) // (4 * self._engine.jobs))))
        calls = [
            partial(verify_task, self.folder, at, at + step, floor, *self._made) for at in range(0, len(pairs), step)
        ]
        for call, _ in zip(calls, self._done(calls)):
            with np.load(_verdicts(self.folder, call.args[1]), allow_pickle=False) as found:
                yield PairVerdicts(*(found[name] for name in PairVerdicts._fields))

    def _done(self, calls: list[partial[Any]]) -> Iterator[Any]:
        return track(
            self._engine.map(PlainCall.do, map(PlainCall, calls)), len(calls), lambda done: done, size=lambda done: 1
        )

    def _named(self, path: Path) -> str:
        return path.relative_to(_cache(self.folder)).as_posix()


@contextmanager
def searching(rows: Rows, made: tuple[Any, ...]) -> Iterator[Far | None]:
    """What other machines do of a search among these rows; None where there are none."""
    if rows.engine is None or rows.engine.on_one_disk() is not rows.engine:
        yield None
        return
    assert isinstance(rows, CorpusRows)
    where = rows.context.folder / "scores"
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-search-", dir=where, ignore_cleanup_errors=True) as folder:
        yield Far(rows.engine, rows, made, Path(folder))


def join_task(folder: Path, first: int, last: int, differing: int) -> int:
    """Join some bands and write what they give; returns of how many rows."""
    rows, bits, at = (_read(folder / name) for name in ("order.npy", "bits.npy", "sketches.npy"))
    keys, start, done = np.empty((last - first, len(bits)), np.uint32), len(bits) - len(at), 0
    if start:
        keys[:, :start] = _read(folder / "older.npy")[first:last]
    names = [f"band{i}" for i in range(first, last)]
    for path, count in json.loads((folder / "sketches.json").read_bytes()):
        table = rows_at(read_cached(_cache(folder) / path, names), at[done : done + count])
        for own, name in zip(keys, names):
            own[start + done : start + done + count] = of_bytes(table[name], np.uint32)[:, 0]
        done += count
    pairs, links = map(np.concatenate, zip(*join_bands(keys, rows, bits, differing)))
    with whole(_bands(folder, first)) as file:
        np.savez(file, pairs=pairs, links=links)
    return len(rows)


def texts_task(folder: Path, number: int, shard: Path, lo: int, hi: int, *made: Any) -> int:
    """Write the texts of some of a shard's rows, prepared; returns how many."""
    view, *how = made
    at = np.asarray(_read(folder / "wanted.npy")[lo:hi])
    rows = Rows(rows_at(read_cached(shard, list(TEXT)), at))
    _save_texts(folder, number, *prepare(compared(view, scheme(*how).sides, rows)))
    return len(at)


def verify_task(folder: Path, start: int, stop: int, floor: float, *made: Any) -> int:
    """Verify a block of pairs and write the verdicts; returns of how many."""
    pairs, rows = np.asarray(_read(folder / "pairs.npy")[start:stop]), _read(folder / "order.npy")
    found = together(verified(_texts(folder), rows, pairs, scheme(*made[1:]), floor))
    with whole(_verdicts(folder, start)) as file:
        np.savez(file, **found._asdict())
    return len(pairs)


def _cache(folder: Path) -> Path:
    """The cache in which a search's folder lies."""
    return folder.parents[1]


def _bands(folder: Path, first: int) -> Path:
    return folder / f"bands-{first}.npz"


def _verdicts(folder: Path, start: int) -> Path:
    return folder / f"verdicts-{start}.npz"


def _save(path: Path, array: np.ndarray) -> None:
    with whole(path) as file:
        np.save(file, array, allow_pickle=False)


def _read(path: Path) -> np.ndarray:
    """An array, mapped; one without items cannot be."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:
        return np.load(path, allow_pickle=False)


def _save_texts(folder: Path, number: int, data: np.ndarray, offsets: np.ndarray) -> None:
    """A chunk of texts: where each ends, and the bytes of all."""
    _save(folder / f"texts-{number}.npy", data[offsets[0] : offsets[-1]])
    _save(folder / f"offsets-{number}.npy", offsets - offsets[0])


def _read_texts(folder: Path, number: int) -> Prepared:
    return _read(folder / f"texts-{number}.npy"), _read(folder / f"offsets-{number}.npy")


def _texts(folder: Path) -> Texts:
    """All texts that were written, mapped."""
    texts = Texts(0)
    texts.rows = _read(folder / "rows.npy")
    while texts.starts[-1] < len(texts.rows):
        texts.append(*_read_texts(folder, len(texts.chunks)), owned=True)
    return texts
