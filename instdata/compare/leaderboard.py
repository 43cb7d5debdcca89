"""`instdata leaderboard`: selectors of rows against random ones, at equal supervised tokens.

A selector's rows are the same in every seed; random rows are drawn anew in each. One family of comparisons, Holm's p; a
second random draw beside them (`random again`) shows what chance alone makes of it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from instdata.builds import manifest
from instdata.compare.cell import Grid, Stream, run_grid
from instdata.compare.equal_cost import EqualPool, against, cost, equal_pool
from instdata.compare.equivalence_margin import published
from instdata.compare.grid_summary import run_facts
from instdata.compare.paired_comparison import decide
from instdata.compare.power import planned_mde
from instdata.compare.sequential_looks import one_look
from instdata.corpus.rows import Rows, talks_of, weighed
from instdata.corpus.write_build_folder import locked
from instdata.score.from_build import (
    draws_of,
    items_of,
    manifest_digest,
    slug,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.score.item import Item
from instdata.score.metric import MACRO, metric_of
from instdata.score.score_table import write_table
from instdata.steps.select.ranking import places
from instdata.steps.select.step import CAUSAL, TARGETED, Select
from instdata.train.training_recipe import Training
from instdata.util.atomic import whole, write_text
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from instdata.util.paths import cache_folder
from instdata.util.sealed import seal, sound
from instdata.util.sizes_and_shares import parse_size
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
OURS = ("rds", "target_loss", "embed", "ifd", "longest")
GROUP = "instdata.selectors"
RANDOM, AGAIN = "random", "random again"
LEAST_SEEDS = 5
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"]}
KNOWN = {
    "source": "arXiv 2602.14696, released results analysed anew",
    "runs": 6000,
    "cells": 1750,
    "better_after_holm": 19,
    "gains_in_points": {"rds": [1.9, -0.1, 3.9], "embed": [1.0, -0.1, 2.0], "less, best variant": [2.5, -2.6, 7.5]},
}
Say = Callable[[str], None]
Scorer = Callable[[Rows, Sequence[Item], str], np.ndarray]


@dataclass
class Board:
    """A leaderboard that can run. `methods`: names of selectors, each our method or an entry point. `query`: the items
    that targeted ones choose for; none of them is scored. `budget`: supervised tokens of every arm."""

    pool: EqualPool
    grid: Grid
    methods: dict[str, Select | Scorer]
    query: list[Item]
    seeds: int
    rows: int
    budget: int
    metric: str
    orders: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        """What a selector may know."""
        return Context(base=self.grid.folder.resolve(), cache=cache_folder(), say=self.grid.say)

    def streams(self, drafted: bool = False) -> list[Stream]:
        """Every arm of every seed. drafted: random rows stand in for what no selector has chosen yet."""
        found = []
        for seed in range(self.seeds):
            for arm in (RANDOM, *self.methods, AGAIN):
                order = self.pool.drawn(seed, f"leaderboard {arm}")
                if arm in self.methods and not (drafted and arm not in self.orders):
                    order = self.orders[arm]
                rows = self.pool.fill(order, self.budget, self.grid, arm)
                found.append(self.pool.stream(arm, seed, rows, str(self.rows), self.rows))
        return found


def selectors() -> dict[str, Scorer]:
    """Selectors of installed packages, by name: functions (rows, query items, model) -> a score for each row. Raises
    InputError where one cannot be loaded."""
    found = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = point.load()
        except Exception as e:  # whatever somebody's module raises when it is imported
            raise InputError(f"selector {point.name}: {point.value} cannot be loaded: {type(e).__name__}: {e}") from e
    return found


def prepare(
    build: Path, *, methods: str | None, keep: str, seeds: int, model: str, proxy: str | None, metric: str,
    recipe: Training,
    suites: Sequence[Path], query: Sequence[Path], max_items: int | None, taxonomy: str | None, out: Path | None,
    say: Say,
) -> Board:  # fmt: skip
    """A leaderboard that can run. The query is half of each ability's items where `query` names none; the other half is
    scored. Raises InputError for what does not fit."""
    if metric not in KINDS:
        raise InputError(f"--metric {metric}: one of {', '.join(KINDS)}.{did_you_mean(metric, KINDS)}")
    if seeds < LEAST_SEEDS:
        raise InputError(f"--seeds {seeds}: at least {LEAST_SEEDS}, or chance decides the order of the table")
    try:
        size = parse_size(keep)
    except ValueError as e:
        raise InputError(f"--keep {keep}: {e}") from None
    names = taxonomy_of(build, taxonomy)
    items = items_of(build, names, suites, max_items)
    asked, items = (items_of(build, names, query), items) if query else split_items(items)
    items = [i for i in items if i.id not in {q.id for q in asked}]
    folder = out or Path("leaderboards") / slug(build.resolve().name)
    grid = Grid(folder, model, recipe, with_distractors(items, KINDS[metric]), list(KINDS[metric]), say)
    if not any(i.reference for i in items):
        raise InputError(f"{build}: no items to score; hold more rows out, or give --suite")
    pool = equal_pool(build, grid)
    rows = size.of(manifest(build)["configs"]["full"]["rows"])
    chosen = _chosen(methods, folder, proxy or model, keep, say)
    return Board(pool, grid, chosen, asked, seeds, rows, pool.budget(rows, grid), metric)


def _chosen(methods: str | None, folder: Path, model: str, keep: str, say: Say) -> dict[str, Select | Scorer]:
    """The selectors that were asked for; by default all that can run here, the others said."""
    theirs = selectors()
    known = [*OURS, *theirs]
    words = [w.strip() for w in methods.split(",") if w.strip()] if methods else known
    found: dict[str, Select | Scorer] = {}
    for word in words:
        if word in theirs:
            found[word] = theirs[word]
            continue
        if word not in OURS:
            raise InputError(
                f"--methods {word}: no such selector.{did_you_mean(word, known)} There are {', '.join(known)}"
            )
        options: dict[str, Any] = {"query": "query.jsonl"} if word in TARGETED else {}
        options |= {"model": _spec(model)} if word in CAUSAL else {}
        step = Select(name=word, method=word, keep=keep, **options)  # type: ignore[arg-type]
        problems = [p for p in step.check(Context(base=folder.resolve())) if "query" not in p]
        if problems and methods:
            raise InputError(f"--methods {word}: {problems[0]}")
        if problems:
            say(f"left out: {word}, {problems[0]}")
            continue
        found[word] = step
    if not found:
        raise InputError(f"--methods: no selector is left to compare; there are {', '.join(known)}")
    return found


def _spec(model: str) -> str:
    """A model as the harness names it, as the step does: a path is relative to where the command runs."""
    from instdata.llm.local_models import MODELS

    if model == "auto" or not (Path(model).exists() or model in MODELS):
        return model
    return f"local:{model}" if model in MODELS else str(Path(model).resolve())


def plan(board: Board) -> dict[str, Any]:
    """What it will take and could see: selecting (minutes of each selector that asks a model), training, the minimum
    detectable effect of the mean."""
    grid, rows = board.grid, Rows(board.pool.table, board.context)
    counts = Counter(i.ability for i in grid.items if i.reference)
    mde = planned_mde(draws_of([i for i in grid.items if i.reference]), board.seeds, metric=board.metric)
    selecting = {
        name: (step.estimate(rows) or {"tokens": 0, "minutes": 0.0}) if isinstance(step, Select) else None
        for name, step in board.methods.items()
    }
    took = cost(grid, board.streams(drafted=True))
    minutes = sum(s["minutes"] for s in selecting.values() if s)
    return {
        "build": board.pool.build.resolve().name, "selectors": list(board.methods), "seeds": board.seeds,
        "rows": board.rows,
        "supervised_tokens": board.budget, "pool": len(board.pool), "leaking_rows_left_out": board.pool.leaks,
        "selecting": selecting, "selecting_minutes": round(minutes, 1), **took,
        "minutes": round(minutes + took["seconds"] / 60, 1), "items": dict(counts), "query_items": len(board.query),
        "mde": mde.get(MACRO) or (max(mde.values()) if mde else None), "metric": board.metric, "known": KNOWN,
    }  # fmt: skip


def run(board: Board) -> dict[str, Any]:
    """Select, train what is missing, compare; writes the leaderboard's folder and returns what `leaderboard --json`
    prints."""
    started, grid = time.perf_counter(), board.grid
    with locked(grid.folder):
        took = _select(board)
        streams = board.streams()
        scores = run_grid(grid, streams)
        found = _found(board, streams, scores, took)
        write_table(scores, grid.folder / "scores.parquet")
        write_text(grid.folder / "leaderboard.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        seconds = time.perf_counter() - started
        facts = run_facts(grid, seconds) | {"selecting_seconds": took}
        write_text(grid.folder / "run.json", json.dumps(facts, indent=1) + "\n")
    return {**found, "folder": str(grid.folder), "seconds": round(seconds, 1)}


def _select(board: Board) -> dict[str, float]:
    """Every selector's order of the pool, kept in the folder; returns the seconds that each took now."""
    grid, took = board.grid, {}
    lines = [{"messages": [*i.messages, {"role": "assistant", "content": i.reference or ""}]} for i in board.query]
    write_text(grid.folder / "query.jsonl", "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    ids, table = board.pool.ids.to_pylist(), board.pool.table
    if table["messages"].type.value_type.get_field_index("weight") >= 0:  # selectors may ask what is learned of a row
        ids = weighed(ids, talks_of(table))
    rows = hashlib.sha256("".join(ids).encode()).hexdigest()
    for name, step in board.methods.items():
        start = time.perf_counter()
        shaped = (
            step.scoring(board.context) if isinstance(step, Select) else [name, grid.spec, [i.id for i in board.query]]
        )
        key = hashlib.sha256(json.dumps([rows, shaped], sort_keys=True).encode()).hexdigest()[:24]
        path = grid.folder / "orders" / f"{slug(name)}-{key}.npy"
        if sound(path):
            board.orders[name] = np.load(path, allow_pickle=False)
        else:
            board.orders[name] = _order(board, name, step)
            with whole(path) as file:
                np.save(file, board.orders[name], allow_pickle=False)
            seal(path)
            grid.say(f"{name}: chose in {time.perf_counter() - start:.0f} s")
        took[name] = round(time.perf_counter() - start, 2)
    return took


def _order(board: Board, name: str, step: Select | Scorer) -> np.ndarray:
    """Row numbers of the pool, those with a score, in the order in which the selector takes them."""
    rows = Rows(board.pool.table, board.context)
    if isinstance(step, Select):
        found = step.score(rows)
        score, place = np.asarray(found["score"]), np.asarray(found["_place"])
    else:
        score = np.asarray(step(rows, board.query, board.grid.spec), float)
        if score.shape != (len(rows),):
            raise InputError(f"selector {name}: it gave {score.shape} scores for {len(rows):,} rows, not one each")
        place = places(score, rows.id)
    order = np.argsort(place, kind="stable")
    return order[~np.isnan(score[order])].astype(np.int64)


def _found(board: Board, streams: Sequence[Stream], scores: Any, took: dict[str, float]) -> dict[str, Any]:
    """What leaderboard.json says: selectors by their mean effect, best first."""
    kind = metric_of(board.metric)
    pairs = against(scores, board.metric, RANDOM)
    heads = {arm: by.get(MACRO) or next(iter(by.values())) for arm, by in pairs.items()}
    family = [m for m in board.methods]
    asked = [*board.grid.question, manifest_digest(board.pool.build), sorted(family), board.metric, board.rows]
    look = one_look(board.grid.folder, asked, board.seeds)
    verdicts = dict(zip(family, decide([heads[m] for m in family], [(kind, published(kind))] * len(family), look)))
    (alone,) = decide([heads[AGAIN]], [(kind, published(kind))])
    first = {s.arm: s for s in streams if s.seed == 0}
    table = []
    for name, v in [*verdicts.items(), (AGAIN, alone)]:
        by = {a: d for a, d in pairs[name].items() if a != MACRO}
        apart = decide(list(by.values()), [(kind, None)] * len(by))
        numbers = {k: getattr(v, k) for k in ("effect", "low", "high", "p_holm", "mde", "n", "seeds", "verdict", "why")}
        table.append(
            {"selector": name, "selected": v.mean_b, RANDOM: v.mean_a, **numbers, "rows": len(first[name].ids),
             "shared_with_random": len(set(first[name].ids) & set(first[RANDOM].ids)),
             "abilities": [{"ability": a, "effect": x.effect, "low": x.low, "high": x.high, "n": x.n} for a,
             x in zip(by, apart)]}
        )  # fmt: skip
    sign = 1 if kind.lower_is_better else -1
    table.sort(key=lambda r: (r["selector"] == AGAIN, sign * (r["effect"] or 0.0), r["selector"]))
    return {
        "schema_version": SCHEMA_VERSION, "build": board.pool.build.resolve().name,
        "manifest_sha256": manifest_digest(board.pool.build), "model": board.grid.about()[0],
        "training": board.grid.recipe.model_dump(mode="json"), "metric": board.metric, "unit": kind.unit,
        "lower_is_better": kind.lower_is_better, "seeds": board.seeds, "level": look.level, "rows": board.rows,
        "supervised_tokens": board.budget,
        "pool": len(board.pool), "leaking_rows_left_out": board.pool.leaks, "items": len(board.grid.items),
        "query_items": len(board.query), "random_rows": len(first[RANDOM].ids), "selectors": table,
        "better_after_holm": sum(r["verdict"] == "better" for r in table if r["selector"] != AGAIN),
        "compared": len(family), "known": KNOWN,
    }  # fmt: skip
