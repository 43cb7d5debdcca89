"""Ranks of a job array over one shared folder, with nothing but files between them: what these are.

Rank 0 runs the build and puts tasks into the folder; the processes of every rank, its own included, take them. A task
is taken by a claim, a file that only one process can make; its result is a file again, written whole. Whoever works
touches its claim every BEAT seconds. One that stays untouched for STALE seconds, by the watch of who looks and no
machine's clock, is a dead rank's: rank 0 takes it away, and another does the task. What a task writes has a name made
of its content, so a task that is done twice changes nothing.

    FOLDER/state.json           which run it is, who may take part, running | done | failed
    FOLDER/beat                 rank 0's sign of life
    FOLDER/RUN/tasks/N.arrow    columns, and what is to be done as JSON among the schema's metadata
    FOLDER/RUN/claims/N         {rank, host, pid}
    FOLDER/RUN/results/N.json   {rank, value} or {rank, error, message}
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from instdata.util import errors
from instdata.util.atomic import whole, write_text
from instdata.util.errors import InputError

BEAT = 2.0  # seconds between signs of life
SPEC = b"instdata.task"


@dataclass(frozen=True)
class Rank:
    """One member of a job: its number of `world`, its processes, the shared folder, and `same`, which all must have in
    common (the resolved recipe and the versions)."""

    number: int
    world: int
    jobs: int
    folder: Path
    same: str


class Calls(Protocol):
    """The functions that ranks may call, and their arguments and results as columns and JSON. There is no other."""

    def pack(self, function: Callable[..., Any], item: Any) -> tuple[dict[str, Any], pa.Table] | None:
        """A call as (what is to be done, columns); None where this one has to run where it is."""

    def run(self, spec: dict[str, Any], table: pa.Table) -> Any:
        """Do what `pack` described; the result as JSON can hold it."""

    def result(self, function: Callable[..., Any], value: Any) -> Any:
        """The function's result, of what `run` returned."""


def put(run: Path, name: str, spec: dict[str, Any], table: pa.Table) -> None:
    """Write a task."""
    schema = table.schema.with_metadata({**(table.schema.metadata or {}), SPEC: json.dumps(spec)})
    with whole(run / "tasks" / f"{name}.arrow") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(table.cast(schema))


def claim(run: Path, rank: Rank) -> str | None:
    """Take the first task that nobody has; its name."""
    taken = set(os.listdir(run / "claims"))
    for file in sorted(os.listdir(run / "tasks")):
        name = file.removesuffix(".arrow")
        if file.startswith(".") or name in taken:
            continue
        try:
            made = os.open(run / "claims" / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            continue
        with os.fdopen(made, "w") as claim:
            json.dump({"rank": rank.number, "host": socket.gethostname(), "pid": os.getpid()}, claim)
        return name
    return None


def do(run: Path, name: str, rank: Rank, calls: Calls) -> None:
    """Do a claimed task and write its result; nothing where it is gone."""
    try:
        read = pa.ipc.open_file(pa.py_buffer((run / "tasks" / f"{name}.arrow").read_bytes())).read_all()
    except FileNotFoundError:
        (run / "claims" / name).unlink(missing_ok=True)
        return
    about = dict(read.schema.metadata)
    spec = json.loads(about.pop(SPEC))
    try:
        done = {"value": calls.run(spec, read.replace_schema_metadata(about or None))}
    except Exception as e:  # the task's own, raised again by rank 0
        code = e.errno if isinstance(e, OSError) else None
        done = {"error": type(e).__name__, "message": str(e), "errno": code}
    with suppress(FileNotFoundError):  # the run is over
        write_text(run / "results" / f"{name}.json", json.dumps({"rank": rank.number, **done}))


def raised(found: dict[str, Any]) -> Exception:
    """What a task raised: one of our errors, the machine's trouble, or an error that is called what it was."""
    name, message = found["error"], found["message"]
    if found["errno"] is not None:
        return OSError(found["errno"], message)
    if name == "MissingExtra":
        return InputError(message)
    ours = {c.__name__: c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)}
    kind: type[Exception] = {**ours, "MemoryError": MemoryError}.get(name) or type(name, (Exception,), {})
    return kind(message)


class Watch:
    """How long files have not been touched, by this process's own clock: those of other machines may be wrong."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def age(self, path: Path) -> float | None:
        """Seconds since a file's time was last seen to change; None where there is none."""
        try:
            with open(path, "rb") as file:  # opened: a network folder asks its server then, where stat may not
                written = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            self._seen.pop(path, None)
            return None
        before, since = self._seen.get(path, (0, 0.0))
        if before != written:
            since = time.monotonic()
            self._seen[path] = (written, since)
        return time.monotonic() - since


@contextmanager
def beating(what: Callable[[], Path | None]) -> Iterator[None]:
    """Touch a file every BEAT seconds, where there is one to touch."""
    over = threading.Event()

    def beat() -> None:
        while True:
            if path := what():
                with suppress(OSError):  # it was taken away: the task is another's too now
                    os.utime(path)
            if over.wait(BEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def write_state(rank: Rank, run: str, state: str, says: str = "", tasks: Mapping[int, int] | None = None) -> None:
    """Rank 0 tells how it stands: running, failed and why, or done and how many `tasks` each rank did."""
    known = {"run": run, "state": state, "says": says, "world": rank.world, "same": rank.same, "tasks": tasks or {}}
    write_text(rank.folder / "state.json", json.dumps(known))


def read_json(path: Path) -> Any:
    """A small JSON file; None where it is not there, or not yet whole."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
