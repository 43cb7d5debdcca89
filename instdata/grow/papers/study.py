"""A paper's study as grids of cells: what is trained on what, examined by which items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instdata.builds import rows_of
from instdata.compare.cell import Grid, Stream
from instdata.corpus.rows import UNKNOWN, Messages, talks_of
from instdata.grow.papers import protocol
from instdata.grow.papers.primary_score import Examined
from instdata.grow.papers.protocol import Element, Facts
from instdata.judge.judge_cells import Asked, judging
from instdata.llm.causal_models import load
from instdata.score.from_build import (
    HUMAN,
    ORIGINS,
    items_of,
    rows_in_order,
    slug,
    split_items,
    taxonomy_of,
    with_distractors,
)
from instdata.score.item import Item
from instdata.train.render import encode
from instdata.train.training_recipe import Training, training
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import parse_size
from instdata.util.yaml import did_you_mean

PAPERS = ("belle", "doit")
SHARES = (10, 30, 50, 100)  # per cent: BELLE's 0.2M, 0.6M, 1M, 2M
PER_ABILITY = (1, 4, 16, 64, 256, 1000)  # DoIT's ladder
EPOCHS = {1: 25, 4: 20, 16: 18}  # DoIT's at its smallest sizes
KINDS = ["bits", "distractors", "answers"]
CHUNK = 256  # rows that are tokenised at once
CAPS = {
    "ethics": 0.064,
    "role_play": 0.064,
    "creative_writing": 1.0,
}  # shares of the largest size: DoIT's 64, 64, 1,000
MORE = 4  # times the even total: DoIT's 40k beside its 10k
MAIN, ONLY, RECONSTRUCT, MAXIMUM = "all", "only ", "reconstruct", "maximum"
Say = Callable[[str], None]


@dataclass(frozen=True)
class PaperWanted:
    """What the command was given."""

    paper: str
    build: Path | None
    models: Sequence[str]
    scale: str | None = None
    seeds: int = 1
    sets: Sequence[str] = ()
    judge: Asked | None = None
    suites: Sequence[Path] = ()
    max_items: int | None = None
    taxonomy: str | None = None
    out: Path | None = None
    say: Say = print


@dataclass(frozen=True)
class Study:
    """A study that can run. grids: for each model and number of epochs, the streams it trains. elements: its protocol.
    unlearned: rows left out, from which some model would learn nothing."""

    wanted: PaperWanted
    items: list[Item]
    grids: list[tuple[Grid, list[Stream]]]
    elements: list[Element]
    folder: Path
    unlearned: int = 0


@dataclass(frozen=True)
class PaperRows:
    """A build's training rows in the ladder's order."""

    ids: list[str]
    talks: list[Messages]
    abilities: np.ndarray
    human: np.ndarray

    def stream(self, arm: str, seed: int, at: Sequence[int], config: str) -> Stream:
        return Stream(arm, seed, [self.ids[i] for i in at], [self.talks[i] for i in at], [(config, len(at))])


def study(wanted: PaperWanted) -> Study:
    """The study, or, where there is no build, its protocol alone. Raises InputError for what does not fit."""
    if wanted.paper not in PAPERS:
        raise InputError(f"reproduce {wanted.paper}: one of {', '.join(PAPERS)}.{did_you_mean(wanted.paper, PAPERS)}")
    if wanted.judge and wanted.paper == "doit":
        raise InputError("reproduce doit scores without a judge, as the paper does: leave --judge out")
    recipe = training(wanted.paper, list(wanted.sets))
    if wanted.build is None:
        facts = Facts(None, wanted.models, recipe, {}, wanted.seeds, [], wanted.judge and wanted.judge[:2])
        elements = protocol.belle(facts) if wanted.paper == "belle" else protocol.doit(facts, (), {})
        return Study(wanted, [], [], elements, Path())
    return (_belle if wanted.paper == "belle" else _doit)(wanted, wanted.build, recipe)


def _folder(wanted: PaperWanted, build: Path) -> Path:
    return wanted.out or Path("reproductions") / slug(f"{wanted.paper}-{build.resolve().name}")


def _belle(wanted: PaperWanted, build: Path, recipe: Training) -> Study:
    names = taxonomy_of(build, wanted.taxonomy)
    items = [i for i in items_of(build, names, wanted.suites, wanted.max_items) if i.ability != UNKNOWN]
    if wanted.judge:  # all twelve on one scale
        items = [replace(i, scorer="judge") for i in items]
    else:
        items = [replace(i, scorer="distractors") if i.scorer == "judge" else i for i in items]
    kinds = ["bits"] if wanted.judge else KINDS
    items = with_distractors(items, kinds)
    judged = judging(wanted.judge, names, items, wanted.say)
    ids, talks = rows_in_order(build)
    full = _scaled(wanted.scale, len(ids))
    sizes: dict[str, int] = {}
    for share in SHARES:
        rows = max(1, round(full * share / 100))
        if rows not in sizes.values():
            sizes[f"{share}pct"] = rows
    folder = _folder(wanted, build)
    streams = [Stream(MAIN, seed, ids[:full], talks[:full], list(sizes.items())) for seed in range(wanted.seeds)]
    grids = [(Grid(folder, m, recipe, items, kinds, wanted.say, judged), streams) for m in wanted.models]
    suites = sorted({i.suite for i in items if i.out_of_domain})
    facts = Facts(build, wanted.models, recipe, sizes, wanted.seeds, items, wanted.judge and wanted.judge[:2], suites)
    return Study(wanted, items, grids, protocol.belle(facts), folder)


def _scaled(scale: str | None, most: int) -> int:
    """`--scale` as a number of rows, at most `most`. Raises InputError."""
    if scale is None:
        return most
    try:
        size = parse_size(scale)
    except ValueError as e:
        raise InputError(f"--scale: {e}") from None
    return min(most, size.of(most))


def _doit(wanted: PaperWanted, build: Path, recipe: Training) -> Study:
    names = taxonomy_of(build, wanted.taxonomy)
    held, items = split_items([i for i in items_of(build, names, (), wanted.max_items) if i.ability != UNKNOWN])
    apart = items_of(build, names, wanted.suites, wanted.max_items) if wanted.suites else []
    items, held = (with_distractors(x, KINDS) for x in ([*items, *apart], held))
    rows, unlearned = _teaching(_rows(build), wanted.models, recipe, wanted.say)
    arms = {origin: at for origin in (ORIGINS[1], ORIGINS[2], ORIGINS[0]) if len(at := _of_origin(rows, origin))}
    most = _scaled(wanted.scale, 10**9) if wanted.scale else max(np.unique(rows.abilities, return_counts=True)[1])
    sizes = [k for k in PER_ABILITY if k <= most and (k == 1 or _ranked(rows, arms["mixed"], k, least=k))]
    named = "epochs" in {s.partition("=")[0] for s in wanted.sets}
    epochs = {str(k): recipe.epochs if named else EPOCHS.get(k, recipe.epochs) for k in sizes}
    streams: dict[int, list[Stream]] = {}
    for seed in range(wanted.seeds):
        for k in sizes:
            mine = streams.setdefault(epochs[str(k)], [])
            mine += [rows.stream(arm, seed, _ranked(rows, at, k), str(k)) for arm, at in arms.items()]
        last = streams[epochs[str(sizes[-1])]]
        last += _apart(rows, arms["mixed"], sizes[-1], seed)
    folder, grids = _folder(wanted, build), []
    for model in wanted.models:
        for n, mine in sorted(streams.items()):
            changed = recipe if n == recipe.epochs else training("doit", [*wanted.sets, f"epochs={n}"])
            grids.append((Grid(folder, model, changed, items, KINDS, wanted.say, None, Examined(held)), mine))
    facts = Facts(
        build, wanted.models, recipe, {str(k): len(_ranked(rows, arms["mixed"], k)) for k in sizes}, wanted.seeds,
        items,
        None, sorted({i.suite for i in apart}), len(held),
    )  # fmt: skip
    elements = protocol.doit(facts, list(arms), epochs, set(CAPS) <= set(rows.abilities))
    return Study(wanted, items, grids, elements, folder, unlearned)


def _rows(build: Path) -> PaperRows:
    ids: list[str] = []
    talks: list[Messages] = []
    abilities: list[Any] = []
    human: list[bool] = []
    for batch in rows_of(build, "full"):
        ids += batch["id"].to_pylist()
        talks += talks_of(batch)
        abilities += batch["ability"].to_pylist()
        human += [o == HUMAN for o in batch["origin"].to_pylist()]
    return PaperRows(ids, talks, np.array([a or UNKNOWN for a in abilities], object), np.array(human, bool))


def _teaching(rows: PaperRows, models: Sequence[str], recipe: Training, say: Say) -> tuple[PaperRows, int]:
    """(the rows from which every model learns something, the number of the others): where an ability is one row, it has
    to be one that teaches. Raises InputError where none does."""
    teaches = np.ones(len(rows.ids), bool)
    for spec in models:
        loaded = load(spec, say)
        length = min(recipe.length, loaded.context)
        for start in range(0, len(teaches), CHUNK):
            part = slice(start, start + CHUNK)
            coded = encode(loaded.tokenizer, rows.talks[part], length, reasoning=recipe.reasoning)
            teaches[part] &= [r.supervised > 0 for r in coded]
    left = int((~teaches).sum())
    if left == len(teaches):
        raise InputError(f"none of {left:,} rows has a token to learn: `instdata train --show 3` says why")
    if left:
        say(f"{left:,} of {len(teaches):,} rows have nothing to learn and are left out (`instdata train` says why)")
    at = np.flatnonzero(teaches)
    ids, talks = [rows.ids[i] for i in at], [rows.talks[i] for i in at]
    return PaperRows(ids, talks, rows.abilities[at], rows.human[at]), left


def _of_origin(rows: PaperRows, origin: str) -> np.ndarray:
    everything = np.ones(len(rows.ids), bool)
    return np.flatnonzero({"human": rows.human, "synthetic": ~rows.human}.get(origin, everything))


def _by_ability(rows: PaperRows, at: np.ndarray) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i in at.tolist():
        found.setdefault(rows.abilities[i], []).append(i)
    return {a: found[a] for a in sorted(found) if a != UNKNOWN}


def _ranked(rows: PaperRows, at: np.ndarray, k: int, least: int = 0) -> list[int]:
    """The first k rows of each ability, by rank, then ability: so every size is the start of the next. Empty where no
    ability has `least`."""
    by = _by_ability(rows, at)
    if least and max(map(len, by.values()), default=0) < least:
        return []
    return [mine[rank] for rank in range(k) for mine in by.values() if rank < len(mine)]


def _apart(rows: PaperRows, at: np.ndarray, k: int, seed: int) -> list[Stream]:
    """Beside the ladder: one ability's rows alone, for each, and the two mixtures that the paper made of its
    findings."""
    by = _by_ability(rows, at)
    found = [rows.stream(f"{ONLY}{a}", seed, mine[:k], str(k)) for a, mine in by.items()]
    if set(CAPS) <= set(by):
        caps = {a: max(1, round(share * k)) for a, share in CAPS.items()}
        even = sum(min(k, len(mine)) for mine in by.values())
        found.append(rows.stream(RECONSTRUCT, seed, refilled(by, caps, even), str(k)))
        found.append(rows.stream(MAXIMUM, seed, refilled(by, caps, MORE * even), str(k)))
    return found


def refilled(by: Mapping[str, Sequence[int]], caps: Mapping[str, int], total: int) -> list[int]:
    """Row numbers by ability with caps; the others share what is left of `total` evenly, as far as they have rows."""
    taken = {a: list(mine[: caps[a]]) if a in caps else [] for a, mine in by.items()}
    left, rank = total - sum(map(len, taken.values())), 0
    free = [a for a in by if a not in caps]
    while left > 0 and any(rank < len(by[a]) for a in free):
        for a in free:
            if left > 0 and rank < len(by[a]):
                taken[a].append(by[a][rank])
                left -= 1
        rank += 1
    return [i for mine in taken.values() for i in mine]
