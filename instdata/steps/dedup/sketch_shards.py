"""Sketches of rows, a shard at a time: made by whoever the engine asks, and kept beside the shard, so that only new
rows are sketched. Which of two copies stays, and from which similarity on, does not shape them. The text of a row is
read again where it shares a band with another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import TEXT, Rows
from instdata.steps.dedup.api import Sketched, room_for, sketch_all
from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.compared_texts import Texts, only, release
from instdata.steps.dedup.folding import SIDES
from instdata.steps.dedup.minhash import SLICE, Scheme, empty_sketch, scheme, sketch_into
from instdata.steps.dedup.option_values import NGRAM
from instdata.util.kernels import on_all_cores, threads

if TYPE_CHECKING:
    from instdata.steps.dedup.options import DedupOptions

VERSION = 1  # of what is kept: goes up where views, folding, n-grams or hashes change
READ = 1 << 16  # rows whose text is read at once
Prepared = tuple[np.ndarray, np.ndarray]  # (bytes, offsets) of texts


def made_with(step: DedupOptions, floor: float) -> tuple[Any, ...]:
    """What a step's sketches are made with: the view that is compared, and the arguments of `scheme`."""
    script = step.script == "fold"
    if step.method != "minhash":
        return step.view, 1.0, 128, NGRAM, False, script
    sides, words = step.view in ("prompt", "both"), step.view == "prompt"  # answers may choose other words
    return step.view, floor, step.num_perm, int(step.ngram), sides, script, True, words


def compared(view: str, sides: bool, rows: Rows) -> pa.Array:
    """The text compared; null where the row has none. Where there are two sides, SIDES is between them: what is given
    (system, earlier turns) and what is asked, or prompt and response."""
    if view == "prompt":
        if not sides:
            return rows.prompt
        given = [pc.fill_null(rows.view(name), "") for name in ("system", "given")]
        given = pc.replace_substring(pc.binary_join_element_wise(*given, "\n"), SIDES, " ")
        return pc.binary_join_element_wise(given, pc.replace_substring(rows.view("asked"), SIDES, " "), SIDES)
    if view == "full":
        return rows.full
    response = rows.response
    if view == "response":
        return pc.if_else(blank(response), pa.scalar(None, pa.string()), response)
    prompt = pc.replace_substring(rows.prompt, SIDES, " ")
    return pc.binary_join_element_wise(prompt, pc.fill_null(response, ""), SIDES)


def blank(texts: pa.Array) -> pa.Array:
    """Which texts are missing or white space."""

    def empty(some: pa.Array) -> pa.Array:
        return pc.equal(pc.utf8_trim_whitespace(some), "")

    texts = pc.fill_null(texts, "")
    found = empty(pc.utf8_slice_codeunits(texts, 0, 4))  # few begin with so much of it: the rest is not looked at
    return pc.replace_with_mask(found, found, empty(texts.filter(found)))


def sketched(view: str, *made: Any) -> dict[str, pa.Array]:
    """Of each of some rows (the last argument): the sketch of its text, which band keys, `whole` and `bits` are;
    whether it has a text (`valid`); whether its response is missing or white space (`blank`)."""
    return _sketched(view, scheme(*made[:-1]), made[-1])[0]


