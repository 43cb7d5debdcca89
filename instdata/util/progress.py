"""A clock beside what is being done, on the last line of a terminal; elsewhere lines, one for every ten seconds of
silence. Work that knows how much of it there is tells `part`, and both say how far it is and what time is left."""

from __future__ import annotations

import itertools
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from instdata.util.safe_text import plain

T = TypeVar("T")
SURE = 0.05  # share of the work that is done before what is left is guessed from it
WIDTH = 11  # characters of a bar on the last line
SILENCE = 9.0  # seconds; after ten a person wonders whether anything happens, and a look comes every second
_bars: set[object] = set()  # those on the screen now: while one moves, nobody wonders
_beats: list[Heartbeat] = []  # one in another: the innermost speaks


def track(
    items: Iterable[T], total: int | None, rows: Callable[[T], int], size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """The items, as they come; the innermost heartbeat tells how much of `total` (None: unknown) is done, each item
    being `size` of it, and how many rows a second go by."""
    began, seen, done = time.monotonic(), 0, 0
    for item in items:
        seen, done = seen + rows(item), done + size(item)
        rate = seen / max(time.monotonic() - began, 1e-9)
        part(done, total or 0, "rows", f"{seen:,} rows, {rate:,.0f}/s", began)
        yield item


def counter(total: int, what: str) -> Callable[[], None]:
    """A function to call once for each of `total` things that is done: the innermost heartbeat tells of them."""
    done, began = itertools.count(1), time.monotonic()

    def advance() -> None:
        n = next(done)
        part(n, total, what, f"{n:,} {what}", began)

    return advance


def part(done: float, total: float, what: str = "", said: str = "", since: float | None = None) -> None:
    """So much of what the innermost heartbeat speaks of is done; `what`: of which part of it, with a time left of its
    own, from `since` on; `said`: how much that is, in words, for the last line of a terminal. Nothing happens where no
    heartbeat is; where `total` is 0, how much there is to do is not known."""
    for beat in _beats[-1:] if total or said else ():
        share = min(1.0, done / total) if total else 0.0
        if since is not None:
            beat.since = since
        elif what != beat.what or not beat.share or share < beat.share:  # less than before: the next of the same kind
            beat.since = time.monotonic()
        beat.what, beat.said, beat.share = what, said or what, share


def doing(what: str) -> None:
    """This is what the innermost heartbeat speaks of from now on; its clock begins where it spoke of something else."""
    for beat in _beats[-1:]:
        if beat.doing != what:
            beat.doing = what


@contextmanager
def phase(what: str) -> Iterator[None]:
    """As `doing`, for a while."""
    before = [beat.doing for beat in _beats[-1:]]
    doing(what)
    try:
        yield
    finally:
        for name in before:
            doing(name)


@contextmanager
def on_screen(bar: object) -> Iterator[None]:
    """While a bar of whatever library is on the terminal, nothing else is written there to show that work goes on."""
    _bars.add(bar)
    _line.clear()
    try:
        yield
    finally:
        _bars.discard(bar)


class _Line:
    """The last line of a terminal, written again and again."""

    def __init__(self) -> None:
        self.lock, self.shown = threading.Lock(), False

    def show(self, text: str) -> None:
        with self.lock:
            if _bars:  # one has begun meanwhile
                return
            sys.stderr.write(f"\r\x1b[2K{plain(text)[: shutil.get_terminal_size((80, 24)).columns - 1]}")
            sys.stderr.flush()
            self.shown = True

    def clear(self) -> None:
        with self.lock:
            if self.shown:
                sys.stderr.write("\r\x1b[2K")
                sys.stderr.flush()
            self.shown = False


_line = _Line()


def rest() -> None:
    """Nothing is being done any more: a result is about to be printed."""
    for beat in _beats:
        beat.doing = ""
    _line.clear()


class Heartbeat:
    """Says what goes on after every SILENCE seconds without a line; with `live`, for a person at a terminal, the last
    line says it all the time, with a clock. Say things through `say`; set `doing` as the work goes on:

    with Heartbeat(say) as beat:
        beat.doing = "dedup"
    """

    def __init__(self, say: Callable[[str], None], every: float = SILENCE, live: bool = False):
        self._say, self.every, self.live = say, every, live
        self.share, self.what, self.said, self.doing = 0.0, "", "", ""
        self._last = self._began = self.since = time.monotonic()
        self._over = threading.Event()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "doing":
            object.__setattr__(self, "_began", time.monotonic())
            object.__setattr__(self, "share", 0.0)
            object.__setattr__(self, "what", "")
            object.__setattr__(self, "said", "")
        object.__setattr__(self, name, value)

    def say(self, line: str) -> None:
        """A line for the user."""
        self._last = time.monotonic()
        _line.clear()
        self._say(line)

    def __enter__(self) -> Heartbeat:
        _beats.append(self)
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        _beats.remove(self)
        _line.clear()

    def _beat(self) -> None:
        while not self._over.wait(min(1.0, self.every / 4)):
            now = time.monotonic()
            if _bars or _beats[-1:] != [self]:
                self._last = now
            elif self.live and self.doing:
                _line.show(self._live(now))
            elif now - self._last >= self.every and self.doing:
                self.say(f"{self.doing}: still at work, {now - self._began:.0f} s so far{self._told(now)}")

    def _left(self, now: float) -> float | None:
        """Seconds that the part will take; None while nobody can tell."""
        return (now - self.since) * (1 / self.share - 1) if SURE <= self.share < 1 else None

    def _live(self, now: float) -> str:
        """The last line of a terminal: what is being done, for how long; where it is known, a bar and the time left."""
        clock = _clock(now - self._began)
        if not self.share:
            return f"{self.doing:<14} {self.said}  {clock}" if self.said else f"{self.doing:<14} {clock}"
        full, left = round(WIDTH * self.share), self._left(now)
        rest = "" if left is None else f", {_clock(left)} left"
        return f"{self.doing:<14} {'━' * full}{'╌' * (WIDTH - full)} {self.share:4.0%} {self.said}  {clock}{rest}"

    def _told(self, now: float) -> str:
        """`, texts 40 %, about 15 s left`, or how much is done; nothing where neither is known."""
        left = self._left(now)
        about = "" if left is None else f", about {spoken(left)} left"
        if not self.share:
            return f", {self.said}" if self.said else ""
        return f", {self.what} {100 * self.share:.0f} %{about}".replace(",  ", ", ")


def spoken(seconds: float) -> str:
    """40 s, 12 min, 1.5 h: as exact as a guess can be."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _clock(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes}:{second:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{second:02}"
