"""The texts being compared: in memory up to a cap, in a temporary file beyond it, fetched by position.

Temporary files have no name (the system drops them with the process, however it ends), and their space is taken before
it is written to: a full disk is an error here, not a signal at some page of a map.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from instdata.steps.dedup.character_tables import frozen
from instdata.steps.dedup.minhash import Scheme, Sets, ngram_sets
from instdata.steps.dedup.typing_errors import counted, vocabulary
from instdata.util.errors import BuildError
from instdata.util.kernels import jit, on_all_cores


@jit
def gather(data, offsets, rows, at, out, out_offsets):
    """Copy rows of one chunk to `out`, from out_offsets[at] on."""
    for i in range(len(rows)):
        start, stop = offsets[rows[i]], offsets[rows[i] + 1]
        to = out_offsets[at + i]
        for k in range(stop - start):
            out[to + k] = data[start + k]


def only(data: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bytes, offsets) of some of these texts."""
    if len(rows) == len(offsets) - 1:
        return data, offsets
    ends = np.concatenate([[0], np.cumsum(offsets[rows + 1] - offsets[rows])])
    out = np.empty(max(1, ends[-1]), np.uint8)
    gather(data, offsets, rows, 0, out, ends)
    return frozen(out), frozen(ends)


class Texts:
    """Prepared texts in chunks, appended in order. Past `memory` bytes, chunks go to a file in `folder`.

    Only rows that share a band key with another are ever read back, so the file costs little more than being written.
    """

    far: Any = None  # search_tasks.Far, where other machines do what is heavy
    kept: Any = None  # kept_verdicts.KeptVerdicts, where there are any

    def __init__(self, memory: int, folder: Path | None = None):
        self.memory, self.folder = memory, folder
        self.chunks: list[tuple[np.ndarray | int, np.ndarray]] = []  # (bytes, or where they start in the file; offsets)
        self.starts = [0]
        self.held = 0
        self.rows: np.ndarray | None = None  # the positions of those that are held, sorted; None: all, 0, 1, 2, …
        self._file: Any = None
        self._map: mmap.mmap | None = None

    def append(self, data: np.ndarray, offsets: np.ndarray, owned: bool = False) -> None:
        """Add a slice. `owned`: its bytes belong to someone else who keeps them in memory anyway."""
        size = int(offsets[-1] - offsets[0])
        if owned or self.held + size <= self.memory:
            self.held += 0 if owned else size
            self.chunks.append((data, offsets))
        else:
            with full_disk(self.folder):
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 - closed with this object
                start = self._file.tell()
                rest = memoryview(data[offsets[0] : offsets[-1]])  # type: ignore[arg-type]
                while rest:
                    rest = rest[self._file.write(rest) :]
            self.chunks.append((start, (offsets - offsets[0]).astype(np.uint32 if size < 1 << 32 else np.int64)))
        self.starts.append(self.starts[-1] + len(offsets) - 1)

    def load(self, rows: np.ndarray) -> None:
        """The texts of these rows (sorted positions) are wanted from now on. (All are at hand.)"""

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Bytes of these rows (sorted positions)."""
        out = np.empty(len(rows), np.int64)
        for (_, offsets), local, where in self._split(rows):
            out[where] = offsets[local + 1].astype(np.int64) - offsets[local].astype(np.int64)
        return out

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bytes, offsets) of these rows (sorted positions)."""
        out_offsets = np.concatenate([[0], np.cumsum(self.sizes(rows))])
        out = np.empty(max(1, out_offsets[-1]), np.uint8)
        for (data, offsets), local, where in self._split(rows):
            gather(
                frozen(self._bytes(data)), frozen(np.asarray(offsets, np.int64)), local, where.start, out, out_offsets
            )
        if self._map is not None:
            forget(self._map)
        return frozen(out), frozen(out_offsets)

    def sets(self, rows: np.ndarray, s: Scheme) -> Sets:
        """N-gram sets of these rows (sorted positions)."""
        return ngram_sets(*self.fetch(rows), s)

    def counts(self, words: np.ndarray) -> np.ndarray:
        """How many of all texts hold each of some words (their hashes, see typing_errors.spelling)."""

        def work(chunk: tuple[np.ndarray | int, np.ndarray]) -> np.ndarray:
            data, offsets = frozen(self._bytes(chunk[0])), frozen(np.asarray(chunk[1], np.int64))
            return counted(words, vocabulary(data, offsets))

        found = sum(on_all_cores(work, self.chunks), np.zeros(len(words), np.int64))
        if self._map is not None:
            forget(self._map)
        return found

    def _bytes(self, data: np.ndarray | int) -> np.ndarray:
        if not isinstance(data, int):
            return data
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, np.uint8)[data:]

    def _split(self, rows: np.ndarray):
        """(chunk, rows within it, where they are in `rows`), for every chunk that holds some."""
        rows = rows if self.rows is None else np.searchsorted(self.rows, rows)
        edges = np.searchsorted(rows, np.array(self.starts))
        for i in np.flatnonzero(np.diff(edges)):
            yield self.chunks[i], rows[edges[i] : edges[i + 1]] - self.starts[i], slice(edges[i], edges[i + 1])


def spilled(shape: tuple[int, ...], dtype: type, folder: Path | None) -> np.ndarray:
    """An uninitialised array in a temporary file, which is gone once nothing refers to it. Raises BuildError for a full
    disk."""
    with full_disk(folder), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


@contextmanager
def full_disk(folder: Path | None) -> Iterator[None]:
    """Say what to do about a temporary file that cannot be written."""
    try:
        yield
    except OSError as e:
        place = folder or tempfile.gettempdir()
        raise BuildError(
            f"dedup: a temporary file in {place} cannot be written: {e.strerror}. Make room there, choose another "
            f"place with "
            f"{'INSTDATA_CACHE' if folder else 'TMPDIR'}, or raise max_memory"
        ) from e


def release(array: np.ndarray) -> None:
    """Let go of the pages of a spilled array that are in memory."""
    if isinstance(array, np.memmap):
        forget(array._mmap)  # type: ignore[attr-defined]  # numpy keeps it there


def forget(pages: mmap.mmap) -> None:
    """Drop a file's pages from this process (they stay in the file), so that the cap holds. Not every system can."""
    if hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
