"""Several choices at once, against one control at equal supervised tokens: `ablate --add a,b` and `ablate --filter
a,b`.

--add: the base mix is the rows of none of these sources; an arm draws from base and source together (how large labs
build
their mixes: one source added to a base of equal size). --filter a,b: a factorial; every row before the earlier step is
looked at by both, so that b's effect is known with and without a. One family, Holm's p; the best of several is run
again on fresh seeds, since the best of many looks better than it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instdata.builds import manifest, rows_of
from instdata.compare.arm import COLUMNS, Pool, pool_of
from instdata.compare.cell import Grid, Stream, run_grid
from instdata.compare.equal_cost import EqualPool, against, clean_pool, cost, equal_pool
from instdata.compare.equivalence_margin import published
from instdata.compare.exam_items import exam_items, passes
from instdata.compare.grid_summary import run_facts
from instdata.compare.paired_comparison import Matched, decide
from instdata.compare.sequential_looks import one_look
from instdata.corpus.rows import CORPUS, TURNS, Rows, with_fields
from instdata.corpus.write_build_folder import locked
from instdata.recipe.load import read_recipe
from instdata.score.from_build import items_of, manifest_digest, slug, taxonomy_of, with_distractors
from instdata.score.metric import MACRO, metric_of
from instdata.score.score_table import write_table
from instdata.train.training_recipe import Training
from instdata.util.atomic import write_text
from instdata.util.build_context import Context
from instdata.util.checksums import part
from instdata.util.errors import InputError, InstdataError
from instdata.util.paths import cache_folder
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
CONTROL, AGAIN = "base", "base again"
INTERACTION = "interaction"
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"]}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Several:
    """What can run. masks: for each arm, which rows of the pool it draws from; the control's under CONTROL. factors:
    the two filters of a factorial, None for added sources."""

    pool: EqualPool
    grid: Grid
    masks: dict[str, np.ndarray]
    asked: str
    rows: int
    budget: int
    seeds: int
    metric: str
    factors: tuple[str, str] | None = None

    @property
    def arms(self) -> list[str]:
        return [a for a in self.masks if a not in (CONTROL, AGAIN)]

    def streams(self, seeds: Sequence[int], arms: Sequence[str] | None = None) -> list[Stream]:
        """Arms share an order of the pool, so they share rows; the second draw of the base has another."""
        found = []
        for seed in seeds:
            for arm in arms or self.masks:
                order = self.pool.drawn(seed, AGAIN if arm == AGAIN else "several")
                rows = self.pool.fill(order[self.masks[arm][order]], self.budget, self.grid, arm)
                found.append(self.pool.stream(arm, seed, rows, str(self.rows), self.rows))
        return found


def prepare(
    build: Path, *, add: str | None, filters: str | None, rows: int | None, seeds: int, model: str, metric: str,
    recipe: Training,
    suites: Sequence[Path], max_items: int | None, taxonomy: str | None, out: Path | None, say: Say,
) -> Several:  # fmt: skip
    """Added sources or a factorial, ready to run. Raises InputError for what does not fit."""
    if metric not in KINDS:
        raise InputError(
            f"--metric {metric}: one of {', '.join(KINDS)} with several arms.{did_you_mean(metric, KINDS)}"
        )
    if seeds < 2:
        raise InputError("one seed says nothing about the next one: --seeds 3")
    words = [w.strip() for w in (add or filters or "").split(",") if w.strip()]
    names = taxonomy_of(build, taxonomy)
    items = items_of(build, names, suites, max_items) if add else []
    for word in words if filters else []:  # neither of them may have chosen the exam
        items = exam_items(build, word, names, suites, max_items)
    items = with_distractors([i for i in items if i.reference], KINDS[metric])
    if not items:
        raise InputError(f"{build}: no items to score; hold more rows out, or give --suite")
    asked = ("add-" if add else "filter-") + "-".join(words)
    grid = Grid(
        out or Path("ablations") / slug(f"{build.resolve().name}-{asked}"), model, recipe, items, KINDS[metric], say
    )
    if add:
        pool = equal_pool(build, grid)
        masks, factors = _added(pool, words), None
    else:
        pool, masks = _crossed(build, words, grid, names)
        factors = (words[0], words[1])
    most = min(int(m.sum()) for m in masks.values())
    rows = rows or min(256, most // 2)
    return Several(pool, grid, masks, asked, rows, pool.budget(rows, grid), seeds, metric, factors)


def _added(pool: EqualPool, words: Sequence[str]) -> dict[str, np.ndarray]:
    """The base's rows, and for each source base and source together."""
    has: dict[str, np.ndarray] = {}
    for word in words:
        column, _, value = word.rpartition("=")
        column = column or "source"
        if column not in COLUMNS or column not in pool.table.column_names:
            raise InputError(f"--add {word}: a source, or one of {', '.join(c + '=…' for c in COLUMNS)}")
        values = pool.values(column)
        if value not in values:
            known = sorted(set(values.tolist()))
            raise InputError(
                f"--add {word}: no row has it.{did_you_mean(value, known)} There are: {', '.join(known[:12])}"
            )
        has[word] = values == value
    base = ~np.any(list(has.values()), 0)
    if not base.any():
        raise InputError(f"--add {','.join(words)}: no row is left for the base: name fewer sources")
    return {CONTROL: base, **{f"+{w}": base | own for w, own in has.items()}, AGAIN: base}


