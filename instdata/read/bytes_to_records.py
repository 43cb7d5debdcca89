"""Bytes in pieces from plain, gzip and zstd files, records cut out of them, and files written whole or not at all."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from instdata.read.encoding import advice, transcode
from instdata.read.file_kind import MAGIC, PIECE, RECORD_LIMIT, Damaged, unpacked
from instdata.read.truncated_json import TRUNCATED
from instdata.util.errors import InputError

HOLE = b"\0" * 64  # no text has as many
SHOWN = 10_000  # bytes of a record that is too long to be kept


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read; `raw` only where no block holds its bytes (see blocks.raw_text)."""

    error: str
    raw: str = ""


def pieces(path: Path, encoding: str = "utf-8") -> Iterator[bytes]:
    """The unpacked bytes of a file, as UTF-8 where they are text of another `encoding`, in pieces of PIECE bytes (the
    last one shorter). Packing is told by the bytes, not the name.

    Raises Damaged, after the last good byte was given, where a compressed file is truncated or broken.
    """
    carry, error = bytearray(), None
    with open(path, "rb") as file:
        first = file.read(4)
        file.seek(0)
        packing = next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), "")
        stream = unpacked(file, packing) if packing else iter(lambda: file.read(PIECE), b"")
        if encoding != "utf-8":
            stream = transcode(stream, encoding)
        try:
            for data in stream:
                if len(data) == PIECE and not carry:  # a plain file's: not copied
                    yield data
                    continue
                carry += data
                while len(carry) >= PIECE:
                    yield bytes(carry[:PIECE])
                    del carry[:PIECE]
        except Damaged as e:
            error = e
        except UnicodeDecodeError as e:
            error = Damaged(
                f"the {encoding.upper()} text ends within a character: the file is truncated, or in another encoding"
            )
            error.__cause__ = e
    if carry:
        yield bytes(carry)
    if error:
        raise error


def text_pieces(path: Path, encoding: str) -> Iterator[bytes]:
    """The same of a text. Raises Damaged where it has a hole: what a download that was never ended leaves."""
    for piece in pieces(path, encoding):
        at = piece.find(HOLE)
        if at < 0:
            yield piece
            continue
        if at:
            yield piece[:at]
        raise Damaged("zero bytes stand where its text should go on: half a download; fetch the file again")


def lines(
    path: Path, encoding: str = "utf-8", cut: Callable[[bytes], bool] = lambda last: False
) -> Iterator[list[bytes | Bad]]:
    """The lines of a file in lists of about PIECE bytes, without their ends. Line i of the file is the i-th item over
    all lists; a last line without an end counts where it is not empty. A line longer than RECORD_LIMIT is a Bad one.
    Raises Damaged as `pieces` does, and where `cut` says so of a last line without an end."""
    carry: list[bytes] = []
    end = b""  # of a line
    held = 0  # bytes of the line that is not yet at its end; only its start is kept past RECORD_LIMIT
    error = None
    try:
        for piece in text_pieces(path, encoding):
            if not end:  # an old Macintosh's is \r; one that ends the piece may have its \n in the next
                end = b"\n" if b"\n" in piece else b"\r" if b"\r" in piece[:-1] else b""
            *whole, rest = piece.split(end) if end else [piece]
            if whole:
                yield [_joined([*carry, whole[0]], held + len(whole[0])), *whole[1:]]
                carry, held = [rest], len(rest)
            else:
                held += len(rest)
                if held <= RECORD_LIMIT:
                    carry.append(rest)
    except Damaged as e:
        error = e
    last = _joined(carry, held)
    if error:
        raise Damaged(str(error), last.raw.encode() if isinstance(last, Bad) else last)
    if isinstance(last, bytes) and last and cut(last):
        raise Damaged(f"the last line breaks off: {TRUNCATED}", last)
    if last:
        yield [last]


def _joined(parts: list[bytes], size: int) -> bytes | Bad:
    return too_long(parts[0]) if size > RECORD_LIMIT else b"".join(parts)


def too_long(start: bytes, size: int = 0) -> Bad:
    """A record of which this is the start; its `size` where it is known where it ends."""
    shown = start[:SHOWN].decode("utf-8", "backslashreplace")
    why = f"it has {size >> 20:,} MB" if size else "a quote or bracket may not be closed"
    return Bad(f"longer than {RECORD_LIMIT >> 20} MB: {why}", f"{shown} … (its start)")


