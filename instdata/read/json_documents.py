"""Records of JSON that is no value a line: an array, a document that holds a list of them, values one after the
other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import orjson

from instdata.read.bytes_to_records import Bad, text_pieces, too_long
from instdata.read.file_kind import PIECE, RECORD_LIMIT, Beside, Damaged
from instdata.read.json_numbers import loads
from instdata.read.json_records import TOGETHER, parse_together
from instdata.read.truncated_json import TRUNCATED, breaks_off

AGAIN = 4 << 30  # bytes of a file that are read once more for values that are no JSON and do not end
JOINT = re.compile(rb"\}\s*,\s*(?=\{)")
# A document that holds its records under one key: {"version": 1, "data": [{…
WRAPPED = re.compile(
    rb"\{(?:\s*\"[^\"\\]{1,40}\"\s*:\s*(?:\"[^\"\\]{0,200}\"|[-+.\deE]+|null|true|false|\{[^{}\[\]]{0,2000}\}|\[[^{}\[\]]{0,2000}\])\s*,){0,20}"
    rb"\s*\"(?:data|rows|items|records|examples|samples|dataset|train|questions|results|example)\"\s*:\s*(?=\[\s*\{)"
)


class _Stream:
    """The pieces of a file; `error`: why they end too early."""

    def __init__(self, path: Path, encoding: str):
        self.where, self.again = (path, encoding), AGAIN
        self._open()

    def _open(self) -> None:
        self.pieces, self.taken, self.error = text_pieces(*self.where), 0, ""

    def next(self) -> bytes:
        """The next piece; none at the end."""
        try:
            piece = next(self.pieces, b"")
        except Damaged as e:
            piece, self.error = b"", str(e)
        self.taken += len(piece)
        return piece

    def skip(self, data: bytes) -> tuple[int, bytes]:
        """(size of the value that `data` begins with and that goes on behind it, what was read of what follows it); 0
        where it does not end, or is no JSON: then the stream is where it was. Going back has its bound: AGAIN bytes."""
        from instdata.read.split_json import Skip

        way, at, size = Skip(), self.taken, 0
        while data and not (end := way.over(data)):
            size, data = size + len(data), self.next()
        if data and end > 0:
            return size + end, data[end:]
        if self.taken > at:
            self.again -= self.taken
            self._open()
            while self.taken < at and self.next():
                pass
        return 0, b""


def elements(path: Path, encoding: str = "utf-8", beside: Beside | None = None) -> Iterator[list[bytes | Bad]]:
    """The elements of a JSON array, of the list that a document {"data": […]} holds (`beside` gets its other keys), or
    the values of a file of several JSON values, in lists of about PIECE bytes.

    Values are cut by brackets and quotes. One that does not parse may have swallowed its neighbours (a quote that is
    not closed): it is cut at its first joint of objects, and cutting starts anew behind it, so that it costs itself.
    One longer than RECORD_LIMIT is a Bad one.
    What follows the end of an array and is no document's other keys is read as a file of its own.
    What else stands between and behind the values (a bracket too many) is a Bad one.
    Raises Damaged as `text_pieces` does, and where an array, a document or the last value does not end.
    """
    data, head = b"", b""
    inside: bool | None = None  # whether in an array; None: what comes is not looked at yet
    loose = after = False  # cut after a broken value; after a document's list
    stream = _Stream(path, encoding)
    while True:
        piece = stream.next()
        data += piece
        while True:
            if after:
                if piece and len(data) <= RECORD_LIMIT:
                    break
                if not piece and not stream.error and breaks_off(head + b"null" + data):
                    raise Damaged(f"the JSON document does not end: {TRUNCATED}")
                data, after = b"" if _closes(head, data, beside) else data, False
            if inside is None:
                data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
                if not data:
                    break
                head = _head(data, beside)
                inside = data[len(head) : len(head) + 1] == b"["
                data = data[len(head) + inside :]
            found, data, ends, cut = _cut(data, inside and not loose, not piece, b" \t\r\n," + b"]}" * loose)
            loose = (loose or cut) and not ends
            if found:
                yield found
            if ends:
                inside, after = None, bool(head)
            elif not cut and len(data) > RECORD_LIMIT:
                value, data, whole = _too_long(data, stream)
                loose = loose or not whole
                yield [value]
            elif not cut:
                break
        if not piece:
            break
    rest = data.strip().removesuffix(b"]") if loose else data.strip()
    unended = inside and not loose and (not rest.endswith((b"]", b"}")) or breaks_off(data))
    if stream.error or unended:
        raise Damaged(stream.error or f"the JSON array does not end: {TRUNCATED}", rest)
    if not loose and breaks_off(data):
        raise Damaged(f"the last value breaks off: {TRUNCATED}", rest)
    if rest:
        yield [rest]


def _too_long(data: bytes, stream: _Stream) -> tuple[bytes | Bad, bytes, bool]:
    """(the value that `data` begins with and that is longer than RECORD_LIMIT, the data behind it, whether it is one).
    What is none is cut at its first joint of objects, or at the end of a line."""
    size, rest = stream.skip(data) if stream.again > 0 else (0, b"")
    if size:
        return too_long(data, size), rest, True
    if joint := JOINT.search(data):
        return _trim(data[: joint.end()]), data[joint.end() :], False
    end = max(data.rfind(b"\n"), data.rfind(b"},") + 1)
    return too_long(data), data[end + 1 :] if 0 < end > len(data) - PIECE else b"", False


def _head(data: bytes, beside: Beside | None) -> bytes:
    """How a document begins, up to its list of records; empty where it is none."""
    found = WRAPPED.match(data)
    try:
        keys = orjson.loads(found[0] + b"null}") if found else {}
    except orjson.JSONDecodeError:
        return b""
    if beside is not None:
        beside.keys |= dict(list(keys.items())[:-1])
    return found[0] if found else b""


def _closes(head: bytes, rest: bytes, beside: Beside | None) -> bool:
    """Whether `rest` is how the document that began with `head` goes on behind its list; its keys go beside the
    records."""
    try:
        keys = orjson.loads(head + b"null" + rest)
    except orjson.JSONDecodeError:
        return False
    if beside is not None:
        own = list(orjson.loads(head + b"null}"))[-1]
        beside.keys |= {k: v for k, v in keys.items() if k != own}
    return True


def _cut(data: bytes, in_array: bool, last: bool, between: bytes) -> tuple[list[bytes | Bad], bytes, bool, bool]:
    """(values, the data that is left, whether the array ended, whether a broken value was cut at a joint: then the rest
    is to be cut anew). Bytes that are not of `between` and stand between values are Bad ones."""
    from instdata.read.split_json import split_values

    spans, used, ends = split_values(data, in_array)
    found: list[bytes | Bad] = []
    done, values = 0, [data[start:end] for start, end in spans]
    gaps = {data[a:b] for (_, a), (b, _) in pairwise([(0, 0), *spans])}
    if not any(gap.strip(between) for gap in gaps) and _whole(values):
        found, done, spans = [*values], spans[-1][1] if spans else 0, []
    for start, end in spans:
        if stray := data[done:start].strip(between):
            found.append(_stray(stray))
        value, done = data[start:end], end
        joint = None if value.find(b"{", 1) < 0 or _parses(value) else JOINT.search(value)  # one brace: no neighbour
        if joint:
            return [*found, _trim(value[: joint.end()])], data[start + joint.end() :], False, True
        found.append(value)
    if stray := data[done : used - ends].strip(between):
        found.append(_stray(stray))
    left = data[used:]
    joint = JOINT.search(left) if last else None
    if joint and not ends:
        return [*found, _trim(left[: joint.end()])], left[joint.end() :], False, True
    return found, left, ends, False


def _whole(values: list[bytes]) -> bool:
    """Whether none of these values can have swallowed its neighbours: with a second brace, it has to be JSON."""
    some = [value for value in values if value.find(b"{", 1) >= 0]
    return all(parse_together(some[i : i + TOGETHER]) is not None for i in range(0, len(some), TOGETHER))


def _stray(text: bytes) -> Bad:
    shown = text.decode("utf-8", "backslashreplace")
    return Bad("a bracket too many: it closes nothing", shown)


def _trim(value: bytes) -> bytes:
    return value.strip().removesuffix(b",").rstrip()


def _parses(value: bytes) -> bool:
    try:
        loads(value)
    except ValueError:
        return False
    return True
