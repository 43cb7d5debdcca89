"""Which rows hold what a model will be judged by.

An item is searched for by its parts: what it asks, what is given with it, its options, its answer. A row leaks an item
if, in this order, its prompt is a near copy of it; it shares 13 consecutive words with it (characters, in scripts
without spaces: GPT-3's rule, Brown et al., "Language models are few-shot learners", 2020, app. C); or it holds a
shorter question as a whole. What many rows or items hold is a template and no evidence, nor is a stem that says nothing
of its own ("Which of the following is true?"): then the item's answer or options must come along.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.dedup.api import Index
from instdata.steps.dedup.character_tables import prepare, tables
from instdata.steps.dedup.eval_items import EvalItem
from instdata.steps.dedup.folding import WIDE
from instdata.steps.dedup.question_stems import SAYING, own_words
from instdata.steps.dedup.shared_ngrams import (
    all_found,
    collect,
    locate,
    matches,
    powers,
    read_folded,
    table_for,
    token_rows,
)
from instdata.util.kernels import on_all_cores
from instdata.util.progress import part

NGRAM = 13  # tokens
BOILERPLATE = 10  # rows, or items: an n-gram in more of them says nothing
ALONE = 2  # items: a question that more of them ask is a stem
SHORT_COLUMNS, SHORT_TOKENS = 20, 4  # a shorter question is looked for as a near copy only, never inside other text
TOLD_COLUMNS, TOLD_TOKENS = 8, 2  # a shorter answer or option tells nothing when it comes along
FETCHED = 256  # rows whose text is read at once
SPAN_COLUMNS = 36  # a shorter piece is none: 13 words are always longer, 13 Chinese characters say as much as eight
SLICE = 1024
ASKED, GIVEN, OPTION, ANSWER = range(4)

Fetch = Callable[[np.ndarray], pa.Array]  # the full texts of some rows, by position


class Leaks(NamedTuple):
    """Rows that leak, ascending, and why."""

    row: np.ndarray  # int64
    item: np.ndarray  # int64: the evaluation item
    rule: list[str]  # near_prompt | contains_item | shared_ngram | covered
    text: list[str]  # what matched, folded
    similarity: np.ndarray  # float64: of near prompts the similarity, of covered items the share; NaN elsewhere


class Matches(NamedTuple):
    """What rows have in common with items, before boilerplate is told apart."""

    near: dict[int, list[tuple[int, float]]]  # row: variants of items that its prompt is near to, their similarity
    row: np.ndarray  # int64: a row that holds ...
    number: np.ndarray  # int64: ... this n-gram


class Parts(NamedTuple):
    """The texts of items, part by part, and the prompts that they may have been made into."""

    text: pa.Array
    item: np.ndarray  # int64
    kind: np.ndarray  # int64: ASKED | GIVEN | OPTION | ANSWER
    prompts: pa.Array
    prompt_item: np.ndarray  # int64
    whole: np.ndarray  # bool: the prompt is all that the item has, not its bare question
    items: int


def parts_of(items: list[EvalItem]) -> Parts:
    """Items as parts."""
    texts, prompts = [], []
    for i, item in enumerate(items):
        texts += [
            (item.question, i, ASKED),
            (item.given, i, GIVEN),
            *((o, i, OPTION) for o in item.options),
            (item.answer, i, ANSWER),
        ]
        options = "\n".join(item.options)
        shown = "\n".join(item.shown)
        lettered = "\n".join(f"{chr(65 + k)}. {option}" for k, option in enumerate(item.shown))  # as prompts show them
        bare = not (item.given or options)
        variants = {item.question: bare}
        ways: list[tuple[str, ...]] = [(item.given, item.question), (item.question, item.given)]
        for choices in (options, shown, lettered):
            ways += [(item.question, choices), (item.given, item.question, choices)]
        for way in ways:
            text = "\n".join(filter(None, way))
            variants[text] = variants.get(text, text != item.question)
        prompts += [(text, i, whole) for text, whole in variants.items() if text]
    texts = [t for t in texts if t[0]]
    columns: list[list[Any]] = [list(c) for c in zip(*texts)] or [[], [], []]
    asking: list[list[Any]] = [list(c) for c in zip(*prompts)] or [[], [], []]
    return Parts(
        pa.array(columns[0], pa.large_string()), np.array(columns[1], np.int64), np.array(columns[2], np.int64),
        pa.array(asking[0], pa.large_string()), np.array(asking[1], np.int64), np.array(asking[2], bool), len(items),
    )  # fmt: skip


class Items:
    """Evaluation items that rows are searched for, given as Parts or as plain prompts. `ngram` is in tokens,
    `threshold` a Jaccard similarity of prompts (None: near prompts are not looked for). Without `short` n-grams are all
    that counts, as in GPT-3's rule."""

    def __init__(
        self, items: Parts | pa.Array | list[str], ngram: int = NGRAM, threshold: float | None = 0.7, short: bool = True
    ):
        self.parts = parts = items if isinstance(items, Parts) else _plain(items)
        self.ngram, self.short = ngram, short
        self.index = None if threshold is None else Index(threshold, script=True)
        if self.index is not None:
            self.index.add(parts.prompts)
        data, offsets = prepare(parts.text)
        self.tables, n = tables(True), len(parts.text)
        at, columns = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
        token_rows(data, offsets, self.tables, at, np.empty(0, np.uint64), columns)
        hashes = np.empty(at[-1], np.uint64)
        token_rows(data, offsets, self.tables, at, hashes, columns)
        keep = np.diff(at)
        keep = np.where(parts.kind == ANSWER, np.minimum(keep, ngram), keep)  # an answer is known by its beginning
        self.hashes = hashes = hashes[
            np.arange(len(hashes)) - np.repeat(at[:-1], np.diff(at)) < np.repeat(keep, np.diff(at))
        ]
        self.at, self.counts = np.concatenate([[0], np.cumsum(keep)]), keep
        tells = (keep >= SHORT_TOKENS) & (columns >= SHORT_COLUMNS)
        told = (keep >= TOLD_TOKENS) & (columns >= TOLD_COLUMNS)
        self.columns = columns
        self.may = (np.where(parts.kind <= GIVEN, tells, told)) & short
        lengths = sorted(set(self.counts[self.may & (self.counts < ngram)].tolist()) | {ngram})
        self.wanted, self.power = table_for(int(self.at[-1]) + 1, lengths), powers(ngram)
        self.numbers = np.empty(
            self.at[-1], np.int64
        )  # of the n-gram that starts with each token of the parts, -1 for none
        collect(hashes, self.at, ngram, self.may, self.wanted, self.power, self.numbers)
        there = np.flatnonzero(self.numbers >= 0)
        part = np.repeat(np.arange(n), self.counts)[there]
        # Of the parts that hold an n-gram, one that asks names it.
        order = np.lexsort((part, parts.kind[part], self.numbers[there]))
        self.held_number, self.held_part = self.numbers[there][order], part[order]
        _, first = np.unique(self.held_number, return_index=True)
        self.part = self.held_part[first]
        self.item = parts.item[self.part]
        self.items_with = _holders(self.held_number, parts.item[self.held_part], len(first))
        self.saying = np.ones(n, bool)
        if short:
            known = np.asarray(
                pc.match_substring_regex(parts.text, r"[A-Za-z\p{Han}]")
            )  # scripts that stems are listed in
            alone = np.flatnonzero(self.may & ((self.counts < ngram) | ((parts.kind == ASKED) & known)))
            self.saying[alone] = own_words(parts.text.take(pa.array(alone))) >= SAYING

    def search(self, batches: Iterable[tuple[pa.Array, pa.Array]], rows_in_all: int = 0) -> Matches:
        """What rows have in common with the items, given as (prompts, full texts) batch by batch; where it is known how
        many rows there are, people are told how far it is."""
        near: dict[int, list[tuple[int, float]]] = {}
        rows, numbers, total = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for prompts, fulls in batches:
            for query, variant, similarity in zip(*self.index.query_all(prompts)) if self.index is not None else ():
                near.setdefault(total + int(query), []).append((int(variant), float(similarity)))
            starts = range(0, len(fulls), SLICE)
            for start, (row, number) in zip(
                starts, on_all_cores(self.ngrams_in, [fulls.slice(s, SLICE) for s in starts])
            ):
                rows.append(row + start + total)
                numbers.append(number)
            total += len(prompts)
            part(total, rows_in_all, "texts")
        return Matches(near, np.concatenate(rows), np.concatenate(numbers))

    def counting(self, found: Matches) -> np.ndarray:
        """Which n-grams are evidence alone, bool by number: those of passages and options that are no boilerplate, and
        of questions, however long, that say something of their own and that hardly another item asks. A question about
        a passage is a stem."""
        rows_with = _holders(found.number, found.row, len(self.item))
        kind, short = self.parts.kind[self.part], self.counts[self.part] < self.ngram
        if not self.short:
            return (rows_with <= BOILERPLATE) & (kind != ANSWER)
        asked = kind == ASKED
        rare = (rows_with <= BOILERPLATE) & (self.items_with <= np.where(short | asked, ALONE, BOILERPLATE))
        has_given = np.bincount(self.parts.item, self.parts.kind == GIVEN, self.parts.items) > 0
        stem = asked & (has_given[self.item] | ~self.saying[self.part])
        return rare & ~stem & np.where(short, (kind <= GIVEN) & self.saying[self.part], kind != ANSWER)

    def along(self, found: Matches) -> dict[int, int]:
        """row: an item whose question it holds, be it boilerplate, together with the answer or half of the options."""
        items, kind = self.parts.item, self.parts.kind
        whole = np.flatnonzero((kind >= OPTION) & (self.counts > 0) & (self.counts <= self.ngram))
        whole = whole[self.numbers[self.at[whole]] >= 0]
        number = self.numbers[self.at[whole]]
        whole, number = (x[self.items_with[number] <= BOILERPLATE] for x in (whole, number))
        pairs = _joined(found.number, found.row, number, whole)  # (row, option or answer), each once
        if not len(pairs):
            return {}
        row, part = np.unique(np.stack(pairs, 1), axis=0).T if len(pairs[0]) else (pairs[0], pairs[1])
        code = row * self.parts.items + items[part]
        codes, back = np.unique(code, return_inverse=True)
        answers = np.bincount(back, kind[part] == ANSWER, len(codes)) > 0
        options = np.bincount(back, kind[part] == OPTION, len(codes))
        of = np.bincount(items[kind == OPTION], minlength=self.parts.items)[codes % max(1, self.parts.items)]
        enough = codes[answers | (options >= np.maximum(2, of / 2))]
        asked = np.flatnonzero(kind[self.held_part] == ASKED)
        wanted = np.isin(found.row, enough // max(1, self.parts.items))
        asks = _joined(found.number[wanted], found.row[wanted], self.held_number[asked], items[self.held_part[asked]])
        held = enough[np.isin(enough, asks[0] * self.parts.items + asks[1])]
        return {int(c // self.parts.items): int(c % self.parts.items) for c in held[::-1]}

    def boilerplate(self, counting: np.ndarray) -> list[str | None]:
        """Of each item the words that do not count, as JSON: [[first, last + 1], ...]; null where all do. Said again to
        `without`, it gives `counting` back. For items that are plain prompts."""
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

    def explain(self, found: Matches, counting: np.ndarray, fetch: Fetch, along: dict[int, int] | None = None) -> Leaks:
        """The rows that leak, and the longest piece of text that shows it."""
        span, along = np.zeros(2, np.int64), along or {}
        alone = np.unique(found.row[counting[found.number]])
        overlapping = np.union1d(alone, np.array(sorted(along), np.int64))
        why: dict[int, tuple[int, str, str, float]] = {}
        counted = set(alone.tolist())
        for row, data, offsets in self._texts(overlapping, fetch):
            alive = counting if row in counted else self._asking(along[row])
            number = locate(data, offsets, self.tables, self.wanted, self.power, alive, span)
            text = read_folded(data, offsets, self.tables)[span[0] : span[1]]
            if self.short and row in counted and not self._long(text, int(self.part[number])):
                if row not in along:
                    continue
                number = np.flatnonzero(self._asking(along[row]))[0]
                counted.discard(row)
            item = int(self.item[number]) if row in counted else along[row]
            short = self.counts[self.part[number]] < self.ngram
            why[row] = item, "contains_item" if short else "shared_ngram", text, np.nan
        for row, hits in found.near.items():
            if near := self._nearest(hits, counting):
                variant, similarity = near
                text = self.parts.prompts[variant].as_py()[:500]
                why[row] = int(self.parts.prompt_item[variant]), "near_prompt", text, similarity
        return _leaks(why)

    @staticmethod
    def _texts(rows: np.ndarray, fetch: Fetch) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(row, bytes, where its own begin and end) of the texts of some rows, FETCHED of them read at a time."""
        for start in range(0, len(rows), FETCHED):
            some = rows[start : start + FETCHED]
            data, offsets = prepare(fetch(some))
            for i, row in enumerate(some.tolist()):
                yield row, data, offsets[i : i + 2]

    def _long(self, text: str, part: int) -> bool:
        """Whether a piece of a part is long enough to be evidence: SPAN_COLUMNS, or nearly all of the part."""
        kind = self.tables.kind
        columns = sum(1 + (ord(c) >= len(kind) or bool(kind[ord(c)] & WIDE)) for c in text)
        return columns >= min(SPAN_COLUMNS, 0.9 * self.columns[part])

    def _asking(self, item: int) -> np.ndarray:
        """Which n-grams are those of an item's question, bool by number."""
        alive = np.zeros(len(self.item), bool)
        asked = (self.parts.kind[self.held_part] == ASKED) & (self.parts.item[self.held_part] == item)
        alive[self.held_number[asked]] = True
        return alive

    def _nearest(self, hits: list[tuple[int, float]], counting: np.ndarray) -> tuple[int, float] | None:
        """The most similar prompt of an item; a bare question counts if the row's prompt is the same, or if it is
        evidence alone."""
        best = None
        for variant, similarity in hits:
            if best and similarity <= best[1]:
                continue
            if self.parts.whole[variant] or similarity == 1 or counting[self._asked(variant)].any():
                best = variant, similarity
        return best

    def _asked(self, variant: int) -> np.ndarray:
        """The n-grams of the question of a prompt's item."""
        at = np.flatnonzero((self.parts.item == self.parts.prompt_item[variant]) & (self.parts.kind == ASKED))
        numbers = np.concatenate([self.numbers[self.at[p] : self.at[p + 1]] for p in at] or [np.empty(0, np.int64)])
        return numbers[numbers >= 0]

    def covered(self, found: Matches, share: float, fetch: Fetch) -> Leaks:
        """Rows whose n-grams cover at least `share` of an item's question and what is given with it (Tülu 3's rule:
        Lambert et al., 2024, sec. 3.2)."""
        asks = self.parts.kind <= GIVEN
        size = np.bincount(self.parts.item[asks], self.counts[asks], self.parts.items)
        there = np.flatnonzero((self.numbers >= 0) & np.repeat(asks, self.counts))
        row, token = _joined(found.number, found.row, self.numbers[there], there)
        by = np.lexsort((token, row))
        row, token = row[by], token[by]
        part = np.searchsorted(self.at, token, "right") - 1
        follows = np.zeros(len(row), np.int64)  # tokens that the n-gram before it covers already
        if len(row):
            same = (row[1:] == row[:-1]) & (part[1:] == part[:-1])
            follows[1:] = np.where(same, np.maximum(0, self.ngram - (token[1:] - token[:-1])), 0)
        codes, back = np.unique(row * self.parts.items + self.parts.item[part], return_inverse=True)
        covers = np.bincount(back, self.ngram - follows, len(codes)) / np.maximum(
            1, size[codes % max(1, self.parts.items)]
        )
        why: dict[int, tuple[int, str, str, float]] = {}
        for code, value in zip(codes[covers >= share].tolist(), covers[covers >= share].tolist()):
            at, item = divmod(code, self.parts.items)
            if at not in why or why[at][3] < value:
                why[at] = item, "covered", "", value
        return self._with_text(_leaks(why), fetch)

    def _with_text(self, leaks: Leaks, fetch: Fetch) -> Leaks:
        if not len(leaks.row):
            return leaks
        span, texts = np.zeros(2, np.int64), []
        data, offsets = prepare(fetch(leaks.row))
        for i, item in enumerate(leaks.item):
            alive = np.zeros(len(self.item), bool)
            alive[self.held_number[self.parts.item[self.held_part] == item]] = True
            locate(data, offsets[i : i + 2], self.tables, self.wanted, self.power, alive, span)
            texts.append(read_folded(data, offsets[i : i + 2], self.tables)[span[0] : span[1]])
        return leaks._replace(text=texts)

    def ngrams_in(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(text, n-gram) for each n-gram of the items that a text holds."""
        return all_found(matches, len(texts), *prepare(texts), self.tables, self.wanted, self.power)


def _plain(prompts: pa.Array | list[str]) -> Parts:
    """Items that are a prompt each."""
    prompts = pa.array(prompts, pa.large_string()) if isinstance(prompts, list) else prompts
    each = np.arange(len(prompts))
    return Parts(
        prompts, each, np.zeros(len(prompts), np.int64), prompts, each, np.ones(len(prompts), bool), len(prompts)
    )


def _leaks(why: dict[int, tuple[int, str, str, float]]) -> Leaks:
    order = sorted(why)
    items, rules, texts, similarities = zip(*(why[r] for r in order)) if order else ((), (), (), ())
    return Leaks(
        np.array(order, np.int64),
        np.array(items, np.int64),
        list(rules),
        list(texts),
        np.array(similarities, np.float64),
    )


def _joined(
    key: np.ndarray, value: np.ndarray, other_key: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(value, other) of every pair with equal keys."""
    by = np.argsort(other_key, kind="stable")
    other_key, other = other_key[by], other[by]
    low, high = np.searchsorted(other_key, key, "left"), np.searchsorted(other_key, key, "right")
    count = high - low
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    return np.repeat(value, count), other[place]


def _holders(number: np.ndarray, holder: np.ndarray, numbers: int) -> np.ndarray:
    """How many holders each number has."""
    holders = int(holder.max(initial=0)) + 1
    return np.bincount(np.unique(number * holders + holder) // holders, minlength=numbers)


def leaks(
    prompts: pa.Array,
    fulls: pa.Array,
    items: Parts | pa.Array | list[str],
    ngram: int = NGRAM,
    threshold: float = 0.7,
) -> Leaks:
    """Rows (prompts, and prompts with responses) that leak evaluation items, for texts in memory."""
    searched = Items(items, ngram, threshold)
    found = searched.search([(prompts, fulls)])
    return searched.explain(found, searched.counting(found), lambda at: fulls.take(pa.array(at)), searched.along(found))
