"""Fine-tuning: one function, one loop. What a step sees is a pure function of (rows, rungs, recipe, seed)."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from instdata.llm.causal_models import Loaded, dtype_of, fast_device, flops_per_token, mfu
from instdata.train.checkpoint import best_loss, read_checkpoint, restore, snapshot, write_checkpoint
from instdata.train.fsdp import full, my_bins, shard, summed, world
from instdata.train.pack import best_fit, keep_apart, losses_of
from instdata.train.render import CUT, NONE, Encoded
from instdata.train.state import Run
from instdata.train.training_recipe import Training
from instdata.util.errors import BuildError, InputError, MissingExtra

Bin = list[int]  # numbers of rows that are packed together
CHECKPOINT_SECONDS = 300
Log = Callable[[dict[str, Any]], None]


def batches(
    rows: Sequence[Encoded], rungs: Sequence[int], recipe: Training, seed: int, packs: bool = True,
    planned: Sequence[int] | None = None,
) -> list[list[Bin]]:  # fmt: skip
    """The steps: for each, the bins of row numbers that it learns from.

    Rows between two rungs (ascending row counts; the last is all rows) are packed together, so that every rung ends on
    a step and a smaller size's steps are the start of a larger one's. Best-fit makes a bin's number follow its rows'
    lengths, hence their ability: bins are shuffled by (seed, epoch, rung). With n rows in a rung there are n / batch
    steps, whatever the packing; with `planned` as many as rungs of these row counts would have, so that arms matched in
    tokens make equally many. With `packs` false each row is a bin of its own."""
    lengths = np.array([len(r.ids) for r in rows], np.int64)
    usable = np.array([r.supervised > 0 for r in rows], bool)
    steps: list[list[Bin]] = []
    for epoch in range(recipe.epochs):
        for rung, (start, end) in enumerate(zip([0, *rungs], rungs)):
            mine = np.flatnonzero(usable[start:end]) + start
            if not len(mine):
                continue
            size = len(mine) if planned is None else planned[rung] - (planned[rung - 1] if rung else 0)
            wanted = max(1, -(-size // recipe.batch))
            # bins no fuller than a step needs: few short rows would otherwise be one bin, hence one step
            capacity = min(recipe.length, max(int(lengths[mine].max()), -(-int(lengths[mine].sum()) // wanted)))
            bins = [mine[b].tolist() for b in best_fit(lengths[mine], capacity if packs else 1)]
            while len(bins) < min(wanted, len(mine)):  # one long row, and the others in too few bins
                capacity = capacity * 3 // 4
                bins = [mine[b].tolist() for b in best_fit(lengths[mine], max(capacity, 1))]
            shuffled = [bins[i] for i in np.random.default_rng([seed, epoch, rung]).permutation(len(bins))]
            edges = np.linspace(0, len(bins), min(wanted, len(bins)) + 1).astype(int)
            steps += [shuffled[a:b] for a, b in zip(edges, edges[1:])]
    return steps


def begin(loaded: Loaded, recipe: Training, seed: int) -> Run:
    """A run at step 0, on the fastest device. The network of `loaded` is trained in place."""
    import torch

    device = fast_device()
    dtype = dtype_of(recipe.dtype, device)
    net = loaded.net.to(device)
    if recipe.lora:
        if world()[1] > 1:
            raise InputError("lora under torchrun is not supported: adapters are small, train them on one GPU")
        net = _with_lora(net, recipe.lora, seed)
    packs = keep_apart(net)
    net = shard(net, device)
    net.train()
    if recipe.checkpointing:
        net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trained = {n: p for n, p in net.named_parameters() if p.requires_grad}
    decayed = [n for n, p in trained.items() if p.ndim >= 2]  # gains and biases are not pulled to zero
    rest = [n for n in trained if n not in set(decayed)]
    groups = [
        {"params": [trained[n] for n in names], "weight_decay": decay}
        for names, decay in ((decayed, recipe.weight_decay), (rest, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)
    if recipe.compile:
        net.compile()
    return Run(net, optimizer, recipe, seed, device, dtype, 0, decayed + rest, loaded.tokenizer, loaded.context, packs)


def _with_lora(net: Any, rank: int, seed: int) -> Any:
    """Adapters on every linear layer but the head (Hu et al. 2021; alpha = 2 x rank)."""
    import torch

    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as e:
        raise MissingExtra("lora", "train") from e
    torch.manual_seed(seed)
    return get_peft_model(
        net, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    )


def train(
    run: Run, rows: Sequence[Encoded], steps: list[list[Bin]], until: int, total: int, log: Log = lambda m: None,
    checkpoint: tuple[Path, str] | None = None, names: Sequence[str] = (),
) -> None:  # fmt: skip
    """Make the steps from `run.step` up to `until`, at the learning rates of a run of `total` steps.

    `log` gets each step's metrics. With `checkpoint` (a file, and what this is a run of), the run is saved every few
    minutes and on Ctrl-C. `names` are the rows' ids, for messages. Raises BuildError on a loss that is not a number and
    where memory runs out."""
    import torch

    watch = _Watch(run, rows)
    saved = time.monotonic()
    try:
        with _between_steps() as asked_to_stop:
            for step in range(run.step, until):
                torch.manual_seed(run.seed * 1_000_003 + step)  # of dropout: the same after a restart
                bins = steps[step]
                learned = sum(rows[i].supervised for b in bins for i in b)  # of the whole step, not of each bin
                total_loss = 0.0
                with torch.autocast(run.device.type, dtype=run.dtype, enabled=run.dtype != torch.float32):
                    for bin_, counts in my_bins(bins):
                        packed = [rows[i] for i in bin_]
                        losses = losses_of(run.net, packed, run.device, run.packs)
                        loss = losses.sum() / learned * counts
                        if not torch.isfinite(loss):
                            _not_finite(step, packed, bin_, losses, names)
                        (loss * world()[1]).backward()  # sharded gradients are averaged over the processes
                        total_loss += loss.item()
                norm = full(torch.nn.utils.clip_grad_norm_(run.parameters(), run.recipe.clip))
                if not torch.isfinite(norm):
                    raise BuildError(f"step {step}: the gradient is not a number; lower the learning rate (--set lr=…)")
                rate = run.recipe.rate(step, total)
                for group in run.optimizer.param_groups:
                    group["lr"] = rate
                run.optimizer.step()
                run.optimizer.zero_grad(set_to_none=True)
                run.step = step + 1
                found = {"step": step, "of": total, "epoch": 1 + step * run.recipe.epochs // total, "lr": rate}
                found["loss"] = summed(total_loss, run.device)
                log(watch.step([[rows[i] for i in b] for b in bins], learned, found | {"grad_norm": norm.item()}))
                if checkpoint and (asked_to_stop or time.monotonic() - saved > CHECKPOINT_SECONDS):
                    write_checkpoint(run, *checkpoint)
                    saved = time.monotonic()
                if asked_to_stop:
                    raise KeyboardInterrupt
    except (RuntimeError, MemoryError) as e:
        if isinstance(e, MemoryError) or "memory" in str(e).lower():
            raise BuildError(
                f"out of memory at {run.recipe.length:,} tokens a bin: try --set length={run.recipe.length // 2}, "
                "--set checkpointing=true, or --set lora=16"
            ) from e
        raise


@contextmanager
def _between_steps() -> Iterator[list[int]]:
    """Ctrl-C waits for the end of a step, where a checkpoint is whole: the list then holds the signal. The second one
    does not wait."""
    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _not_finite(step: int, rows: list[Encoded], numbers: Bin, losses: Any, names: Sequence[str]) -> None:
    """Raise, naming the rows whose loss is not a number (all of the bin where it is their sum)."""
    import torch

    of = [i for i, r in enumerate(rows) for m in r.mask[1:] if m]
    bad = sorted({of[j] for j in (~torch.isfinite(losses)).nonzero()[:, 0].tolist()}) or range(len(rows))
    said = ", ".join(str(names[numbers[i]]) if names else f"row {numbers[i]}" for i in list(bad)[:5])
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    raise BuildError(
        f"step {step}: the loss is not a number, on {said}{more}; lower the learning rate (--set lr=…) or "
        "look at these rows with `instdata why`"
    )


class _Watch:
    """What a step's line in metrics.jsonl says beside loss and rate."""

    def __init__(self, run: Run, rows: Sequence[Encoded]):
        mean = float(np.mean([len(r.ids) for r in rows])) if rows else 0.0
        self.run, self.flops = run, flops_per_token(run.net, mean)
        self.last = time.perf_counter()

    def step(self, bins: list[list[Encoded]], learned: int, found: dict[str, Any]) -> dict[str, Any]:
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        tokens = sum(len(r.ids) for b in bins for r in b)
        room = max(self.run.recipe.length, *(sum(len(r.ids) for r in b) for b in bins))
        speed = tokens / seconds
        busy = mfu(speed * self.flops, self.run.device, self.run.dtype)
        return found | {
            "tokens": tokens, "supervised": learned, "rows": sum(map(len, bins)),
            "fill": round(tokens / (room * len(bins)), 4),
            "tokens_per_second": round(speed, 1), "mfu": busy,
            "memory": _memory(self.run.device),
        }  # fmt: skip


