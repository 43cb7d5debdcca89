"""Cells: a model trained on one size of one stream of rows with one seed, and its scores.

Curves and ablations are grids of cells. A cell's scores lie in a file named after everything that shaped them, so a run
that was killed goes on with the cells that are missing, and nothing old is ever taken for new.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.judge.grade import Judging
from instdata.llm.causal import Loaded, fast_device, fast_dtype, load
from instdata.score.evaluate import GENERATED, score
from instdata.score.item import Item
from instdata.score.sandbox import run as sandbox
from instdata.score.table import groups, write_table
from instdata.train.forward import Network, Validation
from instdata.train.recipe import Training
from instdata.train.render import Encoded, Messages, encode

SPEAK = 30  # seconds between lines
VERSION = 4  # of what a cell's scores mean; raise it when training or scoring changes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stream:
    """Rows in the order in which sizes take them, for one seed. `rungs`: (config's name, rows), ascending. `planned`: the
    rows by which steps are counted, where arms of other row counts are to make as many."""

    arm: str
    seed: int
    ids: list[str]
    conversations: list[Messages]
    rungs: list[tuple[str, int]]
    planned: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One trained size: its name, and where its scores lie (or will)."""

    name: str
    model: str
    config: str
    rows: int
    path: Path

    @property
    def done(self) -> bool:
        return self.path.is_file()


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
    encoded: dict[str, list[Encoded]] = field(default_factory=dict)  # by the stream's ids

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

    def length(self) -> int:
        return min(self.recipe.length, self.about()[2])

    def rows(self, stream: Stream) -> list[Encoded]:
        """The stream's rows as tokens."""
        key = _digest(stream.ids)
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
                _digest(stream.ids[:rows]),
            ]
            found.append(self._cell(name, config, rows, shaped))
        return found

    @cached_property
    def speed(self) -> tuple[float, float]:
        """(tokens a second in training, in scoring) here."""
        return speed(self.model(), self.length())

    @cached_property
    def shared(self) -> list[Any]:
        """What shapes every cell."""
        items = _digest([json.dumps(asdict(i), sort_keys=True) for i in self.items])
        device = fast_device()
        judge = "answers" if self.judge else None  # they are judged later, and need no other training for another judge
        held = _digest([i.id for i in self.validate.items]) if self.validate else None
        return [VERSION, self.about()[1], items, list(self.kinds), judge, held, device.type, str(fast_dtype(device))]

    def _cell(self, name: str, config: str, rows: int, shaped: list[Any]) -> Cell:
        key = _digest([json.dumps([*self.shared, *shaped], sort_keys=True)])
        return Cell(name, self.about()[0], config, rows, self.folder / "cells" / f"{key}.parquet")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def run_base(grid: Grid) -> Cell:
    """Score the untrained model, unless that is done."""
    cell = grid.base()
    if not cell.done:
        started = time.perf_counter()
        model = grid.model()
        about = {"cell": cell.name, "model": model.name}
        table = score(Network.of(model), grid.items, grid.kinds, about, grid.judge is not None)
        write_table(table, cell.path)
        grid.say(f"{cell.name}: {_short(table)}, {time.perf_counter() - started:.0f} s")
    return cell


def run_stream(grid: Grid, stream: Stream) -> list[Cell]:
    """Train and score the cells of a stream that are missing; returns all of them."""
    from instdata.train.loop import begin, best_of, ladder, rows_line, usable

    cells = grid.cells(stream)
    missing = {c.rows: c for c in cells if not c.done}
    of = _digest([grid.about()[1], cells[-1].path.name])
    at = (grid.folder / "cells" / f"{of}.safetensors", of)
    if not missing:
        for left in (at[0], best_of(at[0])):  # of a run that was killed between its last cell and its end
            left.unlink(missing_ok=True)
        return cells
    rows = grid.rows(stream)
    counts = usable(rows, grid.length())
    if counts["truncated"] or counts["unlearned"]:
        grid.say(f"{stream.arm}, seed {stream.seed}: {rows_line(counts, grid.length())}")
    rungs = [n for _, n in stream.rungs]
    model = grid.used()
    run = begin(model, grid.recipe, stream.seed)
    started = time.perf_counter()
    losses: list[float] = []
    spoke = [started]
    grid.folder.mkdir(parents=True, exist_ok=True)
    with open(grid.folder / "metrics.jsonl", "a", encoding="utf-8") as metrics:

        def log(found: dict[str, Any]) -> None:
            losses.extend([found["loss"]] if "loss" in found else [])
            if time.perf_counter() - spoke[0] > SPEAK and "of" in found:
                spoke[0] = time.perf_counter()
                rate = found["tokens_per_second"]
                grid.say(
                    f"  {stream.arm}, seed {stream.seed}: step {found['step'] + 1} of {found['of']}, {rate:,.0f} tokens/s"
                )
            metrics.write(json.dumps({"arm": stream.arm, "seed": stream.seed, **found}) + "\n")
            metrics.flush()

        for rung, steps in ladder(run, rows, rungs, log, at, stream.ids, set(missing), grid.validate, stream.planned):
            cell = missing[rung]
            trained = time.perf_counter() - started
            tokens = grid.recipe.epochs * sum(len(r.ids) for r in rows[:rung] if r.supervised)
            about = {
                "cell": cell.name, "model": model.name, "arm": stream.arm, "config": cell.config, "rows": rung,
                "tokens": tokens, "seed": stream.seed,
            }  # fmt: skip
            thinks = any(r.thoughts for r in rows[:rung])
            network = Network(run.net, model.tokenizer, model.context, thinking=thinks)
            table = score(network, grid.items, grid.kinds, about, grid.judge is not None)
            write_table(table, cell.path)
            grid.say(
                f"{cell.name}: {steps} steps, loss {np.mean(losses[-8:]):.3f}, {_short(table)}, "
                f"{trained:.0f} s training, {time.perf_counter() - started - trained:.0f} s scoring"
            )
            started = time.perf_counter()
    return cells


