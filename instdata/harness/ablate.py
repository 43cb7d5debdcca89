"""`instdata ablate`: what a step did to each ability, with intervals, and nothing claimed that the data do not carry."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from instdata.errors import InputError
from instdata.files import write_text
from instdata.harness.arms import ARMS, Drawn, Pool, draw, pool_against, pool_of
from instdata.harness.cells import Estimate, Grid, Validation, estimate, read_cells, run_base, run_streams
from instdata.harness.curves import curve_rows, run_facts
from instdata.harness.decide import MACRO, Contrast, Effect, decide, metric_of
from instdata.harness.evaluate import write_table
from instdata.harness.judging import judging
from instdata.harness.recipes import Training
from instdata.harness.source import (
    items_of,
    manifest_digest,
    recipe_of,
    slug,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.history import find_build, manifest
from instdata.output import locked
from instdata.yamlfile import did_you_mean

SCHEMA_VERSION = 1
SIZES = (64, 128, 256)
METRICS = ("bits", "distractors", "judge")
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"], "judge": ["bits"]}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Ablation:
    """An ablation that can run. `seeds` are those of the first look; each further look adds one, up to `most`."""

    pool: Pool
    grid: Grid
    sizes: list[int]
    seeds: int
    most: int
    metric: str
    match: str

    def drawn(self, seed: int) -> Drawn:
        """The arms of a seed."""
        return draw(self.pool, self.sizes, seed, self.match, self.grid, self.grid.items)


def prepare(
    build: Path, asked: str | None, against: Path | None, *, sizes: str | None, seeds: int | None, most: int, model: str | None,
    match: str, metric: str, judge: str | None, judge_runs: int, max_usd: float | None, recipe: Training,
    max_items: int | None, taxonomy: str | None, out: Path | None, say: Say,
) -> Ablation:  # fmt: skip
    """An ablation that can run, from what the command was given. Raises InputError for what does not fit."""
    own = recipe_of(build).get("ablate") or {}
    seeds = seeds or max(2, own.get("seeds", 3))
    for word, known, option in ((match, ("tokens", "rows"), "match"), (metric, METRICS, "metric")):
        if word not in known:
            raise InputError(f"--{option} {word}: one of {', '.join(known)}.{did_you_mean(word, known)}")
    if bool(asked) == (against is not None):
        names = ", ".join(s["name"] for s in manifest(build)["steps"])
        raise InputError(f"say what to compare: --filter STEP (steps of {build.name}: {names}), or --against RECIPE")
    if metric == "judge" and judge is None:
        raise InputError("--metric judge needs --judge MODEL")
    if most < seeds:
        say(f"{seeds} seeds from the first look on: --max-seeds {most} changes nothing")
    pool = pool_of(build, asked) if asked else pool_against(build, _other(against, build, say))
    names = taxonomy_of(build, taxonomy)
    held, items = [], items_of(build, names, (), max_items)
    if recipe.best_after is not None:
        held, items = split_items(items)
    items = with_distractors(items, KINDS[metric])
    told = [i for i in items if (i.scorer == "judge" if metric == "judge" else i.reference)]
    if not told:
        raise InputError(f"--metric {metric}: none of {len(items):,} items can be scored by it; hold more rows out")
    silent = sorted(set(manifest(build)["configs"]["full"]["by_ability"]) - {i.ability for i in told})
    if silent:
        say(f"no items to score, so nothing will be said of: {', '.join(silent)}")
    wanted = parse_sizes(sizes, int(pool.passed.sum()))
    judged = judging(judge, names, items, judge_runs, max_usd, say) if metric == "judge" else None
    folder = out or folder_of(build, pool.filter)
    grid = Grid(
        folder,
        model or own.get("model", "auto"),
        recipe,
        items,
        KINDS[metric],
        say,
        judged,
        Validation(held) if held else None,
    )
    return Ablation(pool, grid, wanted, seeds, max(most, seeds), metric, match)


def _other(against: Path | None, build: Path, say: Say) -> Path:
    """The build to compare with: a folder, or the build of a recipe, which is brought up to date."""
    assert against is not None
    if against.suffix not in (".yaml", ".yml"):
        return find_build(against)
    from instdata.build import build as make
    from instdata.build import prepare as resolve
    from instdata.places import cores

    recipe = resolve(against, jobs=cores(), say=say)
    folder = Path("builds") / recipe.recipe.name
    if folder.resolve() == build.resolve():
        raise InputError(
            f"{against}: its name is that of {build.name}; give it another `name:`, so that both builds can exist"
        )
    return make(recipe, folder).path


def folder_of(build: Path, asked: str) -> Path:
    """ablations/<build>-<step>."""
    return Path("ablations") / slug(f"{build.resolve().name}-{asked}")


def parse_sizes(text: str | None, most: int) -> list[int]:
    """`64,128,256` as numbers; by default those of SIZES that the rows allow. Raises InputError."""
    if not text:
        found = [s for s in SIZES if s <= most]
        return found or [most]
    found = []
    for word in (w.strip().replace("_", "") for w in text.split(",") if w.strip()):
        match = re.fullmatch(r"(\d+)(k?)", word, re.IGNORECASE)
        if not match or not int(match[1]):
            raise InputError(f"--sizes {word}: numbers of rows, like 64,128,256 or 1k")
        found.append(int(match[1]) * (1000 if match[2] else 1))
    return sorted(set(found))


def plan(ablation: Ablation) -> dict[str, Any]:
    """What an ablation will take, and what it can see: cells, tokens, FLOPs, minutes here, judge calls, USD, and the
    minimum detectable effect of each ability from the number of its items."""
    from instdata.harness.decide import planned_mde

    draws = [ablation.drawn(seed) for seed in range(ablation.seeds)]
    found = estimate(ablation.grid, [s for d in draws for s in d.streams])
    counts = pd.Series([i.ability for i in ablation.grid.items if i.reference]).value_counts().to_dict()
    looks = ablation.most - ablation.seeds + 1
    mde = planned_mde(counts, ablation.seeds, metric=ablation.metric, looks=looks)
    return {
        "filter": ablation.pool.filter,
        "pool": len(ablation.pool),
        "passed": int(ablation.pool.passed.sum()),
        "arms": len(ARMS),
        "sizes": ablation.sizes,
        "seeds": ablation.seeds,
        "looks": looks,
        "leaking_rows_left_out": max(d.leaks for d in draws),
        **found.plain(),
        "minutes": round(found.seconds / 60, 1),
        "minutes_with_all_looks": round(found.seconds / 60 * ablation.most / ablation.seeds, 1),
        "items": counts,
        "mde": mde,
        "metric": ablation.metric,
        **_judging(ablation, found),
    }


def _judging(ablation: Ablation, found: Estimate) -> dict[str, Any]:
    """Judge calls and their price."""
    judge = ablation.grid.judge
    return judge.price(ablation.grid.items, found.missing) if judge else {"judge_calls": 0, "usd": 0.0}


def run(ablation: Ablation, say: Say) -> dict[str, Any]:
    """Run what is missing, look after each seed, and write the ablation's folder; returns what `ablate --json` prints."""
    started = time.perf_counter()
    grid, looks = ablation.grid, ablation.most - ablation.seeds + 1
    with locked(grid.folder):
        return _run(ablation, looks, say, started)


