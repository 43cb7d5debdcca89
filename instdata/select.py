"""The small steps that choose rows: filter (an SQL expression), sample and mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from instdata.errors import InputError
from instdata.recipe import share
from instdata.record import UNKNOWN, Rows
from instdata.step import Context, Scope, Scores, Step, Threshold, Verdicts, drop
from instdata.subset import priority


class Filter(Step):
    """Keep the rows for which an SQL expression over columns and scores holds, e.g. `lang = 'zh' and
    score_quality_chars > 20`. Columns: id, ability, lang, origin, source, source_file, source_row, meta, prompt,
    response, and every score_<step>_<name>. DuckDB evaluates it, without access to files or network."""

    kind: ClassVar[str] = "filter"
    reads_scores: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True

    where: str = Field(description="The expression; rows for which it is false or null are dropped.")

    @field_validator("where")
    @classmethod
    def _one_expression(cls, value: str) -> str:
        import duckdb

        try:
            statements = duckdb.extract_statements(f"select ({value}\n) as keep from rows")  # noqa: S608 (the expression is the option)
        except duckdb.Error as e:
            raise ValueError(f"not an SQL expression: {str(e).splitlines()[0]}") from e
        if len(statements) != 1:
            raise ValueError("one expression, without a semicolon")
        return value

    def score(self, rows: Rows) -> Mapping[str, Any]:
        import duckdb

        table = (
            rows.table.drop_columns(["rid", "messages"])
            .append_column("prompt", rows.prompt)
            .append_column("response", rows.response)
        )
        table = table.set_column(table.column_names.index("ability"), "ability", pc.fill_null(rows.ability, UNKNOWN))
        for name, column in rows.scores.items():
            table = table.append_column(name, column)
        with duckdb.connect(
            config={"enable_external_access": "false", "threads": "1", "python_enable_replacements": "false"}
        ) as db:
            db.register("rows", table)
            db.execute("set lock_configuration = true")
            try:
                kept = db.sql(f"select coalesce(cast(({self.where}\n) as boolean), false) as keep from rows")  # noqa: S608
                kept = kept.to_arrow_table()
            except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as e:
                raise InputError(f"step {self.name}: where: {_first_lines(e)}") from e
            except duckdb.PermissionException as e:
                raise InputError(f"step {self.name}: where: {_first_lines(e)}") from e
        if len(kept) != len(rows):
            raise InputError(
                f"step {self.name}: where: an expression about one row is needed, this one gives {len(kept)} values for {len(rows)} rows"
            )
        return {"_keep": kept["keep"]}

    def decide(self, scores: Scores) -> Verdicts:
        return drop(pc.invert(scores.column("_keep")), "filtered")


def _first_lines(error: Exception) -> str:
    return " ".join(
        line.strip() for line in str(error).splitlines() if line.strip() and "^" not in line and "LINE" not in line
    )[:400]


class _Chosen(Step):
    """Steps that choose by a pseudo-random priority of (seed, step, id)."""

    scope: ClassVar[Scope] = "corpus"

    def scoring(self, context: Context) -> dict[str, Any]:
        return {**super().scoring(context), "seed": context.seed, "name": self.name}

    def _priority(self, rows: Rows) -> np.ndarray:
        # A permutation rank: smaller comes first; equal ids in their order.
        order = np.argsort(priority(rows.id, rows.context.seed, self.name), kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank


class Sample(_Chosen):
    """Keep a random sample: a number of rows or a share."""

    kind: ClassVar[str] = "sample"

    rows: int | None = Threshold(None, ge=1, description="How many rows to keep.")
    share: float | None = Threshold(None, description="Which share to keep: 10% or 0.1.")

    _share = field_validator("share", mode="before")(lambda v: v if v is None else share(v))

    @model_validator(mode="after")
    def _one(self) -> Sample:
        if (self.rows is None) == (self.share is None):
            raise ValueError("give either rows: or share:")
        return self

    def score(self, rows: Rows) -> Mapping[str, Any]:
        return {"_rank": self._priority(rows)}

    def decide(self, scores: Scores) -> Verdicts:
        n = self.rows if self.rows is not None else int(len(scores) * self.share + 0.5)
        return drop(scores._rank >= n, "not_sampled")


class Mix(_Chosen):
    """Keep as many rows as possible so that sources (or origins, languages, abilities) have the given weights."""

    kind: ClassVar[str] = "mix"
    reads_labels: ClassVar[bool] = True

    by: str = Field("source", pattern="^(source|origin|lang|ability)$", description="source, origin, lang or ability.")
    weights: dict[str, float] = Threshold(..., description="Relative weights; a value that is not named is left out.")

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or any(not 0 <= w < float("inf") for w in value.values()) or not sum(value.values()):
            raise ValueError("weights are numbers of at least 0, one of them more")
        return value

    def score(self, rows: Rows) -> Mapping[str, Any]:
        return {"_rank": self._priority(rows), "_value": pa.array(pc.fill_null(getattr(rows, self.by), UNKNOWN))}

    def decide(self, scores: Scores) -> Verdicts:
        values = pc.dictionary_encode(scores.column("_value")).combine_chunks()
        words, codes = values.dictionary.to_pylist(), np.asarray(values.indices)
        counts = np.bincount(codes, minlength=len(words))
        missing = [v for v, w in self.weights.items() if w and v not in words]
        if missing:
            raise InputError(
                f'step {self.name}: no row has {self.by} "{missing[0]}"; there are {", ".join(map(str, words))}'
            )
        total = min(int(counts[words.index(v)] / w) for v, w in self._shares().items() if w)
        dropped = np.ones(len(codes), bool)
        for code, word in enumerate(words):
            mine = np.flatnonzero(codes == code)
            take = int(total * self._shares().get(word, 0) + 1e-9)
            dropped[mine[np.argsort(scores._rank[mine])[:take]]] = False
        return drop(dropped, "over_share")

    def _shares(self) -> dict[str, float]:
        whole = sum(self.weights.values())
        return {v: w / whole for v, w in self.weights.items()}
