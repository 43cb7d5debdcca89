"""Compiles every kernel, in two processes where there are as many cores: at install time, or before the first build."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Collection
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


PARTS: dict[str, tuple[str, Callable[[], None]]] = {  # (room, what compiles it)
    "search": ("steps/dedup", search),
    "leaks": ("steps/dedup", leaks),
    "rare": ("steps/dedup", rare),
    "labels": ("steps/ability", labels),
    "reading": ("read", reading),
    "rules": ("steps/quality", rules),
    "corpus": ("corpus", corpus),
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
    """Compile what steps of these kinds need, where that is not done yet, by running each kernel once on a few texts:
    those of dedup in one process, as they have most functions in common, all others in another. Says every few seconds
    how far it is. Does nothing where the result cannot be kept: each process then compiles what it uses."""
    needed = {*ALWAYS, *(part for kind in kinds for part in NEEDED.get(kind, ()))}
    parts = [part for part in PARTS if part in needed and (place := _marker(part)) and not place.exists()]
    if not parts:
        return
    say("compiling kernels, once for this version of instdata: about half a minute")
    began, done = time.perf_counter(), threading.Event()

    def tell() -> None:
        while not done.wait(EVERY):
            ready = sum(bool((place := _marker(part)) and place.exists()) for part in parts)
            say(f"compiling kernels: {ready} of {len(parts)} parts, {time.perf_counter() - began:.0f} s")

    threading.Thread(target=tell, daemon=True).start()
    split = [p for p in parts if PARTS[p][0] == "steps/dedup"], [p for p in parts if PARTS[p][0] != "steps/dedup"]
    try:
        with open_engine("local", jobs) as engine:
            list(engine.map(_compile, filter(None, split)))
    finally:
        done.set()


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
