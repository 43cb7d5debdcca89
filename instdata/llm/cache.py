"""The request cache: one SQLite file that holds every request, its answer and what was spent.

It is a database that one can query: `requests` has a row for each answered request, `spend` one for each budget. In
WAL mode a commit survives the death of this process (SIGKILL too); only a power cut can lose the last moments.
Money is whole picodollars (a price of 0.15 USD per million tokens is 150,000 a token), so sums are exact.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder / "requests.sqlite", timeout=60, isolation_level=None, check_same_thread=False)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=normal")
        self.db.executescript(SCHEMA)

    def close(self) -> None:
        self.db.close()

    def get(self, key: str, say: Callable[[str], None] = print) -> Stored | None:
        """The stored answer of a request, or None: also where it is not what was stored, by its checksum, which is
        said."""
        row = self.db.execute(
            "select response, unusable, picousd, sum from requests left join sums using (key) where key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        if row[3] is not None and row[3] != _sum(key, row[0]):
            say("the request cache holds answers that were changed since they were stored: those are asked again")
            self.db.execute("delete from requests where key = ?", (key,))
            return None
        return Stored(*row[:3])

    def quirks(self, base: str, model: str) -> set[str]:
        """What was learned of a model at an endpoint: parameters it refuses, and tokens it needs to think (a
        number)."""
        return {q for (q,) in self.db.execute("select quirk from quirks where base = ? and model = ?", (base, model))}

    def put_quirk(self, base: str, model: str, quirk: str) -> None:
        """Remember one for the runs to come."""
        self.db.execute("insert or ignore into quirks values (?, ?, ?)", (base, model, quirk))

    def mark_unusable(self, key: str, why: str) -> None:
        """Remember that an answer is billed but no answer: it is never used as one again."""
        self.db.execute("update requests set unusable = ? where key = ?", (why, key))

    def spent(self, scope: str) -> tuple[int, int, int]:
        """(picodollars, requests, tokens) spent or reserved under a budget's name."""
        found = self.db.execute("select picousd, requests, tokens from spend where scope = ?", (scope,)).fetchone()
        return found or (0, 0, 0)

    def reserve(self, scope: str, cost: tuple[int, int, int], limit: tuple[float, float, float]) -> bool:
        """Add (picodollars, requests, tokens) to a budget, on disk, unless that would pass a limit; True where added.
        One statement, so that no two processes can both take the last cent."""
        self.db.execute("insert or ignore into spend (scope) values (?)", (scope,))
        done = self.db.execute(
            "update spend set picousd = picousd + ?, requests = requests + ?, tokens = tokens + ? "
            "where scope = ? and picousd + ? <= ? and requests + ? <= ? and tokens + ? <= ?",
            (*cost, scope, cost[0], limit[0], cost[1], limit[1], cost[2], limit[2]),
        )
        return done.rowcount == 1

    def correct(self, scope: str, by: tuple[int, int, int]) -> None:
        """Add a (mostly negative) correction to a budget: what a reservation turned out not to need."""
        self.db.execute(
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
        self.db.execute(
            "insert or ignore into requests values (?, ?, ?, ?, ?, null, ?, ?, ?, ?, ?)",
            (key, base, model, request, response, *tokens, picousd, time.time()),
        )
        stored = self.db.execute("select response from requests where key = ?", (key,)).fetchone()[0]
        self.db.execute("insert or replace into sums values (?, ?)", (key, _sum(key, stored)))

    def batch_of(self, key: str) -> str | None:
        """The batch id under which these requests were handed in, or None."""
        row = self.db.execute("select batch from batches where key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put_batch(self, key: str, batch: str) -> None:
        """Remember a batch as soon as it exists: after a kill it is polled, not sent again."""
        self.db.execute("insert or replace into batches values (?, ?, ?)", (key, batch, time.time()))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written inside is written together, or not at all."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    def forget_batch(self, key: str) -> None:
        """A batch whose answers are in the cache: what it failed on may be handed in again."""
        self.db.execute("delete from batches where key = ?", (key,))


def show(key: str, folder: Path | None = None) -> dict[str, Any] | None:
    """What was asked and answered under a request's id, and its cost in USD (None: no price is known), for `why`; None
    where this machine has no such request."""
    path = (folder or cache_folder()) / "requests.sqlite"
    if not path.is_file():
        return None
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        db.row_factory = sqlite3.Row
        row = db.execute("select * from requests where key = ?", (key,)).fetchone()
    finally:
        db.close()
    if row is None:
        return None
    found = dict(row)
    cost = found.pop("picousd")
    found["usd"] = None if cost is None else cost / PICO
    return {**found, "request": json.loads(found["request"])}
