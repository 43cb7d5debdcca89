"""Which rows hold what a model will be judged by.

Three rules, in this order: the prompt is a near copy of an evaluation item; a short item lies in the row as a whole; the row
shares 13 consecutive words (or characters, in scripts without spaces) with an item. The last is GPT-3's rule (Brown et al.,
"Language models are few-shot learners", 2020, app. C), and as there an n-gram in more than ten rows, or ten items, is
boilerplate and does not count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from instdata.steps.dedup.api import Index
from instdata.steps.dedup.characters import prepare, tables
from instdata.steps.dedup.overlap import collect, locate, matches, powers, read_folded, table_for, token_rows
from instdata.util.kernels import on_all_cores

NGRAM = 13  # tokens
BOILERPLATE = 10  # rows, or items: an n-gram in more of them says nothing
SHORT_COLUMNS, SHORT_TOKENS = 20, 4  # a shorter item is looked for as a near copy only, never inside other text
SLICE = 1024

Fetch = Callable[[np.ndarray], pa.Array]  # the full texts of some rows, by position


class Leaks(NamedTuple):
    """Rows that leak, ascending, and why."""

    row: np.ndarray  # int64
    item: np.ndarray  # int64: the evaluation item
    rule: list[str]  # near_prompt | contains_item | shared_ngram
    text: list[str]  # what matched, folded
    similarity: np.ndarray  # float64: of near prompts, NaN elsewhere


class Matches(NamedTuple):
    """What rows have in common with items, before boilerplate is told apart."""

    near: dict[int, tuple[int, float]]  # row: its most similar item, the similarity of their prompts
    row: np.ndarray  # int64: a row that holds ...
    number: np.ndarray  # int64: ... this n-gram


class Items:
    """Evaluation items that rows are searched for. `ngram` is in tokens, `threshold` a Jaccard similarity of prompts (None:
    near prompts are not looked for)."""

    def __init__(self, prompts: pa.Array | list[str], ngram: int = NGRAM, threshold: float | None = 0.7):
        prompts = pa.array(prompts, pa.large_string()) if isinstance(prompts, list) else prompts
        self.prompts = prompts
        self.index = None if threshold is None else Index(threshold)
        if self.index is not None:
            self.index.add(prompts)
        data, offsets = prepare(prompts)
        t, n = tables(), len(prompts)
        at, columns = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
        token_rows(data, offsets, t, at, np.empty(0, np.uint64), columns)
        hashes = np.empty(at[-1], np.uint64)
        token_rows(data, offsets, t, at, hashes, columns)
        self.ngram, self.at, self.counts = ngram, at, np.diff(at)
        short = (self.counts >= SHORT_TOKENS) & (columns >= SHORT_COLUMNS)
        lengths = sorted(set(self.counts[short & (self.counts < ngram)].tolist()) | {ngram})
        self.wanted, self.power = table_for(int(at[-1]) + 1, lengths), powers(ngram)
        self.numbers = np.empty(at[-1], np.int64)  # of the n-gram that starts with each token of the items, -1 for none
        collect(hashes, at, ngram, short, self.wanted, self.power, self.numbers)
        there = np.flatnonzero(self.numbers >= 0)
        owner = np.repeat(np.arange(n), self.counts)[there]
        _, first = np.unique(self.numbers[there], return_index=True)
        self.item = owner[first]  # the first item that holds each n-gram
        self.items_with = _holders(self.numbers[there], owner, len(first))

    def search(self, batches: Iterable[tuple[pa.Array, pa.Array]]) -> Matches:
        """What rows have in common with the items, given as (prompts, full texts) batch by batch."""
        near: dict[int, tuple[int, float]] = {}
        rows, numbers, total = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for prompts, fulls in batches:
            for query, item, similarity in zip(*self.index.query_all(prompts)) if self.index is not None else ():
                if similarity > near.get(total + int(query), (0, 0.0))[1]:
                    near[total + int(query)] = int(item), float(similarity)
            starts = range(0, len(fulls), SLICE)
            for start, (row, number) in zip(
                starts, on_all_cores(self._matches, [fulls.slice(s, SLICE) for s in starts])
            ):
                rows.append(row + start + total)
                numbers.append(number)
            total += len(prompts)
        return Matches(near, np.concatenate(rows), np.concatenate(numbers))

    def counting(self, found: Matches) -> np.ndarray:
        """Which n-grams count, bool by number: those that are no boilerplate. A whole item counts however many rows hold it; a
        piece of one does not when it is everywhere."""
        rows_with = _holders(found.number, found.row, len(self.item))
        rare = (rows_with <= BOILERPLATE) & (self.items_with <= BOILERPLATE)
        return (self.counts[self.item] < self.ngram) | rare

    def boilerplate(self, counting: np.ndarray) -> list[str | None]:
        """Of each item the words that do not count, as JSON: [[first, last + 1], ...]; null where all do. Said again to
        `without`, it gives `counting` back."""
        out: list[str | None] = []
        for start, stop in zip(self.at[:-1], self.at[1:]):
            numbers = self.numbers[start:stop]
            there = np.flatnonzero(numbers >= 0)
            plain = np.zeros(len(numbers) + 2, np.int8)
            plain[1 + there] = ~counting[numbers[there]]
            edges = np.flatnonzero(np.diff(plain)).reshape(-1, 2) + np.array([0, self.ngram - 1])
            out.append(json.dumps(edges.tolist()) if len(edges) else None)
        return out

    def without(self, boilerplate: list[str | None]) -> np.ndarray:
        """Which n-grams count, given what `boilerplate` said. Raises ValueError for anything else."""
        counting = np.ones(len(self.item), bool)
        for start, stop, ranges in zip(self.at[:-1], self.at[1:], boilerplate, strict=True):
            for first, end in json.loads(ranges or "[]"):
                numbers = self.numbers[start:stop][first : max(0, end - self.ngram + 1)]
                counting[numbers[numbers >= 0]] = False
        return counting

    def explain(self, found: Matches, counting: np.ndarray, fetch: Fetch) -> Leaks:
        """The rows that leak, and the longest piece of text that shows it."""
        t, span = tables(), np.zeros(2, np.int64)
        overlapping = np.unique(found.row[counting[found.number]])
        why: dict[int, tuple[int, str, str, float]] = {}
        data, offsets = prepare(fetch(overlapping)) if len(overlapping) else (None, None)
        for i, row in enumerate(overlapping.tolist()):
            number = locate(data, offsets[i], offsets[i + 1], t, self.wanted, self.power, counting, span)
            text = read_folded(data, offsets[i], offsets[i + 1], t)[span[0] : span[1]]
            item = int(self.item[number])
            why[row] = item, "contains_item" if self.counts[item] < self.ngram else "shared_ngram", text, np.nan
        for row, (item, similarity) in found.near.items():
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

    def _matches(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        data, offsets = prepare(texts)
        none, t = np.empty(0, np.int64), tables()
        count = matches(data, offsets, t, self.wanted, self.power, none, none)
        row, number = np.empty(count, np.int64), np.empty(count, np.int64)
        if count:
            matches(data, offsets, t, self.wanted, self.power, row, number)
        return row, number


def _holders(number: np.ndarray, holder: np.ndarray, numbers: int) -> np.ndarray:
    """How many holders each number has."""
    holders = int(holder.max(initial=0)) + 1
    return np.bincount(np.unique(number * holders + holder) // holders, minlength=numbers)


def leaks(
    prompts: pa.Array, fulls: pa.Array, items: pa.Array | list[str], ngram: int = NGRAM, threshold: float = 0.7
) -> Leaks:
    """Rows (prompts, and prompts with responses) that leak evaluation items, for texts in memory."""
    searched = Items(items, ngram, threshold)
    found = searched.search([(prompts, fulls)])
    return searched.explain(found, searched.counting(found), lambda at: fulls.take(pa.array(at)))
