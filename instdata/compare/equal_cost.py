"""Arms of equal cost: rows of a build's training set, in orders that somebody chose, cut at the same number of
supervised tokens. What a selector, a mixture and an added source are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.builds import rows_of
from instdata.compare.cell import Grid, Stream
from instdata.compare.grid_cost import estimate
from instdata.compare.paired_comparison import Matched
from instdata.corpus.ladder import priority
from instdata.corpus.rows import UNKNOWN, Rows, talks_of
from instdata.score.metric import MACRO
from instdata.score.score_table import cells_of, groups
from instdata.train.render import encode
from instdata.util.errors import InputError

COLUMNS = ["id", "messages", "ability", "lang", "origin", "source"]
CHUNK = 256  # rows that are tokenised at once
SAMPLE = 512  # rows whose mean length says what a number of rows costs


@dataclass
class EqualPool:
    """The rows that arms are made of, none of which holds an evaluation item, in the order of their ids. `leaks`: rows
    that did, and are left out. `tokens`: supervised tokens by row number, as far as they were asked for."""

    build: Path
    table: pa.Table
    leaks: int
    tokens: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> pa.Array:
        return self.table["id"].combine_chunks()

    def values(self, column: str) -> np.ndarray:
        """A column's words [rows], "unknown" where it is null."""
        return np.array(pc.fill_null(self.table[column], UNKNOWN).to_pylist(), object)

    def drawn(self, seed: int, purpose: str) -> np.ndarray:
        """All row numbers in a random order that depends on (seed, purpose, ids) alone."""
        return np.argsort(priority(self.ids, seed, purpose), kind="stable")

    def lengths(self, at: Sequence[int] | np.ndarray, grid: Grid) -> np.ndarray:
        """Supervised tokens of these rows; none where training on the row would learn nothing."""
        new = [int(i) for i in at if int(i) not in self.tokens]
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            talks = talks_of(self.table.take(pa.array(part)))
            coded = encode(grid.model().tokenizer, talks, grid.length(), reasoning=grid.recipe.reasoning)
            self.tokens |= dict(zip(part, (r.supervised for r in coded)))
        return np.array([self.tokens[int(i)] for i in at], np.int64)

    def budget(self, rows: int, grid: Grid) -> int:
        """Supervised tokens that so many random rows hold."""
        if rows > len(self):
            raise InputError(f"{rows:,} rows are more than the {len(self):,} that there are to choose from")
        return max(1, round(rows * float(self.lengths(self.drawn(0, "length")[:SAMPLE], grid).mean())))

    def fill(self, order: Sequence[int] | np.ndarray, budget: int, grid: Grid, what: str) -> list[int]:
        """The first rows of an order that hold `budget` supervised tokens together. Raises InputError where all do
        not."""
        taken: list[int] = []
        held = 0
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            for row, n in zip(part, self.lengths(part, grid).tolist()):
                if n:
                    taken.append(int(row))
                    held += n
                if held >= budget:
                    return taken
        raise InputError(
            f"{what} has {held:,} supervised tokens, fewer than the {budget:,} that every arm gets: choose fewer rows"
        )

    def stream(self, arm: str, seed: int, rows: Sequence[int], config: str, planned: int) -> Stream:
        """An arm's rows as what a cell is trained on; all arms make as many steps as `planned` rows would."""
        mine = self.table.take(pa.array(list(rows)))
        return Stream(arm, seed, mine["id"].to_pylist(), list(talks_of(mine)), [(config, len(mine))], (planned,))


def equal_pool(build: Path, grid: Grid) -> EqualPool:
    """The training rows of a build, without those that hold an item of the grid, by the rules of decontaminate."""
    batches = list(rows_of(build, "full"))
    names = batches[0].schema.names if batches else []
    table = pa.Table.from_batches(batches).select([c for c in [*COLUMNS, "tools"] if c in names])
    return clean_pool(build, table.sort_by([("id", "ascending")]), grid)[0]


def clean_pool(build: Path, table: pa.Table, grid: Grid) -> tuple[EqualPool, np.ndarray]:
    """(the rows of a table as a pool, without those that hold an item or lack an answer; which rows these are)."""
    from instdata.steps.dedup.leaks import leaks

    rows = Rows(table)
    held = [*grid.items, *(grid.validate.items if grid.validate else [])]
    clean = np.ones(len(table), bool)
    clean[leaks(rows.prompt, rows.full, [i.question for i in held]).row] = False
    clean &= np.asarray(pc.is_valid(rows.response))
    return EqualPool(build, table.filter(pa.array(clean)), int((~clean).sum())), clean


def cost(grid: Grid, streams: Sequence[Stream]) -> dict[str, Any]:
    """What that takes, as plans say it, minutes included."""
    took = estimate(grid, streams).plain()
    return {**took, "minutes": round(took["seconds"] / 60, 1)}


def against(scores: pa.Table, metric: str, control: str) -> dict[str, dict[str, Matched]]:
    """For each arm but the control, its scores beside the control's, seed by seed, by ability; "macro" is their mean,
    every ability weighing the same. Raises InputError where arms have other seeds or nothing was scored."""
    mine = scores.filter(pc.and_(pc.equal(scores["metric"], metric), pc.greater(scores["rows"], 0)))
    arms = {g["arm"]: cells_of(table) for g, table in groups(mine, ["arm"])}
    if control not in arms:
        raise InputError(f"no item has a score of metric {metric}: give items with references, or another --metric")
    found: dict[str, dict[str, Matched]] = {}
    for arm, cells in arms.items():
        if arm == control:
            continue
        by: dict[str, Matched] = {}
        for ability, a in arms[control].items():
            b = cells[ability]
            if a.seeds.tolist() != b.seeds.tolist():
                raise InputError(
                    f"the arms {control} and {arm} have other seeds: run it again to finish the missing cells"
                )
            by[ability] = Matched(a.values, b.values, a.weights, a.cluster)
        if len(by) > 1:
            by[MACRO] = macro(list(by.values()))
        found[arm] = {name: coded(pair) for name, pair in by.items()}
    return found


def coded(pair: Matched) -> Matched:
    """The pair with its clusters' names as codes; without clusters where no item shares one."""
    names, codes = np.unique(np.asarray(pair.cluster), return_inverse=True)
    return replace(pair, cluster=codes if len(names) < len(codes) else None)


def macro(parts: Sequence[Matched]) -> Matched:
    """The mean over abilities as one comparison: an item weighs by its share of its ability, among items that were
    scored; clusters, by their names, may reach over abilities."""
    weights = []
    for p in parts:
        kept = np.isfinite(p.a).all(0) & np.isfinite(p.b).all(0)
        w = np.where(kept, p.weights, 0.0)
        weights.append(p.weights / w.sum() if w.sum() > 0 else np.zeros(len(w)))
    clusters = [p.cluster for p in parts if p.cluster is not None]
    return Matched(
        np.hstack([p.a for p in parts]), np.hstack([p.b for p in parts]), np.concatenate(weights),
        np.concatenate(clusters) if len(clusters) == len(parts) else None,
    )  # fmt: skip
