"""`instdata ablate`: what a step did to each ability, with intervals, and nothing claimed that the data do not carry."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from instdata.builds import manifest, recipe_of
from instdata.compare.arm import ARMS, CONTROL, Drawn, Pool, draw, pool_against, pool_of
from instdata.compare.cell import KEEP, Grid, read_cells, run_base, run_streams
from instdata.compare.cost import estimate
from instdata.compare.effect import FEW, Contrast, Effect, decide
from instdata.compare.exam import exam_items, passing
from instdata.compare.outcome import curve_rows, run_facts
from instdata.corpus.write import locked
from instdata.judge.grade import Asked, compared, graded, judging
from instdata.score.item import Item
from instdata.score.items import HOLDOUT
from instdata.score.metric import MACRO, metric_of
from instdata.score.source import (
    manifest_digest,
    slug,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.score.table import cells_of, groups, write_table
from instdata.train.forward import Validation
from instdata.train.recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.values import count
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
SIZES = (64, 128, 256)
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"], "judge": ["bits"], "pairs": ["bits"]}  # by metric
JUDGED = ("judge", "pairs")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Ablation:
    """An ablation that can run. `digest`: of the build's manifest. `seeds` are those of the first look; each further look
    adds one, up to `most`. `draws`: the arms of the seeds that were asked for."""

    pool: Pool
    grid: Grid
    sizes: list[int]
    seeds: int
    most: int
    metric: str
    match: str
    digest: str
    passing: dict[str, bool] | None = None  # whether the step would pass an item, by its id
    draws: dict[int, Drawn] = field(default_factory=dict)

    @property
    def looks(self) -> int:
        return self.most - self.seeds + 1

    @property
    def told(self) -> list[Item]:
        """The items that the metric can tell something of."""
        if self.metric in JUDGED:
            return [i for i in self.grid.items if i.scorer == "judge"]
        both = self.metric == "distractors"
        return [i for i in self.grid.items if i.reference and not (both and (i.fine is None or i.coarse is None))]

    def leaks(self, seeds: int) -> int:
        """Rows that hold evaluation items and are left out, in the seed that has most."""
        return max(self.drawn(seed).leaks for seed in range(seeds))

    def drawn(self, seed: int) -> Drawn:
        """The arms of a seed."""
        if seed not in self.draws:
            self.draws[seed] = draw(self.pool, self.sizes, seed, self.match, self.grid)
        return self.draws[seed]


def prepare(
    build: Path, asked: str | None, against: Path | None, *, sizes: str | None, seeds: int | None, most: int, model: str | None,
    match: str, metric: str, judge: Asked | None, recipe: Training, max_items: int | None, taxonomy: str | None,
    out: Path | None, say: Say, suites: Sequence[Path] = (), keep: int = KEEP,
) -> Ablation:  # fmt: skip
    """An ablation that can run, from what the command was given; `against`: another build's folder. Raises InputError for
    what does not fit."""
    own = recipe_of(build).get("ablate") or {}
    seeds = seeds or max(2, own.get("seeds", 3))
    for word, known, option in ((match, ("tokens", "rows"), "match"), (metric, tuple(KINDS), "metric")):
        if word not in known:
            raise InputError(f"--{option} {word}: one of {', '.join(known)}.{did_you_mean(word, known)}")
    if bool(asked) == (against is not None):
        names = ", ".join(s["name"] for s in manifest(build)["steps"])
        raise InputError(f"say what to compare: --filter STEP (steps of {build.name}: {names}), or --against RECIPE")
    if (metric in JUDGED) != (judge is not None):
        raise InputError(
            f"--metric {metric} needs --judge MODEL" if judge is None else "--judge needs --metric judge or pairs"
        )
    if most < seeds:
        say(f"{seeds} seeds from the first look on: --max-seeds {most} changes nothing")
    pool = pool_of(build, asked) if asked else pool_against(build, against)  # type: ignore[arg-type]
    abilities = taxonomy_of(build, taxonomy)
    held: list[Item] = []
    items = exam_items(build, asked, abilities, suites, max_items)
    if recipe.best_after is not None:
        held, items = split_items(items)
    items = with_distractors(items, KINDS[metric])
    judged = judging(judge, abilities, items, say, pairs=metric == "pairs")
    validate = Validation(held) if held else None
    folder, spec = out or folder_of(build, pool.filter), model or own.get("model", "auto")
    grid = Grid(folder, spec, recipe, items, KINDS[metric], say, judged, validate, keep=keep)
    wanted = parse_sizes(sizes, int(pool.passed.sum()))
    tells = passing(build, asked, abilities) if asked and not suites and "=" not in asked else None
    found = Ablation(pool, grid, wanted, seeds, max(most, seeds), metric, match, manifest_digest(build), tells)
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
    """What an ablation will take, and what it can see: cells, tokens, FLOPs, minutes here, judge calls, USD, for the first
    look and for all of them, and the minimum detectable effect of each ability from the number of its items."""
    from instdata.compare.effect import planned_mde

    streams = [s for seed in range(ablation.most) for s in ablation.drawn(seed).streams]
    first = estimate(ablation.grid, [s for s in streams if s.seed < ablation.seeds])
    whole = estimate(ablation.grid, streams)
    counts = dict(Counter(i.ability for i in ablation.told).most_common())
    mde = planned_mde(counts, ablation.seeds, metric=ablation.metric, looks=ablation.looks)
    return {
        "filter": ablation.pool.filter,
        "pool": len(ablation.pool),
        "passed": int(ablation.pool.passed.sum()),
        "arms": len(ARMS),
        "sizes": ablation.sizes,
        "seeds": ablation.seeds,
        "looks": ablation.looks,
        "leaking_rows_left_out": ablation.leaks(ablation.seeds),
        **first.plain(),
        "minutes": round(first.seconds / 60, 1),
        **_judging(ablation, ablation.seeds),
        "with_all_looks": {
            "missing": whole.missing,
            "minutes": round(whole.seconds / 60, 1),
            **_judging(ablation, ablation.most),
        },
        "items": counts,
        "mde": mde,
        "metric": ablation.metric,
    }


def _judging(ablation: Ablation, seeds: int) -> dict[str, Any]:
    """Judge calls, their price and minutes, for so many seeds."""
    judge, sizes = ablation.grid.judge, len(ablation.sizes)
    if judge is None:
        return {"judge_calls": 0, "usd": 0.0, "judge_minutes": 0.0}
    times = (len(ARMS) - 1) * sizes * seeds if judge.pairs else 1 + len(ARMS) * sizes * seeds
    return judge.price(ablation.grid.items, times)


@dataclass(frozen=True)
class Looked:
    """The last look at an ablation: all scores, effects of with and of aa against without, and whether that decides. swaps:
    what judging in both orders showed."""

    look: int
    scores: pa.Table
    effects: list[Effect]
    aa: list[Effect]
    swaps: dict[str, Any] | None = None

    @property
    def headline(self) -> Effect:
        """The effect that decides: the mean over abilities, or the only ability of which something can be said."""
        known = [e for e in self.effects if e.effect is not None]
        return next((e for e in known if e.ability == MACRO), (known or self.effects)[0])

    @property
    def decided(self) -> bool:
        return self.headline.verdict != "undecided"


def run(ablation: Ablation, say: Say) -> dict[str, Any]:
    """Run what is missing, look after each seed, and write the ablation's folder; returns what `ablate --json` prints."""
    started = time.perf_counter()
    folder = ablation.grid.folder
    with locked(folder):
        _tell_replaced(ablation, say)
        looked = _look(ablation, say)
        found = _found(ablation, looked)
        write_table(looked.scores, folder / "scores.parquet")
        write_table(_curves(looked.scores), folder / "curves.parquet")
        write_text(folder / "effects.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        seconds = time.perf_counter() - started
        write_text(folder / "run.json", json.dumps(run_facts(ablation.grid, seconds), indent=1) + "\n")
    return {**found, "folder": str(folder), "seconds": round(seconds, 1)}


def _look(ablation: Ablation, say: Say) -> Looked:
    """Run the seeds of one look after the other, until one decides."""
    grid = ablation.grid
    for look in range(1, ablation.looks + 1):
        seeds = ablation.seeds + look - 1
        cells = [run_base(grid), *run_streams(grid, [s for n in range(seeds) for s in ablation.drawn(n).streams])]
        scores, swaps = read_cells(grid, cells), None
        if grid.judge and grid.judge.pairs:
            scores, swaps = compared(grid.judge, grid.items, scores, CONTROL)
        elif grid.judge:
            scores = graded(grid.judge, grid.items, scores)
        main, aa = effects_of(scores, ablation.metric, max(ablation.sizes), look, ablation.looks)
        looked = Looked(look, scores, main, aa, swaps)
        say(f"look {look} of {ablation.looks}, {seeds} seeds: {looked.headline.ability} {looked.headline.verdict}")
        if looked.decided:
            break
    return looked


def _asked(ablation: Ablation) -> dict[str, Any]:
    """What was asked, as effects.json says it."""
    judge = ablation.grid.judge
    return {
        "build": ablation.pool.build.resolve().name,
        "filter": ablation.pool.filter,
        "metric": ablation.metric,
        "sizes": ablation.sizes,
        "looks": ablation.looks,
        "match": ablation.match,
        "model": ablation.grid.about()[0],
        "training": ablation.grid.recipe.model_dump(mode="json"),
        "judge": {"model": judge.options.model, "runs": judge.runs} if judge else None,
    }


def _unread(ablation: Ablation, scores: pa.Table) -> dict[str, int] | None:
    """Of how many answers (or comparisons) the judge gave a verdict, and of how many none that could be read."""
    if ablation.metric not in JUDGED:
        return None
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], ablation.metric), pc.is_valid(scores["answer"])))
    if ablation.metric == "pairs":
        mine = mine.filter(pc.not_equal(mine["arm"], CONTROL))
    return {"read": len(mine) - mine["value"].null_count, "unread": mine["value"].null_count}


