"""A build's lines, one a step, and on a terminal a progress bar with rate and time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], label: str, total: int | None, rows: Callable[[T], int], show: bool) -> Iterator[T]:
    """The items, as they come. With `show`, a bar on stderr counts them against `total` (None: unknown) and says how many
    rows a second go by; it leaves when it is done."""
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
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

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


class Clock:
    """Says a line a step, and remembers how long it took."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.last = say, time.time()
        self.laps: dict[str, float] = {}

    def lap(self, name: str, told: str) -> None:
        now = time.time()
        self.laps[name] = round(now - self.last, 3)
        self.say(f"{name:<14} {_fitting(told, 54):<54} {now - self.last:6.1f} s")
        self.last = now


def _fitting(told: str, width: int) -> str:
    """A line's reasons, as many as fit."""
    while len(told) > width and ", " in told:
        told = told.removesuffix(", …)").rpartition(", ")[0] + ", …)"
    return told
