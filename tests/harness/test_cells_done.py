"""What whoever waits for a run of many cells hears: the cell at work, what is done with it, and how many are done."""

from __future__ import annotations

import re

from instdata.util.progress import Heartbeat

from .conftest import SET


class Hears(Heartbeat):
    """Keeps what it spoke of: (what is being done, of which part of it there is a share)."""

    def __init__(self):
        self.spoke: list[tuple[str, str]] = []
        super().__init__(lambda line: None, every=60)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in ("doing", "what") and value and (self.doing, self.what) not in self.spoke:
            self.spoke.append((self.doing, self.what))


def test_whoever_waits_hears_of_the_cell_at_work_and_of_those_that_are_done(home):
    from instdata.compare.cell import run_grid
    from instdata.grow.curve import grids
    from instdata.train.training_recipe import training

    def ran() -> tuple[list[tuple[str, str]], list[str]]:
        how = training("proxy", [x for x in SET.split() if "=" in x])
        [(grid, streams)] = grids(home / "builds/planted", ["./tiny"], 1, how, ["bits"], sizes="16,32", say=said.append)
        with Hears() as beat:
            said.clear()
            run_grid(grid, streams)
        return beat.spoke, [line for line in said if "cells" in line]

    said: list[str] = []
    spoke, lines = ran()
    assert spoke == [
        ("cell 1/3, scoring base", ""), ("cell 1/3, scoring base", "likelihoods"),
        ("cell 2/3, loading all/16/s0", ""),
        ("cell 2/3, training all/16/s0", ""), ("cell 2/3, training all/16/s0", "steps"),
        ("cell 2/3, scoring all/16/s0", ""), ("cell 2/3, scoring all/16/s0", "likelihoods"),
        ("cell 3/3, training all/32/s0", ""), ("cell 3/3, training all/32/s0", "steps"),
        ("cell 3/3, scoring all/32/s0", ""), ("cell 3/3, scoring all/32/s0", "likelihoods"),
        ("comparing the cells", ""),
    ]  # fmt: skip
    base, first, last = lines
    assert re.fullmatch(r"tiny/base: .* s scoring; 1 of 3 cells done, about [\d.]+ (s|min|h) left", base)
    assert re.fullmatch(
        r"tiny/all/16/s0: 2 steps, loss \d\.\d{3}, \d+ s training at [\d,]+ tokens/s, .* s scoring; 2 of 3 cells done, "
        r"about [\d.]+ (s|min|h) left", first,
    )  # fmt: skip
    assert last.startswith("tiny/all/32/s0: 4 steps") and last.endswith(" s scoring; 3 of 3 cells done")
    assert ran() == ([("comparing the cells", "")], [])  # nothing is left to do

    scores = sorted((home / "builds/planted/curves/cells").glob("*.delta"))[0].with_suffix(".parquet")
    scores.unlink()  # its model is kept
    spoke, lines = ran()
    own = spoke[0][0]
    assert {what for what, _ in spoke} == {own, own.replace("loading", "scoring"), "comparing the cells"}
    assert lines[0] == "2 of 3 cells were done before, 1 to go" and lines[1].endswith("; 3 of 3 cells done")