def _found(ablation: Ablation, looked: Looked) -> dict[str, Any]:
    """What effects.json says."""
    kind, pool, seeds = metric_of(ablation.metric), ablation.pool, looked.headline.seeds
    return {
        "schema_version": SCHEMA_VERSION,
        **_asked(ablation),
        "manifest_sha256": ablation.digest,
        "unit": kind.unit,
        "margin": kind.margin,
        "decided": looked.decided,
        "look": looked.look,
        "seeds": seeds,
        "pool": {"rows": len(pool), "passed": int(pool.passed.sum())},
        "leaking_rows_left_out": ablation.leaks(seeds),
        "arms": [
            {"arm": arm, "size": size, "rows": rows, "tokens": tokens}
            for arm in ARMS
            for size, rows, tokens in ablation.drawn(0).sizes[arm]
        ],
        "verdicts": _unread(ablation, looked.scores),
        "swaps": looked.swaps,
        "estimates": _estimates(ablation),
        "effects": [e.plain() for e in looked.effects],
        "apart": _apart(ablation, looked),
        "aa": [e.plain() for e in looked.aa],
    }


def _estimates(ablation: Ablation) -> str:
    """What the effects are effects on, in words."""
    suites = sorted({i.suite for i in ablation.grid.items})
    if suites != [HOLDOUT]:
        return f"items of {', '.join(suites)}"
    return "items held out before the step, whether it would pass them or not"


