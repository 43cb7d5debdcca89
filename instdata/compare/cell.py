"""Cells: a model trained on one size of one stream of rows with one seed.

Curves and ablations are grids of cells. A cell's files are named after everything that shaped the training, and nothing
that did not: items, metrics and judges come and go, the model stays (cell_store.py). So a run that was killed goes on
with what is missing, and nothing old is ever taken for new.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell_store import Cell, ScoreTask, append, gathered, lacking, prune, tasks
from instdata.compare.cells_done import CellsDone
from instdata.corpus.rows import weighed
from instdata.judge.judge_cells import Judging
from instdata.llm.causal_models import Loaded, fast_device, fast_dtype, load
from instdata.score.evaluate import runnable, score
from instdata.score.item import Item
from instdata.score.model import Model
from instdata.score.sandbox import run as sandbox
from instdata.score.score_table import groups
from instdata.train.forward import Network, Validation
from instdata.train.render import Encoded, Messages, encode
from instdata.train.state import Run
from instdata.train.training_recipe import Training
from instdata.util.progress import Heartbeat, doing, part
from instdata.util.redaction import shown

VERSION = 5  # of what a cell's model is; raise it when training changes
KEEP = 20 << 30  # bytes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stream:
    """Rows in the order in which sizes take them, for one seed. `rungs`: (config's name, rows), ascending. `planned`:
    the rows by which steps are counted, where arms of other row counts are to make as many."""

    arm: str
    seed: int
    ids: list[str]
    conversations: list[Messages]
    rungs: list[tuple[str, int]]
    planned: tuple[int, ...] | None = None

    @cached_property
    def learned(self) -> list[str]:
        """Names each row and what is learned of it."""
        return weighed(self.ids, self.conversations)


@dataclass
class Grid:
    """What every cell of a run shares. `spec` names the model as the user did."""

    folder: Path
    spec: str
    recipe: Training
    items: Sequence[Item]
    kinds: Sequence[str]
    say: Say = print
    judge: Judging | None = None
    validate: Validation | None = None
    loaded: Loaded | None = None
    known: tuple[str, str, int] | None = None  # the model's name, digest and context, while it is not loaded
    encoded: dict[str, list[Encoded]] = field(default_factory=dict)  # by what the stream learns
    keep: int = KEEP  # bytes of trained models that stay
    speed: tuple[float, float] | None = None  # tokens a second in training and in scoring, once measured
    done: CellsDone | None = None  # how far the run is

    def model(self) -> Loaded:
        """The model, untrained."""
        if self.loaded is None:
            self.loaded = load(self.spec, self.say)
            self.known = (self.loaded.name, self.loaded.digest, self.loaded.context)
        return self.loaded

    def about(self) -> tuple[str, str, int]:
        """(the model's name, its digest, its context)"""
        return self.known or (self.model().name, self.model().digest, self.model().context)

    def used(self) -> Loaded:
        """The model, which the caller will train: the next one who asks gets a fresh one."""
        model, self.loaded = self.model(), None
        return model

    def release(self) -> None:
        """Let go of the model, and of the card that it lies on: other processes will train there."""
        import torch

        self.about()
        self.loaded = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def length(self) -> int:
        return min(self.recipe.length, self.about()[2])

    def rows(self, stream: Stream) -> list[Encoded]:
        """The stream's rows as tokens."""
        key = _digest(stream.learned)
        if key not in self.encoded:
            self.encoded[key] = encode(
                self.model().tokenizer, stream.conversations, self.length(), reasoning=self.recipe.reasoning
            )
        return self.encoded[key]

    def base(self) -> Cell:
        """The cell of the untrained model."""
        return self._cell(f"{self.about()[0]}/base", "base", 0, ["base"])

    def cells(self, stream: Stream) -> list[Cell]:
        """A stream's cells, a rung each."""
        found, rungs = [], []
        for config, rows in stream.rungs:
            rungs.append(rows)
            name = f"{self.about()[0]}/{stream.arm}/{config}/s{stream.seed}"
            shaped = [
                stream.arm,
                stream.seed,
                rungs,
                stream.planned,
                self.recipe.model_dump(mode="json"),
                _digest(stream.learned[:rows]),
            ]
            found.append(self._cell(name, config, rows, shaped))
        return found

    @cached_property
    def tasks(self) -> list[ScoreTask]:
        """The scores that every cell needs. Answers to be judged are cells' own, verdicts on them are not."""
        return tasks(self.items, self.kinds, self.judge is not None)

    @property
    def question(self) -> list[Any]:
        """What a look asks of a grid's cells, whatever the arms and seeds: the model, how it is trained, the scores."""
        return [self.about()[1], self.recipe.model_dump(mode="json"), sorted(t.key for t in self.tasks)]

    def lacks(self, cell: Cell) -> list[ScoreTask]:
        """The scores that a cell does not have yet."""
        return lacking(cell.path, self.tasks)

    def at(self, cell: Cell, what: str) -> None:
        """Tell whoever waits that this cell is at work, and at what."""
        doing(f"{self.done.at(cell) if self.done else ''}{what} {cell.name.removeprefix(f'{cell.model}/')}")

    @cached_property
    def shared(self) -> list[Any]:
        """What shapes every cell."""
        import torch
        import transformers

        held = _digest([i.id for i in self.validate.items]) if self.validate else None
        device = fast_device()
        dtype = str(fast_dtype(device)) if self.recipe.dtype == "auto" else self.recipe.dtype
        versions = [torch.__version__, transformers.__version__]
        return [VERSION, self.about()[1], held, device.type, dtype, versions]

    def _cell(self, name: str, config: str, rows: int, shaped: list[Any]) -> Cell:
        key = _digest([json.dumps([*self.shared, *shaped], sort_keys=True)])
        return Cell(name, self.about()[0], config, rows, self.folder / "cells" / f"{key}.parquet")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def run_base(grid: Grid) -> Cell:
    """Score the untrained model on what it was not scored on yet."""
    cell = grid.base()
    if grid.lacks(cell):
        score_cell(grid, cell, Network.of(grid.model(), grid.recipe.dtype), {})
    return cell


def score_cell(grid: Grid, cell: Cell, network: Model, about: dict[str, Any], trained: str = "") -> None:
    """Score a cell on what it lacks, and append that to its scores."""
    started = time.perf_counter()
    grid.at(cell, "scoring")
    about = {"cell": cell.name, "model": cell.model, **about}
    missing = grid.lacks(cell)
    by_item: dict[str, list[ScoreTask]] = {}
    for task in missing:
        by_item.setdefault(task.item.id, []).append(task)
    together: dict[tuple[str, ...], list[ScoreTask]] = {}  # items that lack the same kinds are scored together
    for own in by_item.values():
        together.setdefault(tuple(t.kind for t in own), []).append(own[0])
    parts = [
        score(network, [t.item for t in some], [k for k in kinds if k != "judge"], about, "judge" in kinds)
        for kinds, some in together.items()
    ]
    found = pa.concat_tables(parts)
    append(cell.path, found, missing)
    so_far = f"; {grid.done.told(grid.lacks)}" if grid.done else ""
    grid.say(f"{cell.name}: {trained}{_short(found)}, {time.perf_counter() - started:.0f} s scoring{so_far}")


def run_stream(grid: Grid, stream: Stream) -> list[Cell]:
    """The cells of a stream: those whose model is kept are scored on what they lack, the others trained first."""
    from instdata.train.checkpoint import read_delta, set_weights, weights
    from instdata.train.loop import begin, best_of, rows_line, usable

    cells = grid.cells(stream)
    missing = [c for c in cells if grid.lacks(c)]
    of = _digest([grid.about()[1], cells[-1].path.name])
    at = (grid.folder / "cells" / f"{of}.safetensors", of)
    if not missing:
        for left in (at[0], best_of(at[0])):  # of a run that was killed between its last cell and its end
            left.unlink(missing_ok=True)
        return cells
    grid.at(missing[0], "loading")
    rows = grid.rows(stream)
    model = grid.used()
    run = begin(model, grid.recipe, stream.seed)
    start = weights(run)
    waiting = []
    for cell in missing:
        if read_delta(run, start, cell.kept):
            _scored(grid, cell, run, stream)
        else:
            waiting.append(cell)
    if waiting:
        counts = usable(rows, grid.length())
        if counts["truncated"] or counts["unlearned"]:
            grid.say(f"{stream.arm}, seed {stream.seed}: {rows_line(counts, grid.length())}")
        for cell in waiting:
            if cell.path.is_file():
                grid.say(f"{cell.name}: its model was not kept, so it is trained again for what is new (--keep)")
        set_weights(run, start)
        _train(grid, stream, run, start, {c.rows: c for c in waiting}, at)
    return cells


def _scored(grid: Grid, cell: Cell, run: Run, stream: Stream, trained: str = "") -> None:
    """Score the run as it stands, as this cell."""
    rows = grid.rows(stream)[: cell.rows]
    about = {
        "arm": stream.arm, "config": cell.config, "rows": cell.rows, "seed": stream.seed,
        "tokens": grid.recipe.epochs * sum(len(r.ids) for r in rows if r.supervised),
    }  # fmt: skip
    thinks = any(r.thoughts for r in rows)
    network = Network(run.net, run.tokenizer, run.context, thinking=thinks, dtype=grid.recipe.dtype)
    score_cell(grid, cell, network, about, trained)


def _train(
    grid: Grid, stream: Stream, run: Run, start: dict[str, Any], missing: dict[int, Cell], at: tuple[Path, str]
) -> None:
    """Train the cells that are missing, each kept and scored as it is done."""
    from instdata.train.loop import ladder

    rungs = [n for _, n in stream.rungs]
    started = time.perf_counter()
    seen: list[dict[str, Any]] = []  # the steps of the cell at work
    grid.folder.mkdir(parents=True, exist_ok=True)
    grid.at(next(iter(missing.values())), "training")
    with open(grid.folder / "metrics.jsonl", "a", encoding="utf-8") as metrics:

        def log(found: dict[str, Any]) -> None:
            if "of" in found:
                seen.append(found)
                part(found["step"] + 1, found["of"], "steps")
            metrics.write(json.dumps({"arm": stream.arm, "seed": stream.seed, **found}) + "\n")
            metrics.flush()

        rows, waiting = grid.rows(stream), list(missing.values())
        for rung, steps in ladder(run, rows, rungs, log, at, stream.ids, set(missing), grid.validate, stream.planned):
            cell, took = missing[rung], time.perf_counter() - started
            _keep(grid, cell, run, start)
            _scored(grid, cell, run, stream, _trained(steps, took, seen))
            started = time.perf_counter()
            seen.clear()
            waiting.remove(cell)
            if waiting:
                grid.at(waiting[0], "training")


def _trained(steps: int, took: float, seen: Sequence[dict[str, Any]]) -> str:
    """What training a cell took, in words; `seen`: the steps that were made now, not before a restart."""
    loss = f", loss {np.mean([m['loss'] for m in seen[-8:]]):.3f}" if seen else ""
    speed = f" at {np.median([m['tokens_per_second'] for m in seen]):,.0f} tokens/s" if seen else ""
    busy = [m["mfu"] for m in seen if m["mfu"] is not None]
    share = f" (MFU {np.median(busy):.0%})" if busy else ""
    return f"{steps} steps{loss}, {took:.0f} s training{speed}{share}, "


def _keep(grid: Grid, cell: Cell, run: Run, start: dict[str, Any]) -> None:
    """Keep a trained cell's model, within the limit. Want of room costs no run: it is said, and the run goes on."""
    from instdata.train.checkpoint import write_delta

    if not grid.keep:
        return
    gone: list[Path] = []
    try:
        write_delta(run, start, cell.kept)
    except OSError as e:
        grid.say(f"{cell.name}: its model is not kept ({e.strerror or e}); new items will train it again")
    try:
        gone = prune(cell.path.parent, grid.keep)
    except OSError as e:
        grid.say(
            f"older trained models could not be removed ({e.strerror or e}): {cell.path.parent} may outgrow --keep"
        )
    if gone:
        grid.say(f"{len(gone)} trained models removed, {grid.keep / 1e9:.1f} GB being the limit (--keep)")


def run_streams(grid: Grid, streams: Sequence[Stream], workers: int | None = None) -> list[Cell]:
    """The cells of all streams. With several GPUs each trains a stream of its own, in a process of its own; `workers`
    overrides their number."""
    from instdata.llm.causal_models import gpus

    workers = workers or gpus()
    waiting = [s for s in streams if any(grid.lacks(c) for c in grid.cells(s))]
    if waiting:
        runnable(grid.items, grid.kinds)  # not after hours of training
    if workers > 1 and len(waiting) > 1:
        run_base(grid)
        grid.release()
        judge = grid.judge and replace(grid.judge, say=_print)  # which processes can be given
        alone = replace(grid, loaded=None, encoded={}, say=_print, judge=judge)
        doing(f"{len(waiting)} streams on {workers} GPUs")
        spawn, chosen = get_context("spawn"), sandbox.chosen()
        with ProcessPoolExecutor(min(workers, len(waiting)), spawn, sandbox.use, chosen) as pool:
            places = spawn.Manager().Queue()
            for number in range(workers):
                places.put(number)
            for done in [pool.submit(_on_a_gpu, alone, s, places) for s in waiting]:
                done.result()
    return [c for s in streams for c in run_stream(grid, s)]


def run_grid(grid: Grid, streams: Sequence[Stream], base: bool = True) -> pa.Table:
    """The scores of a grid's streams, what is missing trained now; base: of the untrained model too."""
    cells = [*([grid.base()] if base else []), *(c for s in streams for c in grid.cells(s))]
    grid.done = CellsDone.of(cells, grid.lacks, grid.say)
    if base:
        run_base(grid)
    run_streams(grid, streams)
    doing("comparing the cells")  # a judge may be asked now
    return read_cells(grid, cells)


def _print(line: str) -> None:
    print(shown(line), file=sys.stderr, flush=True)


def _on_a_gpu(grid: Grid, stream: Stream, places: Any) -> None:
    """Run a stream on whichever GPU is free. causal_models.fast_device reads the variable."""
    number = places.get()
    os.environ["LOCAL_RANK"] = str(number)
    try:
        with Heartbeat(grid.say) as beat:
            run_stream(replace(grid, say=beat.say), stream)
    finally:
        places.put(number)


def _short(scores: pa.Table) -> str:
    """A cell's scores in a few words."""
    parts = []
    for group, mine in groups(scores.filter(pc.is_valid(scores["value"])), ["metric"]):
        mean = pc.sum(pc.multiply(mine["value"], mine["weight"])).as_py() / max(pc.sum(mine["weight"]).as_py(), 1e-9)
        if group["metric"] in ("bits", "distractors"):
            parts.append(f"{mean:.3f} bits per byte" if group["metric"] == "bits" else f"distractors beaten {mean:.2f}")
    return ", ".join(parts) or f"{len(scores)} scores"


def read_cells(grid: Grid, cells: Sequence[Cell]) -> pa.Table:
    """All scores of these cells on the grid's items."""
    return pa.concat_tables([gathered(c.path, grid.tasks, cell=c.name, model=c.model, config=c.config) for c in cells])
