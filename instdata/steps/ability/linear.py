"""A linear classifier over hashed features, trained in closed form, and its calibration.

Regularised least squares on one column a class (Rifkin and Klautau 2004: as accurate as support vector machines for
text). In its dual form training is one matrix inverse, which also gives every training row's prediction by a model that
never saw it (Allen 1974, PRESS): those predictions calibrate the confidence, so no labelled row is set aside for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from instdata.steps.ability.calibration import Calibration, calibrate
from instdata.steps.ability.features import (
    CUES,
    EVERY,
    FEATURES,
    GROUP_BITS,
    MOST,
    ROWS,
    bytes_of,
    features,
    features_of,
    hashes_of_cues,
    lexicon,
)
from instdata.steps.ability.tokens_and_cues import LAST_CUE, TOKENS
from instdata.util.kernels import inner, jit, on_all_cores

MAX_ROWS = 4_000  # training rows: time and memory grow with their square; about 10 s on two cores
RIDGE = 2.0
EVEN = 0.25  # power: a row of a class n times as frequent as another's counts n^-EVEN as much
STRIP = 16  # columns of a matrix that are multiplied together
LOGS = np.log(np.maximum(np.arange(64), 1))  # of small counts
# Weights of the groups: words, opening, stems, cues, concepts, pieces, words of the ask.
PROMPT = np.sqrt(np.array([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 0.5]))
RESPONSE = np.sqrt(np.array([1.0, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0]))


@dataclass(frozen=True)
class Space:
    """The features known from training, one a column, and what each weighs."""

    hashes: np.ndarray  # uint64[columns]
    idf: np.ndarray  # float64[columns]
    weights: np.ndarray  # float64[groups]

    @cached_property
    def group(self) -> np.ndarray:
        """uint8[columns]"""
        return (self.hashes >> np.uint64(64 - GROUP_BITS)).astype(np.uint8)

    @cached_property
    def table(self) -> tuple[np.ndarray, np.uint64]:
        """(entries, low): a hash stands in one of two places, see `places`, its lowest bits (those set in `low`) giving
        way to its column + 1; 0 where nothing stands. So a feature is looked up without a branch, and the table is
        small enough to stay in the processor's cache. The bits that are given away could mistake one feature in
        10^14."""
        bits = len(self.hashes).bit_length()
        low, size = np.uint64((1 << bits) - 1), 2 << bits
        while not hang(*places(self.hashes, size), at := np.zeros(size, np.int64)):
            size *= 2
        held, entries = np.flatnonzero(at), np.zeros(size, np.uint64)
        entries[held] = self.hashes[at[held] - 1] & ~low | at[held].astype(np.uint64)
        return entries, low

    @cached_property
    def cues(self) -> np.ndarray:
        """int32[pairs of cues, LEVELS, LEVELS]: the column of every two at their levels, -1 where there is none."""
        held, wanted = np.flatnonzero(self.group == CUES), hashes_of_cues()
        held = held[np.argsort(self.hashes[held])]
        if not len(held):
            return np.full(wanted.shape, -1, np.int32)
        at = held[np.minimum(np.searchsorted(self.hashes[held], wanted), len(held) - 1)]
        return np.where(self.hashes[at] == wanted, at, -1).astype(np.int32)

    def times(self, texts: pa.Array, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(each text's vector times weights, given in strips: float64[texts, strips * STRIP]; whether it has a known
        feature)."""
        out, some = np.zeros((len(texts), len(weights) * STRIP)), np.zeros(len(texts), bool)
        if not len(texts):
            return out, some
        data, offsets = bytes_of(texts)
        lexical, wanted = lexicon(), np.append(self.weights > 0, np.zeros(len(EVERY) - len(self.weights), bool))
        known = *self.table, self.cues, self.idf, self.group, self.weights, LOGS

        def part(first: int) -> None:
            rows = slice(first, min(first + ROWS, len(texts)))
            multiply(
                data, offsets[rows.start : rows.stop + 1], *lexical, wanted, *known, weights, out[rows], some[rows]
            )

        on_all_cores(part, range(0, len(texts), ROWS))
        return out, some


