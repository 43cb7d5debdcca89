"""Growth curves: train on every size, score every ability, fit what more data brings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell import KEEP, Grid, Stream, run_grid
from instdata.compare.grid_cost import estimate
from instdata.compare.grid_summary import curve_rows, run_facts
from instdata.compare.metric_card import metric_card
from instdata.corpus.write_build_folder import locked
from instdata.grow.curve_fit import FLAT, fit
from instdata.judge.judge_cells import Asked, graded, judging
from instdata.score.from_build import (
    items_of,
    manifest_digest,
    rows_in_order,
    sizes_of,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.score.metric import MACRO, metric_of
from instdata.score.score_table import Cells, cells_of, groups, not_judged, write_table
from instdata.train.forward import Validation
from instdata.train.training_recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import count
from instdata.util.stats import by_cluster
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1


def chosen_sizes(build: Path, wanted: str | None, most: int, what: str = "") -> list[tuple[str, int]]:
    """(config, rows) to train on: the build's sizes, or those that `64,128,10pct` names: configs, or numbers of rows (a
    prefix of the ladder's order), at most `most` of the rows called `what`. Raises InputError."""
    known = sizes_of(build)
    if not wanted:
        return [(n, r) for n, r in known if r <= most]
    by_name = dict(known)
    found = {}
    for word in (w.strip() for w in wanted.split(",") if w.strip()):
        try:
            rows = by_name.get(word) or count(word)
        except ValueError:
            raise InputError(
                f"--sizes {word}: no such config and no number.{did_you_mean(word, by_name)} Configs: "
                f"{', '.join(by_name)}"
            ) from None
        if rows > most:
            raise InputError(f"--sizes {word}: there are {most:,} {what}rows; choose at most that")
        found[rows] = word
    return [(name, rows) for rows, name in sorted(found.items())]


def grids(
    build: Path, models: Sequence[str], seeds: int, recipe: Training, kinds: Sequence[str], *, sizes: str | None = None,
    suites: Sequence[Path] = (), max_items: int | None = None, origins: Sequence[str] = ("mixed",),
    taxonomy: str | None = None, judge: Asked | None = None, say: Callable[[str], None] = print,
    keep: int = KEEP,
) -> list[tuple[Grid, list[Stream]]]:  # fmt: skip
    """For each model its grid and the streams to train on: origins x seeds. Raises InputError on what does not fit."""
    names = taxonomy_of(build, taxonomy)
    items = items_of(build, names, suites, max_items)
    judged = judging(judge, names, items, say)
    validate = None
    if recipe.best_after is not None:
        held, items = split_items(items)
        validate = Validation(held)
    if len(set(models)) < len(models):
        raise InputError("--model: the same model twice")
    items = with_distractors(items, kinds)
    if not items:
        raise InputError(f"{build}: no items to score; hold more rows out, or give --suite")
    streams = []
    for origin in origins:
        ids, talks = rows_in_order(build, "full", origin)
        if not ids:
            raise InputError(f"--origin {origin}: {build} has no such rows")
        rungs = chosen_sizes(build, sizes, len(ids), "" if origin == "mixed" else f"{origin} ")
        if not rungs:
            raise InputError(f"--origin {origin}: its {len(ids):,} rows fill none of the sizes; name smaller --sizes")
        most = rungs[-1][1]
        arm = "all" if origin == "mixed" else origin
        streams += [Stream(arm, seed, ids[:most], talks[:most], rungs) for seed in range(seeds)]
    folder = build / "curves"
    return [
        (Grid(folder, spec, recipe, items, list(kinds), say, judged, validate, keep=keep), streams) for spec in models
    ]


