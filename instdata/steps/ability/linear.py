"""A linear classifier over hashed features, trained in closed form, and its calibration.

Regularised least squares on one column a class (Rifkin and Klautau 2004: as accurate as support vector machines for
text). In its dual form training is one matrix inverse, which also gives every training row's prediction by a model that
never saw it (Allen 1974, PRESS): those predictions calibrate the confidence, so no labelled row is set aside for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from instdata.steps.ability.calibration import Calibration, calibrate
from instdata.steps.ability.features import (
    EVERY,
    FEATURES,
    GROUP_BITS,
    LAST_CUE,
    MOST,
    ROWS,
    TOKENS,
    bytes_of,
    features,
    features_of,
    lexicon,
    look_up,
)
from instdata.util.kernels import inner, jit, on_all_cores

MAX_ROWS = 4_000  # training rows: time and memory grow with their square; about 10 s on two cores
RIDGE = 2.0
EVEN = 0.25  # power: a row of a class n times as frequent as another's counts n^-EVEN as much
STRIP = 4  # columns of a matrix that are multiplied together
LOGS = np.log(np.maximum(np.arange(64), 1))  # of small counts
# Weights of the groups: words, opening, stems, cues, concepts, pieces, words of the ask.
PROMPT = np.sqrt(np.array([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 0.5]))
RESPONSE = np.sqrt(np.array([1.0, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0]))


@dataclass(frozen=True)
class Space:
    """The features known from training: an open-addressed table from hash to column, and what each column weighs."""

    slots: np.ndarray  # uint64[2^k], 0 where empty
    columns: np.ndarray  # int32[2^k]
    idf: np.ndarray  # float64[columns]
    group: np.ndarray  # uint8[columns]
    weights: np.ndarray  # float64[groups]

    def times(self, texts: pa.Array, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(each text's vector times weights: float64[texts, classes]; whether it has a known feature)."""
        width = weights.shape[1]
        weights = np.pad(weights, ((0, 0), (0, -width % STRIP)))
        out, some = np.zeros((len(texts), weights.shape[1])), np.zeros(len(texts), bool)
        if not len(texts):
            return out[:, :width], some
        data, offsets = bytes_of(texts)
        lexical, wanted = lexicon(), np.append(self.weights > 0, np.zeros(len(EVERY) - len(self.weights), bool))
        known = self.slots, self.columns, self.idf, self.group, self.weights, LOGS

        def part(first: int) -> None:
            rows = slice(first, min(first + ROWS, len(texts)))
            multiply(
                data, offsets[rows.start : rows.stop + 1], *lexical, wanted, *known, weights, out[rows], some[rows]
            )

        on_all_cores(part, range(0, len(texts), ROWS))
        return out[:, :width], some


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

    def scores(self, prompts: pa.Array, responses: pa.Array) -> np.ndarray:
        """float64[rows, classes]: about 1 for the right class, about 0 for the others."""

        asked, _ = self.prompt.times(prompts, self.prompt_weights)
        extra, given = self.response.times(responses, self.response_weights)
        return asked + self.bias + given[:, None] * (extra - self.centre)


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
    size = 1 << max(4, int(np.ceil(np.log2(2 * len(known) + 1))))
    slots, columns = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    fill(slots, columns, known)
    idf = np.log((1 + len(texts)) / (1 + frequency)) + 1
    return Space(slots, columns, idf, (known >> np.uint64(64 - GROUP_BITS)).astype(np.uint8), weights)


@jit
def fill(slots, columns, known):
    for i in range(len(known)):
        at = look_up(slots, known[i])
        slots[at] = known[i]
        columns[at] = i


def vectors(space: Space, texts: pa.Array) -> Vectors:
    """Each text as a sparse row: 1 + log of the count, times idf, each group scaled to its weight."""
    hashes, starts = features(texts)
    columns, values = np.empty(len(hashes), np.int32), np.empty(len(hashes), np.float64)
    ends = np.zeros(len(texts) + 1, np.int64)
    known = space.slots, space.columns, space.idf, space.group, space.weights, LOGS
    n = weigh_rows(hashes, starts, *known, columns, values, ends)
    return Vectors(columns[:n].copy(), values[:n].copy(), ends)


@jit
def weigh_rows(hashes, starts, slots, slot_columns, idf, group, weights, logs, columns, values, ends):
    count = np.zeros(len(idf), np.int32)
    n = 0
    for row in range(len(starts) - 1):
        found = hashes[starts[row] : starts[row + 1]]
        n += weigh(found, slots, slot_columns, idf, group, weights, logs, count, columns[n:], values[n:])
        ends[row + 1] = n
    return n


@inner
def weigh(hashes, slots, slot_columns, idf, group, weights, logs, count, columns, values):
    """The known columns of one row's features, and their values; returns how many. `count` is 0 before and after."""
    n = 0
    for h in hashes:
        at = look_up(slots, h)
        if slots[at] == 0:
            continue
        column = slot_columns[at]
        if count[column] == 0:
            columns[n] = column
            n += 1
        count[column] += 1
    length = np.zeros(len(weights))
    for i in range(n):
        column = columns[i]
        times = count[column]
        values[i] = (1 + (logs[times] if times < len(logs) else np.log(times))) * idf[column]
        length[group[column]] += values[i] ** 2
        count[column] = 0
    for i in range(len(length)):
        if length[i] > 0:
            length[i] = weights[i] / np.sqrt(length[i])
    for i in range(n):
        values[i] *= length[group[columns[i]]]
    return n


@jit
def multiply(data, offsets, lexicon, concepts, wanted, slots, slot_columns, idf, group, weights, logs, by, out, some):
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
        n = weigh(hashes[:m], slots, slot_columns, idf, group, weights, logs, count, columns, values)
        some[row] = n > 0
        for k in range(0, out.shape[1], STRIP):  # sums of a strip of columns stay in registers: half the time
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for i in range(n):
                column, value = columns[i], values[i]
                a += value * by[column, k]
                b += value * by[column, k + 1]
                c += value * by[column, k + 2]
                d += value * by[column, k + 3]
            out[row, k], out[row, k + 1], out[row, k + 2], out[row, k + 3] = a, b, c, d


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
