"""Growth curves: train on every size, score every ability, fit what more data brings."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.errors import InputError
from instdata.files import whole, write_text
from instdata.harness.cells import Cell, Grid, Stream, estimate, read_cells, run_base, run_streams
from instdata.harness.evaluate import LOWER_IS_BETTER, not_judged, write_scores
from instdata.harness.items import Item
from instdata.harness.likelihood import answer_losses
from instdata.harness.recipes import Training
from instdata.harness.source import (
    items_of,
    manifest_digest,
    rows_in_order,
    sizes_of,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.yamlfile import did_you_mean

SCHEMA_VERSION = 1
CURVES = pa.schema(
    [
        ("model", pa.string()), ("arm", pa.string()), ("suite", pa.string()), ("ability", pa.string()), ("metric", pa.string()),
        ("config", pa.string()), ("rows", pa.int64()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("n", pa.int64()), ("seeds", pa.int64()), ("chance", pa.float64()),
    ]
)  # fmt: skip


def chosen_sizes(build: Path, wanted: str | None, most: int) -> list[tuple[str, int]]:
    """(config, rows) to train on: the build's sizes, or those that `64,128,10pct` names: configs, or numbers of rows (a
    prefix of the ladder's order). Raises InputError."""
    known = sizes_of(build)
    if not wanted:
        return [(n, r) for n, r in known if r <= most]
    by_name = dict(known)
    found = {}
    for word in (w.strip() for w in wanted.split(",") if w.strip()):
        rows = by_name.get(word) or (int(word) if word.isdecimal() else None)
        if not rows:
            raise InputError(
                f"--sizes {word}: no such config and no number.{did_you_mean(word, by_name)} Configs: {', '.join(by_name)}"
            )
        if rows > most:
            raise InputError(f"--sizes {word}: there are {most:,} rows; choose at most that")
        found[rows] = word
    return [(name, rows) for rows, name in sorted(found.items())]


def grids(
    build: Path, models: Sequence[str], seeds: int, recipe: Training, kinds: Sequence[str], *, sizes: str | None = None,
    suites: Sequence[Path] = (), max_items: int | None = None, origins: Sequence[str] = ("mixed",), taxonomy: str | None = None,
    say: Callable[[str], None] = print,
) -> list[tuple[Grid, list[Stream], Callable[[Any], float] | None]]:  # fmt: skip
    """For each model its grid and the streams to train on: origins x seeds. Raises InputError on what does not fit."""
    items = items_of(build, taxonomy_of(build, taxonomy), suites, max_items)
    validate = None
    if recipe.best_after is not None:
        held, items = split_items(items)
        validate = Validation(held)
    items = with_distractors(items, kinds)
    if not items:
        raise InputError(f"{build}: no items to score; hold more rows out, or give --suite")
    streams = []
    for origin in origins:
        ids, talks = rows_in_order(build, "full", origin)
        if not ids:
            raise InputError(f"--origin {origin}: {build} has no such rows")
        rungs = chosen_sizes(build, sizes, len(ids))
        if not rungs:
            raise InputError(f"--origin {origin}: its {len(ids):,} rows fill none of the sizes; name smaller --sizes")
        most = rungs[-1][1]
        arm = "all" if origin == "mixed" else origin
        streams += [Stream(arm, seed, ids[:most], talks[:most], rungs) for seed in range(seeds)]
    folder = build / "curves"
    return [(Grid(folder, spec, recipe, items, list(kinds), say), streams, validate) for spec in models]


@dataclass(frozen=True)
class Validation:
    """The mean loss per token of a run on the references of items it is not scored on."""

    items: Sequence[Item]

    def __call__(self, run: Any) -> float:
        talks = [[*i.messages, {"role": "assistant", "content": i.reference}] for i in self.items if i.reference]
        found = answer_losses(run.net, run.tokenizer, talks, run.context)
        return float(np.nansum(found[:, 0]) / np.nansum(found[:, 1]))


