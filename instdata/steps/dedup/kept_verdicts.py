"""Verdicts on pairs of texts, kept from one search for the next. What verification finds is a function of two texts and
the scheme, so it holds for any rows with these texts: a search among more rows, in another order of steps or with
another threshold above the floor verifies only pairs that no search has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.corpus.cached_tables import kept_table, write_cached
from instdata.corpus.shard_tables import as_bytes, of_bytes, spread
from instdata.steps.dedup.band_join import LOW
from instdata.steps.dedup.folding import mix
from instdata.steps.dedup.verification import PairVerdicts, together
from instdata.util.kernels import jit
from instdata.util.sealed import SEAL, sound

FILES = 8  # of verdicts; more become one
PAIRS = 1 << 24  # that this one holds, about: what was found longest ago goes


@jit
def text_hashes(data, offsets, out):
    """Two hashes of the bytes of each text: uint64[texts, 2]."""
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        one, two = np.uint64(end - start + 1), np.uint64(end - start + 7)
        i = start
        while i < end:
            some = np.uint64(0)
            for k in range(min(8, end - i)):
                some |= np.uint64(data[i + k]) << np.uint64(8 * k)
            one = (one ^ some) * np.uint64(0x9FB21C651E98DF25)
            one ^= one >> np.uint64(32)
            two = (two + some) * np.uint64(0xD6E8FEB86659FD93)
            two ^= two >> np.uint64(29)
            i += 8
        out[row, 0], out[row, 1] = mix(one), mix(two)


@jit
def pair_keys(hashes, rows, pairs, out):
    """What each pair (earlier << 32 | later, places in `rows`) is kept under: two hashes of its two texts, by their
    order."""
    for i in range(len(pairs)):
        a, b = rows[pairs[i] >> np.uint64(32)], rows[pairs[i] & LOW]
        for k in range(2):
            out[i, k] = mix(mix(hashes[a, k]) * np.uint64(0x9E3779B97F4A7C15) + hashes[b, k])


class KeptVerdicts:
    """Verdicts in the files of a folder, each sorted by key. Pairs below the floor are kept too, without a similarity.
    `hashes`: see text_hashes, of every row; `fresh`: those of before do not count, and go."""

    def __init__(self, folder: Path, hashes: np.ndarray, fresh: bool, say: Callable[[str], None]):
        self.folder, self.hashes, self.fresh = folder, hashes, fresh
        there = sorted(p for p in folder.glob("*.parquet") if p.with_name(p.name + SEAL).exists())
        self.files = [] if fresh else [p for p in there if sound(p)]
        if len(self.files) < len(there) and not fresh:
            say(f"dedup: {len(there) - len(self.files)} cached files of similarities are damaged; they are made again")
        self._old = [p for p in there if p not in self.files]

    def find(self, rows: np.ndarray, pairs: np.ndarray) -> tuple[PairVerdicts, np.ndarray]:
        """(what is known of pairs: see verification.verified, the pairs of which nothing is)."""
        keys = self._keys(rows, pairs)
        order = np.argsort(keys[:, 0])
        keys, left, found = keys[order], np.ones(len(pairs), bool), []
        for path in self.files:
            if (table := kept_table(path)) is None:  # another build has put it into a larger one
                continue
            held = of_bytes(table["key"], np.uint64)
            if not len(held):
                continue
            at = np.searchsorted(held[:, 0], keys[:, 0])
            at[at == len(held)] = 0
            hit = np.flatnonzero((held[at] == keys).all(axis=1) & left)
            left[hit] = False
            valid = np.asarray(table["similarity"].is_valid())[at[hit]]
            found.append(_verdicts(pairs[order[hit[valid]]], table.take(pa.array(at[hit[valid]]))))
        new = np.zeros(len(pairs), bool)
        new[order[left]] = True
        return together(found), pairs[new]

    def keep(self, rows: np.ndarray, pairs: np.ndarray, found: PairVerdicts) -> None:
        """Keep what was found of some pairs (sorted); of those that it does not tell of, that they are below the
        floor."""
        if len(pairs):
            told = found.first.astype(np.uint64) << np.uint64(32) | found.second.astype(np.uint64)
            at = np.searchsorted(pairs, told)
            columns = [*map(pa.array, found[2:5]), as_bytes(np.ascontiguousarray(found.words))]
            known = {name: spread(column, at, len(pairs)) for name, column in zip(PairVerdicts._fields[2:], columns)}
            self._write(pa.table({"key": as_bytes(self._keys(rows, pairs)), **known}))
        if len(self.files) > FILES:
            many, self.files, tables, size = self.files, [], list[pa.Table](), 0
            for table in filter(None, map(kept_table, sorted(many, key=_age))):  # the latest first
                tables, size = [*tables, table], size + len(table)
                if size > PAIRS:
                    break
            self._write(pa.concat_tables(tables))
            self._old += many
        for path in {*self._old} - {*self.files}:  # the same pairs have the same name
            path.unlink(missing_ok=True)
            path.with_name(path.name + SEAL).unlink(missing_ok=True)
        self._old = []

    def _keys(self, rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        keys = np.empty((len(pairs), 2), np.uint64)
        pair_keys(self.hashes, rows, pairs, keys)
        return keys

    def _write(self, table: pa.Table) -> None:
        """Write a table of pairs, sorted by key, each once."""
        keys = of_bytes(table["key"], np.uint64)
        by = np.lexsort((keys[:, 1], keys[:, 0]))
        new = np.ones(len(by), bool)
        new[1:] = (keys[by[1:]] != keys[by[:-1]]).any(axis=1)
        table = table.take(pa.array(by[new]))
        name = hashlib.blake2b(of_bytes(table["key"], np.uint8).tobytes(), digest_size=16).hexdigest()
        self.files.append(self.folder / f"{name}.parquet")
        write_cached(table, self.files[-1])


def _age(path: Path) -> float:
    """Sorts files by when they were written, the latest first."""
    return -path.stat().st_mtime if path.exists() else 0.0


def _verdicts(pairs: np.ndarray, table: pa.Table) -> PairVerdicts:
    """What a table tells of some pairs, each at the floor or above."""
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & LOW).astype(np.int64)
    similarity, same, either = (np.asarray(table[name].combine_chunks()) for name in PairVerdicts._fields[2:5])
    return PairVerdicts(first, second, similarity, same.astype(bool), either, of_bytes(table["words"], np.uint64))
