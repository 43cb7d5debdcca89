"""Items and tables of scores, made by hand."""

from __future__ import annotations

import pyarrow as pa

from instdata.score.evaluate import CELL
from instdata.score.item import Item
from instdata.score.score_table import SCHEMA, score_row


def item(name: str, ability: str = "x", scorer: str = "exact") -> Item:
    return Item(name, ability, [{"role": "user", "content": name}], name, None, scorer, None, "holdout")


def table(items, values, metric: str = "exact", **cell) -> pa.Table:
    """The items' values as rows of scores.parquet."""
    rows = [CELL | cell | score_row(i, metric, v, "") for i, v in zip(items, values)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