def _memory(device: Any) -> int:
    """Bytes at the highest point: of the GPU, or of this process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ladder(
    run: Run, rows: Sequence[Encoded], rungs: Sequence[int], log: Log = lambda m: None,
    checkpoint: tuple[Path, str] | None = None, names: Sequence[str] = (), wanted: set[int] | None = None,
    validate: Callable[[Run], float] | None = None, planned: Sequence[int] | None = None,
) -> Iterator[tuple[int, int]]:  # fmt: skip
    """Train a model for each rung (row counts, ascending) and yield (rung, steps) as each is done: the run's network is
    that size's until the next is asked for. `wanted`: the rungs that are needed (all). `validate` gives the loss by
    which a recipe with `best_after` chooses its epoch.

    With a wsd recipe of one epoch the sizes share one trunk: at the step where size k's decay begins the trunk is set
    aside, the branch decays to its end, and the trunk goes on. A branch is bitwise equal to a run of that size alone,
    since until its decay no step knows how long the run will be. Other recipes train each size from the start."""
    recipe = run.recipe
    start = None if recipe.trunk else snapshot(run)
    for number, rung in enumerate(rungs):
        if wanted is not None and rung not in wanted:
            continue
        steps = batches(rows[:rung], rungs[: number + 1], recipe, run.seed, run.packs, planned)
        total = len(steps)
        mine = checkpoint and (checkpoint[0], f"{checkpoint[1]}:{'trunk' if recipe.trunk else rung}")
        if start:
            restore(run, start)
        if recipe.trunk:
            fork = recipe.stable(total)
            if mine:
                read_checkpoint(run, *mine, most=fork)
            train(run, rows, steps, fork, total, log, mine, names)
            trunk = snapshot(run) if rung != rungs[-1] else None
            train(run, rows, steps, total, total, log, None, names)
            yield rung, total
            if trunk:
                restore(run, trunk)
        else:
            _epochs(run, rows, steps, log, mine, names, validate if recipe.best_after is not None else None)
            yield rung, total
        if mine:
            best_of(mine[0]).unlink(missing_ok=True)
    if checkpoint:
        checkpoint[0].unlink(missing_ok=True)


def best_of(checkpoint: Path) -> Path:
    """Where the best epoch so far is kept."""
    return checkpoint.with_suffix(".best.safetensors")


def _epochs(
    run: Run, rows: Sequence[Encoded], steps: list[list[Bin]], log: Log, checkpoint: tuple[Path, str] | None,
    names: Sequence[str], validate: Callable[[Run], float] | None,
) -> None:  # fmt: skip
    """All epochs; with `validate`, the run ends as the epoch after `best_after` with the lowest validation loss (the
    first of equals). Then checkpoints are written behind each epoch's validation only, so that none is passed over."""
    total = len(steps)
    if checkpoint:
        read_checkpoint(run, *checkpoint, most=total)
    if not validate or not steps:  # none: no row of this size has a token to learn
        train(run, rows, steps, total, total, log, checkpoint, names)
        return
    kept = checkpoint and (best_of(checkpoint[0]), checkpoint[1])
    least, best = best_loss(*kept) if kept and run.step else math.inf, None
    each = total // run.recipe.epochs
    for epoch in range(run.step // each + 1, run.recipe.epochs + 1):
        train(run, rows, steps, each * epoch, total, log, None, names)
        if epoch > (run.recipe.best_after or 0):
            loss = validate(run)
            log({"step": run.step - 1, "epoch": epoch, "validation_loss": loss})
            if loss < least:
                least, best = loss, snapshot(run)
                if kept:
                    write_checkpoint(run, *kept, loss=loss)
        if checkpoint:
            write_checkpoint(run, *checkpoint)
    if best is None and kept and math.isfinite(least):
        run.step = 0
        read_checkpoint(run, *kept, most=total)
    elif best is not None:
        restore(run, best)


def tokens_of(
    rows: Sequence[Encoded], rungs: Sequence[int], recipe: Training, seed: int, planned: Sequence[int] | None = None
) -> tuple[int, int]:
    """(tokens that the ladder trains on, tokens that separate runs of each size would)."""
    ladder_tokens = separate = trunk = 0
    for number, rung in enumerate(rungs):
        steps = batches(rows[:rung], rungs[: number + 1], recipe, seed, planned=planned)
        sizes = [sum(len(rows[i].ids) for b in s for i in b) for s in steps]
        separate += sum(sizes)
        fork = recipe.stable(len(steps)) if recipe.trunk else 0
        ladder_tokens += sum(sizes) - sum(sizes[: min(trunk, fork)])
        trunk = max(trunk, fork)
    return ladder_tokens, separate


def usable(rows: Sequence[Encoded], length: int) -> dict[str, Any]:
    """What encoding did to the rows: how many there are, were cut at `length`, and have nothing left to learn; how many
    turns of the assistant there are, are learned, and why the others are not (a count for each reason).

    Raises InputError where no row has a token to learn."""
    turns = sum(r.turns for r in rows)
    reasons = Counter(why for r in rows for why in r.unlearned)
    found = {
        "rows": len(rows),
        "truncated": sum(r.truncated for r in rows),
        "without_supervised": sum(r.supervised == 0 for r in rows),
        "tokens": sum(len(r.ids) for r in rows),
        "supervised": sum(r.supervised for r in rows),
        "turns": turns,
        "turns_learned": turns - min(turns, sum(n for why, n in reasons.items() if why != NONE)),
        "thoughts_learned": sum(r.thoughts for r in rows),
        "unlearned": dict(sorted(reasons.items())),
    }
    if found["without_supervised"] == len(rows):
        why = "; ".join(f"{n:,}: {w}" for w, n in reasons.most_common(3)) or "their turns are empty"
        hint = f" (length {length:,}: --set length=…)" if CUT in reasons else ""
        raise InputError(f"none of {len(rows):,} rows has a token to learn: {why}{hint}")
    return found


def rows_line(counts: dict[str, Any], length: int) -> str:
    """What `usable` found, for people."""
    parts = [f"{counts['rows']:,} rows, {counts['tokens']:,} tokens, {counts['supervised']:,} of them learned"]
    if counts["truncated"]:
        parts.append(f"{counts['truncated']:,} cut at {length:,} tokens")
    if counts["without_supervised"]:
        parts.append(f"{counts['without_supervised']:,} rows left out with nothing to learn")
    if counts["unlearned"]:
        missing = counts["turns"] - counts["turns_learned"]
        why = ", ".join(f"{n:,} {w}" for w, n in counts["unlearned"].items())
        parts.append(f"{missing:,} of {counts['turns']:,} answers not learned ({why})")
    return "; ".join(parts)
