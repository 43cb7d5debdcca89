"""Which rows hold what a model will be judged by.

Three rules, in this order: the prompt is a near copy of an evaluation item; a short item lies in the row as a whole; the row
shares 13 consecutive words (or characters, in scripts without spaces) with an item. The last is GPT-3's rule (Brown et al.,
"Language models are few-shot learners", 2020, app. C), and as there an n-gram in more than ten rows, or ten items, is
boilerplate and does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from instdata.dedup.api import Index
from instdata.dedup.minhash import prepare
from instdata.dedup.overlap import collect, locate, matches, powers, read_folded, table_for, token_rows
from instdata.dedup.text import tables
from instdata.kernels import on_all_cores

BOILERPLATE = 10  # rows, or items: an n-gram in more of them says nothing
SHORT_COLUMNS, SHORT_TOKENS = 20, 4  # a shorter item is looked for as a near copy only, never inside other text
SLICE = 1024


class Leaks(NamedTuple):
    """Rows that leak, ascending, and why."""

    row: np.ndarray  # int64
    item: np.ndarray  # int64: the evaluation item
    rule: list[str]  # near_prompt | contains_item | shared_ngram
    text: list[str]  # what matched, folded
    similarity: np.ndarray  # float64: of near prompts, NaN elsewhere


class Items:
    """Evaluation items that rows are searched for. `ngram` is in tokens, `threshold` a Jaccard similarity of prompts."""

    def __init__(self, prompts: pa.Array | list[str], ngram: int = 13, threshold: float = 0.7):
        prompts = pa.array(prompts, pa.large_string()) if isinstance(prompts, list) else prompts
        self.prompts = prompts
        self.index = Index(threshold)
        self.index.add(prompts)
        data, offsets = prepare(prompts)
        t, n = tables(), len(prompts)
        at, columns = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
        token_rows(data, offsets, t, at, np.empty(0, np.uint64), columns)
        hashes = np.empty(at[-1], np.uint64)
        token_rows(data, offsets, t, at, hashes, columns)
        counts = np.diff(at)
        short = (counts >= SHORT_TOKENS) & (columns >= SHORT_COLUMNS)
        lengths = sorted(set(counts[short & (counts < ngram)].tolist()) | {ngram})
        self.wanted = table_for(int(at[-1]) + 1, lengths)
        self.power = powers(ngram)
        item = np.zeros((int(at[-1]) + 1, 2), np.int64)
        count = collect(hashes, at, ngram, short, self.wanted, item, self.power)
        self.item, self.items_with = item[:count, 0], item[:count, 1]
        self.ngram, self.counts = ngram, counts

    def leaks(self, batches: Iterable[tuple[pa.Array, pa.Array]], fetch: Callable[[np.ndarray], pa.Array]) -> Leaks:
        """Search rows, given as (prompts, full texts) batch by batch; `fetch(positions)` gives the full texts of some rows again."""
        near: dict[int, tuple[int, float]] = {}
        rows, numbers, total = [], [], 0
        for prompts, fulls in batches:
            found = self.index.query_all(prompts)
            for query, item, similarity in zip(*found):
                if similarity > near.get(total + int(query), (0, 0.0))[1]:
                    near[total + int(query)] = int(item), float(similarity)
            for start, (row, number) in zip(
                range(0, len(fulls), SLICE),
                on_all_cores(self._matches, [fulls.slice(s, SLICE) for s in range(0, len(fulls), SLICE)]),
            ):
                rows.append(row + start + total)
                numbers.append(number)
            total += len(prompts)
        row, number = np.concatenate([np.empty(0, np.int64), *rows]), np.concatenate([np.empty(0, np.int64), *numbers])
        # A whole item counts however many rows hold it; a piece of one does not when it is everywhere.
        rows_with = np.bincount(
            np.unique(np.stack([number, row]), axis=1)[0] if len(row) else number, minlength=len(self.item)
        )
        alive = (self.counts[self.item] < self.ngram) | ((rows_with <= BOILERPLATE) & (self.items_with <= BOILERPLATE))
        return self._explained(near, np.unique(row[alive[number]]), alive, fetch)

    def _matches(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        data, offsets = prepare(texts)
        none, t = np.empty(0, np.int64), tables()
        count = matches(data, offsets, t, self.wanted, self.power, none, none)
        row, number = np.empty(count, np.int64), np.empty(count, np.int64)
        if count:
            matches(data, offsets, t, self.wanted, self.power, row, number)
        return row, number

    def _explained(
        self,
        near: dict[int, tuple[int, float]],
        overlapping: np.ndarray,
        alive: np.ndarray,
        fetch: Callable[[np.ndarray], pa.Array],
    ) -> Leaks:
        t, span = tables(), np.zeros(2, np.int64)
        why: dict[int, tuple[int, str, str, float]] = {}
        data, offsets = prepare(fetch(overlapping)) if len(overlapping) else (None, None)
        for i, row in enumerate(overlapping.tolist()):
            number = locate(data, offsets[i], offsets[i + 1], t, self.wanted, self.power, alive, span)
            text = read_folded(data, offsets[i], offsets[i + 1], t)[span[0] : span[1]]
            item = int(self.item[number])
            why[row] = item, "contains_item" if self.counts[item] < self.ngram else "shared_ngram", text, np.nan
        for row, (item, similarity) in near.items():
            why[row] = item, "near_prompt", self.prompts[item].as_py()[:500], similarity
        order = sorted(why)
        items, rules, texts, similarities = zip(*(why[r] for r in order)) if order else ((), (), (), ())
        return Leaks(
            np.array(order, np.int64),
            np.array(items, np.int64),
            list(rules),
            list(texts),
            np.array(similarities, np.float64),
        )


def leaks(
    prompts: pa.Array, fulls: pa.Array, items: pa.Array | list[str], ngram: int = 13, threshold: float = 0.7
) -> Leaks:
    """Rows (prompts, and prompts with responses) that leak evaluation items, for texts in memory."""
    return Items(items, ngram, threshold).leaks([(prompts, fulls)], lambda at: fulls.take(pa.array(at)))
