"""The one place where parallelism lives: a function over items, results in order, on processes or on Ray."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from instdata.util.atomic import write_text
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.paths import cache_address, cache_folder, cores
from instdata.util.sealed import discard, seal, sound

READY = "instdata.steps.worker_preload"  # what a build's workers have loaded when they begin
PATIENCE = 20.0  # seconds in which a cluster answers
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PlainCall:
    """A call with plain arguments (text, numbers, files of the cache), on its way to a worker. What is large lies in
    files."""

    call: partial[Any]

    def do(self) -> Any:
        """The call's result: a number, or nothing."""
        return self.call()


class Engine(AbstractContextManager[Any]):
    """Maps in this process. `jobs` is how many items are worked on at once."""

    jobs = 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) for each item, in the items' order. Items are taken lazily: few are held at a time."""
        return map(function, items)

    def near(self) -> Engine:
        """This engine, or where it spans machines one of this machine alone."""
        return self

    def on_one_disk(self) -> Engine:
        """This engine where its workers see each other's files in the cache's folder, sealed or not; else `near`."""
        return self

    def __exit__(self, *_: Any) -> None:
        pass


class Processes(Engine):
    """Local processes, started when a map has more than one item. Not forked off this one: Arrow and numba have
    threads. With `ready`, the name of a module, they are forked off a process that has only imported that (Linux):
    what takes a second to load is loaded once, not once a worker. Else, and elsewhere, each is spawned."""

    def __init__(self, jobs: int, ready: str | None = None):
        self.jobs = jobs
        self._ready = ready if sys.platform == "linux" else None
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        items = iter(items)
        first = list(_take(items, 2))
        if self.jobs == 1 or len(first) < 2:
            yield from map(function, first)
            yield from map(function, items)
            return
        if self._pool is None:
            context = multiprocessing.get_context("forkserver" if self._ready else "spawn")
            if self._ready:
                _start_server(self._ready)
            self._pool = ProcessPoolExecutor(self.jobs, context, initializer=_begin, initargs=(dict(os.environ),))
        waiting = deque(self._pool.submit(function, item) for item in first)
        while waiting:
            for item in _take(items, 2 * self.jobs - len(waiting)):
                waiting.append(self._pool.submit(function, item))
            yield waiting.popleft().result()

    def __exit__(self, raised: Any, *_: Any) -> None:
        if self._pool is None:
            return
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=not raised, cancel_futures=True)
        if raised:  # nobody waits for what they still do; files appear whole or not at all
            for worker in workers:
                worker.kill()


class Ray(Engine):
    """Ray workers. A running cluster (RAY_ADDRESS, or a session of the caller's) is joined and left as it was; else one
    is started here. Workers must see the cache (INSTDATA_CACHE): a folder under the same path, or an address."""

    def __init__(self, jobs: int):
        try:
            import ray
        except ImportError as e:
            raise MissingExtra("--engine ray", "ray") from e
        self._near = Processes(jobs)
        self._ray, self._ours = ray, not ray.is_initialized()
        if self._ours:
            _answers(os.environ.get("RAY_ADDRESS", ""))
            quiet = {"log_to_driver": False, "logging_level": "ERROR"}
            if os.environ.get("RAY_ADDRESS"):
                ray.init(**quiet)  # num_cpus is the cluster's own, and an error there
            else:
                ray.init(num_cpus=jobs, include_dashboard=False, **quiet)
        found = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a core a task
        if url := cache_address():
            found |= {"INSTDATA_CACHE": url, "INSTDATA_CACHE_COPY": str(cache_folder())}
        self._environment = {"env_vars": found}
        self.jobs = max(1, int(ray.cluster_resources().get("CPU", jobs)))  # the slots that there are
        self._shared(cache_folder())

    def _shared(self, cache: Path) -> None:
        """Raise InputError where a node does not see a file that is written into the cache: its work would be lost."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        nodes = [n for n in self._ray.nodes() if n["Alive"]]
        if len(nodes) < 2:
            return
        probe = cache / "sources" / f".tmp-{uuid.uuid4().hex}"
        write_text(probe, "seen\n")
        seal(probe)
        try:
            sees = self._ray.remote(num_cpus=0, runtime_env=self._environment)(sound)
            asked = [sees.options(scheduling_strategy=On(n["NodeID"], soft=False)).remote(probe) for n in nodes]
            blind = [n["NodeManagerAddress"] for n, seen in zip(nodes, self._ray.get(asked)) if not seen]
        finally:
            discard(probe)
        if blind:
            raise InputError(
                f"--engine ray: {len(blind)} of {len(nodes)} nodes do not see the cache {cache_address() or cache} "
                f"({', '.join(blind[:3])}): put it on a disk that all of them mount under the same path, or at an "
                "address that all of them may read and write (INSTDATA_CACHE)"
            )

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        items = iter(items)
        # A worker that the system kills for its memory, or whose node dies, is tried again, then named.
        remote = self._ray.remote(max_retries=3, runtime_env=self._environment)(function)
        waiting = deque(remote.remote(item) for item in _take(items, 2 * self.jobs))
        while waiting:
            try:
                done = self._ray.get(waiting.popleft())
            except self._ray.exceptions.OutOfMemoryError as e:
                raise BuildError("a Ray worker ran out of memory three times: fewer --jobs, or larger nodes") from e
            except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError) as e:
                raise BuildError("a Ray worker died three times; the cluster's logs say why") from e
            except self._ray.exceptions.RayTaskError as e:
                raise e.cause from e  # what the task raised, without Ray's traceback as its message
            yield done
            waiting.extend(remote.remote(item) for item in _take(items, 1))

    def near(self) -> Engine:
        return self._near

    def on_one_disk(self) -> Engine:
        return self._near if cache_address() else self

    def __exit__(self, raised: Any, *more: Any) -> None:
        self._near.__exit__(raised, *more)
        if self._ours:
            self._ray.shutdown()


def _answers(address: str) -> None:
    """Raise InputError where nobody listens at an address of Ray's: it would ask for minutes. (`auto` and the like are
    its own.)"""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as e:
        raise InputError(
            f"RAY_ADDRESS={address}: nobody answers there ({e}): is the cluster up, and may this machine reach it?"
        ) from e


def open_engine(name: str = "local", jobs: int | None = None, ready: str | None = None) -> Engine:
    """An engine by name: local or ray. `jobs` defaults to the number of cores; `ready`: see Processes."""
    jobs = cores() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: at least 1")
    if name == "ray":
        return Ray(jobs)
    if name != "local":
        raise InputError(f'unknown engine "{name}": local or ray')
    return Processes(jobs, ready) if jobs > 1 else Engine()


def begin_early() -> None:
    """Start the process that a build's workers are forked off. It takes a second to load what they need, and so does
    this process to load what it needs."""
    if sys.platform == "linux":
        _start_server(READY)


def _take(items: Iterator[T], count: int) -> Iterator[T]:
    for _ in range(count):
        try:
            yield next(items)
        except StopIteration:
            return


def _start_server(ready: str) -> None:
    """Start the process that workers are forked off, which imports a module first, where none runs yet. Ctrl-C reaches
    the whole group, and while it imports, it would die of that with a traceback; blocked, it is inherited so."""
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.get_context("forkserver").set_forkserver_preload([ready])
    resource_tracker.ensure_running()  # the server would start it, and that unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environment: dict[str, str]) -> None:
    """What a worker does first. It has the environment of the process that asked for it, which may have changed since
    the one that it was forked off began."""
    os.environ.clear()
    os.environ.update(environment)
    die_with_parent()


def die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever: it watches the parent and leaves with it."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=watch, daemon=True).start()
