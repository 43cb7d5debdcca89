"""One bar in a notebook's cell, changed in place, instead of lines and escape codes."""

from __future__ import annotations

import html
import sys
from collections.abc import Collection
from typing import Any


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel (not in IPython's terminal)."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class CellBar:
    """A bar under a notebook's cell: call it with each line that a build says. The last line stands beside the bar, all
    of them behind it; a line that begins with the name of a part (`parts`) moves the bar."""

    def __init__(self, title: str) -> None:
        from IPython import display as shown

        page: Any = shown
        self._html = page.HTML
        show = page.display
        self.title, self.parts, self.lines = title, frozenset[str](), list[str]()
        self._handle: Any = show(self._html(self._page()), display_id=True)

    def expect(self, parts: Collection[str]) -> None:
        """Name the parts that are to come."""
        self.parts = frozenset(parts)

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._handle.update(self._html(self._page()))

    def done(self, line: str) -> None:
        """The last line: the bar is full."""
        self.parts = frozenset()
        self(line)

    def _page(self) -> str:
        seen = {line.split()[0].rstrip(":") for line in self.lines if line.split()} & self.parts
        value = f"{len(seen)}/{len(self.parts)}" if self.parts else ""
        bar = f'<progress max="{len(self.parts)}" value="{len(seen)}">{value}</progress> ' if self.parts else ""
        last = html.escape(self.lines[-1]) if self.lines else "…"
        rest = "<br>".join(html.escape(line) for line in self.lines)
        return f"<details><summary><b>{html.escape(self.title)}</b> {bar}{last}</summary>{rest}</details>"