def csv_records(path: Path, delimiter: str, encoding: str = "utf-8") -> Iterator[dict[str, str] | tuple[str, str]]:
    """The records of a CSV file with a header, each a dict or, where it is broken, (error, raw text).

    A record that spans lines and has the wrong number of fields is an unclosed quote: it costs its first line, and
    reading goes on with the next one. Values are the text that stands there. Raises Damaged as `pieces` does, and
    where a last line without an end lacks fields, or the end of a quoted one.
    """
    csv.field_size_limit(RECORD_LIMIT)
    feed = _Feed(path, delimiter, encoding)
    header: list[str] | None = None
    for row, error, taken in feed.records():
        if error is None and len(taken) == 1 and not taken[0].strip():
            continue
        if header is None and len(taken) == 1 and taken[0].lstrip("\ufeff").startswith(("sep=", '"sep=')):
            continue  # Excel's word for the delimiter
        if header is None and error is None:
            header = [name.removeprefix("\ufeff") for name in row]
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise InputError(f'{path.name}: the header has the column "{twice}" twice')
            continue
        width = len(header or [])
        if (error or len(row) < width) and header and len(taken) == 1 and feed.breaks_off():
            raise Damaged(f"the last line breaks off: {TRUNCATED}", _readable(taken[0]).encode())
        if (error or len(row) != width) and len(taken) > 1:
            feed.back(taken[1:])
            yield (error or "a quote is not closed", _readable(taken[0]))
        elif error or len(row) != width:
            yield (error or f"{len(row)} fields, expected {width}", _readable(taken[0]))
        elif feed.dirty and any("\udc80" <= c <= "\udcff" for line in taken for c in line):
            text = "".join(taken)
            yield (advice(text.encode("utf-8", "surrogateescape")), _readable(text))
        else:
            yield dict(zip(header or [], row))


class _Feed:
    """Records of a CSV file, and its lines, which can be given back: then reading starts anew with them. One reader
    goes over all lines, in C, until something is wrong."""

    def __init__(self, path: Path, delimiter: str, encoding: str):
        self.delimiter = delimiter
        self.dirty = False  # a line was seen that is not UTF-8
        self.unended = False  # the last line has no end
        self.lines = self._read(path, encoding)
        self.waiting: deque[str] = deque()
        self.taken: list[str] = []
        self.size = 0
        self.most = RECORD_LIMIT
        self.again = False

    def _read(self, path: Path, encoding: str) -> Iterator[str]:
        for block in lines(path, encoding, self._last):
            for line in block:
                if isinstance(line, Bad):
                    yield line.raw + "\n"
                    continue
                try:
                    yield line.decode() + "\n"
                except UnicodeDecodeError:
                    self.dirty = True
                    yield line.decode("utf-8", "surrogateescape") + "\n"

    def _source(self) -> Iterator[str]:
        while self.size < self.most:
            line = self.waiting.popleft() if self.waiting else next(self.lines, None)
            if line is None:
                return
            self.taken.append(line)
            self.size += len(line)
            yield line

    def _last(self, line: bytes) -> bool:
        self.unended = True
        return False

    def breaks_off(self) -> bool:
        """Whether the line that was taken last is the file's last one, and has no end."""
        if not self.waiting and (more := next(self.lines, None)) is not None:
            self.waiting.append(more)
        return self.unended and not self.waiting

    def back(self, taken: list[str]) -> None:
        # Each record that swallowed much makes the next one's bound smaller, so that no file takes quadratic time.
        self.most = max(PIECE, self.most // 2) if self.size > PIECE else self.most
        self.waiting.extendleft(reversed(taken))
        self.again = True

    def records(self) -> Iterator[tuple[list[str], str | None, list[str]]]:
        """(fields, error, lines used) of each record."""
        while True:
            self.again = False
            reader = csv.reader(self._source(), delimiter=self.delimiter, strict=True)
            while not self.again:
                self.taken, self.size = [], 0
                try:
                    row = next(reader)
                    yield row, None, self.taken
                except StopIteration:
                    if not self.taken:
                        return
                    yield [], "a quote is not closed", self.taken
                    self.again = True
                except csv.Error as e:
                    yield [], f"not valid CSV: {e}", self.taken
                    self.again = True


def _readable(text: str) -> str:
    return text.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