def _crossed(build: Path, words: Sequence[str], grid: Grid, taxonomy: Any) -> tuple[EqualPool, dict[str, np.ndarray]]:
    """The rows before the earlier of two filters, and which of them each passes, whatever the other one did."""
    if len(words) != 2 or words[0] == words[1]:
        raise InputError(f"--filter {','.join(words)}: a factorial is of two filters: --filter a,b")
    steps = [s["name"] for s in manifest(build)["steps"]]
    order = sorted((w for w in words if w in steps), key=steps.index)
    first = pool_of(build, order[0] if order else words[0])
    table = _table_of(build, first)
    masks = {}
    for word in words:
        masks[word] = first.passed if word == first.filter else _passes(build, word, table, first, taxonomy, grid.say)
        if masks[word].all() or not masks[word].any():
            raise InputError(
                f"--filter {word}: it passes {'all' if masks[word].all() else 'none'} of the {len(table):,} rows"
            )
    a, b = words
    every = np.ones(len(table), bool)
    found = {CONTROL: every, a: masks[a], b: masks[b], f"{a} and {b}": masks[a] & masks[b], AGAIN: every}
    pool, clean = clean_pool(build, table, grid)
    return pool, {arm: mask[clean] for arm, mask in found.items()}


def _table_of(build: Path, pool: Pool) -> pa.Table:
    """The pool's rows as steps see them, kept ones from the data, dropped ones from dropped.parquet. Raises InputError
    where that is not there."""
    path = part(build, "dropped.parquet")
    if not path.is_file():
        raise InputError(
            f"{build}: it has no {path.name}, so what was dropped cannot be looked at again: build it again"
        )
    dropped = pq.read_table(path)
    kept = pa.Table.from_batches(list(rows_of(build, "full")))
    names = [c for c in [*CORPUS.names[1:], "tools"] if c in kept.column_names or c in dropped.column_names]
    parts = []
    for table in (kept, dropped):
        there = table.select([c for c in names if c in table.column_names])
        messages = with_fields(there["messages"].combine_chunks(), TURNS)
        parts.append(there.set_column(there.column_names.index("messages"), "messages", messages))
    both = pa.concat_tables(parts, promote_options="permissive").select(names)
    ids, rids = (dict(zip(t[c].to_pylist(), range(len(t)))) for t, c in ((kept, "id"), (dropped, "rid")))
    at = [ids[i] if i in ids else len(kept) + rids[r] for i, r in zip(pool.ids.to_pylist(), pool.rids.tolist())]
    return both.take(pa.array(at)).add_column(0, "rid", pa.array(pool.rids.tolist(), pa.string())).combine_chunks()


def _passes(build: Path, word: str, table: pa.Table, pool: Pool, taxonomy: Any, say: Say) -> np.ndarray:
    """Which rows of the table a filter passes that may not have seen them all."""
    if "=" in word:
        other = pool_of(build, word)
        passed = set(other.ids.filter(pa.array(other.passed)).to_pylist())
        return np.array([i in passed for i in pool.ids.to_pylist()], bool)
    step = next((s for s in read_recipe(part(build, "recipe.yaml")).steps if s.name == word), None)
    if step is None:
        raise InputError(
            f"--filter {word}: a factorial is of steps and column=value; {build.name} has no step of that name"
        )
    rows = Rows(table, Context(taxonomy=taxonomy, base=build, cache=cache_folder()))
    try:
        return passes(step, rows, say)[0]
    except Exception as e:  # a step of anybody's
        why = str(e) if isinstance(e, InstdataError) else f"{type(e).__name__}: {e}"
        raise InputError(f"--filter {word}: it cannot look at rows that the other filter drops: {why}") from e


