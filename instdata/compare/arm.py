"""The arms of an ablation: the rows that a step passes, random rows of the pool before it, and another random draw.

For each seed a pseudo-random priority orders the pool. The `without` arm takes rows in that order; the `with` arm takes
the same stream with what the step drops left out, so the two share most rows; `aa` is another draw, to show noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.builds import kept_messages, manifest, messages_of
from instdata.compare.cell import Grid, Stream
from instdata.corpus.cached_tables import read_parquet
from instdata.corpus.ladder import priority
from instdata.corpus.rows import split_messages, weighed
from instdata.score.from_build import HUMAN, SYNTHETIC
from instdata.score.item import Item
from instdata.train.loop import batches
from instdata.train.render import Encoded, Messages, encode
from instdata.train.training_recipe import Training
from instdata.util.checksums import part
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

COLUMNS = ("source", "origin", "ability", "lang")  # of rows, for --filter column=value
ARMS = ("with", "without", "aa")
CONTROL = "without"


@dataclass(frozen=True)
class Pool:
    """The rows just before a step, in the order of (id, rid), and which of them it passes. `filter` is what was asked.
    `control`: the rows that random ones are drawn from, all but where two builds are compared (`other`)."""

    build: Path
    filter: str
    rids: np.ndarray
    ids: pa.Array
    passed: np.ndarray
    control: np.ndarray
    other: Path | None = None

    def __len__(self) -> int:
        return len(self.rids)


def pool_of(build: Path, asked: str) -> Pool:
    """The pool of `--filter`: a step's name, `step.reason` (one rule), `categorize.label`, or `column=value` with
    column source, origin (a name, human, or synthetic: all that is not human), ability or lang. Raises InputError for
    what the build does not have, and where the step dropped nothing."""
    ledger = read_parquet(
        part(build, "ledger.parquet"), ["rid", "id", "source", "verdict", "config", "step", "reason", "ability"]
    )
    steps = manifest(build)["steps"]
    names = [s["name"] for s in steps]
    kinds = {s["name"]: s["kind"] for s in steps}
    name, _, word = asked.partition(".")
    if "=" in asked:
        alive, passed = _by_column(build, ledger, *asked.split("=", 1))
    elif word and kinds.get(name) == "categorize":
        alive, passed = _by_column(build, ledger, "ability", word)
    elif name in names:
        alive, passed = _by_step(ledger, steps, names.index(name), word)
    else:
        hint = did_you_mean(name, names)
        raise InputError(
            f'--filter {asked}: {build.name} has no step "{name}".{hint} Steps: {", ".join(names) or "none"}; or write '
            f"STEP.REASON, or one of {', '.join(c + '=…' for c in COLUMNS)}"
        )
    table = ledger.select(["rid", "id"]).append_column("passed", pa.array(passed)).filter(pa.array(alive))
    table = table.sort_by([("id", "ascending"), ("rid", "ascending")])
    kept = np.asarray(table["passed"])
    if not len(table):
        raise InputError(f"--filter {asked}: no row of {build.name} with an answer reaches that step")
    if kept.all():
        raise InputError(
            f"--filter {asked}: it drops none of the {len(kept):,} rows before it, so there is nothing to compare"
        )
    if not kept.any():
        raise InputError(f"--filter {asked}: none of the {len(kept):,} rows before it passes")
    every = np.ones(len(kept), bool)
    return Pool(build, asked, np.asarray(table["rid"]), table["id"].combine_chunks(), kept, every)


def pool_against(build: Path, other: Path) -> Pool:
    """Two builds compared: `with` has the first one's training rows, `without` and `aa` the other's."""
    tables = []
    for at in (build, other):
        ledger = read_parquet(part(at, "ledger.parquet"), ["rid", "id", "verdict", "config"])
        tables.append(ledger.filter(_trained(ledger)).select(["id", "rid"]))
    first, second = (t["id"].combine_chunks() for t in tables)
    union = pa.concat_tables(tables).sort_by([("id", "ascending"), ("rid", "ascending")])
    ids = union["id"].combine_chunks()
    firsts = np.concatenate([[True], np.asarray(pc.not_equal(ids[1:], ids[:-1]))]) if len(ids) else np.empty(0, bool)
    union, ids = union.filter(pa.array(firsts)), ids.filter(pa.array(firsts))
    passed, control = (np.asarray(pc.is_in(ids, x)) for x in (first, second))
    if (passed == control).all():
        raise InputError(f"{build.name} and {other.name} keep the same rows: there is nothing to compare")
    return Pool(build, f"against-{other.resolve().name}", np.asarray(union["rid"]), ids, passed, control, other)


def _by_step(ledger: pa.Table, steps: list[dict[str, Any]], at: int, reason: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows that reach the step, rows that it passes). Of a single reason the step's other drops are not in the pool:
    the rule is looked at with all others in force."""
    trained, verdict, step = (
        np.asarray(x) for x in (_trained(ledger), ledger["verdict"], pc.fill_null(ledger["step"], ""))
    )
    later = [s["name"] for s in steps[at + 1 :] if s["kind"] not in ("close", "holdout", "decontaminate")]
    made_later = [s["name"] for s in steps[at:] if s["kind"] == "generate"]
    mine = (verdict == "dropped") & (step == steps[at]["name"])
    if reason:
        reasons = np.asarray(pc.fill_null(ledger["reason"], ""))
        known = sorted(set(reasons[mine]))
        if reason not in known:
            raise InputError(
                f"--filter {steps[at]['name']}.{reason}: the step dropped nothing as "
                f'"{reason}".{did_you_mean(reason, known)} '
                f"Its reasons: {', '.join(known) or 'none'}"
            )
        mine &= reasons == reason
    before = ~np.isin(np.asarray(ledger["source"]), made_later)
    passed = (trained | ((verdict == "dropped") & np.isin(step, later))) & before
    return (passed | (mine & before)) & np.asarray(ledger["id"].is_valid()), passed