@dataclass(frozen=True)
class Vectors:
    """Sparse rows: row i has values[starts[i]:starts[i+1]] in columns[starts[i]:starts[i+1]]."""

    columns: np.ndarray
    values: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Linear:
    """A trained classifier; `held_out` holds each training row's scores by a model that did not see it."""

    classes: list[str]
    prompt: Space
    response: Space
    prompt_weights: np.ndarray  # float64[columns, classes]
    response_weights: np.ndarray
    bias: np.ndarray  # float64[classes]
    centre: np.ndarray  # float64[classes]: what an average response adds
    calibration: Calibration
    held_out: np.ndarray  # float64[rows, classes]

    @cached_property
    def strips(self) -> list[np.ndarray]:
        """The weights of prompts and of responses, filled up with columns of 0: float64[strips, columns, STRIP]."""
        full = (np.pad(w, ((0, 0), (0, -w.shape[1] % STRIP))) for w in (self.prompt_weights, self.response_weights))
        return [np.ascontiguousarray(w.reshape(len(w), w.shape[1] // STRIP, STRIP).swapaxes(0, 1)) for w in full]

    def scores(self, prompts: pa.Array, responses: pa.Array) -> np.ndarray:
        """float64[rows, classes]: about 1 for the right class, about 0 for the others."""
        of_prompts, of_responses = self.strips
        asked, _ = self.prompt.times(prompts, of_prompts)
        extra, given = self.response.times(responses, of_responses)
        width = len(self.classes)
        return asked[:, :width] + self.bias + given[:, None] * (extra[:, :width] - self.centre)


def train(prompts: pa.Array, responses: pa.Array, labels: np.ndarray, classes: list[str]) -> Linear:
    """Fit on texts and their class numbers; rows of rare classes count more. A missing response (null) says nothing
    either way: responses are centred on the average one, so that which rows lack one cannot become a cue."""
    least = 2 if len(labels) >= 200 else 1
    spaces = space(prompts, PROMPT, least), space(responses, RESPONSE, least)
    prompt, response = vectors(spaces[0], prompts), vectors(spaces[1], responses)
    given = np.diff(response.starts) > 0
    there = given / max(given.sum(), 1)
    kernel = gram(response, len(spaces[1].idf))
    mean = kernel @ there
    kernel += np.outer(given, given) * (there @ mean) - np.outer(mean, given) - np.outer(given, mean)
    kernel += gram(prompt, len(spaces[0].idf)) + 1.0  # the 1 is the bias
    frequent = (np.bincount(labels)[labels] / np.bincount(labels)[labels].mean()) ** EVEN  # of a row's class
    inverse = np.linalg.inv(kernel + RIDGE * np.diag(frequent))
    wanted = np.eye(len(classes))[labels]
    dual = inverse @ wanted
    held_out = wanted - dual / np.diag(inverse)[:, None]
    response_weights = transposed_dot(response, dual, len(spaces[1].idf))
    average = transposed_dot(response, there[:, None], len(spaces[1].idf))[:, 0]
    response_weights -= np.outer(average, given @ dual)
    return Linear(
        classes, *spaces, transposed_dot(prompt, dual, len(spaces[0].idf)), response_weights,
        dual.sum(0), average @ response_weights, calibrate(held_out, labels), held_out,
    )  # fmt: skip


def space(texts: pa.Array, weights: np.ndarray, least: int) -> Space:
    """The features that occur in at least `least` texts; rare ones weigh more (smoothed inverse document frequency)."""
    hashes, starts = features(texts)
    row = np.repeat(np.arange(len(texts)), np.diff(starts))
    order = np.lexsort((row, hashes))
    hashes, row = hashes[order], row[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (row[1:] != row[:-1])
    known, frequency = np.unique(hashes[new], return_counts=True)
    used = (frequency >= least) & (weights[(known >> np.uint64(64 - GROUP_BITS)).astype(int)] > 0) & (known != 0)
    # the most frequent first: what most rows need lies together
    order = np.flatnonzero(used)[np.argsort(-frequency[used], kind="stable")]
    known, frequency = known[order], frequency[order]
    idf = np.log((1 + len(texts)) / (1 + frequency)) + 1
    return Space(known, idf, weights)


@inner
def places(h, size):
    """The two places of a table where a hash may stand."""
    half = np.uint64(size // 2)
    other = h * np.uint64(0xD6E8FEB86659FD93)  # its highest bits depend on all, those of the group too
    other = other >> np.uint64(48) ^ other >> np.uint64(28)
    return h & (half - np.uint64(1)), half + (other & (half - np.uint64(1)))


@jit
def hang(one, other, at):
    """Put every hash into one of its two places, moving what stands there to its other one (Pagh and Rodler, "Cuckoo
    hashing", 2004): `at` gets the number, from 1, of the hash that stands there. False where one finds none."""
    for i in range(len(one)):
        moved, place = i + 1, one[i]
        for _ in range(1000):
            at[place], moved = moved, at[place]
            if moved == 0:
                break
            place = one[moved - 1] + other[moved - 1] - place
        if moved:
            return False
    return True


def vectors(space: Space, texts: pa.Array) -> Vectors:
    """Each text as a sparse row: 1 + log of the count, times idf, each group scaled to its weight."""
    hashes, starts = features(texts)
    columns, values = np.empty(len(hashes), np.int32), np.empty(len(hashes), np.float64)
    ends = np.zeros(len(texts) + 1, np.int64)
    known = *space.table, space.idf, space.group, space.weights, LOGS
    n = weigh_rows(hashes, starts, *known, columns, values, ends)
    return Vectors(columns[:n].copy(), values[:n].copy(), ends)


@jit
def weigh_rows(hashes, starts, entries, low, idf, group, weights, logs, columns, values, ends):
    count = np.zeros(len(idf), np.int32)
    n = 0
    for row in range(len(starts) - 1):
        found = hashes[starts[row] : starts[row + 1]]
        own = known_columns(found, entries, low, count, columns[n:])
        n += scaled(own, own, idf, group, weights, logs, count, columns[n:], values[n:])
        ends[row + 1] = n
    return n


@inner
def scaled(n, cues, idf, group, weights, logs, count, columns, values):
    """The values of a row's n columns; returns n. Those from the place `cues` on are of cues, each of which is there
    once. `count` says how often the others are, and is 0 afterwards."""
    length = np.zeros(len(weights))
    for i in range(cues):
        column = columns[i]
        times = count[column]
        values[i] = (1 + (logs[times] if times < len(logs) else np.log(times))) * idf[column]
        length[group[column]] += values[i] ** 2
        count[column] = 0
    total = length[CUES]
    for i in range(cues, n):
        values[i] = idf[columns[i]]
        total += values[i] ** 2
    length[CUES] = total
    for i in range(len(length)):
        if length[i] > 0:
            length[i] = weights[i] / np.sqrt(length[i])
    for i in range(cues):
        values[i] *= length[group[columns[i]]]
    total = length[CUES]
    for i in range(cues, n):
        values[i] *= total
    return n


@inner
def known_columns(hashes, entries, low, count, columns):
    """The columns of the known ones of some hashes, each once, in the order in which they come first; returns how many.
    `count` gets how often each is there. Without a branch for what a hash is found to be: none can be foretold."""
    n, once = 0, 0
    for h in hashes:
        one, other = places(h, len(entries))
        entry = entries[one] if entries[one] ^ h <= low else entries[other]
        columns[n] = np.int32(entry & low) - 1
        n += entry ^ h <= low
    for i in range(n):
        column = columns[i]
        columns[once] = column
        once += count[column] == 0
        count[column] += 1
    return once


@jit
def multiply(
    data, offsets, lexicon, concepts, wanted, entries, low, cue_columns, idf, group, weights, logs, by, out, some
):
    """Rows as vectors times a matrix of a multiple of STRIP columns, a row at a time: nothing of a row but its result
    is kept."""
    token, stem = np.empty(TOKENS, np.uint64), np.empty(TOKENS, np.uint64)
    kind, cue = np.empty(TOKENS, np.int8), np.empty(LAST_CUE + 1, np.int64)
    span, near = np.empty((TOKENS, 2), np.int64), np.empty(MOST, np.int64)
    hashes, count = np.empty(FEATURES, np.uint64), np.zeros(len(idf), np.int32)
    columns, values = np.empty(FEATURES, np.int32), np.empty(FEATURES, np.float64)
    for row in range(len(offsets) - 1):
        lo, hi = offsets[row], offsets[row + 1]
        m = features_of(
            data, lo, hi, token, stem, kind, cue, span, near, lexicon, concepts, wanted, hashes, np.int64(0)
        )
        n = cues = known_columns(hashes[:m], entries, low, count, columns)
        pair = 0
        for i in range(len(cue) if m else 0):
            for k in range(i + 1):
                columns[n] = cue_columns[pair, cue[i], cue[k]]
                n += columns[n] >= 0
                pair += 1
        n = scaled(n, cues, idf, group, weights, logs, count, columns, values)
        some[row] = n > 0
        for k in range(len(by)):
            add_strip(n, columns, values, by[k], out[row, k * STRIP : k * STRIP + STRIP])


@inner
def add_strip(n, columns, values, by, out):
    """Add the products of STRIP columns of a matrix to `out`, one after the other: eight rows of the matrix in one
    pass, which LLVM vectorises."""
    i = 0
    while i + 8 <= n:
        a, b, c, d = by[columns[i]], by[columns[i + 1]], by[columns[i + 2]], by[columns[i + 3]]
        e, f, g, h = by[columns[i + 4]], by[columns[i + 5]], by[columns[i + 6]], by[columns[i + 7]]
        p, q, r, s = values[i], values[i + 1], values[i + 2], values[i + 3]
        t, u, v, w = values[i + 4], values[i + 5], values[i + 6], values[i + 7]
        for k in range(STRIP):
            first = out[k] + p * a[k] + q * b[k] + r * c[k] + s * d[k]
            out[k] = first + t * e[k] + u * f[k] + v * g[k] + w * h[k]
        i += 8
    while i < n:
        for k in range(STRIP):
            out[k] += values[i] * by[columns[i], k]
        i += 1


def transposed_dot(x: Vectors, dual: np.ndarray, width: int) -> np.ndarray:
    """The rows' weighted sum, a column a class: float64[width, classes]."""
    out = np.zeros((width, dual.shape[1]))
    add_transposed(x.columns, x.values, x.starts, np.ascontiguousarray(dual), out)
    return out


@jit
def add_transposed(columns, values, starts, dual, out):
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            for k in range(out.shape[1]):
                out[columns[i], k] += values[i] * dual[row, k]


def gram(x: Vectors, width: int) -> np.ndarray:
    """Inner products of all pairs of rows: float64[rows, rows]."""
    out = np.zeros((len(x), len(x)))
    step = 64
    on_all_cores(lambda first: add_gram(x.columns, x.values, x.starts, first, step, width, out), range(0, len(x), step))
    return np.tril(out) + np.tril(out, -1).T


@jit
def add_gram(columns, values, starts, first, step, width, out):
    dense = np.zeros(width)
    for row in range(first, min(first + step, len(starts) - 1)):
        for i in range(starts[row], starts[row + 1]):
            dense[columns[i]] = values[i]
        for other in range(row + 1):
            total = 0.0
            for i in range(starts[other], starts[other + 1]):
                total += dense[columns[i]] * values[i]
            out[row, other] = total
        for i in range(starts[row], starts[row + 1]):
            dense[columns[i]] = 0.0


def warm() -> None:
    """Compile the kernels by running each once."""
    texts = pa.array(["translate this", "翻译这句话", "add 1 and 2?", "2 + 2"])
    train(texts, texts, np.array([0, 0, 1, 1]), ["translation", "math"]).scores(texts, texts)