def _sketched(view: str, s: Scheme, rows: Rows) -> tuple[dict[str, pa.Array], list[Prepared]]:
    """(the columns of `sketched`, the texts, prepared)."""
    text = compared(view, s.sides, rows)
    found = empty_sketch(len(text), s)
    step = max(1, min(SLICE, -(-len(text) // threads())))

    def work(at: int) -> Prepared:
        data, offsets = prepare(text.slice(at, step))
        sketch_into(found, at, data, offsets, s)
        return data, offsets

    prepared = on_all_cores(work, range(0, len(text), step))
    keys = {f"band{i}": as_bytes(band) for i, band in enumerate(found.keys)}
    own = {"whole": as_bytes(found.whole), "bits": as_bytes(found.bits)}
    return keys | own | {"valid": pc.is_valid(text), "blank": blank(rows.response)}, prepared


def as_bytes(array: np.ndarray) -> pa.FixedSizeBinaryArray:
    """The bytes of each row of a contiguous array."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(array.strides[0]), len(array), [None, pa.py_buffer(array)])


def of_bytes(column: pa.ChunkedArray, kind: type) -> np.ndarray:
    """What `as_bytes` was given, as kind[rows, items]."""
    held = column.combine_chunks()
    wide = held.type.byte_width
    found = np.frombuffer(held.buffers()[1], np.uint8)[held.offset * wide : (held.offset + len(held)) * wide]
    return found.view(kind).reshape(len(held), -1)


class RowTexts(Texts):
    """The texts compared: those of older releases, which are at hand, then those of rows. Where all are sketched in
    this process, they are held as they come by; else those that are asked for are read again."""

    def __init__(self, memory: int, folder: Path | None, older: list[pa.Array], rows: Rows, view: str, s: Scheme):
        super().__init__(memory, folder)
        self._older, self._read, self._view, self._scheme = older, rows, view, s
        self._first, self._all = sum(map(len, older)), True
        self._passing: list[Prepared] = []
        for text in older:
            self.append(*prepare(text), owned=True)

    def sketched(self, rows: Rows) -> dict[str, pa.Array]:
        """As the function, and the texts are remembered until the next call of `take`."""
        columns, self._passing = _sketched(self._view, self._scheme, rows)
        return columns

    def take(self, at: np.ndarray) -> None:
        """The next texts are those `at` among what was just sketched, where it was."""
        passing, self._passing = self._passing, []
        self._all = self._all and (bool(passing) or not len(at))
        for data, offsets in passing if self._all else ():
            mine, at = np.split(at, [np.searchsorted(at, len(offsets) - 1)])
            self.append(*(only(data, offsets, mine)))
            at = at - (len(offsets) - 1)

    def load(self, rows: np.ndarray) -> None:
        if self._all:
            return
        super().__init__(self.memory, self.folder)
        self.rows = rows
        own = rows[: np.searchsorted(rows, self._first)]
        if len(own):
            self.append(*prepare(pa.chunked_array(self._older).combine_chunks().take(pa.array(own))))
        for batch in self._read.only(rows[len(own) :] - self._first).batches(READ, TEXT):
            self.append(*prepare(compared(self._view, self._scheme.sides, batch)))

    def parts(self) -> Iterator[Prepared]:
        if self._all:
            yield from super().parts()
            return
        yield from map(prepare, self._older)
        for batch in self._read.batches(columns=TEXT):
            yield prepare(compared(self._view, self._scheme.sides, batch))


def sketch_rows(
    made: tuple[Any, ...], rows: Rows, older: list[pa.Array], memory: int, folder: Path | None
) -> tuple[Sketched, np.ndarray]:
    """(texts of older releases and then of rows, ready to be searched; whether each row has no answer). `made`: see
    made_with. Half of `memory` (bytes) holds band keys and texts; what exceeds it lies in temporary files in
    `folder`."""
    view, *how = made
    s, at = scheme(*how), sum(map(len, older))
    texts = RowTexts(memory // 4, folder, older, rows, view, s)
    whole, unanswered = Sketched(texts, *room_for(at + len(rows), s, memory, folder)), [np.zeros(0, bool)]
    if older:
        old = sketch_all(older, at, s, memory, owned=True)
        whole.sketch.keys[:, :at], whole.valid[:at] = old.sketch.keys, old.valid
        whole.sketch.whole[:at], whole.sketch.bits[:at] = old.sketch.whole, old.sketch.bits
    key = json.dumps(["dedup", VERSION, view, how[1], s.ngram, s.bands, s.rows, s.sides, s.script])
    score = texts.sketched if rows.engine is None else partial(sketched, *made)
    for place, table in zip(rows.places(), rows.scored(key, score)):
        now = slice(at, at + len(table))
        for i, band in enumerate(whole.sketch.keys):
            band[now] = of_bytes(table[f"band{i}"], np.uint32)[:, 0]
        whole.sketch.whole[now], whole.sketch.bits[now] = (of_bytes(table[n], np.uint64) for n in ("whole", "bits"))
        whole.valid[now] = table["valid"]
        unanswered.append(np.asarray(table["blank"]))
        texts.take(place)
        release(whole.sketch.keys)
        at = now.stop
    return whole, np.concatenate(unanswered)
