"""Plain records of a block as columns, all that have the same keys at once: what fast_path.py makes of them one by one.

A test holds the two together. Whatever may be odd about a record leaves it to that way: a look at a column has to find
all that is odd, not only that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, compress, pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import ROLES
from instdata.read.fast_path import INPUT, SCALAR, SPEAKING, Usual, Way, turn_form, turn_keys
from instdata.read.json_numbers import dumps
from instdata.read.plain_rows import PlainRows
from instdata.read.thoughts import CLOSES
from instdata.util.thought_marks import FIRST

LEAST = 32  # records with the same keys: fewer are read one by one
BLANK = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # what str.strip takes away
EMPTY = rf"\A[{BLANK}]*\z"
# A question that may be a dialogue or as a template wrote it, an answer that may begin with thoughts; or none at all.
# (Python takes İ and ı for an i whose case does not matter.)
ODD_ASKED = rf"(?i)\A[{BLANK}]*(?:\z|[<\[#]|{SPEAKING.replace('i', '[iİı]')})"
ODD_SAID = rf"\A[{BLANK}]*(?:\z|[{re.escape(''.join(FIRST))}])"
NUL = re.compile(rb"\0")
CLOSING = re.compile(b"/(?:%b)" % b"|".join(re.escape(mark.partition("/")[2]).encode() for mark in CLOSES))
TEXT, TEXT_OR_NONE = frozenset([str]), frozenset([str, type(None)])
CODES = {role: code for code, role in enumerate(ROLES)}
SYSTEM, USER, ASSISTANT = (CODES[role] for role in ("system", "user", "assistant"))


def plain_columns(found: Sequence[Any], first: int, usual: Usual, parsed: bool) -> tuple[list[PlainRows], list[int]]:
    """(the rows of plain records, the places of all other records) of a block whose first record is number `first`.
    `parsed`: the records came from JSON text."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, record in enumerate(found):
        if type(record) is dict:
            groups[tuple(record)].append(i)
    rows: list[PlainRows] = []
    others = np.ones(len(found), bool)
    for group in groups.values():
        way = usual.way(found[group[0]]) if len(group) >= LEAST else None
        if way is None:
            continue
        places, records = np.array(group), [found[i] for i in group]
        try:
            taken, made = (_talks if way.talk else _exchanges)(records, places + first, way, usual, parsed)
        except (TypeError, ValueError):  # what JSON cannot hold: found one by one
            continue
        others[places[taken]] = False
        rows += [made] if len(made) else []
    return rows, np.flatnonzero(others).tolist()


def _exchanges(
    records: list[dict[str, Any]], numbers: np.ndarray, way: Way, usual: Usual, parsed: bool
) -> tuple[np.ndarray, PlainRows]:
    """(which of the records are plain exchanges, their rows)"""
    asked, fine = _texts([r[way.asked] for r in records], TEXT)
    said, also = _texts([r[way.said] for r in records], TEXT)
    given, too = _texts([r[way.given] if way.given else None for r in records], TEXT_OR_NONE)
    plain = fine & also & too & ~_is(asked, ODD_ASKED) & ~_is(said, ODD_SAID) & ~_may_hold(said, CLOSING)
    plain &= ~(_may_hold(asked, NUL) | _may_hold(said, NUL) | _may_hold(given, NUL)) & _held(records, way, parsed)
    chars = np.asarray(pc.fill_null(pc.utf8_length(given), 0))
    plain &= (chars == 0) | ~_is(given, EMPTY)
    if not plain.all():
        asked, said, given = (texts.filter(pa.array(plain)) for texts in (asked, said, given))
        records, chars, numbers = list(compress(records, plain)), chars[plain], numbers[plain]
    forms, question, span = _asked_of(asked, given, chars, way)
    contents = _in_turns(question, said)
    roles = pa.array(["user", "assistant"]).take(pa.array(np.tile(np.arange(2), len(records))))
    counts = np.full(len(records), 2, np.int32)
    return plain, PlainRows(numbers, counts, roles, contents, _meta(records, way, chars), forms, span)


def _in_turns(a: pa.Array, b: pa.Array) -> pa.Array:
    """The first text of `a`, the first of `b`, the second of `a`, …"""
    sizes = np.stack([np.asarray(pc.binary_length(texts)) for texts in (a, b)], axis=1).ravel()
    ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)])
    return pa.StringArray.from_buffers(
        len(sizes), pa.py_buffer(ends), pc.binary_join_element_wise(a, b, "").buffers()[2]
    )


def _asked_of(asked: pa.Array, given: pa.Array, chars: np.ndarray, way: Way) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """(forms, questions, and how many of their bytes are what is asked) of exchanges whose separate input has `chars`
    characters."""
    alone = pc.if_else(pc.is_null(given), way.alone[None], way.alone.get("", ""))
    both = pa.array(chars > 0)
    if not chars.any():
        return alone, asked, np.full(len(asked), -1, np.int32)
    size = np.asarray(pc.utf8_length(asked))
    places = {"asked": size, "start": size + 2, "end": size + 2 + chars}
    forms = pc.if_else(both, _filled(way.both, {k: pa.array(v).cast(pa.string()) for k, v in places.items()}), alone)
    question = pc.if_else(both, pc.binary_join_element_wise(asked, given, "\n\n"), asked)
    return forms, question, np.where(chars > 0, np.asarray(pc.binary_length(asked)), -1).astype(np.int32)


