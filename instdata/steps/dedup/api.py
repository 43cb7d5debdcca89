"""dedup(): which texts are near copies of others. near(): which texts are near copies of a second set. Index: the same,
growing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.dedup import compared_texts
from instdata.steps.dedup.band_buckets import Buckets, Heap
from instdata.steps.dedup.character_tables import frozen, prepare
from instdata.steps.dedup.embeddings import embeddings
from instdata.steps.dedup.minhash import SLICE, Scheme, Sketch, empty_sketch, ngram_sets, scheme, sketch_into, slices
from instdata.steps.dedup.option_values import EMBEDDING, FLOOR, NGRAM, parse_bytes
from instdata.steps.dedup.result import Deduped
from instdata.steps.dedup.search import Found, copies, search
from instdata.steps.dedup.semantic import search_semantic
from instdata.steps.dedup.verification import similarities
from instdata.util.errors import InputError
from instdata.util.kernels import on_all_cores

GROUP = 64 << 20  # bytes of text that are sketched at a time


def dedup(
    texts: pa.Array | pa.ChunkedArray | list[str],
    threshold: float = 0.7,
    *,
    method: Literal["minhash", "exact", "semantic"] = "minhash",
    model: str = EMBEDDING,
    num_perm: int = 128,
    ngram: int = NGRAM,
    priority: np.ndarray | None = None,
    contrast: bool = True,
    script: Literal["keep", "fold"] = "keep",
    max_memory: int | str = "4GB",
) -> Deduped:
    """Find near copies among texts (strings; null is never a copy). Rows first in `priority` (a permutation of the
    positions; by default the given order) are kept. `ngram` is in columns, see folding.py; `contrast=False` lets
    Jaccard alone decide; `script="fold"` takes traditional and simplified Chinese for one. method "exact" finds
    copies of the folded text only, "semantic" compares embeddings of `model`. Raises InputError for options that cannot
    work, MissingExtra."""
    if isinstance(texts, list):
        texts = pa.array(texts, pa.large_string())
    if not 0 < threshold <= 1:
        raise InputError(f"dedup: threshold {threshold} is outside (0, 1]")
    floor = 1.0 if method == "exact" else min(threshold, FLOOR[method])
    folds = script == "fold"
    s = scheme(1.0, script=folds, contrast=contrast)
    if method == "minhash":
        s = scheme(floor, num_perm, ngram, script=folds, contrast=contrast)
    vectors = embeddings(slices(texts), model, None) if method == "semantic" else None
    sketched = sketch_all(slices(texts), len(texts), s, parse_bytes(max_memory), owned=True)
    order = np.arange(len(texts)) if priority is None else np.asarray(priority, np.int64)
    return find_in(sketched, s, order, threshold, floor, method, vectors)


def find_in(
    sketched: Sketched,
    s: Scheme,
    order: np.ndarray,
    threshold: float,
    floor: float,
    method: str,
    vectors: np.ndarray | None = None,
) -> Deduped:
    """The Deduped of sketched texts, rows taken in `order` (positions; those without text are left out). Method
    semantic needs their unit `vectors`."""
    valid = sketched.valid[order]
    order = order if valid.all() else order[valid]
    sketch = sketched.sketch
    if method == "exact":
        none = np.empty(0, np.int64)
        found = Found(copies(sketch.whole, order), none, none, np.empty(0))
    elif method == "semantic":
        assert vectors is not None
        found = search_semantic(vectors, sketched.texts, sketch, s, order, floor)
    else:
        found = search(sketched.texts, sketch, s, order, floor)
    rows = len(sketched.valid)
    by = np.argsort(found.later, kind="stable")
    at = np.searchsorted(found.later[by], np.arange(rows + 1))
    return Deduped(threshold, floor, order, found.copy_of.astype(np.int64), at, found.earlier[by], found.similarity[by])


class Sketched(NamedTuple):
    """A corpus ready to be searched."""

    texts: compared_texts.Texts
    sketch: Sketch
    valid: np.ndarray  # bool: has a text


def sketch_all(
    parts: Iterable[pa.Array], rows: int, s: Scheme, memory: int, owned: bool = False, folder: Path | None = None
) -> Sketched:
    """Sketch slices of texts in their order, `rows` in all. Half of `memory` (bytes) holds band keys and texts; what
    exceeds it lies in temporary files in `folder`. `owned`: the caller keeps the texts in memory anyway."""
    found = Sketched(compared_texts.Texts(memory // 4, folder), *room_for(rows, s, memory, folder))
    texts, sketch, valid = found

    def work(item: tuple[int, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        at, part = item
        if part.null_count:
            valid[at : at + len(part)] = np.asarray(pc.is_valid(part))
        data, offsets = prepare(part)
        sketch_into(sketch, at, data, offsets, s)
        return data, offsets

    at = 0
    for group in _grouped(parts):
        starts = at + np.cumsum([0] + [len(p) for p in group])
        for data, offsets in on_all_cores(work, zip(starts, group)):
            texts.append(data, offsets, owned)
        at = int(starts[-1])
        compared_texts.release(sketch.keys)
    return found


def room_for(rows: int, s: Scheme, memory: int, folder: Path | None) -> tuple[Sketch, np.ndarray]:
    """(sketch, which are valid: all) of so many texts, to be written to. Keys of more than a quarter of `memory` lie in
    a temporary file in `folder`."""
    spilled = 4 * s.bands * rows > memory // 4
    keys = compared_texts.spilled((s.bands, rows), np.uint32, folder) if spilled else None
    return empty_sketch(rows, s, keys), np.ones(rows, bool)


def _grouped(parts: Iterable[pa.Array]) -> Iterator[list[pa.Array]]:
    """Slices of at most SLICE rows, several at a time: enough to keep all cores busy, little enough to stay in
    memory."""
    group: list[pa.Array] = []
    held = 0
    for part in parts:
        for start in range(0, len(part), SLICE):
            group.append(part.slice(start, SLICE))
            held += group[-1].nbytes
            if len(group) == 32 or held > GROUP:
                yield group
                group, held = [], 0
    if group:
        yield group


class Near(NamedTuple):
    """Pairs of a text queried and an indexed one, sorted by (query, indexed)."""

    query: np.ndarray  # int64
    indexed: np.ndarray  # int64
    similarity: np.ndarray  # float64


def near(
    queries: pa.Array | list[str],
    indexed: pa.Array | list[str],
    threshold: float = 0.7,
    *,
    num_perm: int = 128,
    ngram: int = NGRAM,
    script: bool = False,
) -> Near:
    """All pairs (query, indexed) with true similarity `threshold` or more that do not contrast. Null is near to
    nothing. Where one side does not fit in memory, keep the other in an Index and stream it through query_all."""
    index = Index(threshold, num_perm=num_perm, ngram=ngram, script=script)
    if len(indexed) <= len(queries):
        index.add(indexed)
        return index.query_all(queries)
    index.add(queries)  # the smaller side is the one to keep
    found = index.query_all(indexed)
    by = np.lexsort((found.query, found.indexed))
    return Near(found.indexed[by], found.query[by], found.similarity[by])


class Index:
    """Texts that others are compared with; grows. Same meaning of similar as dedup: Jaccard of n-grams, contrast
    apart."""

    def __init__(
        self,
        threshold: float = 0.7,
        *,
        num_perm: int = 128,
        ngram: int = NGRAM,
        words: bool = True,
        script: bool = False,
    ):
        """`words`: two texts that each have a word of their own are not near. `script`: traditional and simplified
        Chinese are one."""
        self.threshold, self.scheme = threshold, scheme(threshold, num_perm, ngram, script=script, words=words)
        self._buckets = Buckets(self.scheme.bands)
        self._valid = bytearray()  # whether each text is one
        self._texts = Heap()

    def __len__(self) -> int:
        return self._buckets.rows

    def add(self, texts: pa.Array | list[str]) -> None:
        """Append texts (null: a position that nothing is near to). The cost does not depend on how many there are."""
        texts = _array(texts)
        new = sketch_all(slices(texts), len(texts), self.scheme, 1 << 62)
        for data, offsets in new.texts.chunks:
            assert not isinstance(data, int)  # nothing was spilled
            self._texts.append(data, offsets)
        self._buckets.add(new.sketch.keys)
        self._valid += new.valid.tobytes()

    def keys(self, texts: pa.Array) -> np.ndarray:
        """The band keys of texts (uint32[bands, texts]): two that are near share one, but for a few in a hundred."""
        return sketch_all(slices(texts), len(texts), self.scheme, 1 << 62).sketch.keys

    def query(self, texts: pa.Array | list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(position of the most similar text, the earliest among equals, similarity) per text; (-1, 0.0) where none
        reaches the threshold."""
        texts = _array(texts)
        found = self.query_all(texts)
        best, value = np.full(len(texts), -1, np.int64), np.zeros(len(texts))
        by = np.lexsort((-found.indexed, found.similarity, found.query))  # the last of each query is its best
        best[found.query[by]], value[found.query[by]] = found.indexed[by], found.similarity[by]
        return best, value

    def query_all(self, texts: pa.Array | list[str]) -> Near:
        """Every pair of a text given and an indexed one at the threshold or above."""
        texts = _array(texts)
        parts = [self._query_slice(part, start) for start, part in _starts(slices(texts))]
        return (
            Near(*map(np.concatenate, zip(*parts)))
            if parts
            else Near(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        )

    def _query_slice(self, texts: pa.Array, start: int) -> Near:
        data, offsets = prepare(texts)
        sketch = empty_sketch(len(texts), self.scheme)
        sketch_into(sketch, 0, data, offsets, self.scheme)
        found = self._buckets.sharing(sketch.keys)
        query, indexed = (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(0xFFFFFFFF)).astype(np.int64)
        usable = np.asarray(pc.is_valid(texts))[query] & np.frombuffer(self._valid, bool)[indexed]
        query, indexed = query[usable], indexed[usable]
        similarity = self._verified(data, offsets, query, indexed)
        held = similarity > 0
        return Near(query[held] + start, indexed[held], similarity[held])

    def _verified(self, data: np.ndarray, offsets: np.ndarray, query: np.ndarray, indexed: np.ndarray) -> np.ndarray:
        if not len(query):
            return np.empty(0)
        ours, theirs = np.unique(query), np.unique(indexed)
        own = Heap()
        own.append(data, offsets)
        own_data, own_offsets = own.fetch(ours)
        other_data, other_offsets = self._texts.fetch(theirs)
        joined = frozen(np.concatenate([own_data[: own_offsets[-1]], other_data]))
        bounds = frozen(np.concatenate([own_offsets, other_offsets[1:] + own_offsets[-1]]))
        sets = ngram_sets(joined, bounds, self.scheme)
        first, second = np.searchsorted(ours, query), len(ours) + np.searchsorted(theirs, indexed)
        return similarities(sets, first, second, self.threshold, self.scheme.words)[0]


def _array(texts: pa.Array | pa.ChunkedArray | list[str]) -> pa.Array:
    if isinstance(texts, list):
        return pa.array(texts, pa.large_string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _starts(parts: list[pa.Array]) -> Iterator[tuple[int, pa.Array]]:
    start = 0
    for part in parts:
        yield start, part
        start += len(part)
