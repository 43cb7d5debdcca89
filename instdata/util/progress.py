"""A progress bar with rate and time left, on a terminal; elsewhere lines, and one for every ten seconds of silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
SILENCE = 10.0  # seconds after which a person wonders whether anything happens
_bars: set[object] = set()  # those on the screen now: while one moves, nobody wonders


def track(items: Iterable[T], label: str, total: int | None, rows: Callable[[T], int], show: bool) -> Iterator[T]:
    """The items, as they come. With `show`, a bar on stderr counts them against `total` (None: unknown) and says how
    many rows a second go by; it leaves when it is done."""
    if not show:
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        TextColumn("{task.fields[said]:>28}"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress, _seen(progress):
        task = progress.add_task(label, total=total, said="")
        seen = 0
        for item in items:
            seen += rows(item)
            elapsed = progress.tasks[task].elapsed or 1e-9
            progress.update(task, advance=1, said=f"{seen:,} rows, {seen / elapsed:,.0f}/s")
            yield item


@contextmanager
def counter(label: str, total: int, show: bool) -> Iterator[Callable[[], None]]:
    """A function to call once for each of `total` things that is done. With `show`, a bar on stderr counts them."""
    if not show:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress, _seen(progress):
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def _seen(bar: object) -> Iterator[None]:
    _bars.add(bar)
    try:
        yield
    finally:
        _bars.discard(bar)


class Heartbeat:
    """Says what goes on after every SILENCE seconds without a line. Say things through `say`; set `doing` as the work
    goes on:

    with Heartbeat(say) as beat:
        beat.doing = "dedup"
    """

    def __init__(self, say: Callable[[str], None], every: float = SILENCE):
        self._say, self.every, self.doing = say, every, ""
        self._last = self._began = time.monotonic()
        self._over = threading.Event()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "doing":
            object.__setattr__(self, "_began", time.monotonic())
        object.__setattr__(self, name, value)

    def say(self, line: str) -> None:
        """A line for the user."""
        self._last = time.monotonic()
        self._say(line)

    def __enter__(self) -> Heartbeat:
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(min(1.0, self.every / 4)):
            now = time.monotonic()
            if _bars:
                self._last = now
            elif now - self._last >= self.every and self.doing:
                self.say(f"{self.doing}: still at work, {now - self._began:.0f} s so far")
