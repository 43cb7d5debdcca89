"""Bytes in pieces from plain, gzip and zstd files, records cut out of them, and files written whole or not at all."""

from __future__ import annotations

import csv
import re
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from instdata.util.errors import InputError

PIECE = 4 << 20  # bytes of (decompressed) text in one block of records
RECORD_LIMIT = 64 << 20  # a CSV or JSON record longer than this has an unclosed quote or bracket


class Damaged(Exception):
    """The rest of a file cannot be read. `tail` is the start of a record that was cut off."""

    def __init__(self, message: str, tail: bytes = b""):
        super().__init__(message)
        self.tail = tail


def pieces(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file in pieces of PIECE bytes (the last one shorter).

    Raises Damaged, after the last good byte was given, where a compressed file is truncated or broken.
    """
    carry, error = bytearray(), None
    with open(path, "rb") as file:
        suffix = path.suffix.lower()
        stream = _inflate(file, suffix) if suffix in (".gz", ".zst") else iter(lambda: file.read(PIECE), b"")
        try:
            for data in stream:
                carry += data
                while len(carry) >= PIECE:
                    yield bytes(carry[:PIECE])
                    del carry[:PIECE]
        except Damaged as e:
            error = e
    if carry:
        yield bytes(carry)
    if error:
        raise error


def _inflate(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    def new() -> Any:
        if suffix == ".gz":
            return zlib.decompressobj(wbits=31)
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()

    decoder, seen = new(), False
    while data := file.read(1 << 18):
        while data:
            if decoder.eof:
                decoder = new()
            try:
                out = decoder.decompress(data)
            except Exception as e:
                raise Damaged(f"the {suffix[1:]} data is damaged: {e}") from e
            seen = True
            data = decoder.unused_data if decoder.eof else b""
            if data and not data.strip(b"\0"):
                data = b""  # gzip allows zero padding after the last member
            if out:
                yield out
    if seen and not decoder.eof:
        raise Damaged(f"the {suffix[1:]} data ends too early: the file is truncated")


def lines(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file in lists of about PIECE bytes, without their ends. Line i of the file is the i-th item over
    all lists; a last line without an end counts where it is not empty. Raises Damaged as `pieces` does."""
    carry: list[bytes] = []
    error = None
    try:
        for piece in pieces(path):
            *whole, rest = piece.split(b"\n")
            if whole:
                whole[0] = b"".join([*carry, whole[0]])
                yield whole
                carry = [rest]
            else:
                carry.append(rest)
    except Damaged as e:
        error = e
    last = b"".join(carry)
    if error:
        raise Damaged(str(error), last)
    if last:
        yield [last]


JOINT = re.compile(rb"\}\s*,\s*(?=\{)")


def elements(path: Path) -> Iterator[list[bytes]]:
    """The elements of a JSON array, or the values of a file of several JSON values, in lists of about PIECE bytes.

    Values are cut by brackets and quotes. One that does not parse may have swallowed its neighbours (a quote that is
    not closed): it is cut at its first joint of objects, and cutting starts anew behind it, so that it costs itself.
    Raises Damaged as `pieces` does, and where an array does not end.
    """
    data, inside, closed, loose, error = b"", None, False, False, None
    stream = pieces(path)
    while True:
        try:
            piece = next(stream, b"")
        except Damaged as e:
            piece, error = b"", e
        data += piece
        if inside is None:
            data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
            inside = data[:1] == b"["
            data = data[1:] if inside else data
        while True:
            found, data, ends, cut = _cut(data, inside and not loose, last=not piece)
            loose, closed = loose or cut, closed or ends
            if found:
                yield found
            if not cut:
                break
        if not piece:
            break
    rest = data.strip().removesuffix(b"]") if loose else data.strip()
    if error or (inside and not closed and not loose and not rest):
        raise Damaged(str(error or "the JSON array does not end: the file is truncated"), rest)
    if rest and not closed:
        yield [rest]


def _cut(data: bytes, in_array: bool, last: bool) -> tuple[list[bytes], bytes, bool, bool]:
    """(values, the data that is left, whether the array ended, whether a broken value was cut at a joint: then the rest
    is to be cut anew)."""
    from instdata.read.json_values import split_values

    spans, used, ends = split_values(data, in_array)
    found = []
    for start, end in spans:
        value = data[start:end]
        joint = None if _parses(value) else JOINT.search(value)
        if joint:
            return [*found, _trim(value[: joint.end()])], data[start + joint.end() :], False, True
        found.append(value)
    left = data[used:]
    joint = JOINT.search(left) if last or len(left) > RECORD_LIMIT else None
    if joint and not ends:
        return [*found, _trim(left[: joint.end()])], left[joint.end() :], False, True
    return found, left, ends, False


def _trim(value: bytes) -> bytes:
    return value.strip().removesuffix(b",").rstrip()


def _parses(value: bytes) -> bool:
    import orjson

    try:
        orjson.loads(value)
    except ValueError:
        return False
    return True


def csv_records(path: Path, delimiter: str) -> Iterator[dict[str, str] | tuple[str, str]]:
    """The records of a CSV file with a header, each a dict or, where it is broken, (error, raw text).

    A record that spans lines and has the wrong number of fields is an unclosed quote: it costs its first line, and
    reading goes on with the next one.
    """
    csv.field_size_limit(RECORD_LIMIT)
    feed = _Feed(path)
    header: list[str] | None = None
    while True:
        taken, row, error = feed.record(delimiter)
        if not taken:
            return
        text = "".join(taken)
        if not text.strip():
            continue
        if header is None and error is None:
            header = [name.removeprefix("\ufeff") for name in row]
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise InputError(f'{path.name}: the header has the column "{twice}" twice')
            continue
        fits = error is None and header is not None and len(row) == len(header)
        if not fits and len(taken) > 1:
            feed.back(taken[1:])
            yield (error or "a quote is not closed", _readable(taken[0]))
        elif not fits:
            yield (error or f"{len(row)} fields, expected {len(header or [])}", _readable(text))
        elif any("\udc80" <= c <= "\udcff" for c in text):
            yield ("not UTF-8: convert the file, e.g. iconv -f gb18030 -t utf-8", _readable(text))
        else:
            yield dict(zip(header, row))


class _Feed:
    """Lines of a text file that can be given back."""

    def __init__(self, path: Path):
        self.lines = self._read(path)
        self.waiting: deque[str] = deque()

    def _read(self, path: Path) -> Iterator[str]:
        for block in lines(path):
            for line in block:
                yield line.decode("utf-8", "surrogateescape") + "\n"

    def back(self, taken: list[str]) -> None:
        self.waiting.extendleft(reversed(taken))

    def record(self, delimiter: str) -> tuple[list[str], list[str], str | None]:
        """(lines used, fields, error)"""
        taken: list[str] = []
        size = 0

        def source() -> Iterator[str]:
            nonlocal size
            while size < RECORD_LIMIT:
                line = self.waiting.popleft() if self.waiting else next(self.lines, None)
                if line is None:
                    return
                taken.append(line)
                size += len(line)
                yield line

        try:
            row = next(csv.reader(source(), delimiter=delimiter, strict=True), [])
            return taken, row, None
        except csv.Error as e:
            return taken, [], f"not valid CSV: {e}"


def _readable(text: str) -> str:
    return text.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