def _apart(ablation: Ablation, looked: Looked) -> dict[str, Any] | None:
    """The mean effect on items that the step would pass, and on those that it would drop; None where that is not known."""
    if ablation.passing is None:
        return None
    found: dict[str, Any] = {}
    for name, wanted in (("passed", True), ("dropped", False)):
        ids = [i for i, p in ablation.passing.items() if p == wanted]
        mine = looked.scores.filter(pc.is_in(looked.scores["item"], pa.array(ids, pa.string())))
        found[name] = {"items": len(ids)}
        if len(ids) >= FEW:
            effects, _ = effects_of(mine, ablation.metric, max(ablation.sizes), looked.look, ablation.looks)
            whole = next((e for e in effects if e.ability == MACRO), effects[0])
            found[name] |= {k: whole.plain()[k] for k in ("effect", "low", "high", "n")}
    return found


def _tell_replaced(ablation: Ablation, say: Say) -> None:
    """Say where the folder has the result of another question: its cells stay, its tables do not."""
    path = ablation.grid.folder / "effects.json"
    try:
        old = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return
    other = [key for key, value in _asked(ablation).items() if key in old and old[key] != value]
    if other:
        say(f"{path}: replaces a result with other {', '.join(other)}, whose cells stay; --out keeps both apart")


def _curves(scores: pa.Table) -> pa.Table:
    """The curves of the arms. Matched in tokens, an arm has other row counts in every seed: a point stands at the size that
    they belong to."""
    size = pc.cast(pc.if_else(pc.equal(scores["config"], "base"), "0", scores["config"]), pa.int64())
    return curve_rows(scores.set_column(scores.schema.get_field_index("rows"), "rows", size))


def effects_of(scores: pa.Table, metric: str, size: int, look: int, looks: int) -> tuple[list[Effect], list[Effect]]:
    """(effects of with against without, of aa against without) at one size."""
    main, other = contrasts(scores, metric, str(size))
    if not main:
        raise InputError(f"no item has a score of metric {metric}: give items with references, or another --metric")
    args: dict[str, Any] = {"look": look, "looks": looks, "metric": metric}
    return decide(main, other, **args), decide(other, **args)


def contrasts(scores: pa.Table, metric: str, config: str) -> tuple[list[Contrast], list[Contrast]]:
    """(with against without, aa against without) of every ability, from the scores of a size, seed by seed. Raises
    InputError where an arm lacks a seed of the control."""
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], metric), pc.equal(scores["config"], config)))
    arms = {g["arm"]: cells_of(table) for g, table in groups(mine, ["arm"])}
    control = arms.get(CONTROL, {})

    def contrast(ability: str, arm: str) -> Contrast:
        a, b = control[ability], arms[arm][ability]
        if a.seeds.tolist() != b.seeds.tolist():
            raise InputError(f"the arms {CONTROL} and {arm} have other seeds: run it again to finish the missing cells")
        return Contrast(ability, a.values, b.values, a.weights)

    return [contrast(a, "with") for a in control], [contrast(a, "aa") for a in control]