def _trained(ledger: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.and_kleene(pc.equal(ledger["verdict"], "kept"), pc.equal(ledger["config"], "train")), False)


def _by_column(build: Path, ledger: pa.Table, column: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """(kept training rows, those whose column has that value)."""
    if column not in COLUMNS:
        raise InputError(f"--filter {column}={value}: rows have {', '.join(COLUMNS)}.{did_you_mean(column, COLUMNS)}")
    trained = np.asarray(_trained(ledger))
    if column in ledger.column_names:
        values = ledger[column]
    else:
        files = [part(build, f) for f in manifest(build)["configs"]["full"]["files"]]
        found = pa.concat_tables([pq.read_table(f, columns=["id", column]) for f in files])
        values = found[column].take(pc.index_in(ledger["id"], found["id"].combine_chunks()))
    if (column, value) == ("origin", SYNTHETIC):
        has = np.asarray(pc.fill_null(pc.not_equal(values, HUMAN), False))
    else:
        has = np.asarray(pc.fill_null(pc.equal(values, value), False))
    if not (has & trained).any():
        known = [str(v) for v in values.filter(pa.array(trained)).unique().to_pylist() if v is not None]
        there = ", ".join(known[:12]) or f"none, the rows have no {column}"
        raise InputError(f"--filter {column}={value}: no row has it.{did_you_mean(value, known)} There are: {there}")
    return trained, has & trained


class Count(NamedTuple):
    """What an arm has at one size: rows, tokens, tokens that are learned, and the steps that it makes."""

    size: int
    rows: int
    tokens: int
    supervised: int
    steps: int


@dataclass(frozen=True)
class Drawn:
    """One seed's streams, an arm each, and what they have: `sizes` {arm: a count for each size}. leaks: rows that would
    have been taken, did they not hold an evaluation item."""

    streams: list[Stream]
    sizes: dict[str, list[Count]]
    leaks: int


def draw(pool: Pool, sizes: Sequence[int], seed: int, match: str, grid: Grid) -> Drawn:
    """The arms of one seed: `with` has `size` rows, the others as many of what is matched: supervised tokens, tokens or
    rows.

    Rows that hold evaluation items are left out of every arm. All arms make equally many steps. Raises InputError where
    there are too few rows for that."""
    most = max(sizes)
    many = int(pool.passed.sum())
    if many < most:
        raise InputError(
            f"--filter {pool.filter} passes {many:,} rows, too few for size {most:,}: choose --sizes up to {many:,}"
        )
    orders = {p: np.argsort(priority(pool.ids, seed, f"ablate-{p}"), kind="stable") for p in ("main", "aa")}
    depth = 2 * most + 64
    while True:
        found = _drawn(pool, orders, sizes, seed, match, grid, depth)
        if found is not None:
            return _same_steps(found, pool)
        if depth >= len(pool):
            raise InputError(
                f"--filter {pool.filter}: the {len(pool):,} rows before it cannot match size {most:,}; choose "
                f"smaller --sizes"
            )
        depth *= 2


def _same_steps(drawn: Drawn, pool: Pool) -> Drawn:
    """The arms, which make equally many steps at every size. Raises InputError where one has too few rows for that."""
    for counts in zip(*drawn.sizes.values()):
        if len({c.steps for c in counts}) > 1:
            told = ", ".join(f"{arm} {c.rows} rows, {c.steps} steps" for arm, c in zip(drawn.sizes, counts))
            raise InputError(
                f"--filter {pool.filter}, size {counts[0].size}: the arms cannot make equally many steps ({told}): "
                f"choose a "
                "smaller --set batch=, larger --sizes, or --match rows"
            )
    return drawn


def _drawn(
    pool: Pool, orders: dict[str, np.ndarray], sizes: Sequence[int], seed: int, match: str, grid: Grid, depth: int
) -> Drawn | None:
    """The streams from the first `depth` rows of each order (for `with`: from the first rows that pass); None where
    these are too few."""
    main, other = orders["main"], orders["aa"]
    reach = {"with": main[pool.passed[main]], "without": main[pool.control[main]], "aa": other[pool.control[other]]}
    reach = {arm: order[:depth] for arm, order in reach.items()}
    wanted = np.unique(np.concatenate(list(reach.values())))
    talks = texts_of(pool, wanted)
    held = [*grid.items, *(grid.validate.items if grid.validate else [])]
    leaking = _leaking([talks[i] for i in wanted], held)
    clean = {int(i) for i, leaks in zip(wanted, leaking) if not leaks and talks[i][-1]["role"] == "assistant"}
    tokenizer = grid.model().tokenizer
    found = encode(tokenizer, [talks[i] for i in wanted], grid.length(), reasoning=grid.recipe.reasoning)
    encoded = dict(zip(wanted.tolist(), found))
    rows = {arm: [int(i) for i in order if int(i) in clean] for arm, order in reach.items()}
    if len(rows["with"]) < max(sizes):
        return None
    cut = {"with": list(sizes)}
    has = {arm: np.array([_has(encoded[i], match) for i in mine]).cumsum() for arm, mine in rows.items()}
    for arm in ("without", "aa"):
        if match == "rows":
            cut[arm] = list(sizes)
        else:  # the first row with which the arm has as many; one more than the size before, where a row fills both
            cut[arm] = []
            for size in sizes:
                first = int(np.searchsorted(has[arm], has["with"][size - 1])) + 1
                cut[arm].append(max(first, cut[arm][-1] + 1 if cut[arm] else 1))
        if max(cut[arm]) > len(rows[arm]):
            return None
    taken = {arm: rows[arm][: max(cut[arm])] for arm in ARMS}
    streams = [
        Stream(
            arm, seed, pool.ids.take(pa.array(taken[arm])).to_pylist(), [talks[i] for i in taken[arm]],
            [(str(size), n) for size, n in zip(sizes, cut[arm])], tuple(sizes),
        )
        for arm in ARMS
    ]  # fmt: skip
    matched = {s.arm: _counts(s, [encoded[i] for i in taken[s.arm]], grid.recipe) for s in streams}
    passed_by = set()
    for arm, order in reach.items():
        passed_by |= set(order[: order.tolist().index(taken[arm][-1])].tolist())
    return Drawn(streams, matched, len(passed_by & set(wanted[leaking].tolist())))


def _has(row: Encoded, match: str) -> int:
    """How much of what is matched a row has: nothing where it has nothing to learn."""
    return (row.supervised if match == "supervised" else len(row.ids)) if row.supervised else 0


def _counts(stream: Stream, rows: list[Encoded], recipe: Training) -> list[Count]:
    """What a stream has at each of its sizes."""
    found, rungs = [], [n for _, n in stream.rungs]
    for k, (size, n) in enumerate(zip(stream.planned or rungs, rungs)):
        steps = len(batches(rows[:n], rungs[: k + 1], recipe, stream.seed, planned=stream.planned))
        mine = [r for r in rows[:n] if r.supervised]
        found.append(Count(size, n, sum(len(r.ids) for r in mine), sum(r.supervised for r in mine), steps))
    return found


def texts_of(pool: Pool, at: np.ndarray) -> dict[int, Messages]:
    """The conversations of these rows of the pool: kept ones from the build, dropped ones from the cache.

    Raises InputError where the cache was cleaned since the build."""
    ids = dict(zip(at.tolist(), pool.ids.take(pa.array(at)).to_pylist()))
    by_id: dict[str, Messages] = {}
    for build in (pool.build, *([pool.other] if pool.other else [])):
        found = kept_messages(build, set(ids.values()), tools=True)
        both = [i for i in found if i in by_id]
        if weighed(both, [found[i] for i in both]) != weighed(both, [by_id[i] for i in both]):
            raise InputError(
                f"--against: rows of {build.name} are those of {pool.build.name} but for their turns' weights, and one "
                "text of a row is all that it takes: `instdata train` on each, then --cells"
            )
        by_id |= found
    rest = {i: str(pool.rids[i]) for i in ids if ids[i] not in by_id}
    dropped = messages_of(pool.build, set(rest.values()), tools=True)
    missing = set(rest.values()) - set(dropped)
    if missing:
        raise InputError(
            f"the text of {len(missing):,} dropped rows is no longer in the cache (`instdata cache clean` removes it): "
            f"build {pool.build.name} again, then ablate"
        )
    return {i: dropped[rest[i]] if i in rest else by_id[ids[i]] for i in ids}


def _leaking(talks: Sequence[Messages], items: Sequence[Item]) -> np.ndarray:
    """Whether each row holds an evaluation item, by the rules of decontaminate."""
    from instdata.steps.dedup.leaks import leaks

    shape = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    prompts, _ = split_messages(pa.array(talks, shape))
    fulls = pa.array(["\n".join(m["content"] for m in t) for t in talks], pa.string())
    found = leaks(prompts, fulls, [i.question for i in items])
    leaking = np.zeros(len(talks), bool)
    leaking[found.row] = True
    return leaking
