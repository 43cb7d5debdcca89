"""Growth curves: train on every size, score every ability, fit what more data brings."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell import Cell, Grid, Stream, Validation, estimate, read_cells, run_base, run_streams
from instdata.compare.effect import MACRO, metric_of
from instdata.corpus.write import locked
from instdata.grow.fit import fit
from instdata.judge.grade import Asked, graded, judging
from instdata.score.source import (
    items_of,
    manifest_digest,
    rows_in_order,
    sizes_of,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.score.table import cells_of, groups, not_judged, summary, write_table
from instdata.train.recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError, MissingExtra
from instdata.util.values import count
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
CURVES = pa.schema(
    [
        ("model", pa.string()), ("arm", pa.string()), ("suite", pa.string()), ("ability", pa.string()), ("metric", pa.string()),
        ("config", pa.string()), ("rows", pa.int64()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("n", pa.int64()), ("missing", pa.int64()), ("seeds", pa.int64()), ("chance", pa.float64()),
    ]
)  # fmt: skip


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
                f"--sizes {word}: no such config and no number.{did_you_mean(word, by_name)} Configs: {', '.join(by_name)}"
            ) from None
        if rows > most:
            raise InputError(f"--sizes {word}: there are {most:,} {what}rows; choose at most that")
        found[rows] = word
    return [(name, rows) for rows, name in sorted(found.items())]


def grids(
    build: Path, models: Sequence[str], seeds: int, recipe: Training, kinds: Sequence[str], *, sizes: str | None = None,
    suites: Sequence[Path] = (), max_items: int | None = None, origins: Sequence[str] = ("mixed",),
    taxonomy: str | None = None, judge: Asked | None = None, say: Callable[[str], None] = print,
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
    return [(Grid(folder, spec, recipe, items, list(kinds), say, judged, validate), streams) for spec in models]


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


def plan_line(plan: dict[str, Any]) -> str:
    """The estimate in one line."""
    if not plan["missing"]:
        return f"all {plan['cells']} cells are here already"
    shared = plan["separate_tokens"] / plan["tokens"] if plan["tokens"] else 1
    saving = f" ({shared:.2f}x fewer than separate runs)" if shared > 1.005 else ""
    minutes = plan["seconds"] / 60
    takes = f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"
    return (
        f"{plan['missing']} of {plan['cells']} cells to run: {plan['tokens']:,} tokens to train{saving}, "
        f"{plan['scored_tokens']:,} to score, {plan['flops']:.1e} FLOPs, {takes} here"
    )


def run_curves(build: Path, found: list[tuple[Grid, list[Stream]]]) -> dict[str, Any]:
    """Run the missing cells of all grids and write curves/; returns what `curves --json` prints."""
    started, digest = time.perf_counter(), manifest_digest(build)
    cells: list[Cell] = []
    with locked(found[0][0].folder):
        for grid, streams in found:
            cells.append(run_base(grid))
            cells += run_streams(grid, streams)
    grid = found[0][0]
    scores = read_cells(cells)
    if grid.judge:
        scores = graded(grid.judge, grid.items, scores)
    curves = curve_rows(scores)
    fits = fitted(scores)
    folder = grid.folder
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
        "not_judged": not_judged(grid.items, scores),
    }
    write_table(scores, folder / "scores.parquet")
    write_table(curves, folder / "curves.parquet")
    write_text(folder / "summary.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    seconds = time.perf_counter() - started
    write_text(folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    page = report(_draw, build, grid.say)
    return {
        "build": str(build),
        "folder": str(folder),
        **facts,
        "table": curves.to_pylist(),
        "report": page,
        "seconds": round(seconds, 1),
    }


def _draw(build: Path) -> Path:
    """The curves as PNG and in the build's report; returns that."""
    from instdata.report.harness_charts import curve_charts
    from instdata.report.page import write_report

    curve_charts(build / "curves")
    return write_report(build)


def report(draw: Callable[[Path], Path], folder: Path, say: Callable[[str], None]) -> str | None:
    """The page that `draw` makes of a folder; None, and said, where the report extra is missing."""
    try:
        return str(draw(folder))
    except MissingExtra as e:
        say(str(e))
        return None


