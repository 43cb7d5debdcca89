"""What looks like a secret in what would be published: in rows and the ledger, column by column, in text files, and in
the names of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.util.redaction import APART, DISGUISED, MAY_BE_CODED, held_pattern, redact, secret_in
from instdata.util.secrets import CREDENTIAL, NAMED, UNLOCKED, named_secret

DIGESTS = ("id", "rid")  # columns of our own hashes
TOLD = 5  # files named in a line


def credentials(folder: Path) -> list[tuple[str, str]]:
    """Objections to keys and tokens in a folder that would be published."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    tables = [n for n in names if n.endswith(".parquet")]
    known, named, first = 0, 0, ""
    elsewhere = []
    find = _finder()
    for name in tables:
        keys, values, row = _in_table(folder / name, find)
        if name.startswith("data/"):
            known, named, first = known + keys, named + values, first or row
        elif keys:
            elsewhere.append(("credentials", f"{name}: {keys:,} rows hold what looks like a key or token"))
    found = []
    if known:
        line = f"{known:,} rows hold what looks like a key or token: add the rule `secret` to quality"
        found.append(("credentials", line))
    if named:
        line = (
            f"{named:,} rows give a random value to a key, token or password; the first: {first}. Look at it "
            f"(`instdata why {first}`) and drop it (`instdata drop`)"
        )
        found.append(("credentials", line))
    return [*found, *elsewhere, *in_names(names), *in_texts(folder, [n for n in names if n not in tables])]


def in_texts(folder: Path, names: Iterable[str]) -> list[tuple[str, str]]:
    """An objection for each text file that holds what looks like a key or token."""
    found = [n for n in names if secret_in((folder / n).read_text("utf-8", errors="replace"))]
    return [
        ("credentials", f"{redact(n)} holds what looks like a key or token, or an address with a password")
        for n in found
    ]


def in_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """An objection where a file's name is a key or token."""
    found = [redact(n) for n in names if secret_in(n)]
    line = f"{len(found):,} files are named after what looks like a key or token: {', '.join(found[:TOLD])}"
    return [("credentials", line)] if found else []


Find = Callable[[pa.Array], tuple[set[int], set[int]]]


def _in_table(path: Path, find: Find) -> tuple[int, int, str]:
    """(rows with a known kind of key, further rows with a random value of something called one, the id of the first of
    those)."""
    known, named, first = 0, 0, ""
    with pq.ParquetFile(path) as file:
        names = [n for n in file.schema_arrow.names if n not in DIGESTS]
        identity = [n for n in ("id",) if n in file.schema_arrow.names]
        for batch in file.iter_batches(columns=[*identity, *names], batch_size=1 << 14):
            keys: set[int] = set()
            values: set[int] = set()
            for name in names:
                more, further = _hits(batch[name], find)
                keys |= more
                values |= further
            values -= keys
            known, named = known + len(keys), named + len(values)
            first = first or (batch["id"][min(values)].as_py() if values and identity else "")
    return known, named, first


def _finder() -> Find:
    """What finds both kinds of rows in a text column. The values of this process's secret variables are listed once."""
    held = held_pattern().encode("utf-8", "ignore").decode()
    sure = f"{CREDENTIAL}|{held}" if held else CREDENTIAL
    perhaps = f"{UNLOCKED}|{MAY_BE_CODED}|{DISGUISED}" + (f"|{APART}" if held else "")

    def find(column: pa.Array) -> tuple[set[int], set[int]]:
        keys = _matching(column, sure)
        keys |= {i for i in _matching(column, perhaps) - keys if secret_in(column[i].as_py(), False)}
        return keys, {i for i in _matching(column, NAMED) - keys if named_secret(column[i].as_py())}

    return find


def _matching(column: pa.Array, pattern: str) -> set[int]:
    found = pc.match_substring_regex(column, pattern)
    return set(pc.indices_nonzero(pc.fill_null(found, False)).to_pylist())


def _hits(column: pa.Array, find: Find) -> tuple[set[int], set[int]]:
    """The rows in which `find` finds something in a column, at any depth; of the same text repeated, one is looked
    at."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return find(column)
    if pa.types.is_list(kind):
        keys, values = _hits(column.flatten(), find)
        parents = pc.list_parent_indices(column)
        return {parents[i].as_py() for i in keys}, {parents[i].as_py() for i in values}
    parts = [_hits(c, find) for c in column.flatten()] if pa.types.is_struct(kind) else []
    return set().union(*(k for k, _ in parts)), set().union(*(v for _, v in parts))
