"""The filter step: rows for which an SQL expression over columns and scores holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from instdata.corpus.rows import SEEN_BY_STEPS, UNKNOWN, Rows
from instdata.steps.base import Scope, Scores, Step, Verdicts, drop
from instdata.util.database import connected
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

HIDDEN = ("rid", "messages", "chosen", "rejected", "asked_span")  # columns of the corpus that a filter does not see
COLUMNS = (*(n for n in SEEN_BY_STEPS if n not in HIDDEN), "prompt", "response")


class Filter(Step):
    """Keep the rows for which an SQL expression over columns and scores holds, e.g. `lang = 'zh' and
    score_quality_chars > 20`. Columns: id, ability, lang, origin, source, source_file, source_row, meta, prompt,
    response, and every score_<step>_<name>. DuckDB evaluates it, without access to files or network."""

    kind: ClassVar[str] = "filter"
    scope: ClassVar[Scope] = "alive"  # on a row that an earlier step dropped an expression may fail: a cast
    reads_scores: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True

    where: str = Field(description="The expression; rows for which it is false or null are dropped.")

    @field_validator("where")
    @classmethod
    def _about_one_row(cls, value: str) -> str:
        import duckdb

        try:
            if len(duckdb.extract_statements(f"select ({value}\n) from rows")) != 1:
                raise ValueError("one expression, without a semicolon")
            tree = _tree(value)
        except duckdb.Error as e:
            raise ValueError(f"not an SQL expression: {str(e).splitlines()[0]}") from e
        for word in _beyond_the_row(tree, _impure()):
            raise ValueError(
                f"{word}: the expression must say the same of a row whatever the other rows, the time or chance"
            )
        return value

    def unknown_column(self, before: Collection[str]) -> str | None:
        """What is wrong with the first column that is none and that no step of these names, which come before this one,
        can score; None where all are fine. Which scores a step gives is known only when it has run."""
        scores = [f"score_{name}_" for name in before]
        known = [*COLUMNS, *(f"{prefix}…" for prefix in scores)]
        for name in _columns(_tree(self.where)):
            if name.lower() not in COLUMNS and not name.lower().startswith(tuple(s.lower() for s in scores)):
                quoted = " Text stands in single quotes." if f'"{name}"' in self.where else ""
                return f'no column "{name}".{did_you_mean(name.lower(), known)}{quoted} There are {", ".join(known)}'
        return None

    def score(self, rows: Rows) -> Mapping[str, Any]:
        import duckdb

        table = rows.table.select([n for n in rows.table.column_names if n not in HIDDEN])
        table = table.append_column("prompt", rows.prompt).append_column("response", rows.response)
        table = table.set_column(table.column_names.index("ability"), "ability", pc.fill_null(rows.ability, UNKNOWN))
        for name, column in rows.scores.items():
            table = table.append_column(name, column)
        with _locked().cursor() as db:
            db.register("rows", table)
            try:
                found = db.sql(f"select ({self.where}\n) as keep from rows")
                if str(found.types[0]) not in ("BOOLEAN", '"NULL"', "NULL"):
                    raise InputError(
                        f"step {self.name}: where: is {found.types[0]}, not true or false; compare it with something"
                    )
                return {"_keep": found.to_arrow_table()["keep"]}
            except (duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException) as e:
                raise InputError(f"step {self.name}: where: {_first_lines(e)}") from e

    def decide(self, scores: Scores) -> Verdicts:
        dropped = pc.invert(pc.fill_null(scores.column("_keep").cast(pa.bool_()), False)).combine_chunks()
        told = json.dumps({"not": self.where}, ensure_ascii=False)
        return drop(dropped, "filtered", pc.if_else(dropped, pa.scalar(told), pa.scalar(None, pa.string())))


# Functions that look at other rows, the clock or chance.
IMPURE = "function_type in ('aggregate', 'window', 'table', 'pragma') or stability <> 'CONSISTENT'"
CLOCK = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


def _tree(where: str) -> Any:
    """The expression as DuckDB parses it: nested dicts and lists."""
    with connected() as db:
        return json.loads(db.execute("select json_serialize_sql(?)", [f"select ({where}\n) from rows"]).fetchone()[0])


@cache
def _impure() -> set[str]:
    with connected() as db:
        names = f"select lower(function_name) from duckdb_functions() where {IMPURE}"
        return {name for (name,) in db.execute(names).fetchall()}


@cache
def _locked() -> Any:
    """The database of this process in which expressions run: without files, network, or a word of SET."""
    import duckdb

    options = {"enable_external_access": "false", "threads": "1", "python_enable_replacements": "false"}
    db = duckdb.connect(config=options)
    db.execute("set lock_configuration = true")
    return db


def _columns(tree: Any, own: frozenset[str] = frozenset()) -> Iterator[str]:
    """The columns that a parsed expression reads. `own` are the parameters of the lambdas around it, in lower case."""
    if isinstance(tree, list):
        for item in tree:
            yield from _columns(item, own)
    elif isinstance(tree, dict):
        if tree.get("class") == "LAMBDA":
            own = own.union(n.lower() for n in _columns(tree["lhs"]))
        if tree.get("class") == "COLUMN_REF":
            table, *rest = tree["column_names"]
            name = rest[0] if rest and table.lower() == "rows" else table
            if name.lower() not in own:
                yield name
        for item in tree.values():
            yield from _columns(item, own)


def _beyond_the_row(tree: Any, impure: set[str]) -> Iterator[str]:
    """The parts of a parsed expression that are not about one row."""
    if isinstance(tree, list):
        for item in tree:
            yield from _beyond_the_row(item, impure)
    elif isinstance(tree, dict):
        kind, name = tree.get("class"), str(tree.get("function_name", "")).lower()
        if kind in ("SUBQUERY", "WINDOW"):
            yield f"a {kind.lower()}"
        if kind == "FUNCTION" and name in impure:
            yield f"{name}()"
        if kind == "COLUMN_REF" and str(tree.get("column_names", [""])[-1]).lower() in CLOCK:
            yield tree["column_names"][-1]
        for item in tree.values():
            yield from _beyond_the_row(item, impure)


def _first_lines(error: Exception) -> str:
    lines = [x.strip() for x in str(error).splitlines() if x.strip() and "^" not in x and "LINE" not in x]
    return " ".join(lines)[:400]
