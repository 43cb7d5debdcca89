"""What a source's file was read into: the index of its shards in the cache, and how a damaged file ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instdata.corpus.corpus import Shard
from instdata.read.bytes_to_records import Bad
from instdata.read.file_kind import Beside, Damaged
from instdata.util.build_context import Context
from instdata.util.sealed import all_sound, read_sealed_json, write_sealed_json


def indexed(index: Path, context: Context, name: str) -> tuple[list[Shard], str, Beside] | None:
    """(shards of a file, what was lost of it, what it holds beside its records) as an earlier build made them; None
    where they are not all there and what they were: that is said."""
    found = read_sealed_json(index)
    if not index.exists():
        return None
    cache = context.cache
    shards = [
        Shard(cache / s["path"], s["rows"], s["bad"], s["key"], s["size"]) for s in (found or {}).get("shards", [])
    ]
    there = all_sound(path for s in shards for path in (s.path, s.bad_path))
    gone = sum(not (one and bad) for one, bad in zip(there[::2], there[1::2]))
    if found is None or gone:
        what = f"{gone:,} of {len(shards):,} cached shards are" if found else "the index of cached shards is"
        context.say(f"{name}: {what} gone or damaged; the file is read again")
        return None
    return shards, found["lost"], Beside(**found["beside"])


def keep_index(index: Path, shards: list[Shard], lost: str, beside: Beside, cache: Path) -> None:
    """Remember what a file was read into."""
    entries = [
        {"path": str(s.path.relative_to(cache)), "rows": s.rows, "bad": s.bad, "key": s.key, "size": s.size}
        for s in shards
    ]
    write_sealed_json(index, {"shards": entries, "lost": lost, "beside": vars(beside)})


def until_damage(blocks: Iterator[tuple[int, Any]], lost: list[Damaged]) -> Iterator[tuple[int, Any]]:
    """The blocks up to where a file breaks off; why it does is put into `lost`. The record that was cut off comes last,
    as one that cannot be read."""
    at = 0
    try:
        for first, records in blocks:
            yield first, records
            at = first + len(records)
    except Damaged as e:
        lost.append(e)
        if e.tail:
            yield at, [Bad(f"cut off: {e}", e.tail.decode("utf-8", "backslashreplace"))]
