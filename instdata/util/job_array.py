"""A job array: rank 0's engine, the other ranks' part, and the processes of each. How they meet: job_array_tasks.py."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from instdata.util.engine import Engine, Processes, die_with_parent
from instdata.util.errors import BuildError, InputError
from instdata.util.job_array_tasks import Calls, Rank, Watch, beating, claim, do, put, raised, read_json, write_state
from instdata.util.progress import doing

T = TypeVar("T")
R = TypeVar("R")
STALE = 60.0  # seconds without a sign of life after which a rank is dead: longer than network folders hold times back
TRIES = 3  # processes that a task may end before it is to blame
SLOW = 10.0  # seconds without a sign of rank 0's life that are said
ABSENT = 60.0  # seconds after which rank 0 says who has not come


class Ranks(Engine):
    """The engine of rank 0. Maps whose first call cannot be packed run on processes of this machine alone."""

    def __init__(self, rank: Rank, calls: Calls, run: str, say: Callable[[str], None]):
        self.rank, self.jobs = rank, rank.world * rank.jobs
        self.done: Counter[int] = Counter()  # tasks by the rank that did them
        self._calls, self._run, self._say = calls, rank.folder / run, say
        self._workers = Workers(rank, calls)
        self._local = Processes(rank.jobs)
        self._watch, self._tries, self._number = Watch(), Counter[str](), 0
        self._began = self._looked = time.monotonic()
        self._told = rank.world == 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        items = iter(items)
        first = list(islice(items, 2))
        if len(first) < 2 or self._calls.pack(function, first[0]) is None:
            yield from self._local.map(function, chain(first, items))
            return
        self._workers.start()
        items, waiting = chain(first, items), deque[tuple[str | None, T]]()
        while True:
            for item in islice(items, 2 * self.jobs - len(waiting)):
                waiting.append((self._put(function, item), item))
            if not waiting:
                return
            name, item = waiting.popleft()
            yield function(item) if name is None else self._calls.result(function, self._get(name))

    def near(self) -> Engine:
        return self._local

    def __exit__(self, raised: Any, *more: Any) -> None:
        self._local.__exit__(raised, *more)
        self._workers.stop()
        if not raised:
            write_state(self.rank, self._run.name, "done", tasks=self.done)

    def _put(self, function: Callable[[T], R], item: T) -> str | None:
        """Write a task; its name, None where it cannot be packed."""
        packed = self._calls.pack(function, item)
        if packed is None:
            return None
        self._number += 1
        name = f"{self._number:08d}"
        put(self._run, name, *packed)
        return name

    def _get(self, name: str) -> Any:
        """A task's result, once somebody has done it. Raises what it raised."""
        path, pause = self._run / "results" / f"{name}.json", 0.005
        while (found := read_json(path)) is None:
            self._look_after()
            time.sleep(pause)
            pause = min(0.2, 1.5 * pause)
        for old in (self._run / "tasks" / f"{name}.arrow", self._run / "claims" / name, path):
            old.unlink(missing_ok=True)
        if "error" in found:
            raise raised(found)
        self.done[found["rank"]] += 1
        return found["value"]

    def _look_after(self) -> None:
        """Free what dead processes held, start own ones again, say who is missing: once a second."""
        now = time.monotonic()
        if now - self._looked < 1:
            return
        self._looked = now
        dead = self._workers.revive()
        for name in os.listdir(self._run / "claims"):
            path = self._run / "claims" / name
            held, age = read_json(path) or {}, self._watch.age(path)
            mine = held.get("host") == socket.gethostname() and held.get("pid") in dead
            if mine or (age is not None and age > STALE):
                self._free(name, path, held)
        if not self._told and now - self._began > ABSENT:
            self._told = True
            missing = set(range(1, self.rank.world)) - {int(n) for n in os.listdir(self._run / "ranks")}
            if missing:
                self._say(
                    f"rank {', '.join(map(str, sorted(missing)))} of {self.rank.world} did not come yet; if they run, "
                    f"is {self.rank.folder} the same folder on all machines (INSTDATA_CACHE)? Going on without"
                )

    def _free(self, name: str, claim: Path, held: dict[str, Any]) -> None:
        who = f"rank {held.get('rank', '?')} (process {held.get('pid', '?')} on {held.get('host', '?')})"
        self._tries[name] += 1
        if self._tries[name] == TRIES:
            raise BuildError(
                f"one task ended {TRIES} processes that worked on it, the last of {who}. Did they run out of memory? "
                f"Give each rank more of it, or fewer --jobs, and run again: what was done is kept"
            )
        self._say(f"{who} is dead or silent: its task goes to another")
        claim.unlink(missing_ok=True)


