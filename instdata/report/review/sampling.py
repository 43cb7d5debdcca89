"""Which rows are reviewed: a stratified sample of a build, the same for everybody, drawn by a hash of its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instdata.builds import manifest as read_manifest
from instdata.util.checksums import part
from instdata.util.database import connected
from instdata.util.errors import InputError

MOST = 1000  # rows of a stratum that may be asked about: an interval of 0.1 needs 385 at most
KEPT = "kept"  # the stratum of rows that no rule dropped, beside the rules': nobody knows which he has before him
NOT_RULES = ("sample", "mix", "close", "holdout")  # kinds of steps that drop rows without calling them bad
MEASURE = {"ability": "purity", "rule": "precision", "arm": "right", "source": "right"}
# How a row's stratum is found; null: it is in none.
STRATUM = {
    "ability": "case when verdict = 'kept' and ability <> 'unknown' then ability end",
    "rule": f"case when verdict = 'kept' and config = 'train' then '{KEPT}' "
    "when verdict = 'dropped' and not list_contains($skip, step) then step || '.' || reason end",
    "arm": "case when origin in ('human', 'human-revised') then 'human' else coalesce(origin, 'unknown') end",
    "source": "case when verdict = 'kept' then source end",
}


@dataclass(frozen=True)
class Picked:
    """A row of the sample. `rank`: its place in its stratum, from 0. `other`: the (rid, id) of the row that decided,
    where the row was dropped for being a near copy. `was`: the id that it came with, where a step changed its text."""

    rid: str
    id: str
    stratum: str
    rank: int
    label: str
    other: tuple[str, str] | None = None
    was: str | None = None


@dataclass(frozen=True)
class Sampling:
    """A sample, in the order in which it is asked about: the strata in turn. `sizes`: the rows of each stratum."""

    build: Path
    by: str
    measure: str
    sizes: dict[str, int]
    items: list[Picked]
    abilities: list[str]


def draw(build: Path, by: str) -> Sampling:
    """The sample of a build. Raises InputError where there is no row to ask about."""
    found = read_manifest(build)
    names = found["configs"]["full"]["files"]
    skip = [s["name"] for s in found["steps"] if s["kind"] in NOT_RULES] + ["close"]
    with connected(ledger=[part(build, "ledger.parquet")], data=[part(build, f) for f in names]) as db:
        olds = [n for (n, *_) in db.execute("describe ledger").fetchall() if n.endswith("_derived_from")]
        was = f"coalesce({', '.join(quoted(n) for n in olds)})" if olds else "null"
        rows = (
            "(select l.*, d.origin from ledger l join data d using (source, source_file, source_row)"
            " where l.verdict = 'kept')"
            if by == "arm"
            else "ledger"
        )
        sql = f"""with placed as (select rid, id, ability, evidence, {was} as was, {STRATUM[by]} as stratum from {rows} where id is not null),
            ordered as (select *, md5($seed || rid) as place, count(*) over (partition by stratum) as size,
                row_number() over (partition by stratum order by md5($seed || rid), rid) - 1 as rank
                from placed where stratum is not null)
            select rid, id, stratum, rank, ability, evidence, was, size from ordered where rank < $most order by rank, place, rid"""  # noqa: E501
        given = {"seed": f"{found['seed']}:{by}:", "most": MOST} | ({"skip": skip} if by == "rule" else {})
        drawn = db.execute(sql, given).fetchall()
        labels = [
            r[0]
            for r in db.execute("select distinct ability from ledger where ability <> 'unknown' order by 1").fetchall()
        ]
    sizes = {r[2]: r[7] for r in drawn}
    if not set(sizes) - {KEPT}:
        what = {"ability": "no kept row has an ability", "rule": "no row was dropped by a rule"}.get(
            by, "no row was kept"
        )
        raise InputError(f"{build}: {what}, so there is nothing to review by {by}; try another --by")
    items = [Picked(r[0], r[1], r[2], r[3], r[4], _other(r[5]), r[6]) for r in drawn]
    return Sampling(build, by, MEASURE[by], dict(sorted(sizes.items())), items, labels)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _other(evidence: str | None) -> tuple[str, str] | None:
    """(rid, id) of the row that a drop's evidence points at."""
    import orjson

    told: Any = orjson.loads(evidence) if evidence else {}
    rid, id = (told.get("rid"), told.get("id")) if isinstance(told, dict) else (None, None)
    return (rid, id) if isinstance(rid, str) and isinstance(id, str) else None
