"""`instdata next --design`: mixtures of equal cost, a law, a proposal with an interval, and its confirmation.

Which mixture to train on is decided by half of the runs and items, what that is worth by the other halves
(mixture_law.py), and whether it is better than the even and the present mixture by new runs on items that had no part
in either.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell import Grid, Stream, run_grid
from instdata.compare.equal_cost import EqualPool, against, cost, equal_pool
from instdata.compare.equivalence_margin import published
from instdata.compare.grid_summary import run_facts
from instdata.compare.paired_comparison import decide
from instdata.corpus.rows import UNKNOWN
from instdata.corpus.write_build_folder import locked
from instdata.grow.mixture_draws import bounded, dirichlet
from instdata.grow.mixture_law import Law, MixtureRuns, best_mixture, fit_law, gain
from instdata.score.from_build import draws_of, items_of, manifest_digest, taxonomy_of, units_of, with_distractors
from instdata.score.item import Item
from instdata.score.metric import MACRO, metric_of
from instdata.score.score_table import cells_of, groups, write_table
from instdata.train.training_recipe import Training
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.stats import by_cluster
from instdata.util.yaml import did_you_mean

SCHEMA_VERSION = 1
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"]}
LEAST_ITEMS, LEAST_MIXTURES = 6, 6  # of an ability that takes part; of a design
EVEN, PRESENT, PROPOSAL = "even", "present", "proposal"
SAMPLE, SAFE = (
    64,
    0.9,
)  # rows of an ability whose mean length says what it has, and the share of that which is counted on
Say = Callable[[str], None]


@dataclass
class MixtureDesign:
    """A design that can run. shares [mixtures, abilities] of `budget` supervised tokens: the even one, the present one,
    then draws. length: mean supervised tokens of an ability's row. grid scores the items that choose and judge, fresh
    the others."""

    pool: EqualPool
    grid: Grid
    fresh: Grid
    abilities: list[str]
    shares: np.ndarray
    length: np.ndarray
    rows: int
    budget: int
    seeds: int
    fresh_seeds: int
    metric: str

    def stream(self, arm: str, seed: int, shares: np.ndarray) -> Stream:
        """A mixture as what a cell is trained on: of each ability random rows that hold its tokens."""
        words, order = self.pool.values("ability"), self.pool.drawn(seed, "mixture")
        taken: list[int] = []
        for ability, tokens in zip(self.abilities, shares * self.budget):
            mine = order[words[order] == ability]
            taken += self.pool.fill(mine, max(1, round(float(tokens))), self.grid, f"{ability} of mixture {arm}")
        return self.pool.stream(arm, seed, taken, str(self.rows), self.rows)

    def streams(self) -> list[Stream]:
        return [
            self.stream(f"mix{m}", seed, shares) for m, shares in enumerate(self.shares) for seed in range(self.seeds)
        ]

    def confirming(self, proposal: np.ndarray) -> list[Stream]:
        """The proposal, the even and the present mixture on seeds that the design has not used."""
        arms = {PROPOSAL: proposal, EVEN: self.shares[0], PRESENT: self.shares[1]}
        seeds = range(self.seeds, self.seeds + self.fresh_seeds)
        return [self.stream(arm, seed, shares) for seed in seeds for arm, shares in arms.items()]

    def tokens(self, stream: Stream) -> np.ndarray:
        """Supervised tokens of each ability in a stream [abilities]."""
        at = dict(zip(self.pool.ids.to_pylist(), range(len(self.pool))))
        rows = [at[i] for i in stream.ids]
        held, words = self.pool.lengths(rows, self.grid), self.pool.values("ability")[rows]
        return np.array([held[words == a].sum() for a in self.abilities], float)


def prepare(
    build: Path, *, model: str, rows: int | None, mixtures: int, seeds: int, fresh_seeds: int, metric: str,
    recipe: Training,
    suites: Sequence[Path], max_items: int | None, taxonomy: str | None, say: Say,
) -> MixtureDesign:  # fmt: skip
    """A design that can run. Raises InputError for what does not fit."""
    if metric not in KINDS:
        raise InputError(f"--metric {metric}: one of {', '.join(KINDS)}.{did_you_mean(metric, KINDS)}")
    for option, value, least in (
        ("mixtures", mixtures, LEAST_MIXTURES),
        ("seeds", seeds, 2),
        ("fresh-seeds", fresh_seeds, 2),
    ):
        if value < least:
            raise InputError(f"--{option} {value}: at least {least}")
    if seeds % 2:
        raise InputError(f"--seeds {seeds}: an even number, half of the runs choose and half judge")
    items = items_of(build, taxonomy_of(build, taxonomy), suites, max_items)
    items = with_distractors([i for i in items if i.reference], KINDS[metric])
    first, last = _thirds(items)
    folder = build / "design"
    grid, fresh = (Grid(folder, model, recipe, part, KINDS[metric], say) for part in (first, last))
    pool = equal_pool(build, Grid(folder, model, recipe, items, KINDS[metric], say))
    abilities = _taking_part(pool, items, say)
    length, held = _lengths(pool, abilities, grid)
    present = held / held.sum()
    rows = rows or min(256, len(pool) // 2)
    # so many rows at the mean length of rows in the present mixture
    budget = max(1, round(rows * float((held.sum()) / (held / length).sum())))
    most = np.minimum(1.0, SAFE * held / budget)
    if most.sum() < 1:
        raise InputError(f"{rows:,} rows are more than the abilities with items have: choose fewer --rows")
    even = bounded(np.full(len(abilities), 1 / len(abilities)), np.zeros(len(abilities)), most)
    shares = np.vstack(
        [even, bounded(present, np.zeros(len(abilities)), most), dirichlet(even, most, mixtures - 1, 0)[1:]]
    )
    return MixtureDesign(pool, grid, fresh, abilities, shares, length, rows, budget, seeds, fresh_seeds, metric)


def _thirds(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """(two thirds of each ability's items, by their ids, those of one cluster together; the rest, which only
    confirms)."""
    last = {i.id for units in units_of(items) for unit in units[2::3] for i in unit}
    return [i for i in items if i.id not in last], [i for i in items if i.id in last]


def _taking_part(pool: EqualPool, items: Sequence[Item], say: Say) -> list[str]:
    counts, rows = Counter(draws_of(items)), Counter(pool.values("ability").tolist())
    found = sorted(a for a, n in counts.items() if n >= LEAST_ITEMS and rows.get(a, 0) and a != UNKNOWN)
    left = sorted((set(rows) | set(counts)) - set(found) - {UNKNOWN})
    if left:
        say(f"not in the mixtures (fewer than {LEAST_ITEMS} items, or no rows): {', '.join(left)}")
    if len(found) < 2:
        raise InputError(
            f"a mixture needs two abilities with {LEAST_ITEMS} items and rows: hold more rows out, or give --suite"
        )
    return found


def _lengths(pool: EqualPool, abilities: Sequence[str], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(mean supervised tokens of a row, supervised tokens in all) of each ability, by a sample of its rows."""
    words, order = pool.values("ability"), pool.drawn(0, "length")
    mine = [order[words[order] == a] for a in abilities]
    length = np.array([max(1.0, float(pool.lengths(m[:SAMPLE], grid).mean())) for m in mine])
    return length, length * np.array([len(m) for m in mine])