def plan(several: Several) -> dict[str, Any]:
    """What it takes."""
    took = cost(several.grid, several.streams(range(several.seeds)))
    return {
        "asked": several.asked, "arms": list(several.masks), "pool": len(several.pool),
        "passed": {a: int(m.sum()) for a, m in several.masks.items()}, "rows": several.rows,
        "supervised_tokens": several.budget, "seeds": several.seeds, "metric": several.metric, **took,
    }  # fmt: skip


def run(several: Several) -> dict[str, Any]:
    """Run what is missing, decide, confirm the best of several; writes the folder and returns what `ablate --json`
    prints."""
    started, grid = time.perf_counter(), several.grid
    with locked(grid.folder):
        scores = run_grid(grid, several.streams(range(several.seeds)))
        effects, alone = _effects(several, scores)
        better = [e for e in effects if e["verdict"] == "better" and e["arm"] != INTERACTION]
        confirmation = None
        if better and len(several.arms) > 1:
            sign = 1 if metric_of(several.metric).lower_is_better else -1
            confirmation, fresh = _confirmed(several, min(better, key=lambda e: sign * e["effect"])["arm"])
            write_table(fresh, grid.folder / "confirmation.parquet")
        kind = metric_of(several.metric)
        found = {
            "schema_version": SCHEMA_VERSION, "build": several.pool.build.resolve().name,
            "manifest_sha256": manifest_digest(several.pool.build), "asked": several.asked, "model": grid.about()[0],
            "training": grid.recipe.model_dump(mode="json"), "metric": several.metric, "unit": kind.unit,
            "margin": published(kind), "rows": several.rows, "supervised_tokens": several.budget,
            "seeds": several.seeds,
            "items": len(grid.items), "pool": len(several.pool), "leaking_rows_left_out": several.pool.leaks,
            "effects": effects, "aa": alone, "decided": any(e["verdict"] != "undecided" for e in effects),
            "confirmation": confirmation,
        }  # fmt: skip
        write_table(scores, grid.folder / "scores.parquet")
        write_text(grid.folder / "several.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        seconds = time.perf_counter() - started
        write_text(grid.folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    return {**found, "folder": str(grid.folder), "seconds": round(seconds, 1)}


def _effects(several: Several, scores: pa.Table) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(each arm's effect on the mean over abilities, and of a factorial what both do beyond their sum; the base's
    second draw, which is not in the family)."""
    pairs = against(scores, several.metric, CONTROL)
    heads = {arm: _head(by) for arm, by in pairs.items()}
    family = {a: heads[a] for a in several.arms}
    if several.factors:
        a, b = several.factors
        both = heads[f"{a} and {b}"]
        added = heads[a].b + heads[b].b - both.a  # what both would give if their effects just added up
        family[INTERACTION] = Matched(added, both.b, both.weights, both.cluster)
    kind = metric_of(several.metric)
    digest = manifest_digest(several.pool.build)
    asked = [*several.grid.question, digest, several.asked, several.metric, several.rows]
    look = one_look(several.grid.folder, asked, several.seeds)
    verdicts = decide(list(family.values()), [(kind, published(kind))] * len(family), look)
    found = []
    for arm, v in zip(family, verdicts):
        by = {a: d for a, d in pairs.get(arm, {}).items() if a != MACRO}
        apart = decide(list(by.values()), [(kind, None)] * len(by))
        shown = [{"ability": a, "effect": x.effect, "low": x.low, "high": x.high, "n": x.n} for a, x in zip(by, apart)]
        found.append({"arm": arm, **_plain(v), "abilities": shown})
    (alone,) = decide([heads[AGAIN]], [(kind, published(kind))])
    return found, {"arm": AGAIN, **_plain(alone)}


def _head(by: dict[str, Matched]) -> Matched:
    return by.get(MACRO) or next(iter(by.values()))


def _plain(v: Any) -> dict[str, Any]:
    keys = ("effect", "low", "high", "p_holm", "mde", "n", "seeds", "verdict", "why")
    return {"without": v.mean_a, "with": v.mean_b, **{k: getattr(v, k) for k in keys}}


def _confirmed(several: Several, arm: str) -> tuple[dict[str, Any], pa.Table]:
    """(whether the best arm is better again, on as many fresh seeds; their scores)."""
    seeds = range(several.seeds, 2 * several.seeds)
    scores = run_grid(several.grid, several.streams(seeds, (CONTROL, arm)), base=False)
    kind = metric_of(several.metric)
    (v,) = decide([_head(against(scores, several.metric, CONTROL)[arm])], [(kind, published(kind))])
    return {"arm": arm, **_plain(v)}, scores
