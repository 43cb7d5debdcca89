"""What a file is by its bytes, whatever it is called: packing, form, encoding; and what is no data at all."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from instdata.read.encoding import HEAD, NO_TEXT, guess
from instdata.read.parquet_footer import sound_footer
from instdata.util.errors import InputError, InstdataError

PIECE = 4 << 20  # bytes of (decompressed) text in one block of records
RECORD_LIMIT = 64 << 20  # bytes: a record longer than this has an unclosed quote or bracket
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".xlsx")
PACKED = (".gz", ".zst")
MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
KEPT = 10_000  # characters of a document's other keys that the manifest keeps, each
# A block of LogiQA's text files: the letter of the answer, a text, a question, options.
EXAM = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*[a-fA-F][ \t]*\r?\n[^\r\n]+\r?\n[^\r\n]+\r?\n[ \t]*\W{0,3}A\W[^\n]*\n[ \t]*\W{0,3}B\W"
)
FEED = 1 << 10  # packed bytes that are unpacked at once: zstandard makes at most 32 MB of them
# Packings that are told, not read.
FOREIGN = {
    b"PK\x03\x04": ("a zip archive", "unzip it"), b"PK\x05\x06": ("an empty zip archive", "unzip it"),
    b"BZh": ("packed by bzip2", "bunzip2 it"), b"\xfd7zXZ\x00": ("packed by xz", "unxz it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"), b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"\x89PNG": ("a picture", "name a data file"), b"%PDF": ("a PDF", "name a data file"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b'\x04"M\x18': ("packed by lz4", "unlz4 it"),
    b"SQLite format 3\0": ("a SQLite database", "export its table as .csv"),
    b"\x93NUMPY": ("a NumPy array", "write it as .jsonl"), b"ORC": ("an ORC file", "write it as Parquet"),
    b"\x89HDF": ("an HDF5 file", "write it as Parquet"), b"\xff\xd8\xff": ("a picture", "name a data file"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "save it as .xlsx or .csv"),
}  # fmt: skip


class Damaged(InstdataError):
    """The rest of a file cannot be read: a failed input. `tail` is the start of a record that was cut off."""

    exit_code = 4

    def __init__(self, message: str, tail: bytes = b""):
        super().__init__(message)
        self.tail = tail


PICKLE = re.compile(rb"\x80[\x02-\x05][\x95cq}\](]")
# What servers and hubs answer in place of a file, in a few words or as a small JSON object.
ERROR = re.compile(
    rb"(?i)(?:entry|repository|revision|page|file|404:?)\s+not\s+found|not found|forbidden|unauthorized|"
    rb"access (?:denied|to .{1,200} is restricted)|invalid (?:username|credentials)|bad gateway|rate limit"
)
ERROR_KEYS = frozenset(
    ["error", "errors", "message", "documentation_url", "status", "code", "statuscode", "detail", "details", "type"]
)


@dataclass
class Beside:
    """What a file holds that goes into no record, as reading it finds it: the other keys of a document that holds a
    list of records, the names of a workbook's sheets that are not read."""

    keys: dict[str, Any] = field(default_factory=dict)
    sheets: list[str] = field(default_factory=list)

    def manifest(self) -> dict[str, Any]:
        """What the manifest has of it: long values by their size."""
        sizes = {k: len(_json(v)) for k, v in self.keys.items()}
        keys = {k: v if sizes[k] <= KEPT else f"not kept: {_told(v)}, {sizes[k]:,} bytes" for k, v in self.keys.items()}
        return {**({"beside": keys} if keys else {}), **({"sheets_not_read": self.sheets} if self.sheets else {})}

    @property
    def line(self) -> str:
        """What is said of it; empty where there is nothing to say."""
        parts = []
        if self.keys:
            parts.append(
                f"beside its records the document holds "
                f"{', '.join(f'{k} ({_told(v)})' for k, v in self.keys.items())}: "
                "kept in the manifest, in no row"
            )
        if self.sheets:
            parts.append(
                f"sheets that are not read: {', '.join(self.sheets)} (sheet: in the source names those to read)"
            )
        return "; ".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _told(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    text = _json(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@dataclass(frozen=True)
class Form:
    """How to read a file: packing ("", .gz, .zst), suffix of its content, encoding of its text, and what to say about
    it where its name says otherwise."""

    packing: str
    suffix: str
    encoding: str = "utf-8"
    said: str = ""


def kind_of(path: Path) -> str | None:
    """The suffix that says how to read a file, compression left out; None where there is none that we know."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes = suffixes[:-1]
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else None


def is_data(path: Path) -> bool:
    """Whether a file is one that is read: by its name, and a .txt by its first bytes (LogiQA's)."""
    if path.suffix.lower() != ".txt" or not path.is_file():
        return kind_of(path) is not None
    with open(path, "rb") as file:
        return EXAM.match(file.read(HEAD)) is not None


def form_of(path: Path, encoding: str | None = None) -> Form:
    """How to read a file, by its first bytes and its name. Raises Damaged for what is no data (a Git LFS pointer, a web
    page, half a Parquet file), InputError where its encoding is not clear."""
    status = path.stat()
    return _form(path, encoding, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _form(path: Path, encoding: str | None, written: int, size: int) -> Form:
    if not size and path.suffix.lower() not in (".parquet", ".xlsx"):
        raise Damaged("the file is empty (0 bytes): half a download? Fetch it again, or leave it out by exclude:")
    with open(path, "rb") as file:
        first = file.read(512)
        packing = next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), "")
        suffix = kind_of(path) or path.suffix.lower()
        _foreign(path, first, suffix, size)
        file.seek(0)
        head = _head(file, packing) if packing else file.read(HEAD)
    said = []
    named = path.suffix.lower() if path.suffix.lower() in PACKED else ""
    if packing != named:
        if named and size and not _texty(first):
            raise Damaged(
                f"not {named[1:]} data, as its name says: the file is damaged, or half a download; fetch it again"
            )
        if size:
            said.append(f"is {packing[1:] or 'not'} compressed, whatever its name says")
    if not packing:
        _pointer(head)
    else:
        _foreign(path, head, suffix, None)
    if head.startswith(b"PAR1") and suffix != ".parquet":
        suffix = ".parquet"
        said.append("holds Parquet")
    if suffix == ".parquet":
        if not packing:
            _whole_parquet(path, size)
        elif not head.startswith(b"PAR1"):
            raise Damaged(f"not a Parquet file: it begins with {head[:8]!r}; fetch it again")
    if suffix in (".parquet", ".xlsx"):
        return Form(packing, suffix, said="; ".join(said))
    found = encoding or _encoding(head)
    if found != "utf-8" and not encoding:
        said.append(f"is read as {found.upper()} (encoding: in the source says so for good)")
    if suffix in (".jsonl", ".ndjson") and _spread(head, found):
        suffix = ".json"
        said.append("holds JSON values over several lines or one array, not a value a line")
    return Form(packing, suffix, found, "; ".join(said))


def _encoding(head: bytes) -> str:
    name, why = guess(head)
    if why == NO_TEXT:
        raise Damaged(f"{why}: the file is damaged, or is no data; fetch it again")
    if name is None:
        raise InputError(f"{why}: give the source its encoding:")
    return name


def _foreign(path: Path, first: bytes, suffix: str, size: int | None) -> None:
    """Raises Damaged for packings that are not read. A zip archive may be the .xlsx that its name says."""
    for magic, (what, remedy) in FOREIGN.items():
        if first.startswith(magic) and not (suffix == ".xlsx" and magic.startswith(b"PK")):
            raise Damaged(f"this is {what}, not {suffix[1:]}: {remedy}, then name what comes out")
    if first[257:262] == b"ustar":
        raise Damaged(f"this is a tar archive, not {suffix[1:]}: unpack it, then name what comes out")
    if PICKLE.match(first):
        raise Damaged("this is a Python pickle, which may run code when it is read: write it as .jsonl or Parquet")
    if suffix == ".xlsx" and size and not first.startswith(b"PK"):
        raise Damaged(f"not an .xlsx workbook: it begins with {first[:8]!r}; fetch or save it again")


def _pointer(head: bytes) -> None:
    """Raises Damaged where something else was saved in the file's place."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"version https://git-lfs"):
        wanted = re.search(rb"size (\d+)", head)
        lost = f" of {int(wanted[1]):,} bytes" if wanted else ""
        raise Damaged(f"a Git LFS pointer, not the file{lost} itself: run `git lfs pull` where it came from")
    if re.match(rb"(?i)<(!doctype html|html|head|body)\b", text):
        raise Damaged("a web page, not data: the download gave an error or a login page; fetch it again")
    if (re.match(rb"<\?xml", text) and b"<Error>" in text) or _error(text):
        raise Damaged("a server's error message, not data: fetch it again")


def _error(text: bytes) -> bool:
    """Whether a whole file is what a server said in its place."""
    if len(text) > 2_000:
        return False
    held = _loads(text)
    if isinstance(held, dict):
        keys = {str(k).casefold() for k in held}
        return bool(held) and keys <= ERROR_KEYS and not keys.isdisjoint(("error", "errors", "message", "detail"))
    return b"\n" not in text.strip() and ERROR.match(text) is not None


def _whole_parquet(path: Path, size: int) -> None:
    """Raises Damaged where a Parquet file lacks its start, its end, or what its footer promises."""
    import pyarrow.parquet as pq

    again = "the file is damaged, or half a download; fetch it again"
    if size < 12:
        raise Damaged(f"not a Parquet file: it has {size} bytes; {again}")
    with open(path, "rb") as file:
        first = file.read(4)
        file.seek(-8, io.SEEK_END)
        length, last = struct.unpack("<I4s", file.read(8))
    if first != b"PAR1":
        raise Damaged(f"not a Parquet file: it begins with {first!r}; {again}")
    if last != b"PAR1" or length > size - 12:
        raise Damaged(f"a Parquet file without its end: {again}")
    if not sound_footer(path):
        raise Damaged(f"the Parquet footer is damaged: {again}")
    try:
        found = pq.read_metadata(path)
        groups = [found.row_group(i) for i in range(found.num_row_groups)]
        ends = [g.column(c).data_page_offset + 1 for g in groups for c in range(g.num_columns) if g.num_rows]
    except UnicodeDecodeError:
        return  # the name of a column, which parquet_and_workbooks.py can do without
    except Exception as e:  # thrift and Arrow raise many kinds, OSError among them
        raise Damaged(f"the Parquet footer cannot be read ({str(e).splitlines()[0][:120]}): {again}") from e
    if sum(g.num_rows for g in groups) != found.num_rows or any(not 0 < end <= size for end in ends):
        raise Damaged(f"the Parquet footer promises {found.num_rows:,} rows that the file does not hold: {again}")


def _texty(first: bytes) -> bool:
    return bool(first) and not any(b < 9 or 13 < b < 32 for b in first[:64])


def _spread(head: bytes, encoding: str) -> bool:
    """Whether a .jsonl file holds one array, or objects over several lines."""
    import orjson

    from instdata.read.roles import is_turn
    from instdata.read.split_json import split_values

    text = head if encoding == "utf-8" else head.decode(encoding, "ignore").encode("utf-8", "ignore")
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    line = text.partition(b"\n")[0].strip()
    array = text[:1] == b"["
    if array:
        inner = text[1:].lstrip()
        if inner[:1] != b"{":
            return False
        try:  # one line may be a record that is a list: of turns, or broken, but alone
            first = orjson.loads(line)[0] if line[-1:] == b"]" else {}
            return isinstance(first, dict) and not is_turn(first)
        except (ValueError, IndexError, TypeError):
            return True
    if line[:1] != b"{" or _loads(line.rstrip(b", ")) is not None:
        return False
    spans, _, _ = split_values(text, False)
    first = text[slice(*spans[0])] if spans else b""
    return b"\n" in first.strip() and isinstance(_loads(first), dict)


def _loads(data: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(data)
    except ValueError:
        return None


def _head(file: BinaryIO, packing: str) -> bytes:
    head = bytearray()
    try:
        for data in unpacked(file, packing):
            head += data
            if len(head) >= HEAD:
                break
    except Damaged:
        pass  # reading it says so, behind what is there
    return bytes(head[:HEAD])


def unpacked(file: BinaryIO, packing: str) -> Iterator[bytes]:
    """The content of a gzip or zstandard file in pieces of at most 32 MB, whatever it unpacks to. Raises Damaged."""

    def new() -> Any:
        if packing == ".gz":
            return zlib.decompressobj(wbits=31)
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()

    name = packing[1:]
    decoder, seen = new(), False
    while data := file.read(1 << 18):
        view = memoryview(data)
        at = 0
        while at < len(view):
            if decoder.eof:
                if not bytes(view[at:]).strip(b"\0"):
                    break  # gzip allows zero padding after the last member
                decoder = new()
            part = bytes(view[at : at + FEED])
            try:
                out = decoder.decompress(part)
            except Exception as e:
                raise Damaged(f"the {name} data is damaged ({e}): fetch the file again") from e
            seen = True
            at += len(part) - (len(decoder.unused_data) if decoder.eof else 0)
            if out:
                yield out
    if seen and not decoder.eof:
        raise Damaged(f"the {name} data ends too early: the file is truncated; fetch it again")