def _talks(
    records: list[dict[str, Any]], numbers: np.ndarray, way: Way, usual: Usual, parsed: bool
) -> tuple[np.ndarray, PlainRows]:
    """(which of the records are plain conversations, their rows)"""
    talks = [r[way.talk] if type(r[way.talk]) is list else () for r in records]
    turns = list(chain.from_iterable(talks))
    counts = np.fromiter(map(len, talks), np.int32, len(talks))
    ends = np.cumsum(counts)
    row, last = np.repeat(np.arange(len(talks)), counts), (ends - 1)[counts > 0]
    shape, shapes = _numbered([tuple(turn) if type(turn) is dict else () for turn in turns])
    keys = list(map(turn_keys, shapes))
    if len(keys) == 1 and keys[0]:
        words, texts = ([turn[key] for turn in turns] for key in keys[0])
    else:
        held = [(turn, keys[number]) for turn, number in zip(turns, shape.tolist())]
        words, texts = ([turn[found[side]] if found else None for turn, found in held] for side in (0, 1))
    contents, fine = _texts(texts, TEXT)
    word, said = _numbered([w if type(w) is str else None for w in words])
    role = np.array([-1 if w is None else CODES.get(usual.speakers.get(w, ""), -1) for w in said], np.int8)[word]
    empty = _is(contents, EMPTY)
    odd = ~fine | (role < 0) | _may_hold(contents, NUL)
    odd |= (role == SYSTEM) & (np.arange(len(turns)) > (ends - counts)[row])
    odd |= (role == ASSISTANT) & (_is(contents, ODD_SAID) & ~empty | _may_hold(contents, CLOSING))
    odd[last] |= (role[last] != ASSISTANT) | empty[last]
    plain = np.zeros(len(talks), bool)
    plain[row[(role == USER) & ~empty]] = True
    plain[row[odd]] = False
    plain &= _held(records, way, parsed)
    keep = np.flatnonzero(plain[row])
    contents = contents if plain.all() else contents.take(pa.array(keep))
    role, word, shape, counts = role[keep], word[keep], shape[keep], counts[plain]
    filled = np.asarray(pc.binary_length(contents)) > 0
    kinds = np.stack([shape, word, filled], axis=1)
    rest = list(compress(records, plain))
    forms = _filled(way.both, {"turns": _told(kinds, shapes, said, counts)})
    meta = _meta(rest, way, np.zeros(len(rest), np.int32))
    roles = pa.array(ROLES).take(pa.array(role))
    return plain, PlainRows(numbers[plain], counts, roles, contents, meta, forms, np.full(len(rest), -1, np.int32))


def _numbered(values: list[Any]) -> tuple[np.ndarray, list[Any]]:
    """(the number of each value, the values that there are)"""
    number = {value: n for n, value in enumerate(dict.fromkeys(values))}
    return np.fromiter(map(number.__getitem__, values), np.int32, len(values)), list(number)


def _told(kinds: np.ndarray, shapes: list[tuple[str, ...]], said: list[str], counts: np.ndarray) -> pa.Array:
    """The forms of conversations' turns, of each the number of its keys, of its speaker's word, and whether it says
    anything (int32[turns, 3]): worked out once for all conversations that have the same."""
    ends = np.cumsum([0, *counts]).tolist()
    width, data = kinds.strides[0], kinds.tobytes()
    made: dict[bytes, str] = {}
    out = []
    for a, b in pairwise(ends):
        key = data[a * width : b * width]
        if key not in made:
            place = np.cumsum(kinds[a:b, 2]) - 1
            parts = [(shapes[k], said[w], int(n) if full else None) for (k, w, full), n in zip(kinds[a:b], place)]
            made[key] = ",".join(turn_form(*part) for part in parts)
        out.append(made[key])
    return pa.array(out, pa.string())


def _held(records: list[dict[str, Any]], way: Way, parsed: bool) -> np.ndarray:
    """Whether JSON holds what goes to meta: all that came from it, else plain values."""
    fine = np.ones(len(records), bool)
    for key, _ in () if parsed else way.rest:
        fine &= np.fromiter((type(r[key]) in SCALAR for r in records), bool, len(records))
    return fine


def _meta(records: list[dict[str, Any]], way: Way, chars: np.ndarray) -> pa.Array:
    """Meta of rows with `chars` characters of separate input."""
    if not way.rest and not chars.any():
        return pa.nulls(len(records), pa.string())
    if not way.rest:
        size = pa.array(chars, mask=chars == 0).cast(pa.string())
        return pc.binary_join_element_wise(f'{{"{INPUT}":', size, "}", "")
    names = [name for _, name in way.rest]
    columns = [[r[key] for r in records] for key, _ in way.rest]
    out = []
    for values, size in zip(zip(*columns), chars.tolist()):
        held = dict(zip(names, values)) | ({INPUT: size} if size else {})
        out.append(dumps(held, orjson.OPT_SORT_KEYS).decode())
    return pa.array(out, pa.string())


def _texts(values: list[Any], kinds: frozenset[Any]) -> tuple[pa.Array, np.ndarray]:
    """(values of these types as a column, nothing in place of others; which they are)"""
    if kinds.issuperset(map(type, values)):
        return pa.array(values, pa.string()), np.ones(len(values), bool)
    fine = [type(v) in kinds for v in values]
    return pa.array([v if good else "" for v, good in zip(values, fine)], pa.string()), np.array(fine)


def _is(texts: pa.Array, pattern: str) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, pattern), False))


def _may_hold(texts: pa.Array, marks: re.Pattern[bytes]) -> np.ndarray:
    """Whether a text may hold any of the marks, by one search over all of them."""
    out = np.zeros(len(texts), bool)
    places = [mark.start() for mark in marks.finditer(texts.buffers()[2] or b"")]
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    out[np.searchsorted(offsets, places, side="right") - 1] = True
    return out


def _filled(template: Sequence[str], values: dict[str, pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*(values[part] if i % 2 else part for i, part in enumerate(template)), "")
