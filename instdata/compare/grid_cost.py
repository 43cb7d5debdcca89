"""What a grid of cells will take, measured here: tokens, FLOPs, seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instdata.compare.cell import Grid, Stream
from instdata.compare.cell_store import ScoreTask
from instdata.llm.causal_models import Loaded, fast_device, fast_dtype
from instdata.train.render import Encoded
from instdata.util.progress import phase


@dataclass(frozen=True)
class GridCost:
    """What a grid will take: cells, those that lack scores, those of them whose model is not there, tokens to train
    (and what separate runs would), answers to score, seconds."""

    cells: int
    missing: int
    to_train: int
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
    from instdata.llm.causal_models import flops_per_token
    from instdata.train.loop import tokens_of

    model = grid.model()
    all_cells = [grid.base(), *(c for s in streams for c in grid.cells(s))]
    lacking = {c.path: grid.lacks(c) for c in all_cells}
    missing = sum(bool(tasks) for tasks in lacking.values())
    tokens = separate = to_train = 0
    for stream in streams:
        mine = sum(bool(lacking[c.path]) and not c.kept.is_file() for c in grid.cells(stream))
        to_train += mine
        if mine:
            a, b = tokens_of(grid.rows(stream), [n for _, n in stream.rungs], grid.recipe, stream.seed, stream.planned)
            tokens, separate = tokens + a, separate + b
    waiting = [t for tasks in lacking.values() for t in tasks]
    scored = sum(_tokens(t) for t in waiting)
    written = sum(t.kind in ("answers", "judge") for t in waiting)
    if missing and grid.speed is None:
        with phase("measuring a training step"):
            grid.speed = speed(model, grid.length())
    train_speed, score_speed = grid.speed if missing and grid.speed else (math.inf, math.inf)
    mean = np.mean([len(r.ids) for s in streams for r in grid.rows(s)]) if streams else 0.0
    seconds = tokens / train_speed + scored / score_speed + written * 128 / (score_speed / 8)
    return GridCost(
        len(all_cells), missing, to_train, tokens, separate, tokens * flops_per_token(model.net, float(mean)), scored,
        written,
        float(seconds), float(train_speed),
    )  # fmt: skip


def _tokens(task: ScoreTask) -> int:
    """Tokens that scoring by likelihood looks at (four characters or so a token)."""
    item = task.item
    answers = {"bits": [item.reference], "distractors": [item.fine, item.coarse]}.get(task.kind, [])
    own = sum(len(m["content"]) for m in item.messages)
    return sum(own + len(a) for a in answers if a) // 4 + 40 * bool(answers)


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
