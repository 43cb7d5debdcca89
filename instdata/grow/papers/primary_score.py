"""One score an item: what a table of all abilities and its one mean are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.score.evaluate import GENERATED, score
from instdata.score.item import Item
from instdata.train.forward import Network, Validation
from instdata.util.errors import InputError

PRIMARY = "primary"  # the metric's name in tables
TIE = 1e-6  # weight of the loss, which orders epochs that score the same


def primary_metric(item: Item) -> str:
    """The metric that an item is scored by: its judge's, its own scorer's where an answer can be checked, else whether
    its reference beats both distractors, or, where no fine one could be made, the coarse one."""
    if item.scorer == "judge" or item.scorer in GENERATED:
        return item.scorer
    return "distractors" if item.fine or not item.coarse else "distractor_coarse"


def primary(scores: pa.Table, items: Sequence[Item]) -> pa.Table:
    """The scores of each item's primary metric, all 0 to 1, called PRIMARY; an item weighs as its neighbour."""
    wanted = {i.id: primary_metric(i) for i in items}
    of = pa.array([wanted.get(i) for i in scores["item"].to_pylist()], pa.string())
    mine = scores.filter(pc.fill_null(pc.equal(scores["metric"], of), False))
    for column, value in (("metric", PRIMARY), ("weight", 1.0)):
        at = mine.schema.get_field_index(column)
        mine = mine.set_column(at, column, pa.array([value] * len(mine), mine.schema.field(column).type))
    return mine


@dataclass(frozen=True)
class Examined(Validation):
    """Chooses an epoch as DoIT does: by its scorers on the validation items, not by their loss, which only orders
    epochs that score the same. Lower is better, as the loop wants it."""

    kinds: Sequence[str] = ("distractors", "answers")

    def __call__(self, run: Any) -> float:
        network = Network(run.net, run.tokenizer, run.context, dtype=run.recipe.dtype)
        mine = primary(score(network, self.items, self.kinds, {}), self.items)
        by: dict[str, list[float]] = {}
        for ability, value in zip(mine["ability"].to_pylist(), mine["value"].to_pylist()):
            if value is not None:
                by.setdefault(ability, []).append(value)
        if not by:
            raise InputError("no validation item can be scored to choose an epoch by: hold more rows out")
        return TIE * super().__call__(run) - float(np.mean([np.mean(v) for v in by.values()]))