def planned(found: list[tuple[Grid, list[Stream]]]) -> dict[str, Any]:
    """What these grids will take: the sums of their estimates."""
    parts = []
    for grid, streams in found:
        parts.append(estimate(grid, streams).plain())
        if len(found) > 1:
            grid.loaded = None  # one at a time
    names = [grid.about()[0] for grid, _ in found]
    if len(set(names)) < len(names):
        raise InputError(f"--model: two models are called {max(names, key=names.count)}; rename a folder")
    total = {k: sum(p[k] for p in parts) for k in parts[0] if k != "tokens_per_second"}
    return total | {"tokens_per_second": parts[0]["tokens_per_second"]}


def run_curves(build: Path, found: list[tuple[Grid, list[Stream]]]) -> dict[str, Any]:
    """Run the missing cells of all grids and write curves/; returns what `curves --json` prints."""
    started, digest = time.perf_counter(), manifest_digest(build)
    parts: list[pa.Table] = []
    with locked(found[0][0].folder):
        for grid, streams in found:
            parts.append(run_grid(grid, streams))
    grid = found[0][0]
    scores = pa.concat_tables(parts)
    if grid.judge:
        scores = graded(grid.judge, grid.items, scores)
    curves = curve_rows(scores)
    fits = fitted(scores)
    folder = grid.folder
    last = scores.filter(pc.equal(scores["model"], found[-1][0].about()[0]))
    about = ["cell", "model", "arm", "config", "rows", "tokens", "seed"]
    shown = scores.select(about).group_by(about, use_threads=False).aggregate([]).to_pylist()
    facts = {
        "schema_version": SCHEMA_VERSION,
        "build": build.resolve().name,
        "manifest_sha256": digest,
        "training": grid.recipe.model_dump(mode="json"),
        "models": [{"name": g.about()[0], "digest": g.about()[1]} for g, _ in found],
        "items": len(grid.items),
        "cells": shown,
        "fits": fits,
        "card": [a.plain() for a in metric_card(last)],
        "not_judged": not_judged(grid.items, scores),
    }
    write_table(scores, folder / "scores.parquet")
    write_table(curves, folder / "curves.parquet")
    write_text(folder / "summary.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    seconds = time.perf_counter() - started
    write_text(folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    return {
        "build": str(build),
        "folder": str(folder),
        **facts,
        "table": curves.to_pylist(),
        "seconds": round(seconds, 1),
    }


def drawn(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Scores [cells, draws] and weights [draws] of what was drawn: items about one passage are one, missing ones
    none."""
    kept = np.isfinite(cells.values).all(0) & (cells.weights > 0)
    return by_cluster(cells.values[:, kept], cells.weights[kept], cells.cluster[kept])


def fitted(scores: pa.Table) -> list[dict[str, Any]]:
    """The fit of every curve: slope per doubling with its interval, which shape, which label (summary.json's
    `fits`)."""
    found = []
    for group, chosen in groups(scores.filter(pc.greater(scores["rows"], 0)), ["model", "arm", "suite", "metric"]):
        abilities = {a: c for a, c in cells_of(chosen).items() if np.isfinite(c.values).all(0).any()}
        curves: dict[str, Any] = {a: drawn(c) for a, c in abilities.items()}
        items = {a: int(np.isfinite(c.values).all(0).sum()) for a, c in abilities.items()}
        if curves:
            first = next(iter(abilities.values()))
            curves[MACRO] = tuple(list(x) for x in zip(*curves.values()))
            items[MACRO] = sum(items.values())
        lower, margin, fits = metric_of(group["metric"]).lower_is_better, None, {}
        for ability, (values, weights) in reversed(
            curves.items()
        ):  # the mean first: abilities are flat against its growth
            curve = fit(first.rows, first.seeds, values, weights, lower_is_better=lower, margin=margin)
            fits[ability] = curve.plain() | {
                "mean": float(curve.means.mean()),
                "n": items[ability],
                "clusters": curve.n,
            }
            if ability == MACRO and curve.label in ("growing", "saturating") and curve.slope is not None:
                margin = FLAT * abs(curve.slope)
        for ability in curves:
            del fits[ability]["aicc"]
            found.append(group | {"ability": ability} | fits[ability])
    return found
