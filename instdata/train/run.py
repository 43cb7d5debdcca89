"""`instdata train`: one model fine-tuned on a config of a build, into a folder that transformers loads."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from instdata.builds import RUN, manifest, recipe_of, run_of
from instdata.corpus.rows import weighed
from instdata.corpus.write_build_folder import locked
from instdata.llm.causal_models import Loaded, load, save
from instdata.score.from_build import (
    items_of,
    manifest_digest,
    rows_in_order,
    sizes_of,
    slug,
    split_items,
    taxonomy_of,
)
from instdata.score.item import Item
from instdata.train.forward import Validation
from instdata.train.fsdp import gathered, is_first, world
from instdata.train.render import encode, template_notes
from instdata.train.training_recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
RENDERED = 2  # of what rows look like to a model; raise it when render changes what is learned


def train_build(
    build: Path,
    config: str | None,
    spec: str,
    recipe: Training,
    seed: int,
    out: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Fine-tune a model on a config of a build into a folder that transformers loads; run again to resume.

    Returns what `train --json` prints. With a recipe whose sizes share a trunk the result is bitwise the curve's model
    of that size. Raises InputError for an unknown config and where the folder holds another run."""
    from instdata.train.loop import begin, ladder, rows_line, usable

    config, ids, talks = _rows(build, config)
    rungs = sorted({r for _, r in sizes_of(build) if r < len(ids)} | {len(ids)})
    held = split_items(items_of(build, taxonomy_of(build)))[0] if recipe.best_after is not None else []
    if out and is_first():
        with locked(out):  # before a model is fetched
            pass
    loaded = load(spec, say)
    out = out or Path("runs") / slug(f"{build.resolve().name}-{config}-{loaded.name}-{recipe.name}-s{seed}")
    asked = {"build": {"name": build.resolve().name}, "config": config, "model": loaded.name, "seed": seed}
    asked |= {"training": {"name": recipe.name}, "rows": len(ids)}
    key = _key(loaded.digest, recipe, seed, rungs, weighed(ids, talks), held)
    if done := run_of(out):
        if done["key"] != key:
            raise InputError(f"{out} holds another run ({_differs(done, asked)}); choose another --out")
        say(f"{out}: this run is done")
        return {"run": str(out), "changed": False, **done}
    length = min(recipe.length, loaded.context)
    rows = encode(loaded.tokenizer, talks, length, reasoning=recipe.reasoning)
    for note in template_notes(loaded.tokenizer, talks):
        say(f"{loaded.name}: {note}")
    counts = usable(rows, length)
    say(rows_line(counts, length))
    started = time.perf_counter()
    with locked(out) if is_first() else nullcontext():
        run = begin(loaded, recipe, seed)
        log = _Log(out / "metrics.jsonl", say)
        at = (out / CHECKPOINT if is_first() else out / f"{world()[0]}-{CHECKPOINT}", key)
        for _, steps in ladder(run, rows, rungs, log, at, ids, {len(ids)}, Validation(held) if held else None):
            net = gathered(run.net)
            if is_first():
                _save_whole(net, loaded.tokenizer, out)
            made = steps
        facts = _run_facts(build, config, loaded, recipe, seed, key) | {
            "rows": len(ids), "counts": counts, "steps": made, "loss": log.loss,
            "validation": sorted(i.id for i in held),
            "seconds": round(time.perf_counter() - started, 1),
        }  # fmt: skip
        if is_first():
            write_text(out / "run.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return {"run": str(out), "changed": True, **facts}


def _key(
    model: str, recipe: Training, seed: int, rungs: Sequence[int], learned: Sequence[str], held: Sequence[Item]
) -> str:
    """Names a run by all that shapes it."""
    shaped = [RENDERED, model, recipe.model_dump(mode="json"), seed, rungs, learned, [i.id for i in held]]
    return hashlib.sha256(json.dumps(shaped).encode()).hexdigest()


def _run_facts(build: Path, config: str, loaded: Loaded, recipe: Training, seed: int, key: str) -> dict[str, Any]:
    """What run.json says of a run before it was made."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": RUN,
        "key": key,
        "build": {"name": build.resolve().name, "manifest_sha256": manifest_digest(build)},
        "recipe": recipe_of(build),
        "config": config,
        "model": loaded.name,
        "model_digest": loaded.digest,
        "base_model": loaded.digest.partition("@")[0] if "@" in loaded.digest else None,  # owner/name on the Hub
        "seed": seed,
        "training": recipe.model_dump(mode="json"),
    }


def _differs(done: dict[str, Any], asked: dict[str, Any]) -> str:
    """What a finished run has that this one would not have."""
    pairs = {
        key: [x[key].get("name") if isinstance(x[key], dict) else x[key] for x in (done, asked)]
        for key in asked
        if key in done
    }
    found = [f"{key} {a}, not {b}" for key, (a, b) in pairs.items() if a != b]
    return "; ".join(found) or "the build's rows or the model have changed since"


SPEAK = 10  # seconds between lines
CHECKPOINT = "checkpoint.safetensors"


def _rows(build: Path, config: str | None) -> tuple[str, list[str], list[Any]]:
    """(config, its rows' ids, their conversations), of `full` where none is named."""
    configs = manifest(build)["configs"]
    config = config or "full"
    if config not in configs or config == "holdout":
        known = [c for c in configs if c != "holdout"]
        raise InputError(
            f'{build}: no config "{config}" to train on.{did_you_mean(config, known)} There are: {", ".join(known)}'
        )
    ids, talks = rows_in_order(build, config)
    if not ids:
        raise InputError(f"{build}: config {config} has no rows")
    return config, ids, talks


def _save_whole(net: Any, tokenizer: Any, out: Path) -> None:
    """Save the model beside, then move its files into place: a full disk leaves the folder as it was."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".partial-") as beside:
        save(net, tokenizer, Path(beside))
        for path in sorted(Path(beside).iterdir()):
            os.replace(path, out / path.name)


class _Log:
    """metrics.jsonl, and a line for people now and then. A resumed run takes the file up at its first step. `loss`: the
    mean of the last eight steps'."""

    def __init__(self, path: Path, say: Callable[[str], None]):
        self.path, self.say, self.spoke = path, say, 0.0
        self.losses: list[float] = []
        self.fresh = True

    @property
    def loss(self) -> float | None:
        return float(np.mean(self.losses[-8:])) if self.losses else None

    def __call__(self, found: dict[str, Any]) -> None:
        self.losses += [found["loss"]] if "loss" in found else []
        if not is_first():
            return
        if self.fresh:
            before = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
            kept = [line for line in before if _step_of(line) < found["step"]]
            write_text(self.path, "".join(line + "\n" for line in kept))
            self.fresh = False
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        if "validation_loss" in found:
            self.say(f"epoch {found['epoch']}: validation loss {found['validation_loss']:.4f}")
        elif time.perf_counter() - self.spoke > SPEAK:
            self.spoke = time.perf_counter()
            self.say(
                f"step {found['step'] + 1} of {found['of']}, epoch {found['epoch']}: loss {found['loss']:.3f}, "
                f"{found['tokens_per_second']:,.0f} tokens/s, {found['memory'] / 1e9:.1f} GB"
            )


def _step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite where it was cut."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def shown_rows(
    build: Path, config: str | None, spec: str, recipe: Training, many: int, say: Callable[[str], None]
) -> list[list[tuple[str, bool]]]:
    """The first rows as the model will see them: pieces of text, each learned or not."""
    loaded = load(spec, say)
    _, talks = rows_in_order(build, config or "full")
    found = []
    for row in encode(loaded.tokenizer, talks[:many], min(recipe.length, loaded.context), reasoning=recipe.reasoning):
        pieces: list[tuple[list[int], bool]] = []
        for token, learned in zip(row.ids, row.mask):
            if not pieces or pieces[-1][1] != learned:
                pieces.append(([], learned))
            pieces[-1][0].append(token)
        found.append([(loaded.tokenizer.decode(ids), learned) for ids, learned in pieces])
    return found
