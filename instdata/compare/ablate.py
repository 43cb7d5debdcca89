"""`instdata ablate`: what a step did to each ability, with intervals, and nothing claimed that the data do not
carry."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.builds import manifest, recipe_of
from instdata.compare.ablation_results import Looked, arm_curves, counts_of, effects_found, tell_replaced
from instdata.compare.ablation_setup import Ablation
from instdata.compare.arm import ARMS, CONTROL, pool_against, pool_of
from instdata.compare.arm_contrasts import JUDGED, KINDS, effects_of, kinds_of, of_metric
from instdata.compare.cell import KEEP, Grid, run_grid
from instdata.compare.equivalence_margin import DOUBLINGS, margin_of
from instdata.compare.exam_items import exam_items, passing
from instdata.compare.grid_cost import GridCost, estimate
from instdata.compare.grid_summary import run_facts
from instdata.compare.judge_floor import below, by_length, carded, floored, win_rates, write_card
from instdata.compare.metric_card import transfer_card
from instdata.compare.power import planned_mde
from instdata.compare.sequential_looks import made, write_looks
from instdata.compare.trained_elsewhere import read_outside, score_outside
from instdata.corpus.write_build_folder import locked
from instdata.judge.judge_cells import Asked, compared, graded, judging
from instdata.score.from_build import draws_of, manifest_digest, slug, split_items, taxonomy_of, with_distractors
from instdata.score.item import Item
from instdata.score.score_table import write_table
from instdata.train.forward import Validation
from instdata.train.training_recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import count
from instdata.util.yaml import did_you_mean

SIZES = (64, 128, 256)
MATCH = ("supervised", "tokens", "rows")  # what arms have as many of
Say = Callable[[str], None]


def prepare(
    build: Path, asked: str | None, against: Path | None, *, sizes: str | None, seeds: int | None, most: int,
    model: str | None,
    match: str, metric: str, judge: Asked | None, recipe: Training, max_items: int | None, taxonomy: str | None,
    out: Path | None, say: Say, suites: Sequence[Path] = (), keep: int = KEEP, doublings: float = DOUBLINGS,
    cells: Path | None = None, card: bool = False, judge_card: Path | None = None,
) -> Ablation:  # fmt: skip
    """An ablation that can run, from what the command was given; `against`: another build's folder. Raises InputError
    for what does not fit."""
    own = recipe_of(build).get("ablate") or {}
    seeds = seeds or max(2, own.get("seeds", 3))
    for word, known, option in ((match, MATCH, "match"), (metric, tuple(KINDS), "metric")):
        if word not in known:
            raise InputError(f"--{option} {word}: one of {', '.join(known)}.{did_you_mean(word, known)}")
    if bool(asked) == (against is not None):
        names = ", ".join(s["name"] for s in manifest(build)["steps"])
        raise InputError(f"say what to compare: --filter STEP (steps of {build.name}: {names}), or --against RECIPE")
    if (metric in JUDGED) != (judge is not None):
        raise InputError(
            f"--metric {metric} needs --judge MODEL" if judge is None else "--judge needs --metric judge or pairs"
        )
    if not doublings > 0:
        raise InputError(f"--margin {doublings:g}: doublings of data, more than 0")
    outside = tuple(read_outside(cells, ARMS, CONTROL)) if cells else ()
    if outside:
        seeds = most = len({c.seed for c in outside})
    elif most < seeds:
        say(f"{seeds} seeds from the first look on: --max-seeds {most} changes nothing")
    pool = pool_of(build, asked) if asked else pool_against(build, against)  # type: ignore[arg-type]
    abilities = taxonomy_of(build, taxonomy)
    held: list[Item] = []
    items = exam_items(build, asked, abilities, suites, max_items)
    if recipe.best_after is not None:
        held, items = split_items(items)
    kinds = kinds_of(metric, [c.model for c in outside], card)
    items = with_distractors(items, kinds)
    judged = judging(judge, abilities, items, say, pairs=metric == "pairs")
    validate = Validation(held) if held else None
    folder, spec = out or folder_of(build, pool.filter), model or own.get("model", "auto")
    grid = Grid(folder, spec, recipe, items, kinds, say, judged, validate, keep=keep)
    wanted = sorted({c.size for c in outside}) or parse_sizes(sizes, int(pool.passed.sum()))
    tells = passing(build, asked, abilities, say) if asked and not suites and "=" not in asked else None
    found = Ablation(
        pool, grid, wanted, seeds, max(most, seeds), metric, match, manifest_digest(build), doublings, tells, outside,
        carded(judged.options.model if judged else None, judge_card, say),
    )  # fmt: skip
    counts = Counter(i.ability for i in found.told)
    if not counts:
        raise InputError(f"--metric {metric}: none of {len(items):,} items can be scored by it; hold more rows out")
    if max(counts.values()) < 2:
        say("no ability has two items to score, so this will end undecided: hold more rows out")
    silent = sorted(set(manifest(build)["configs"]["full"]["by_ability"]) - set(counts))
    if silent:
        say(f"no items to score, so nothing will be said of: {', '.join(silent)}")
    return found


def folder_of(build: Path, asked: str) -> Path:
    """ablations/<build>-<step>."""
    return Path("ablations") / slug(f"{build.resolve().name}-{asked}")


def parse_sizes(text: str | None, most: int) -> list[int]:
    """`64,128,256` as numbers; by default those of SIZES that the rows allow. Raises InputError."""
    if not text:
        return [s for s in SIZES if s <= most] or [most]
    found: set[int] = set()
    try:
        found = {count(word) for word in text.split(",") if word.strip()}
    except ValueError:
        found = set()
    if not found:
        raise InputError(f"--sizes {text}: numbers of rows, like 64,128,256 or 1k")
    return sorted(found)


def plan(ablation: Ablation) -> dict[str, Any]:
    """What an ablation will take, and what it can see: cells, tokens, FLOPs, minutes here, judge calls, USD, for the
    first look and for all of them, and the minimum detectable effect of each ability from the number of its items."""
    looks = ablation.looks()
    due = looks.due(ablation.seeds, ablation.most)
    first, whole = (_cost(ablation, look.seeds) for look in (due[0], due[-1]))
    counts = dict(Counter(i.ability for i in ablation.told).most_common())
    draws = draws_of(ablation.told)
    mde = planned_mde({a: draws[a] for a in counts}, due[0].seeds, metric=ablation.metric, level=due[0].level)
    return {
        "filter": ablation.pool.filter,
        "pool": len(ablation.pool),
        "passed": int(ablation.pool.passed.sum()),
        "arms": len(ARMS),
        "sizes": ablation.sizes,
        "seeds": due[0].seeds,
        "looks": len(due),
        "looks_before": made(looks.looks),
        "counts": counts_of(ablation),
        "leaking_rows_left_out": None if ablation.outside else ablation.leaks(due[0].seeds),
        **first.plain(),
        "minutes": round(first.seconds / 60, 1),
        **_judging(ablation, due[0].seeds),
        "with_all_looks": {
            "missing": whole.missing,
            "minutes": round(whole.seconds / 60, 1),
            **_judging(ablation, due[-1].seeds),
        },
        "items": counts,
        "mde": mde,
        "metric": ablation.metric,
    }


def _cost(ablation: Ablation, seeds: int) -> GridCost:
    """What so many seeds take; of cells from outside nothing is trained, and what scoring them takes is not known
    here."""
    if ablation.outside:
        return GridCost(len(ablation.outside), len(ablation.outside), 0, 0, 0, 0.0, 0, 0, 0.0, 0.0)
    return estimate(ablation.grid, [s for seed in range(seeds) for s in ablation.drawn(seed).streams])


def _judging(ablation: Ablation, seeds: int) -> dict[str, Any]:
    """Judge calls, their price and minutes, for so many seeds."""
    judge, sizes = ablation.grid.judge, len(ablation.sizes)
    if judge is None:
        return {"judge_calls": 0, "usd": 0.0, "judge_minutes": 0.0}
    times = (len(ARMS) - 1) * sizes * seeds if judge.pairs else 1 + len(ARMS) * sizes * seeds
    return judge.price(ablation.grid.items, times)


def run(ablation: Ablation, say: Say) -> dict[str, Any]:
    """Run what is missing, look after each seed, and write the ablation's folder; returns what `ablate --json`
    prints."""
    started = time.perf_counter()
    folder = ablation.grid.folder
    with locked(folder):
        tell_replaced(ablation, say)
        looked = _look(ablation, say)
        found = effects_found(ablation, looked)
        write_table(looked.scores, folder / "scores.parquet")
        write_table(arm_curves(looked.scores), folder / "curves.parquet")
        write_card(ablation.judge_card, folder)
        write_text(folder / "effects.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        seconds = time.perf_counter() - started
        write_text(folder / "run.json", json.dumps(run_facts(ablation.grid, seconds), indent=1) + "\n")
    return {**found, "folder": str(folder), "seconds": round(seconds, 1)}


def _look(ablation: Ablation, say: Say) -> Looked:
    """Run the seeds of one look after the other, until one decides."""
    folder, looks = ablation.grid.folder, ablation.looks()
    write_looks(folder, ablation.question, looks)
    due = looks.due(ablation.seeds, ablation.most)
    for number, look in enumerate(due, 1):
        scores, swaps = _scores(ablation, look.seeds)
        levels = (look.level, look.same)
        margin = margin_of(
            of_metric(scores, ablation.metric), ablation.metric, CONTROL, ablation.pool.build, ablation.doublings
        )
        main, aa = effects_of(scores, ablation.metric, max(ablation.sizes), levels, margin.value)
        rates, low = {}, None
        if ablation.metric in JUDGED and (judge := ablation.grid.judge):
            rates = win_rates(scores, CONTROL, max(ablation.sizes), ablation.metric)
            low = below(judge.options.model, ablation.judge_card, swaps)
            main, aa = (floored(found, low, rates.get(arm)) for found, arm in ((main, "with"), (aa, "aa")))
            low = low or by_length(rates.get("with"))
        looks = looks.after(look)
        write_looks(folder, ablation.question, looks)
        earlier = [k for k in made(looks.looks) if k != look.seeds]
        looked = Looked(number, len(due), earlier, levels, margin, scores, main, aa, swaps, rates, low)
        say(f"look {number} of {len(due)}, {look.seeds} seeds: {looked.headline.ability} {looked.headline.verdict}")
        if looked.decided:
            break
    return looked


def _scores(ablation: Ablation, seeds: int) -> tuple[pa.Table, dict[str, Any] | None]:
    """(all scores of so many seeds, what judging in both orders showed)."""
    grid = ablation.grid
    if ablation.outside:
        scores = score_outside(grid, ablation.outside)
    else:
        streams = [s for n in range(seeds) for s in ablation.drawn(n).streams]
        scores = run_grid(grid, streams)
    if grid.judge and grid.judge.pairs:
        return compared(grid.judge, grid.items, scores, CONTROL)
    return (graded(grid.judge, grid.items, scores) if grid.judge else scores), None


def transferred(done: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The transfer card of a result and that of another folder. Raises InputError where that holds none, or of another
    metric."""
    path = folder / "effects.json"
    try:
        other = json.loads(path.read_text("utf-8"))
        known = {e["ability"]: (e["effect"], e["verdict"]) for e in other["effects"]}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"--transfer {folder}: holds no result of `instdata ablate` ({e})") from None
    if other.get("metric") != done["metric"] or not known:
        raise InputError(f"--transfer {folder}: its metric is {other.get('metric')}, not {done['metric']}")
    return transfer_card(done, other)
