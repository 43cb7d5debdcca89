"""How far a run of many cells is: those that are done, the one at work, and what time is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from instdata.compare.cell_store import Cell
from instdata.util.progress import spoken

Lacks = Callable[[Cell], object]  # true of a cell that lacks scores


@dataclass
class CellsDone:
    """The cells of a run in the order in which they are made; `open`: those that lacked scores when it began. Each
    process of a run has a copy, and sees on disk what the others did."""

    cells: Sequence[Cell]
    open: Sequence[Cell]
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, cells: Sequence[Cell], lacks: Lacks, say: Callable[[str], None]) -> CellsDone:
        """At the beginning; says how many cells an earlier run has left."""
        waiting = [cell for cell in cells if lacks(cell)]
        if 0 < len(waiting) < len(cells):
            say(f"{len(cells) - len(waiting)} of {len(cells)} cells were done before, {len(waiting)} to go")
        return cls(cells, waiting)

    def at(self, cell: Cell) -> str:
        """`cell 3/10, `, to be followed by what is done with it."""
        return f"cell {self.cells.index(cell) + 1}/{len(self.cells)}, "

    def told(self, lacks: Lacks) -> str:
        """`4 of 10 cells done, about 12 min left`, by the time that this run's cells took so far."""
        left = sum(bool(lacks(cell)) for cell in self.open)
        mine = len(self.open) - left
        about = spoken((time.monotonic() - self.began) / mine * left) if left and mine else ""
        return f"{len(self.cells) - left} of {len(self.cells)} cells done" + (f", about {about} left" if about else "")