@contextmanager
def driving(rank: Rank, calls: Calls, say: Callable[[str], None]) -> Iterator[Ranks]:
    """Rank 0's engine, for as long as a build takes; afterwards the other ranks know how it ended. Raises InputError
    where another rank 0 is at work in the folder."""
    rank.folder.mkdir(parents=True, exist_ok=True)
    with open(rank.folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another rank 0 is at work in {rank.folder}: one rank of a job has number 0") from None
        for old in [p for p in rank.folder.iterdir() if p.is_dir()]:
            shutil.rmtree(old, ignore_errors=True)
        run = uuid.uuid4().hex[:12]
        for name in ("tasks", "claims", "results", "ranks"):
            (rank.folder / run / name).mkdir(parents=True)
        (rank.folder / "beat").touch()
        write_state(rank, run, "running")
        engine = Ranks(rank, calls, run, say)
        with beating(lambda: rank.folder / "beat"):
            try:
                yield engine
            except BaseException as e:
                engine.__exit__(e)
                with suppress(OSError):  # a full disk, say: the error itself tells more
                    write_state(rank, run, "failed", str(e) or type(e).__name__)
                raise
            else:
                engine.__exit__(None)
            finally:
                shutil.rmtree(rank.folder / run, ignore_errors=True)


def attend(rank: Rank, calls: Calls, wait: float, say: Callable[[str], None]) -> int:
    """Do tasks until rank 0 is done; returns how many. Raises InputError where rank 0 is of another job, or does not
    come for `wait` seconds; BuildError where it fails, or falls silent for as long."""
    _writable(rank.folder)
    watch, workers, run, began = Watch(), Workers(rank, calls), "", time.monotonic()
    try:
        while True:
            state = read_json(rank.folder / "state.json") or {"state": "absent", "run": None}
            if state["state"] == "running":
                _agree(rank, state)
                if state["run"] != run and _joined(rank, state["run"]):
                    run = state["run"]
                    workers.start()
                if run:
                    workers.revive()
                silent = watch.age(rank.folder / "beat") or 0
                doing("waiting for a sign of life from rank 0" if silent > SLOW else "rank 0's tasks")
                if silent > wait:
                    raise BuildError(f"rank 0 gave no sign of life for {wait:.0f} s: start it again, and this rank")
            elif state["run"] == run and state["state"] == "failed":
                raise BuildError(f"rank 0 failed: {state['says']}")
            elif state["run"] == run:
                return int(state["tasks"].get(str(rank.number), 0))
            elif state["state"] == "done" and state["same"] == rank.same:
                say("rank 0 has finished already: nothing is left to do")
                return 0
            elif time.monotonic() - began > wait:
                raise InputError(
                    f"rank {rank.number} of {rank.world}: no rank 0 came to {rank.folder} in {wait:.0f} s. Start it, "
                    f"or put the cache on a folder that all ranks see (INSTDATA_CACHE)"
                )
            else:
                doing("waiting for rank 0")
            time.sleep(0.2)
    finally:
        workers.stop()


def _writable(folder: Path) -> None:
    """Raise InputError where this rank cannot write where all of them meet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tmp-"):
            pass
    except OSError as e:
        raise InputError(
            f"{folder}: this rank cannot write there: {e.strerror}. Set INSTDATA_CACHE to a folder that all ranks may "
            f"write to"
        ) from e


def _agree(rank: Rank, state: dict[str, Any]) -> None:
    if state["world"] != rank.world:
        raise InputError(
            f"rank {rank.number} was started as one of {rank.world}, rank 0 as one of {state['world']}: "
            f"give all of them the same --world"
        )
    if state["same"] != rank.same:
        raise InputError(
            f"rank {rank.number} has another recipe, other sources or other versions than rank 0: start all ranks by "
            f"the same command, of the same installation"
        )


def _joined(rank: Rank, run: str) -> bool:
    """Tell rank 0 that this rank is there. False where the run is over."""
    try:
        (rank.folder / run / "ranks" / str(rank.number)).touch()
    except FileNotFoundError:
        return False
    return True


class Workers:
    """A rank's processes, which take tasks one at a time for as long as they live."""

    def __init__(self, rank: Rank, calls: Calls):
        self._context = multiprocessing.get_context("spawn")
        self._how = (rank, calls)
        self._jobs, self._deaths = rank.jobs, 0
        self._running: list[Any] = []

    def start(self) -> None:
        """Start those that do not run."""
        while len(self._running) < self._jobs:
            process = self._context.Process(target=serve, args=self._how, daemon=True)
            process.start()
            self._running.append(process)

    def revive(self) -> set[int]:
        """Replace the dead; returns their numbers. Raises BuildError where they die again and again."""
        dead = {p.pid for p in self._running if not p.is_alive()}
        self._running = [p for p in self._running if p.pid not in dead]
        self._deaths += len(dead)
        if self._deaths > TRIES * self._jobs:
            raise BuildError("the processes of this rank die again and again. Out of memory? Fewer --jobs may fit")
        self.start()
        return dead

    def stop(self) -> None:
        """End them, whatever they do: files appear whole or not at all."""
        for process in self._running:
            process.kill()
            process.join()
        self._running = []


def serve(rank: Rank, calls: Calls) -> None:
    """A worker's life: take a task, do it, write its result."""
    die_with_parent()
    os.environ["NUMBA_NUM_THREADS"] = "1"  # a core a task; read when the first kernel loads
    held: list[Path] = []
    with beating(lambda: next(iter(held), None)):
        while True:
            name = None
            state = read_json(rank.folder / "state.json")
            if state and state["state"] == "running" and state["same"] == rank.same:
                run = rank.folder / state["run"]
                with suppress(FileNotFoundError):  # the run is over
                    name = claim(run, rank)
            if name is None:
                time.sleep(0.05)
                continue
            held[:] = [run / "claims" / name]
            try:
                do(run, name, rank, calls)
            finally:
                held.clear()