def plan(design: MixtureDesign) -> dict[str, Any]:
    """What the design and its confirmation take."""
    later = cost(design.fresh, design.confirming(design.shares[0]))
    return {**_asked(design), **cost(design.grid, design.streams()), "confirmation": later}


def run(design: MixtureDesign) -> dict[str, Any]:
    """Train the mixtures, fit, propose, confirm; writes the build's design/ and returns what `next --design --json`
    prints but for the recipe."""
    started, grid = time.perf_counter(), design.grid
    with locked(grid.folder):
        streams = design.streams()
        scores = run_grid(grid, streams)
        runs = mixture_runs(design, streams, scores)
        law = fit_law(runs.half(True))
        proposal = _proposed(design, runs, law)
        found = {"schema_version": SCHEMA_VERSION, **_asked(design), **_told(design, runs, law, proposal)}
        write_table(scores, grid.folder / "scores.parquet")
        _write(design, found)  # confirming takes as long again: what is known stays, whatever becomes of it
        if proposal is not None:
            design.fresh.loaded, grid.loaded = grid.loaded, None
            confirming = design.confirming(proposal / proposal.sum())
            fresh = run_grid(design.fresh, confirming)
            found |= confirmed(fresh, design.metric)
            write_table(fresh, grid.folder / "confirmation.parquet")
            _write(design, found)
        seconds = time.perf_counter() - started
        write_text(grid.folder / "run.json", json.dumps(run_facts(grid, seconds), indent=1) + "\n")
    return {**found, "folder": str(grid.folder), "seconds": round(seconds, 1)}