def _run(ablation: Ablation, looks: int, say: Say, started: float) -> dict[str, Any]:
    grid = ablation.grid
    draws: list[Drawn] = []
    for look in range(1, looks + 1):
        for seed in range(len(draws), ablation.seeds + look - 1):
            draws.append(ablation.drawn(seed))
        cells = [run_base(grid), *run_streams(grid, [s for d in draws for s in d.streams])]
        scores = read_cells(cells)
        effects, aa = effects_of(scores, ablation.metric, max(ablation.sizes), look, looks)
        macro = _headline(effects)
        say(f"look {look} of {looks}, {len(draws)} seeds: {macro.ability} {macro.verdict}")
        if macro.verdict != "undecided":
            break
    decided = macro.verdict != "undecided"
    kind = metric_of(ablation.metric)
    found = {
        "schema_version": SCHEMA_VERSION,
        "build": ablation.pool.build.resolve().name,
        "manifest_sha256": manifest_digest(ablation.pool.build),
        "filter": ablation.pool.filter,
        "metric": ablation.metric,
        "unit": kind.unit,
        "margin": kind.margin,
        "decided": decided,
        "look": look,
        "looks": looks,
        "seeds": len(draws),
        "sizes": ablation.sizes,
        "match": ablation.match,
        "model": grid.about()[0],
        "training": grid.recipe.model_dump(mode="json"),
        "pool": {"rows": len(ablation.pool), "passed": int(ablation.pool.passed.sum())},
        "leaking_rows_left_out": max(d.leaks for d in draws),
        "arms": [
            {"arm": arm, "size": size, "rows": rows, "tokens": tokens}
            for arm in ARMS
            for size, rows, tokens in draws[0].sizes[arm]
        ],
        "effects": [e.plain() for e in effects],
        "aa": [e.plain() for e in aa],
    }
    folder = grid.folder
    write_table(scores, folder / "scores.parquet")
    write_table(curve_rows(scores), folder / "curves.parquet")
    write_text(folder / "effects.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    seconds = time.perf_counter() - started
    write_text(folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    page = _report(folder, say)
    return {**found, "folder": str(folder), "report": page, "seconds": round(seconds, 1)}


def _report(folder: Path, say: Say) -> str | None:
    """Write the ablation's page, where the report extra is installed."""
    from instdata.errors import MissingExtra
    from instdata.report.page import ablation_page

    try:
        ablation_page(folder)
    except MissingExtra as e:
        say(str(e))
        return None
    return str(folder / "report.html")


def effects_of(scores: pa.Table, metric: str, size: int, look: int, looks: int) -> tuple[list[Effect], list[Effect]]:
    """(effects of with against without, of aa against without) at one size."""
    main, other = contrasts(scores, metric, str(size))
    if not main:
        raise InputError(f"no item has a score of metric {metric}: give items with references, or another --metric")
    args = {"look": look, "looks": looks, "metric": metric}
    return decide(main, other, **args), decide(other, **args)


def contrasts(scores: pa.Table, metric: str, config: str) -> tuple[list[Contrast], list[Contrast]]:
    """(with against without, aa against without) of every ability, from the in-domain scores of a size."""
    frame = scores.select(["arm", "config", "seed", "ability", "item", "metric", "value", "weight"]).to_pandas()
    frame = frame[(frame["metric"] == metric) & (frame["config"] == config)]
    main, other = [], []
    for ability, mine in frame.groupby("ability", sort=True):
        weights = mine.groupby("item", sort=True)["weight"].first()
        arms = {
            arm: mine[mine["arm"] == arm]
            .pivot(index="seed", columns="item", values="value")
            .reindex(columns=weights.index)
            for arm in ARMS
        }
        values = {arm: table.to_numpy(float) for arm, table in arms.items()}
        w = weights.to_numpy(float)
        main.append(Contrast(str(ability), values["without"], values["with"], w))
        other.append(Contrast(str(ability), values["without"], values["aa"], w))
    return main, other


def _headline(effects: Sequence[Effect]) -> Effect:
    """The effect that decides: the mean over abilities, or the only ability."""
    return next((e for e in effects if e.ability == MACRO), effects[0])


def show_plan(found: dict[str, Any]) -> None:
    """The plan for people."""
    from rich.markup import escape

    from instdata.harness.curves import plan_line
    from instdata.show import _console, _table

    console = _console()
    console.print(
        f"{escape(found['filter'])}: passes {found['passed']:,} of the {found['pool']:,} rows before it; "
        f"{found['leaking_rows_left_out']} drawn rows hold evaluation items and are left out"
    )
    console.print(
        f"{found['arms']} arms x {len(found['sizes'])} sizes ({', '.join(map(str, found['sizes']))}) x {found['seeds']} seeds; "
        f"up to {found['looks']} looks"
    )
    console.print(plan_line(found))
    if found["looks"] > 1:
        console.print(f"with every further look: {found['minutes_with_all_looks']:.0f} min at most")
    if found["judge_calls"]:
        usd = "at an unknown price" if found["usd"] is None else f"{found['usd']:.2f} USD"
        console.print(f"{found['judge_calls']:,} judge calls, {usd}")
    table = _table(
        "ability",
        ">items",
        ">smallest effect seen 8 times in 10",
        title=f"what {found['seeds']} seeds can see ({found['metric']})",
    )
    for ability, mde in found["mde"].items():
        table.add_row(
            escape(ability),
            str(found["items"].get(ability, "")),
            f"{100 * mde:.1f} %" if found["metric"] == "bits" else f"{mde:.3f}",
        )
    console.print()
    console.print(table)


def show_ablation(found: dict[str, Any]) -> None:
    """The one-screen table: ability, both arms, the effect with its interval, the verdict."""
    from rich.markup import escape

    from instdata.show import _console, _table

    console = _console()
    size, seeds = max(found["sizes"]), found["seeds"]
    lower = " (lower is better)" if found["metric"] == "bits" else ""
    for key, title in (
        ("effects", f"{found['filter']} at {size:,} rows: {found['unit']}{lower}"),
        ("aa", "A/A: two random draws"),
    ):
        table = _table(
            "ability",
            ">without",
            ">with" if key == "effects" else ">again",
            ">effect [95 %]",
            ">n",
            "verdict",
            title=escape(title),
        )
        for e in found[key]:
            if e["effect"] is None:
                table.add_row(escape(e["ability"]), "-", "-", "-", str(e["n"]), "no items")
                continue
            known = e["high"] - e["low"] < 20 * max(1.0, abs(e["without"]))  # two items bound next to nothing
            span = f"{e['effect']:+.4f} " + (f"[{e['low']:+.4f}, {e['high']:+.4f}]" if known else "(too few items)")
            table.add_row(
                escape(e["ability"]), f"{e['without']:.3f}", f"{e['with']:.3f}", span, str(e["n"]), e["verdict"]
            )
        console.print()
        console.print(table)
    tokens = {a["arm"]: a["tokens"] for a in found["arms"] if a["size"] == size}
    console.print(
        f"\n{seeds} seeds, look {found['look']} of {found['looks']}; tokens of seed 0: "
        + ", ".join(f"{arm} {n:,}" for arm, n in tokens.items())
    )
    console.print(
        "decided" if found["decided"] else "undecided: more seeds, items or rows would tell (see mde in effects.json)"
    )
    console.print(f"{found['folder']}: scores.parquet, effects.json, curves.parquet, report.html")
