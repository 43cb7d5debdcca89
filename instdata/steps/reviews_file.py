"""The file of reviews that `instdata review` appends to and the step `review` reads: JSON lines, never changed, only
added to.

{"uid": "…", "by": "rule", "rid": "mine/a.jsonl:3", "id": "32 hex digits", "who": "ann", "verdict": "fail", "reasons":
["wrong"]} {"uid": "…", "undo": "the uid of an earlier line of the same person", "who": "ann"}

`id` is the hash of the text that was looked at: a review of a text that is no longer the row's counts for nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from instdata.util.append_lines import append_lines
from instdata.util.errors import InputError
from instdata.util.paths import file_text
from instdata.util.redaction import no_secret
from instdata.util.yaml import did_you_mean

REVIEWS = "reviews.jsonl"  # in the build folder
VERDICTS = ("pass", "fail", "unsure")
DEFER = "defer"  # asked again later: no verdict
REASONS = {"w": "wrong", "i": "incomplete", "l": "label", "f": "format", "a": "language", "o": "off_topic",
           "s": "unsafe", "c": "copy", "q": "poor"}  # fmt: skip
TEXTS = ("uid", "by", "rid", "id", "was", "who", "verdict", "label", "note", "undo", "when", "stratum")
KEYS = (*TEXTS, "reasons", "value", "repeat", "settles")
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Opinion:
    """What one person said of one row. `at`: its line, from 1. `value`: the answer that the person would have, None
    where the text stays. `was`: the id that the row came with, where a step has changed its text since. `repeat`: asked
    again to see whether one agrees with oneself. `settles`: said of a disagreement."""

    at: int
    uid: str
    rid: str
    id: str
    who: str
    verdict: str
    by: str | None = None
    reasons: tuple[str, ...] = ()
    label: str | None = None
    value: Any = None
    note: str | None = None
    was: str | None = None
    repeat: bool = False
    settles: bool = False

    @property
    def mislabelled(self) -> bool:
        return self.label is not None or "label" in self.reasons


@dataclass(frozen=True)
class Settled:
    """What all who looked at a row said together. Of an even split, `verdict` or `mislabelled` is None and `disputed`
    true. `opinions`: the last of each person, repeats apart; `decided`: those that speak for the outcome."""

    rid: str
    id: str
    verdict: str | None
    mislabelled: bool | None
    disputed: bool
    opinions: tuple[Opinion, ...]
    decided: tuple[Opinion, ...]


def read_reviews(path: Path) -> list[Opinion]:
    """The opinions of a file that nobody took back, in its order; none where there is no file. Raises InputError with
    every problem, each with its line. A last line without a newline counts where it is a whole review (an editor took
    the newline away); else it was being written when its process died, nobody was told that it is saved, and it is left
    out."""
    try:
        data = file_text(path).encode("utf-8") if not path.is_file() else path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror}") from e
    found: dict[str, Opinion] = {}
    problems: list[tuple[str, int | None, str]] = []
    *lines, tail = data.removeprefix(BOM).split(b"\n")
    for number, raw in enumerate([*lines, tail] if _is_whole(tail) else lines, 1):
        if not raw.strip():
            continue
        try:
            record = checked(json.loads(raw))
        except ValueError as e:  # not UTF-8, not JSON, not a review
            problems.append((str(path), number, f"not JSON: {e}" if isinstance(e, json.JSONDecodeError) else str(e)))
            continue
        if "undo" in record:
            back = found.get(record["undo"])
            if back is not None and back.who == record["who"]:
                del found[back.uid]
        elif record["uid"] not in found:  # the same line again is the same review
            found[record["uid"]] = _opinion(number, record)
    if problems:
        raise InputError(problems)
    return list(found.values())


def checked(record: Any) -> dict[str, Any]:
    """A line that is a review, or takes one back. Raises ValueError."""
    if not isinstance(record, dict):
        raise ValueError('a review is an object: {"rid": "…", "id": "…", "who": "ann", "verdict": "pass"}')
    for key in record:
        if key not in KEYS:
            raise ValueError(f'unknown key "{key}".{did_you_mean(key, KEYS) or " Known: " + ", ".join(KEYS)}')
    for key in TEXTS:
        if not isinstance(record.get(key), (str, type(None))):
            raise ValueError(f"{key}: text is needed")
    for key in ("uid", "who", *(() if "undo" in record else ("rid", "id", "verdict"))):
        if not record.get(key):
            raise ValueError(f"{key} is missing")
    if "undo" not in record and record["verdict"] not in (*VERDICTS, DEFER):
        raise ValueError(f'verdict: "{record["verdict"]}" is none of {", ".join((*VERDICTS, DEFER))}')
    reasons = record.get("reasons", [])
    if not isinstance(reasons, list) or any(r not in REASONS.values() for r in reasons):
        raise ValueError(f"reasons: a list of {', '.join(REASONS.values())}")
    if any(not isinstance(record.get(key, False), bool) for key in ("repeat", "settles")):
        raise ValueError("repeat and settles: true or false")
    for key in ("who", "note"):
        _unsaid(record.get(key) or "", key)
    if not isinstance(record.get("value"), (str, type(None))) or record.get("value") == "":
        raise ValueError("value: the new answer, as text")
    return record


@lru_cache(maxsize=1 << 16)  # a page reads the file again and again
def _unsaid(text: str, what: str) -> None:
    try:
        no_secret(text, what)
    except InputError as e:
        raise ValueError(str(e)) from None


def _opinion(at: int, record: dict[str, Any]) -> Opinion:
    given: dict[str, Any] = {k: v for k, v in record.items() if k not in ("reasons", "undo", "when", "stratum")}
    return Opinion(at, reasons=tuple(dict.fromkeys(record.get("reasons", []))), **given)


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add lines and return when the disk has them. Several processes may write to a file at once; what one that died
    left of a line, which nobody was told is saved, goes first. Raises ValueError for a record that is no review."""
    lines = b"".join(
        json.dumps(checked(r), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for r in records
    )
    append_lines(path, lines, _is_whole)


def _is_whole(tail: bytes) -> bool:
    """Whether a line without its newline is a review all the same, not a part of one."""
    try:
        checked(json.loads(tail.removeprefix(BOM)))
    except ValueError:  # not UTF-8, not JSON, not a review
        return False
    return True


def latest(opinions: Iterable[Opinion]) -> dict[str, dict[str, Opinion]]:
    """rid -> person -> the last verdict on it, repeats, settlements and deferrals apart."""
    found: dict[str, dict[str, Opinion]] = {}
    for o in opinions:
        if not o.repeat and not o.settles and o.verdict != DEFER:
            found.setdefault(o.rid, {})[o.who] = o
    return found


def settle(opinions: Sequence[Opinion]) -> dict[str, Settled]:
    """What was said of each row, by rid: who settled it last, else the strict majority. An opinion counts where it is
    about the text that the last one about the row is about."""
    texts = {o.rid: o.id for o in opinions}
    opinions = [o for o in opinions if o.id == texts[o.rid]]
    last = {o.rid: o for o in opinions if o.settles and o.verdict in VERDICTS}
    each = latest(opinions)
    found = {}
    for rid in dict.fromkeys([*each, *last]):
        said = tuple(each.get(rid, {}).values())
        counted = (last[rid],) if rid in last else said
        verdict, wrong = most([o.verdict for o in counted]), most([o.mislabelled for o in counted])
        decided = tuple(o for o in counted if o.verdict == verdict)
        disputed = verdict is None or wrong is None
        found[rid] = Settled(rid, texts[rid], verdict, wrong, disputed, said, decided)
    return found


def most(values: Sequence[Any]) -> Any:
    """What more than half say; None where nothing is."""
    (value, n), *_ = Counter(values).most_common(1) or [(None, 0)]
    return value if 2 * n > len(values) else None


def agreed(values: Iterable[Any]) -> Any:
    """The one value that all who gave one gave; None where there is none, or several."""
    given = {v for v in values if v is not None}
    return given.pop() if len(given) == 1 else None
