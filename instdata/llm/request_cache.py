"""The request cache: one SQLite file that holds every request, its answer and what was spent.

It is a database that one can query: `requests` has a row for each answered request, `spend` one for each budget. In
WAL mode a commit survives the death of this process (SIGKILL too); only a power cut can lose the last moments.
Money is whole picodollars (a price of 0.15 USD per million tokens is 150,000 a token), so sums are exact.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instdata.util.atomic import alone
from instdata.util.errors import InputError
from instdata.util.paths import cache_folder

SCHEMA = """
create table if not exists requests (
    key text primary key, base text, model text, request text, response text, unusable text,
    prompt_tokens integer, cached_tokens integer, completion_tokens integer, picousd integer, created real
) without rowid;
create table if not exists spend (
    scope text primary key, picousd integer default 0, requests integer default 0, tokens integer default 0
) without rowid;
create table if not exists quirks (base text, model text, quirk text, primary key (base, model, quirk)) without rowid;
create table if not exists sums (key text primary key, sum text) without rowid;
create table if not exists batches (key text primary key, batch text, created real) without rowid;
"""
PICO = 10**12
FILE = "requests.sqlite"


def digest(value: Any) -> str:
    """32 hex digits for a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _sum(key: str, response: Any) -> str:
    """A checksum that binds an answer to its request."""
    return hashlib.blake2b(f"{key}\n{response}".encode(errors="surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Stored:
    """An answered request: the response body as the server sent it, why it was unusable (None where it was not), and
    its price (None where none is known)."""

    response: str
    unusable: str | None
    picousd: int | None


class Store:
    """The cache file. One a thread; processes may share the file."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print):
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.say = folder / FILE, say
        self.db, self.number = self._opened()

    def close(self) -> None:
        self.db.close()

    def _opened(self, fault: sqlite3.DatabaseError | None = None) -> tuple[sqlite3.Connection, int]:
        """(a connection, the file's number). A file that is no database, or in which `fault` was met, is put aside and
        a new one begun: that is said."""
        with alone(self.path.with_suffix(".lock")):  # of processes that begin at once, one makes the tables
            if fault is None or self.path.stat().st_ino != self.number:  # else nobody put it aside meanwhile
                try:
                    return _connected(self.path)
                except sqlite3.DatabaseError as e:
                    if not _damaged(e):
                        raise
                    fault = e
            aside = _set_aside(self.path)
            self.say(
                f"the request cache is damaged ({fault}) and now lies in {aside}: requests are asked again, and what "
                "was spent is counted from 0"
            )
            return _connected(self.path)

    def _do(self, sql: str, values: tuple[Any, ...] = ()) -> tuple[list[Any], int]:
        """(rows found, rows changed) by a statement; by one more in a new file where this one turns out damaged."""
        try:
            return _run(self.db, sql, values)
        except sqlite3.DatabaseError as e:
            if not _damaged(e):
                raise
            self.db.close()
            self.db, self.number = self._opened(e)
            return _run(self.db, sql, values)

    def get(self, key: str, say: Callable[[str], None] = print) -> Stored | None:
        """The stored answer of a request, or None: also where it is not what was stored, by its checksum, which is
        said."""
        found, _ = self._do(
            "select response, unusable, picousd, sum from requests left join sums using (key) where key = ?", (key,)
        )
        if not found:
            return None
        row = found[0]
        if row[3] is not None and row[3] != _sum(key, row[0]):
            say("the request cache holds answers that were changed since they were stored: those are asked again")
            self._do("delete from requests where key = ?", (key,))
            return None
        return Stored(*row[:3])

    def quirks(self, base: str, model: str) -> set[str]:
        """What was learned of a model at an endpoint: parameters it refuses, and tokens it needs to think (a
        number)."""
        found, _ = self._do("select quirk from quirks where base = ? and model = ?", (base, model))
        return {q for (q,) in found}

    def put_quirk(self, base: str, model: str, quirk: str) -> None:
        """Remember one for the runs to come."""
        self._do("insert or ignore into quirks values (?, ?, ?)", (base, model, quirk))

    def mark_unusable(self, key: str, why: str) -> None:
        """Remember that an answer is billed but no answer: it is never used as one again."""
        self._do("update requests set unusable = ? where key = ?", (why, key))

    def spent(self, scope: str) -> tuple[int, int, int]:
        """(picodollars, requests, tokens) spent or reserved under a budget's name."""
        found, _ = self._do("select picousd, requests, tokens from spend where scope = ?", (scope,))
        return found[0] if found else (0, 0, 0)

    def reserve(self, scope: str, cost: tuple[int, int, int], limit: tuple[float, float, float]) -> bool:
        """Add (picodollars, requests, tokens) to a budget, on disk, unless that would pass a limit; True where added.
        One statement, so that no two processes can both take the last cent."""
        self._do("insert or ignore into spend (scope) values (?)", (scope,))
        _, changed = self._do(
            "update spend set picousd = picousd + ?, requests = requests + ?, tokens = tokens + ? "
            "where scope = ? and picousd + ? <= ? and requests + ? <= ? and tokens + ? <= ?",
            (*cost, scope, cost[0], limit[0], cost[1], limit[1], cost[2], limit[2]),
        )
        return changed == 1

    def correct(self, scope: str, by: tuple[int, int, int]) -> None:
        """Add a (mostly negative) correction to a budget: what a reservation turned out not to need."""
        self._do(
            "update spend set picousd = picousd + ?, requests = requests + ?, tokens = tokens + ? where scope = ?",
            (*by, scope),
        )

    def put(
        self,
        key: str,
        base: str,
        model: str,
        request: str,
        response: str,
        tokens: tuple[int, int, int],
        picousd: int | None,
    ) -> None:
        """Keep an answer with its (prompt, cached, completion) tokens and price (None where none is known). The first
        answer of a key stays."""
        self._do(
            "insert or ignore into requests values (?, ?, ?, ?, ?, null, ?, ?, ?, ?, ?)",
            (key, base, model, request, response, *tokens, picousd, time.time()),
        )
        found, _ = self._do("select response from requests where key = ?", (key,))
        self._do("insert or replace into sums values (?, ?)", (key, _sum(key, found[0][0] if found else response)))

    def batch_of(self, key: str) -> str | None:
        """The batch id under which these requests were handed in, or None."""
        found, _ = self._do("select batch from batches where key = ?", (key,))
        return found[0][0] if found else None

    def put_batch(self, key: str, batch: str) -> None:
        """Remember a batch as soon as it exists: after a kill it is polled, not sent again."""
        self._do("insert or replace into batches values (?, ?, ?)", (key, batch, time.time()))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written inside is written together, or not at all."""
        self._do("begin immediate")
        try:
            yield
        except BaseException:
            self._end("rollback")
            raise
        self._end("commit")

    def _end(self, how: str) -> None:
        if self.db.in_transaction:  # not where a new file was begun meanwhile
            self.db.execute(how)

    def forget_batch(self, key: str) -> None:
        """A batch whose answers are in the cache: what it failed on may be handed in again."""
        self._do("delete from batches where key = ?", (key,))


def _connected(path: Path) -> tuple[sqlite3.Connection, int]:
    db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=normal")
        db.executescript(SCHEMA)
    except BaseException:
        db.close()
        raise
    return db, path.stat().st_ino


def _run(db: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> tuple[list[Any], int]:
    cursor = db.execute(sql, values)
    return cursor.fetchall(), cursor.rowcount


def _damaged(e: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database, or one whose pages do not fit: other faults are of subclasses."""
    return type(e) is sqlite3.DatabaseError


def _set_aside(path: Path) -> Path:
    """Rename a database, and its log, to a name that nothing has; returns it."""
    names = (path.with_name(f"{path.name}.damaged{n or ''}") for n in itertools.count())
    aside = next(name for name in names if not name.exists())
    for end in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            os.replace(beside, aside.with_name(aside.name + end))
    return aside


def show(key: str, folder: Path | None = None) -> dict[str, Any] | None:
    """What was asked and answered under a request's id, and its cost in USD (None: no price is known), for `why`; None
    where this machine has no such request."""
    path = (folder or cache_folder()) / FILE
    if not path.is_file():
        return None
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        db.row_factory = sqlite3.Row
        row = db.execute("select * from requests where key = ?", (key,)).fetchone()
    except sqlite3.DatabaseError as e:
        raise InputError(f"{path}: the request cache cannot be read ({e}); the next request begins a new one") from e
    finally:
        db.close()
    if row is None:
        return None
    found = dict(row)
    cost = found.pop("picousd")
    found["usd"] = None if cost is None else cost / PICO
    return {**found, "request": json.loads(found["request"])}