def _write(design: MixtureDesign, found: dict[str, Any]) -> None:
    write_text(design.grid.folder / "design.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def mixture_runs(design: MixtureDesign, streams: Sequence[Stream], scores: pa.Table) -> MixtureRuns:
    """The runs as the law takes them: scores turned so that more is better, bits as shares of an ability's mean."""
    kind = metric_of(design.metric)
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], design.metric), pc.greater(scores["rows"], 0)))
    arms = {g["arm"]: cells_of(t) for g, t in groups(mine, ["arm"])}
    order = list(dict.fromkeys(s.arm for s in streams))
    values, weights = [], []
    for ability in design.abilities:
        if any(ability not in arms[a] for a in order):
            raise InputError(f"{ability}: no item has a score of metric {design.metric}; give items with references")
        stacked = np.vstack([arms[a][ability].values for a in order]) * (-1 if kind.lower_is_better else 1)
        first = arms[order[0]][ability]
        kept = np.isfinite(stacked).all(0) & (first.weights > 0)
        stacked, weight = by_cluster(
            stacked[:, kept], first.weights[kept], first.cluster[kept]
        )  # a passage is one draw
        weights.append(weight)
        unit = abs(float(np.average(stacked.mean(0), weights=weight))) if kind.relative and kept.any() else 1.0
        values.append(stacked / unit)
    seeds = np.concatenate([arms[a][design.abilities[0]].seeds for a in order])
    by = {(s.arm, s.seed): s for s in streams}
    names = [a for a in order for _ in arms[a][design.abilities[0]].seeds]
    tokens = np.stack([design.tokens(by[a, int(s)]) for a, s in zip(names, seeds)])
    mixture = np.array([order.index(a) for a in names])
    return MixtureRuns(design.abilities, tokens, mixture, seeds % 2 == 0, values, weights)


def _proposed(design: MixtureDesign, runs: MixtureRuns, law: Law) -> np.ndarray | None:
    return best_mixture(law, runs.tokens.min(0), runs.tokens.max(0), design.budget, design.shares[1])


def _told(design: MixtureDesign, runs: MixtureRuns, law: Law, proposal: np.ndarray | None) -> dict[str, Any]:
    """The law, and the proposal with its gains over the present and the even mixture, by runs and items that did not
    choose."""
    told: dict[str, Any] = {
        "identified": True, "transfer": law.transfer, "slopes": dict(zip(design.abilities, map(float, law.slopes))),
        "held_out": law.held_out, "proposal": None, "over_present": None, "over_even": None, "gain": None, "low": None,
        "high": None, "better_than_even": "undecided", "better_than_present": "undecided", "confirmation": None,
        "notes": ["mixtures differ in all rows, so their runs share no trunk"],
    }  # fmt: skip
    if proposal is None:
        told["notes"].append(
            "no ability's score was seen to rise with its share: no mixture is proposed, any may be as good"
        )
        return told
    judges = runs.half(False)
    for name, origin in (("over_present", design.shares[1]), ("over_even", design.shares[0])):
        found = gain(judges, proposal, origin * design.budget)
        told[name] = {"gain": found.value, "low": found.low, "high": found.high,
            "abilities": dict(zip(design.abilities, map(float, found.by_ability)))}  # fmt: skip
    told |= {k: told["over_present"][k] for k in ("gain", "low", "high")}
    told["proposal"] = dict(zip(design.abilities, (proposal / proposal.sum()).tolist()))
    if told["held_out"] <= 0:
        told["notes"].append(
            "the law foretells a mixture that it has not seen no better than the mean does: trust the confirmation"
        )
    return told


def confirmed(scores: pa.Table, metric: str) -> dict[str, Any]:
    """Whether the proposal is better than the even and the present mixture, by new runs on new items; Holm's p over the
    two."""
    kind = metric_of(metric)
    pairs = [against(scores, metric, control)[PROPOSAL] for control in (EVEN, PRESENT)]
    heads = [p.get(MACRO) or next(iter(p.values())) for p in pairs]
    words = {"better": "yes", "worse": "no", "equivalent": "no", "undecided": "undecided"}
    found = {}
    for name, v in zip((EVEN, PRESENT), decide(heads, [(kind, published(kind))] * 2)):
        keys = ("effect", "low", "high", "p_holm", "mde", "n", "seeds", "verdict")
        found[name] = {"proposal": v.mean_b, "control": v.mean_a, **{k: getattr(v, k) for k in keys}}
    return {
        "confirmation": found,
        "better_than_even": words[found[EVEN]["verdict"]],
        "better_than_present": words[found[PRESENT]["verdict"]],
    }


def _asked(design: MixtureDesign) -> dict[str, Any]:
    """What the design is, as design.json says it."""
    build = design.pool.build
    kind = metric_of(design.metric)
    return {
        "build": build.resolve().name, "manifest_sha256": manifest_digest(build), "model": design.grid.about()[0],
        "training": design.grid.recipe.model_dump(mode="json"), "metric": design.metric,
        "unit": "share of bits per byte" if kind.relative else kind.unit, "rows": design.rows,
        "supervised_tokens": design.budget, "seeds": design.seeds, "fresh_seeds": design.fresh_seeds,
        "items": len(design.grid.items), "fresh_items": len(design.fresh.items),
        "mixtures": [dict(zip(design.abilities, row)) for row in design.shares.round(4).tolist()],
    }  # fmt: skip
