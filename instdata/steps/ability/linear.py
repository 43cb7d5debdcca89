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
from instdata.steps.ability.features import GROUP_BITS, ROWS, features, look_up
from instdata.util.kernels import jit, on_all_cores

MAX_ROWS = 4_000  # training rows: time and memory grow with their square; about 10 s on two cores
RIDGE = 2.0
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

        def part(first: int) -> np.ndarray:
            prompt, response = prompts.slice(first, ROWS), responses.slice(first, ROWS)
            scores = dot(vectors(self.prompt, prompt), self.prompt_weights) + self.bias
            extra = vectors(self.response, response)
            given = np.diff(extra.starts) > 0
            return scores + given[:, None] * (dot(extra, self.response_weights) - self.centre)

        parts = on_all_cores(part, range(0, len(prompts), ROWS))
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))


def train(prompts: pa.Array, responses: pa.Array, labels: np.ndarray, classes: list[str]) -> Linear:
    """Fit on texts and their class numbers. A missing response (null) says nothing either way: responses are centred
    on the average one, so that which rows lack one cannot become a cue."""
    least = 2 if len(labels) >= 200 else 1
    spaces = space(prompts, PROMPT, least), space(responses, RESPONSE, least)
    prompt, response = vectors(spaces[0], prompts), vectors(spaces[1], responses)
    given = np.diff(response.starts) > 0
    there = given / max(given.sum(), 1)
    kernel = gram(response, len(spaces[1].idf))
    mean = kernel @ there
    kernel += np.outer(given, given) * (there @ mean) - np.outer(mean, given) - np.outer(given, mean)
    kernel += gram(prompt, len(spaces[0].idf)) + 1.0  # the 1 is the bias
    inverse = np.linalg.inv(kernel + RIDGE * np.eye(len(labels)))
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
    known, frequency = known[used], frequency[used]
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
    n = weigh(hashes, starts, space.slots, space.columns, space.idf, space.group, space.weights, columns, values, ends)
    return Vectors(columns[:n].copy(), values[:n].copy(), ends)


@jit
def weigh(hashes, starts, slots, slot_columns, idf, group, weights, columns, values, ends):
    count = np.zeros(len(idf), np.int32)
    n = 0
    for row in range(len(starts) - 1):
        begin = n
        for i in range(starts[row], starts[row + 1]):
            at = look_up(slots, hashes[i])
            if slots[at] == 0:
                continue
            column = slot_columns[at]
            if count[column] == 0:
                columns[n] = column
                n += 1
            count[column] += 1
        length = np.zeros(len(weights))
        for i in range(begin, n):
            column = columns[i]
            values[i] = (1 + np.log(count[column])) * idf[column]
            length[group[column]] += values[i] ** 2
            count[column] = 0
        for i in range(begin, n):
            g = group[columns[i]]
            values[i] *= weights[g] / np.sqrt(length[g])
        ends[row + 1] = n
    return n


def dot(x: Vectors, weights: np.ndarray) -> np.ndarray:
    """Rows times weights: float64[rows, classes]."""
    out = np.zeros((len(x), weights.shape[1]))
    add_dot(x.columns, x.values, x.starts, weights, out)
    return out


@jit
def add_dot(columns, values, starts, weights, out):
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            for k in range(out.shape[1]):
                out[row, k] += values[i] * weights[columns[i], k]


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