def run_streams(grid: Grid, streams: Sequence[Stream], workers: int | None = None) -> list[Cell]:
    """The cells of all streams. With several GPUs each trains a stream of its own, in a process of its own; `workers`
    overrides their number."""
    from instdata.llm.causal import gpus

    workers = workers or gpus()
    waiting = [s for s in streams if not all(c.done for c in grid.cells(s))]
    if workers > 1 and len(waiting) > 1:
        run_base(grid)
        judge = grid.judge and replace(grid.judge, say=_print)  # which processes can be given
        alone = replace(grid, loaded=None, encoded={}, say=_print, judge=judge)
        spawn, chosen = get_context("spawn"), sandbox.chosen()
        with ProcessPoolExecutor(min(workers, len(waiting)), spawn, sandbox.use, chosen) as pool:
            places = spawn.Manager().Queue()
            for number in range(workers):
                places.put(number)
            for done in [pool.submit(_on_a_gpu, alone, s, places) for s in waiting]:
                done.result()
    return [c for s in streams for c in run_stream(grid, s)]


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _on_a_gpu(grid: Grid, stream: Stream, places: Any) -> None:
    """Run a stream on whichever GPU is free. models.fast_device reads the variable."""
    number = places.get()
    os.environ["LOCAL_RANK"] = str(number)
    try:
        run_stream(grid, stream)
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


def read_cells(cells: Sequence[Cell]) -> pa.Table:
    """All scores of these cells. A cell may have been run under another name: of the model's folder, or of its size."""
    found = []
    for cell in cells:
        table = pq.read_table(cell.path)
        for column, value in (("cell", cell.name), ("model", cell.model), ("config", cell.config)):
            at = table.schema.get_field_index(column)
            table = table.set_column(at, column, pa.array([value] * len(table), pa.string()))
        found.append(table)
    return pa.concat_tables(found)


@dataclass(frozen=True)
class GridCost:
    """What a grid will take: cells, tokens to train (and what separate runs would), answers to score, seconds."""

    cells: int
    missing: int
    tokens: int
    separate_tokens: int
    flops: float
    scored_tokens: int
    generated_answers: int
    seconds: float
    tokens_per_second: float

    def plain(self) -> dict[str, Any]:
        return {k: round(v, 1) if isinstance(v, float) else v for k, v in self.__dict__.items()}


def estimate(grid: Grid, streams: Sequence[Stream]) -> GridCost:
    """What is missing, priced by one measured training step and one measured scoring batch on this machine."""
    from instdata.llm.causal import flops_per_token
    from instdata.train.loop import tokens_of

    model = grid.model()
    all_cells = [grid.base(), *(c for s in streams for c in grid.cells(s))]
    missing = sum(not c.done for c in all_cells)
    tokens = separate = 0
    for stream in streams:
        if all(c.done for c in grid.cells(stream)):
            continue
        a, b = tokens_of(grid.rows(stream), [n for _, n in stream.rungs], grid.recipe, stream.seed, stream.planned)
        tokens, separate = tokens + a, separate + b
    scored = _item_tokens(grid) * missing
    checked = sum(i.scorer in GENERATED for i in grid.items) if "answers" in grid.kinds else 0
    written = missing * (checked + (len(grid.judge.asked(grid.items)) if grid.judge else 0))
    train_speed, score_speed = grid.speed if missing else (math.inf, math.inf)
    mean = np.mean([len(r.ids) for s in streams for r in grid.rows(s)]) if streams else 0.0
    seconds = tokens / train_speed + scored / score_speed + written * 128 / (score_speed / 8)
    return GridCost(
        len(all_cells), missing, tokens, separate, tokens * flops_per_token(model.net, float(mean)), scored, written,
        float(seconds), float(train_speed),
    )  # fmt: skip


def _item_tokens(grid: Grid) -> int:
    """Tokens that scoring the items once by likelihood looks at (four characters or so a token)."""
    texts = 0
    for item in grid.items:
        own = sum(len(m["content"]) for m in item.messages)
        answers = [item.reference] + ([item.fine, item.coarse] if "distractors" in grid.kinds else [])
        texts += sum(own + len(a) for a in answers if a)
    return texts // 4 + 40 * len(grid.items)


def speed(model: Loaded, length: int) -> tuple[float, float]:
    """(tokens a second in training, in scoring), measured on one bin here and now; the model is left as it was."""
    import torch

    from instdata.train.pack import keep_apart, pack, token_losses

    device = fast_device()
    dtype = fast_dtype(device)
    net = model.net.to(device)
    keep_apart(net)
    row = Encoded([i % 100 + 10 for i in range(128)], [False] * 64 + [True] * 64)
    packed = pack([row] * max(1, min(length, 1024) // 128), device)
    n = packed["input_ids"].shape[1]
    wait = torch.cuda.synchronize if device.type == "cuda" else int
    took = []
    for _ in range(2):  # the first one warms up
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            token_losses(net, packed).sum().backward()
        wait()
        took.append(time.perf_counter() - start)
    net.zero_grad(set_to_none=True)
    start = time.perf_counter()
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        token_losses(net, packed).sum().item()
    return n / took[-1], n / (time.perf_counter() - start)
