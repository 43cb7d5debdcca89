"""Cuts JSON values apart without parsing them, so that one broken value costs itself only and a 2 GB array streams."""

from __future__ import annotations

import numpy as np

from instdata.util.kernels import jit

QUOTE, BACKSLASH, COMMA, NEWLINE = ord('"'), ord("\\"), ord(","), ord("\n")
OPEN, OPEN2, CLOSE, CLOSE2 = ord("{"), ord("["), ord("}"), ord("]")
DEEP = 1 << 12  # brackets in one another
# What may stand outside of strings; anything else says that a quote before it was not closed.
OUTSIDE = np.zeros(256, np.bool_)
OUTSIDE[list(b' \t\r\n,:{}[]"+-.0123456789eEtrufalsnNIity')] = True


def split_values(data: bytes, in_array: bool) -> tuple[list[tuple[int, int]], int, bool]:
    """(start and end of the complete values in `data`, the number of bytes they and what lies between them take,
    whether the array's closing bracket was seen).

    `in_array`: values are separated by commas, a closing bracket at their level ends them; otherwise they just follow
    each other, and stray closing brackets between them are skipped. A raw line break inside a string cannot be JSON:
    the value is broken, and the next value starts at the next line that opens a brace no deeper than the first value's
    line did.
    """
    spans, used, closed = _spans(np.frombuffer(data, np.uint8), in_array)
    return list(zip(*spans.T.tolist())), int(used), bool(closed)


class Skip:
    """The way to the end of a JSON value that is too long to be held, a piece at a time. Brackets and quotes tell where
    it ends, and that it is none: a bracket that closes another kind, a line break or nothing but text where a string
    should have ended."""

    def __init__(self) -> None:
        self._state, self._stack = np.zeros(3, np.int64), np.zeros(DEEP, np.uint8)

    def over(self, data: bytes) -> int:
        """How many bytes of `data` the value still has: all of them and it goes on (0), or a number; -1 where it is no
        JSON."""
        return int(_skip(np.frombuffer(data, np.uint8), OUTSIDE, self._state, self._stack))


@jit
def _skip(data, outside, state, stack):
    depth, in_string, escaped = state[0], state[1], state[2]
    for i in range(len(data)):
        c = data[i]
        if in_string:
            if escaped:
                escaped = 0
            elif c == BACKSLASH:
                escaped = 1
            elif c == QUOTE:
                in_string = 0
                if depth == 0:
                    return i + 1
            elif c == NEWLINE:
                return -1
        elif c == QUOTE:
            in_string = 1
        elif c == OPEN or c == OPEN2:
            if depth == len(stack):
                return -1
            stack[depth] = c + 2  # the bracket that closes it
            depth += 1
        elif c == CLOSE or c == CLOSE2:
            depth -= 1
            if depth < 0 or stack[depth] != c:
                return -1
            if depth == 0:
                return i + 1
        elif not outside[c] or depth == 0:
            return -1
    state[0], state[1], state[2] = depth, in_string, escaped
    return 0


@jit
def _spans(data, in_array):
    n = len(data)
    out = np.empty((n // 2 + 1, 2), np.int64)
    count, i, used, closed = 0, 0, 0, False
    indent = -1  # columns before the first value's brace, where it starts a line
    while i < n:
        c = data[i]
        if c == 32 or c == 9 or c == 10 or c == 13 or c == COMMA:
            i += 1
            continue
        if in_array and c == CLOSE2:
            closed = True  # nothing that matters follows the array
            break
        if c == CLOSE2 or c == CLOSE:  # a stray one: it opens no value, so it must not start one
            i += 1
            continue
        start, depth, in_string, broken, done = i, 0, False, False, False
        line = i
        while line > 0 and data[line - 1] == 32:
            line -= 1
        if indent < 0 and (line == 0 or data[line - 1] == NEWLINE):
            indent = i - line
        while i < n:
            if in_string:
                while i < n and data[i] != QUOTE and data[i] != BACKSLASH and data[i] != NEWLINE:
                    i += 1
                if i == n:
                    break
            c = data[i]
            if in_string:
                if c == BACKSLASH:
                    i += 1
                elif c == QUOTE:
                    in_string = False
                    done = depth == 0
                elif c == NEWLINE:
                    in_string, broken = False, True
            elif c == QUOTE:
                in_string = True
            elif c == OPEN or c == OPEN2:
                depth += 1
            elif c == CLOSE or c == CLOSE2:
                if depth > 0:
                    depth -= 1
                    done = depth == 0
                elif not broken:  # a scalar ends where the array does
                    done = True
                    i -= 1
            elif depth == 0 and not broken and (c == COMMA or c == 32 or c == 10 or c == 13 or c == 9):
                done = True
                i -= 1
            i += 1  # every turn of this loop moves on, but for the last one of a scalar, which has at least a byte
            if done and not broken:
                break
            if broken and i <= n and data[i - 1] == NEWLINE:
                at = i
                while at < n and data[at] == 32:
                    at += 1
                if at < n and data[at] == OPEN and at - i <= max(indent, 0):
                    done = True
                    break
        if not done:
            return out[:count], start, False
        out[count, 0], out[count, 1] = start, min(i, n)
        count += 1
        used = min(i, n)
    return out[:count], i + 1 if closed else min(max(used, i), n), closed