def run_facts(grid: Grid, seconds: float) -> dict[str, Any]:
    """What is volatile of a run: seconds, speed, machine, versions."""
    import torch
    import transformers

    path = grid.folder / "metrics.jsonl"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    # a line may be cut, where a run was killed
    speeds = [float(m[1]) for m in re.finditer(r'"tokens_per_second": ([0-9.]+),', text)]
    return {
        "seconds": round(seconds, 1),
        "tokens_per_second": float(np.median(speeds)) if speeds else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores",
        "machine": platform.machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def curve_rows(scores: pa.Table) -> pa.Table:
    """Every point of every curve, with a 95 % interval over items and seeds; ability "macro" is the mean over abilities.
    The untrained model is a point of its own, at 0 rows."""
    found: list[dict[str, Any]] = []
    for group, mine in groups(scores, ["model", "arm", "config", "rows"]):
        found += [group | point for point in summary(mine)]
    return pa.Table.from_pylist(found, schema=CURVES)


def fitted(scores: pa.Table) -> list[dict[str, Any]]:
    """The fit of every curve: slope per doubling with its interval, which shape, which label (summary.json's `fits`)."""
    found = []
    for group, chosen in groups(scores.filter(pc.greater(scores["rows"], 0)), ["model", "arm", "suite", "metric"]):
        abilities = {a: c for a, c in cells_of(chosen).items() if np.isfinite(c.values).all(0).any()}
        curves: dict[str, Any] = {a: (c.values, c.weights) for a, c in abilities.items()}
        if curves:
            first = next(iter(abilities.values()))
            curves[MACRO] = ([c.values for c in abilities.values()], [c.weights for c in abilities.values()])
        for ability, (values, weights) in curves.items():
            lower = metric_of(group["metric"]).lower_is_better
            shown = fit(first.rows, first.seeds, values, weights, lower_is_better=lower).plain()
            del shown["aicc"]
            found.append(group | {"ability": ability} | shown)
    return found


def show_curves(result: dict[str, Any]) -> None:
    """The table in BELLE's style: abilities by sizes, macro mean last, slope (with half of its 95 % interval) and label
    beside it; a table for each model, arm, suite and metric."""
    from rich.markup import escape

    from instdata.cli.output import _console, _table

    console = _console()
    by: dict[tuple, list[dict[str, Any]]] = {}
    for point in result["table"]:
        by.setdefault((point["model"], point["arm"], point["suite"], point["metric"]), []).append(point)
    labels = {(f["model"], f["arm"], f["suite"], f["metric"], f["ability"]): f for f in result["fits"]}
    base = {
        (p["model"], p["suite"], p["metric"], p["ability"]): p["value"]
        for p in result["table"]
        if p["config"] == "base"
    }
    for (model, arm, suite, metric), points in by.items():
        sizes = sorted({(p["rows"], p["config"]) for p in points if p["config"] != "base"})
        if not sizes or metric in ("distractor_fine", "distractor_coarse"):  # the report shows these apart
            continue
        kind = metric_of(metric)
        unit = f"{kind.unit}, lower is better" if kind.lower_is_better else f"{metric}, 0 to 1"
        table = _table(
            "ability",
            ">base",
            *(f">{n}" for _, n in sizes),
            ">per doubling",
            "curve",
            title=escape(f"{model}, {arm} rows, {suite}: {unit}"),
        )
        value = {(p["ability"], p["config"]): p["value"] for p in points}
        names = sorted({p["ability"] for p in points} - {MACRO})
        for ability in [*names, MACRO]:
            fit = labels.get((model, arm, suite, metric, ability))
            slope = _slope(fit)
            cells = [_number(base.get((model, suite, metric, ability)))] + [
                _number(value.get((ability, n))) for _, n in sizes
            ]
            table.add_row(escape(ability), *cells, slope, fit["label"] if fit else "-")
        console.print()
        console.print(table)
        chance = next((p["chance"] for p in points if p["chance"] is not None and p["ability"] == MACRO), None)
        seeds = max(p["seeds"] for p in points)
        items = max(p["n"] for p in points)
        console.print(
            f"{items} items, {seeds} seed{'s' * (seeds > 1)}" + (f", chance {chance:.2f}" if chance is not None else "")
        )
    if result.get("not_judged"):
        console.print(f"not judged (no judge asked): {', '.join(result['not_judged'])}")
    console.print(
        f"\n{result['folder']}: scores.parquet, curves.parquet, summary.json; charts in the build's report.html"
    )


def _slope(fit: dict[str, Any] | None) -> str:
    """A slope and half of its 95 % interval; without the interval where that says nothing."""
    if not fit or fit["slope"] is None:
        return "-"
    half, slope = (fit["high"] - fit["low"]) / 2, round(fit["slope"], 4) + 0.0  # no -0.0000
    return f"{slope:+.4f} ±{half:.4f}" if half < 1 else f"{slope:+.4f} ±?"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
