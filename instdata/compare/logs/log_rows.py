"""What a log is once it is read: a row for each scored sample, and what every reader of a format needs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from instdata.read.bytes_to_records import Bad, lines, pieces
from instdata.read.file_kind import Damaged, form_of
from instdata.read.json_documents import elements
from instdata.read.json_records import parse_json
from instdata.util.errors import InputError

HEAD = 64 << 10  # bytes by which a format is told
DOCUMENT = 1 << 30  # bytes of a log that is one JSON document


class LogRow(NamedTuple):
    """One scored sample. item: its id in the task, or `text` where it has none. metrics: None is missing. text: a
    fingerprint of what was asked, comparable within a format; "" where the log does not say. seed: of a trained run
    (samples drawn again from one model are not seeds). cluster: what the item shares with others, "" alone."""

    task: str
    item: str
    metrics: dict[str, float | None]
    text: str = ""
    seed: str = ""
    cluster: str = ""
    weight: float = 1.0
    model: str = ""


@dataclass
class Asked:
    """What the user wants of a log: metrics by name, the field that holds the cluster; `say` takes notes, each once.
    seen: the fields of records that lacked the cluster's."""

    metrics: tuple[str, ...] = ()
    cluster: str | None = None
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def say(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)

    def cluster_of(self, *places: Any) -> str:
        """The cluster that one of these parts of a record names; "" where none does."""
        if self.cluster is None:
            return ""
        for place in places:
            if isinstance(place, dict) and self.cluster in place:
                value = place[self.cluster]
                return "" if value is None else str(value)
        self.seen |= {str(k) for place in places if isinstance(place, dict) for k in place}
        return ""


def fingerprint(value: Any) -> str:
    """A short hash of text or of JSON, the same for equal values."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def number(value: Any) -> float | None:
    """A score as it is written in logs: a number, true or false, or text of one; None for null and NaN. Raises
    ValueError where it is none of these."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        words = {"true": 1.0, "false": 0.0}
        value = words.get(value.strip().lower(), value)
    if not isinstance(value, (str, int, float)):
        raise ValueError
    found = float(value)
    return found if math.isfinite(found) else None


def head(path: Path) -> bytes:
    """The first (unpacked) bytes of a file; nothing where it cannot be read."""
    try:
        return next(pieces(path), b"")[:HEAD]
    except (OSError, Damaged):
        return b""


def records(path: Path) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """(line, record) of a file of JSON lines, or of a .json file that is one array (no lines there). Raises InputError,
    with the line, where one is not JSON."""
    array = path.suffix.lower() == ".json"
    try:
        form = form_of(path)
        blocks = elements(path, form.encoding) if array else lines(path, form.encoding)
        for i, raw in enumerate((raw for block in blocks for raw in block), 1):
            found = raw if isinstance(raw, Bad) else parse_json(raw)
            if isinstance(found, Bad):
                raise bad(path, None if array else i, f"{found.error}: is the log cut off? Run its evaluation again")
            if found is not None:
                yield None if array else i, found
    except Damaged as e:
        raise bad(path, None, f"{e}") from e


def document(path: Path) -> dict[str, Any]:
    """A log that is one JSON object. Raises InputError."""
    if path.stat().st_size > DOCUMENT:
        raise bad(path, None, f"larger than {DOCUMENT >> 30} GB: give its samples as JSON lines")
    return parsed(path.read_bytes(), path)


def parsed(raw: bytes, path: Path, where: str = "") -> dict[str, Any]:
    """One JSON object. Raises InputError that names the file and `where` in it."""
    found = parse_json(raw)
    if isinstance(found, dict):
        return found
    why = found.error if isinstance(found, Bad) else "nothing is in it"
    raise bad(path, None, f"{where and where + ': '}{why}: is the log cut off? Run its evaluation again")


def bad(path: Path, line: int | None, message: str) -> InputError:
    return InputError([(str(path), line, message)])


def newest(files: Iterable[Path], about: Callable[[Path], tuple[tuple[str, ...], str]], asked: Asked) -> list[Path]:
    """The last log of each thing that was evaluated, by `about(file)`: (what, when). Older ones are said."""
    last: dict[tuple[str, ...], tuple[str, Path]] = {}
    count = 0
    for path in files:
        what, when = about(path)
        count += 1
        last[what] = max(last.get(what, ("", path)), (when, path))
    if count > len(last):
        older = count - len(last)
        asked.say(f"{older} older log{'s' * (older > 1)} of the same task left out: name a file to compare it")
    return sorted(path for _, path in last.values())
