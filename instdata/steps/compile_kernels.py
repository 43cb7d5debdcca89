"""Compiles every kernel, in as many processes as there are cores: at install time, or before the first build."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import numpy as np

from instdata.util.atomic import write_text
from instdata.util.engine import open_engine
from instdata.util.kernels import folder

EVERY = 5.0  # seconds between two lines about it


def small() -> None:
    """Kernels of reading, rules and the ladder."""
    from instdata.corpus.interleave import chairman
    from instdata.read.language import warm as language
    from instdata.read.split_json import Skip, split_values
    from instdata.steps.quality.repeats import warm as quality

    chairman(np.array([1, 2]))
    split_values(b"{}", True)
    Skip().over(b"{}")
    language()
    quality()


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


PARTS = {"labels": labels, "search": search, "rare": rare, "leaks": leaks, "small": small}  # the longest first
NEEDED = {
    "": ("rare",),
    "dedup": ("search",),
    "holdout": ("search", "leaks"),
    "decontaminate": ("search", "leaks"),
    "categorize": ("labels",),
}


def warm(kinds: Collection[str] = tuple(NEEDED), jobs: int | None = None, say: Callable[[str], None] = print) -> None:
    """Compile what steps of these kinds need, where that is not done yet, by running each kernel once on a few texts.
    Says every few seconds how far it is. Does nothing where the result cannot be kept: each process then compiles what
    it uses."""
    place = folder()
    needed = {"small", *(part for kind in kinds for part in NEEDED.get(kind, ()))}
    parts = [part for part in PARTS if part in needed and place and not (place / part).exists()]
    if not parts or place is None:
        return
    say("compiling kernels, once for this version of instdata: a minute or two")
    began, done, finished = time.perf_counter(), threading.Event(), 0

    def tell() -> None:
        while not done.wait(EVERY):
            say(f"compiling kernels: {finished} of {len(parts)} parts, {time.perf_counter() - began:.0f} s")

    threading.Thread(target=tell, daemon=True).start()
    try:
        with open_engine("local", jobs) as engine:
            for part in engine.map(_compile, parts):
                write_text(place / part, "compiled\n")
                finished += 1
    finally:
        done.set()


def _compile(part: str) -> str:
    PARTS[part]()
    return part