def planned(found: list[tuple[Grid, list[Stream], Any]]) -> dict[str, Any]:
    """What these grids will take: the sums of their estimates."""
    parts = [estimate(grid, streams).plain() for grid, streams, _ in found]
    total = {k: sum(p[k] for p in parts) for k in parts[0] if k != "tokens_per_second"}
    return total | {"tokens_per_second": parts[0]["tokens_per_second"]}


def plan_line(plan: dict[str, Any]) -> str:
    """The estimate in one line."""
    if not plan["missing"]:
        return f"all {plan['cells']} cells are here already"
    shared = plan["separate_tokens"] / plan["tokens"] if plan["tokens"] else 1
    saving = f" ({shared:.2f}x fewer than separate runs)" if shared > 1.005 else ""
    minutes = plan["seconds"] / 60
    return (
        f"{plan['missing']} of {plan['cells']} cells to run: {plan['tokens']:,} tokens to train{saving}, "
        f"{plan['scored_tokens']:,} to score, {plan['flops']:.1e} FLOPs, about {minutes:.0f} min here"
    )


def run_curves(build: Path, found: list[tuple[Grid, list[Stream], Any]]) -> dict[str, Any]:
    """Run the missing cells of all grids and write curves/; returns what `curves --json` prints."""
    started = time.perf_counter()
    cells: list[Cell] = []
    for grid, streams, validate in found:
        cells.append(run_base(grid))
        cells += run_streams(grid, streams, validate)
    grid = found[0][0]
    scores = read_cells(cells)
    curves = curve_rows(scores)
    fits = fitted(scores)
    folder = grid.folder
    about = ["cell", "model", "arm", "config", "rows", "tokens", "seed"]
    shown = scores.select(about).group_by(about, use_threads=False).aggregate([]).to_pylist()
    summary = {
        "schema_version": SCHEMA_VERSION,
        "build": build.resolve().name,
        "manifest_sha256": manifest_digest(build),
        "training": grid.recipe.model_dump(mode="json"),
        "models": [{"name": g.about()[0], "digest": g.about()[1]} for g, _, _ in found],
        "items": len(grid.items),
        "cells": shown,
        "fits": fits,
        "not_judged": not_judged(grid.items, scores),
    }
    write_scores(scores, folder / "scores.parquet")
    write_table(curves, folder / "curves.parquet")
    write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    seconds = time.perf_counter() - started
    write_text(folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    shown_in = _report(build, grid.say)
    return {
        "build": str(build),
        "folder": str(folder),
        **summary,
        "table": curves.to_pylist(),
        "report": shown_in,
        "seconds": round(seconds, 1),
    }


def _report(build: Path, say: Callable[[str], None]) -> str | None:
    """Draw the curves as PNG and into the build's report, where the report extra is installed."""
    from instdata.errors import MissingExtra
    from instdata.report.harness_charts import curve_charts
    from instdata.report.page import write_report

    try:
        curve_charts(build / "curves")
        return str(write_report(build))
    except MissingExtra as e:
        say(str(e))
        return None


def run_facts(grid: Grid, seconds: float) -> dict[str, Any]:
    """What is volatile of a run: seconds, speed, machine, versions."""
    import torch
    import transformers

    path = grid.folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    speeds = [m["tokens_per_second"] for m in lines if "tokens_per_second" in m]
    return {
        "seconds": round(seconds, 1),
        "tokens_per_second": float(np.median(speeds)) if speeds else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores",
        "machine": platform.machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def write_table(rows: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all."""
    with whole(path) as file:
        pq.write_table(rows, file, compression="zstd")


def curve_rows(scores: pa.Table) -> pa.Table:
    """Every point of every curve, with a 95 % interval over items and seeds; ability "macro" is the mean over abilities.
    The untrained model is a point of each arm, at 0 rows."""
    from instdata.harness.stats import paired_difference, t_interval

    frame = scores.drop_columns(["prompt", "answer", "reason"]).to_pandas()
    found: list[dict[str, Any]] = []
    keys = ["model", "arm", "suite", "metric", "config", "rows"]
    for key, mine in frame.groupby(keys, sort=True):
        shared = dict(zip(keys, key)) | {"seeds": int(mine["seed"].nunique())}
        parts = []
        for ability, rows in mine.groupby("ability", sort=True):
            values = rows.pivot(index="seed", columns="item", values="value")
            weights = rows.groupby("item")["weight"].first().reindex(values.columns).to_numpy()
            known = values.notna().all(axis=0).to_numpy()
            point = shared | {"ability": ability, "n": int(known.sum()), "chance": _mean(rows["chance"])}
            if known.sum() >= 2:
                e = paired_difference(values.to_numpy()[:, known], weights[known])
                point |= {"value": e.value, "low": e.low, "high": e.high}
                parts.append(e)
            elif known.any():
                point |= {"value": float(np.nanmean(values.to_numpy()[:, known]))}
            found.append(point)
        if parts:
            value = float(np.mean([e.value for e in parts]))
            se = float(np.sqrt(sum(e.se**2 for e in parts)) / len(parts))
            low, high = t_interval(value, se, min(e.df for e in parts))
            found.append(
                shared | {"ability": "macro", "value": value, "low": low, "high": high, "n": int(mine["item"].nunique()), "chance": _mean(mine["chance"])}
            )  # fmt: skip
    return pa.Table.from_pylist(found, schema=CURVES)


def _mean(values: Any) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None


def fitted(scores: pa.Table) -> list[dict[str, Any]]:
    """The fit of every curve: slope per doubling with its interval, which shape, which label (summary.json's `fits`)."""
    from instdata.harness.fits import cells_of, fit

    scores = scores.filter(pc.greater(scores["rows"], 0))
    found = []
    keys = ["model", "arm", "suite", "metric"]
    for key in sorted(tuple(k.values()) for k in scores.select(keys).group_by(keys).aggregate([]).to_pylist()):
        chosen = scores
        for column, value in zip(keys, key):
            chosen = chosen.filter(pc.equal(chosen[column], value))
        abilities = {a: c for a, c in cells_of(chosen).items() if np.isfinite(c.values).all(0).any()}
        lower = key[3] in LOWER_IS_BETTER
        curves = {a: (c.values, c.weights) for a, c in abilities.items()}
        if curves:
            first = next(iter(abilities.values()))
            curves["macro"] = ([c.values for c in abilities.values()], [c.weights for c in abilities.values()])
            for ability, (values, weights) in curves.items():
                f = fit(first.rows, first.seeds, values, weights, lower_is_better=lower)
                found.append(
                    dict(zip(keys, key)) | {"ability": ability, "slope": f.slope, "low": f.low, "high": f.high, "kind": f.kind, "label": f.label, "rungs": f.rungs, "seeds": f.seeds, "n": f.n}
                )  # fmt: skip
    return found


def show_curves(result: dict[str, Any]) -> None:
    """The table in BELLE's style: abilities by sizes, macro mean last, slope (with half of its 95 % interval) and label
    beside it; a table for each model, arm, suite and metric."""
    from rich.markup import escape

    from instdata.show import _console, _table

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
        unit = "bits per byte, lower is better" if metric == "bits" else f"{metric}, 0 to 1"
        table = _table(
            "ability",
            ">base",
            *(f">{n}" for _, n in sizes),
            ">per doubling",
            "curve",
            title=f"{model}, {arm} rows, {suite}: {unit}",
        )
        value = {(p["ability"], p["config"]): p["value"] for p in points}
        names = sorted({p["ability"] for p in points} - {"macro"})
        for ability in [*names, "macro"]:
            fit = labels.get((model, arm, suite, metric, ability))
            slope = _slope(fit)
            cells = [_number(base.get((model, suite, metric, ability)))] + [
                _number(value.get((ability, n))) for _, n in sizes
            ]
            table.add_row(escape(ability), *cells, slope, fit["label"] if fit else "-")
        console.print()
        console.print(table)
        chance = next((p["chance"] for p in points if p["chance"] is not None and p["ability"] == "macro"), None)
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
    half = (fit["high"] - fit["low"]) / 2
    return f"{fit['slope']:+.4f} ±{half:.4f}" if half < 1 else f"{fit['slope']:+.4f} ±?"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
