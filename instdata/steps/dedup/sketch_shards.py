"""Sketches of rows, a shard at a time: made by whoever the engine asks, and kept beside the shard, so that only new
rows are sketched. Which of two copies stays, and from which similarity on, does not shape them. The text of a row is
read again where it shares a band with another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.corpus import versions
from instdata.corpus.rows import TEXT, Rows
from instdata.corpus.shard_tables import as_bytes, of_bytes
from instdata.steps.dedup.api import Sketched, room_for, sketch_all
from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.compared_texts import Texts, only, release
from instdata.steps.dedup.folding import SIDES
from instdata.steps.dedup.kept_verdicts import KeptVerdicts, text_hashes
from instdata.steps.dedup.minhash import SLICE, Scheme, empty_sketch, scheme, sketch_into
from instdata.steps.dedup.option_values import NGRAM
from instdata.steps.dedup.typing_errors import Counts, added, counted, vocabulary
from instdata.util.kernels import on_all_cores, threads

if TYPE_CHECKING:
    from instdata.steps.dedup.options import DedupOptions

VERSION = 2  # of what is kept: goes up where views, folding, n-grams or hashes change
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


def kept_as(made: tuple[Any, ...]) -> str:
    """What sketches are kept under beside their shard."""
    view, *how = made
    s = scheme(*how)
    return json.dumps(["dedup", VERSION, view, how[1], s.ngram, s.bands, s.rows, s.sides, s.script, s.words])


def sketched(view: str, *made: Any) -> dict[str, pa.Array]:
    """Of each of some rows (the last argument): the sketch of its text, which band keys, `whole` and `bits` are; two
    hashes of its text as it stands (`text`); whether it has one (`valid`); whether its response is missing or white
    space (`blank`). Of all of them, with the first: `words`, how many of them hold each word."""
    return _sketched(view, scheme(*made[:-1]), made[-1])[0]


def _sketched(view: str, s: Scheme, rows: Rows) -> tuple[dict[str, pa.Array], list[Prepared]]:
    """(the columns of `sketched`, the texts, prepared)."""
    text = compared(view, s.sides, rows)
    found, hashes = empty_sketch(len(text), s), np.empty((len(text), 2), np.uint64)
    step = max(1, min(SLICE, -(-len(text) // threads())))

    def work(at: int) -> tuple[Prepared, Counts | None]:
        data, offsets = prepare(text.slice(at, step))
        sketch_into(found, at, data, offsets, s)
        text_hashes(data, offsets, hashes[at : at + step])
        return (data, offsets), vocabulary(data, offsets) if s.words else None

    done = on_all_cores(work, range(0, len(text), step))
    words, counts = added([known for _, known in done if known is not None])
    keys = {f"band{i}": as_bytes(band) for i, band in enumerate(found.keys)}
    own = {"whole": as_bytes(found.whole), "bits": as_bytes(found.bits), "text": as_bytes(hashes)}
    own |= {"valid": pc.is_valid(text), "blank": blank(rows.response)}
    told = pa.array([words.tobytes() + counts.tobytes(), *[None] * (len(text) - 1)][: len(text)], pa.large_binary())
    return keys | own | {"words": told}, [prepared for prepared, _ in done]


class RowTexts(Texts):
    """The texts compared: those of older releases, which are at hand, then those of rows. Where all are sketched in
    this process, they are held as they come by; else those that are asked for are read again. `made`: see made_with;
    `far`: search_tasks.Far, where other machines read them."""

    def __init__(
        self, memory: int, folder: Path | None, older: list[pa.Array], rows: Rows, made: tuple[Any, ...],
        far: Any = None,
    ):  # fmt: skip
        super().__init__(memory, folder)
        self._older, self._read, self._made, self.far = older, rows, made, far
        self._scheme = scheme(*made[1:])
        self._first, self._all = sum(map(len, older)), True
        self._passing: list[Prepared] = []
        for text in older:
            self.append(*prepare(text), owned=True)

    def sketches(self, columns: list[str] | None = None, whole: bool = False) -> Iterator[pa.Table]:
        """The sketches of the rows, see Rows.scored."""
        score = self._sketched if self._read.engine is None else partial(sketched, *self._made)
        return self._read.scored(kept_as(self._made), score, columns, whole=whole)

    def _sketched(self, rows: Rows) -> dict[str, pa.Array]:
        """As the function, and the texts are remembered until the next call of `take`."""
        columns, self._passing = _sketched(self._made[0], self._scheme, rows)
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
        older = []
        if len(own):
            older.append(prepare(pa.chunked_array(self._older).combine_chunks().take(pa.array(own))))
            self.append(*older[0])
        if self.far is not None:
            for data, offsets in self.far.texts(older, rows):
                self.append(data, offsets, owned=True)
            return
        for batch in self._read.only(rows[len(own) :] - self._first).batches(READ, TEXT):
            self.append(*prepare(compared(self._made[0], self._scheme.sides, batch)))

    def counts(self, words: np.ndarray) -> np.ndarray:
        """How many texts hold each of some words: those of older releases and of all rows that were read. A row that a
        step before this one dropped says as well which words there are, and its shard need not be looked at again."""
        found = counted(words, added([vocabulary(*prepare(text)) for text in self._older]))
        for table in self.sketches(["words"], whole=True):
            told = table["words"][0].as_py() if len(table) else b""
            n = len(told) // 12
            found += counted(words, (np.frombuffer(told, np.uint64, n), np.frombuffer(told, np.uint32, n, 8 * n)))
        return found


def sketch_rows(
    made: tuple[Any, ...], rows: Rows, older: list[pa.Array], memory: int, folder: Path | None, far: Any = None
) -> tuple[Sketched, np.ndarray]:
    """(texts of older releases and then of rows, ready to be searched; whether each row has no answer). `made`: see
    made_with. Half of `memory` (bytes) holds band keys and texts; what exceeds it lies in temporary files in
    `folder`. Where other machines join the bands, `far`, their keys stay where they are."""
    _, *how = made
    s, at = scheme(*how), sum(map(len, older))
    texts = RowTexts(memory // 4, folder, older, rows, made, far)
    n = at + len(rows)
    whole = Sketched(texts, *room_for(n, s if far is None else s._replace(bands=0), memory, folder))
    unanswered, hashes = [np.zeros(0, bool)], np.zeros((n, 2), np.uint64)
    if older:
        old = sketch_all(older, at, s, memory, owned=True)
        whole.sketch.whole[:at], whole.sketch.bits[:at], whole.valid[:at] = old.sketch.whole, old.sketch.bits, old.valid
        if far is None:
            whole.sketch.keys[:, :at] = old.sketch.keys
        else:
            far.keep_older(old.sketch.keys)
        text_hashes(*texts.fetch(np.arange(at)), hashes)
    arrays = {"whole": whole.sketch.whole, "bits": whole.sketch.bits, "text": hashes}
    bands = [f"band{i}" for i in range(len(whole.sketch.keys))]
    for places, table in zip(rows.places(), texts.sketches([*bands, *arrays, "valid", "blank"])):
        now = slice(at, at + len(table))
        for name, band in zip(bands, whole.sketch.keys):
            band[now] = of_bytes(table[name], np.uint32)[:, 0]
        for name, array in arrays.items():
            array[now] = of_bytes(table[name], np.uint64)
        whole.valid[now] = table["valid"]
        unanswered.append(np.asarray(table["blank"]))
        texts.take(places)
        release(whole.sketch.keys)
        at = now.stop
    if s.contrast and folder is not None and made[1] < 1:
        texts.kept = KeptVerdicts(folder / "kept" / _named(made), hashes, rows.context.fresh, rows.context.say)
    return whole, np.concatenate(unanswered)


def _named(made: tuple[Any, ...]) -> str:
    """The folder of verdicts: those of other texts, n-grams or floors are others."""
    view, floor, _, *how = made
    key = repr((sorted(versions().items()), "dedup verdicts", VERSION, view, floor, *how))
    return f"verdicts-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
