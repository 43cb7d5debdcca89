"""Words as small numbers: ability labels and reasons of a corpus."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import UNKNOWN


class Words:
    """Strings as small numbers, in order of first use."""

    def __init__(self, words: list[str] | None = None):
        self.words = list(words or [])
        self._codes = {w: i for i, w in enumerate(self.words)}

    def code(self, word: str) -> int:
        if word not in self._codes:
            self._codes[word] = len(self.words)
            self.words.append(word)
        return self._codes[word]

    def encode(self, values: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Codes of a string array; -1 for null."""
        coded = pc.dictionary_encode(values)
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        if not len(coded):
            return np.empty(0, np.int32)
        table = np.array([*(self.code(w) for w in coded.dictionary.to_pylist()), -1], np.int32)
        return table[np.asarray(pc.fill_null(coded.indices, len(table) - 1))]

    def decode(self, codes: np.ndarray) -> pa.Array:
        return pa.array(self.words, pa.string()).take(pa.array(codes, mask=codes < 0))


def ability_codes(column: pa.Array | pa.ChunkedArray, words: Words) -> np.ndarray:
    """Codes of ability labels; a missing label is "unknown"."""
    return words.encode(pc.fill_null(column, UNKNOWN))
