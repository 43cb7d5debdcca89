"""Pieces of text that a pattern needs: one of them stands in every text in which it occurs, so a text that holds none
need not be searched. Worked out of the pattern itself, as RE2's own prefilter does it (Cox 2012).

Texts are compared as FOLD shows them, byte by byte: small letters, 0 for any digit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, reduce
from math import prod
from typing import Any

try:
    from re import _parser as parser  # type: ignore[attr-defined]  # Python's own reader of patterns
except ImportError:  # Python 3.10
    import sre_parse as parser

Pieces = frozenset[bytes]
FOLD = bytes(48 if 48 <= b <= 57 else b | 32 if 65 <= b <= 90 else b for b in range(256))
# (?i) goes beyond ASCII for two letters, ſ and the sign for kelvin: texts that hold one are searched for everything.
ALWAYS = ("\u017f".encode(), "\u212a".encode())
MOST = 100  # strings that a part of a pattern is written out into
WIDE = 300  # characters of a range from which on only what their bytes begin with is written out
WINDOW = 8  # bytes of a piece that are compared
EMPTY: Pieces = frozenset({b""})
SPACE: Pieces = frozenset(bytes([b]) for b in b"\t\n\f\r ")
PRIVATE_USE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
# About how often a byte follows another in text: pieces are chosen by it, nothing else depends on it.
OFTEN = [0.002] * 128 + [0.05] * 64 + [0.01] * 32 + [0.02] * 3 + [0.1] * 7 + [0.02] * 22
for _rank, _letter in enumerate(b"etaoinshrdlcumwfgypbvkjxqz"):
    OFTEN[_letter] = 0.12 * 0.87**_rank
for _mark in b" 0\n.,":
    OFTEN[_mark] = 0.15
for _mark in b"-:'\"()!?":
    OFTEN[_mark] = 0.02
CROWDED = 40  # of the second bytes after one first byte: from here on the first alone stands for them


def needed(pattern: str) -> Pieces | None:
    """The folded pieces of which every text has one in which the pattern (RE2's) occurs; None where it needs none."""
    plain = re.sub(r"\\x\{([0-9a-fA-F]+)\}", lambda m: rf"\U{int(m[1], 16):08x}", pattern)
    plain = re.sub(r"\\p\{Co\}", PRIVATE_USE, plain)
    plain = re.sub(r"\\[pP](?:\{\w+\}|\w)", r"\\W", plain).replace(r"\z", r"\Z")  # \W: anything, below
    read = parser.parse(plain)
    return _of_all(read, bool(read.state.flags & re.IGNORECASE))[1]


@cache
def window(piece: bytes) -> bytes:
    """The bytes of a piece that are looked for: one, three or more, at most WINDOW; the rarest, that end with rare
    ones."""
    if len(piece) < 3:
        return bytes([min(piece, key=OFTEN.__getitem__)])
    ends = range(min(len(piece), 4), len(piece) + 1)
    parts = (piece[max(0, end - WINDOW) : end] for end in ends)
    return min(parts, key=lambda part: _often(part) + 0.002 * _often(part[-4:]))


@cache
def _often(part: bytes) -> float:
    """About how often bytes stand together: letters of one word more often than those of two."""
    return prod(OFTEN[b] for b in part) * 0.1 ** part.strip().count(b" ")


def _rarest(*sets: Pieces | None) -> Pieces | None:
    """The set of pieces that fewest texts have; None where each has an empty one."""
    some = [s for s in sets if s is not None and b"" not in s]
    return min(some, key=lambda s: sum(_often(window(p)) for p in s), default=None)


def _of_all(nodes: Iterable[tuple[Any, Any]], any_case: bool) -> tuple[Pieces | None, Pieces | None]:
    """(all strings that a sequence of parts matches, None where they are too many; the pieces that it needs)."""
    run, whole, best = EMPTY, True, None
    for kind, value in nodes:
        exact, inner = _of(str(kind), value, any_case)
        if exact is not None and len(run) * len(exact) <= MOST:
            run = frozenset(a + b for a in run for b in exact)
            continue
        whole, best = False, _rarest(best, _longer(run, str(kind), value, any_case), inner)
        run = EMPTY if exact is None else exact
    return run if whole else None, _rarest(best, run)


def _longer(run: Pieces, kind: str, value: Any, any_case: bool) -> Pieces:
    """Strings with the first few of what is repeated after them."""
    exact = _of_all(value[2], any_case)[0] if kind.endswith("REPEAT") else None
    for _ in range(min(value[0], WINDOW) if exact else 0):
        if len(run) * len(exact) <= MOST:  # type: ignore[arg-type]
            run = frozenset(a + b for a in run for b in exact)  # type: ignore[union-attr]
    return run


def _of(kind: str, value: Any, any_case: bool) -> tuple[Pieces | None, Pieces | None]:
    """The same of one part."""
    if kind == "AT":
        return EMPTY, None
    if kind == "LITERAL":
        return _of_class([("LITERAL", value)], any_case)
    if kind == "IN":
        return _of_class([(str(k), v) for k, v in value], any_case)
    if kind == "SUBPATTERN":
        _, more, fewer, inside = value
        return _of_all(inside, (any_case or bool(more & re.IGNORECASE)) and not fewer & re.IGNORECASE)
    if kind == "BRANCH":
        sides = [_of_all(side, any_case) for side in value[1]]
        exact = _joined(e for e, _ in sides)
        return exact if exact and len(exact) <= MOST else None, _joined(n for _, n in sides)
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        return _repeated(value[0], value[1], value[2], any_case)
    return None, None


def _joined(sets: Iterable[Pieces | None]) -> Pieces | None:
    """What all of these sets hold, None where one is not known."""
    listed = list(sets)
    return None if None in listed else frozenset().union(*listed)  # type: ignore[arg-type]


def _repeated(least: int, most: Any, inside: Any, any_case: bool) -> tuple[Pieces | None, Pieces | None]:
    exact, inner = _of_all(inside, any_case)
    if exact is None:
        return None, inner if least else None
    times = [reduce(lambda a, b: frozenset(x + y for x in a for y in b), [exact] * n, EMPTY) if len(exact) ** n <= MOST
             else None for n in range(least, min(int(most), least + 3) + 1)]  # fmt: skip
    known = _joined(times) if int(most) <= least + 3 else None
    if known is not None and len(known) <= MOST:
        return known, _rarest(known)
    return None, _rarest(times[0] or exact) if least else None


def _of_class(items: list[tuple[str, Any]], any_case: bool) -> tuple[Pieces | None, Pieces | None]:
    """Of a set of characters: where they are many, the bytes that they begin with."""
    found, exact = set(), True
    for kind, value in items:
        if kind == "CATEGORY" and str(value) == "CATEGORY_DIGIT":
            found.add(b"0")
        elif kind == "CATEGORY" and str(value) == "CATEGORY_SPACE":
            found |= SPACE
        elif kind in ("LITERAL", "RANGE"):
            first, last = (value, value) if kind == "LITERAL" else value
            wide = last - first > WIDE
            codes = [*range(first, last, 64), last] if wide else range(first, last + 1)
            texts = [chr(c) for c in codes if not 0xD800 <= c < 0xE000]
            if any_case and (wide or any(not t.isascii() and t.lower() != t.upper() for t in texts)):
                return None, None
            exact &= not wide
            # 64 characters that follow each other begin with the same byte of two, the same two of more.
            found |= {b[: (len(b) > 2) + 1 if wide else None].translate(FOLD) for b in map(str.encode, texts)}
        else:
            return None, None
    if len(found) > MOST:
        seconds = Counter(piece[0] for piece in found)
        exact, found = False, {p[:1] if seconds[p[0]] > CROWDED else p for p in found}
    return frozenset(found) if exact else None, frozenset(found)
