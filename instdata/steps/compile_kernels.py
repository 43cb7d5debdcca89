"""Compiles every kernel, in two processes where there are as many cores: at install time, or beside the first build."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from instdata.util.atomic import write_text
from instdata.util.engine import open_engine
from instdata.util.kernels import folder

EVERY = 5.0  # seconds between two lines about it


def corpus() -> None:
    """Kernels of the ladder."""
    from instdata.corpus.interleave import chairman

    chairman(np.array([1, 2]))


def reading() -> None:
    """Kernels of reading."""
    from instdata.read.language import warm
    from instdata.read.split_json import Skip, split_values

    split_values(b"{}", True)
    Skip().over(b"{}")
    warm()


def rules() -> None:
    """Kernels of rules."""
    from instdata.steps.quality import piece_search, repeats

    piece_search.warm()
    repeats.warm()


def labels() -> None:
    """Kernels of categorize."""
    from instdata.steps.ability.linear import warm

    warm()


def search() -> None:
    """Kernels of near duplicates."""
    from instdata.steps.dedup import warm

    warm()


def rare() -> None:
    """Kernels of near duplicates for larger sets and other methods."""
    from instdata.steps.dedup import warm_rare

    warm_rare()


def leaks() -> None:
    """Kernels of contamination."""
    from instdata.steps.dedup import warm_leaks

    warm_leaks()


PARTS: dict[str, tuple[str, Callable[[], None]]] = {  # (room, what compiles it), as a build comes to need them
    "reading": ("read", reading),
    "rules": ("steps/quality", rules),
    "corpus": ("corpus", corpus),
    "labels": ("steps/ability", labels),
    "search": ("steps/dedup", search),
    "leaks": ("steps/dedup", leaks),
    "rare": ("steps/dedup", rare),
}
NEEDED = {
    "": ("rare",),
    "dedup": ("search",),
    "holdout": ("search", "leaks"),
    "decontaminate": ("search", "leaks"),
    "categorize": ("labels",),
}
ALWAYS = ("reading", "rules", "corpus")


def warm(kinds: Collection[str] = tuple(NEEDED), jobs: int | None = None, say: Callable[[str], None] = print) -> None:
    """Compile what steps of these kinds need, where that is not done yet. Says every few seconds how far it is."""
    with compiling(kinds, jobs, say):
        pass


@contextmanager
def compiling(
    kinds: Collection[str], jobs: int | None = None, say: Callable[[str], None] = print
) -> Iterator[Callable[[str], None]]:
    """Compile what steps of these kinds need, where that is not done yet, by running each kernel once on a few texts:
    those of dedup in one process, as they have most functions in common, all others in another, first what workers load
    when they begin. With several `jobs` that goes on beside the caller, who gets a function that waits for what a kind
    of step needs. Does nothing where the result cannot be kept: each process then compiles what it uses."""
    parts = [part for part in PARTS if part in _needed(*kinds) and (place := _marker(part)) and not place.exists()]
    if not parts:
        yield lambda kind: None
        return
    say("compiling kernels, once for this version of instdata: about half a minute")
    began = time.perf_counter()

    def missing(kind: str) -> bool:
        return any((place := _marker(part)) and not place.exists() for part in _needed(kind) & {*parts})

    def wait(kind: str) -> None:
        while missing(kind) and not work.done():
            time.sleep(0.05)
        if work.done():
            work.result()  # raises what went wrong

    def tell() -> None:
        while not over.wait(EVERY):
            ready = sum(bool((place := _marker(part)) and place.exists()) for part in parts)
            say(f"compiling kernels: {ready} of {len(parts)} parts, {time.perf_counter() - began:.0f} s")

    near = [part for part in parts if PARTS[part][0] == "steps/dedup"]
    split = [some for some in (near, [part for part in parts if part not in near]) if some]
    with ThreadPoolExecutor(2) as threads, open_engine("local", jobs) as engine:
        over, work = threading.Event(), Future[None]()

        def run() -> None:
            with engine:  # its processes go as soon as they are done
                list(engine.map(_compile, split))
            over.set()

        try:
            threads.submit(tell)
            if engine.jobs == 1:
                run()
                work.set_result(None)
            else:
                work = threads.submit(run)
            yield wait
            work.result()
        finally:
            over.set()


def ready_to_read() -> bool:
    """Whether what a build's workers load when they begin is compiled."""
    return all((place := _marker(part)) is not None and place.exists() for part in ALWAYS)


def _needed(*kinds: str) -> set[str]:
    """The parts that steps of these kinds need, and those that every build does."""
    return {*ALWAYS, *(part for kind in kinds for part in NEEDED.get(kind, ()))}


def _marker(part: str) -> Path | None:
    """The file that says that a part is compiled."""
    place = folder(PARTS[part][0])
    return place and place / part


def _compile(parts: list[str]) -> None:
    """Compile parts in turn. No garbage is looked for meanwhile: a tenth of the time, for little that there is."""
    collects = gc.isenabled()
    gc.disable()
    try:
        for part in parts:
            PARTS[part][1]()
            if place := _marker(part):
                write_text(place, "compiled\n")
    finally:
        if collects:
            gc.enable()
