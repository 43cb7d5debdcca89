"""`instdata next`: from the growth curves of a build, or a published table of scores, to the next recipe."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instdata.corpus.rows import UNKNOWN
from instdata.grow import curve_fit as fits
from instdata.grow.allocate import CurveTable, Growth, plan
from instdata.score.score_table import Cells, cells_of
from instdata.util.checksums import part
from instdata.util.database import connected
from instdata.util.errors import InputError
from instdata.util.paths import file_text
from instdata.util.yaml import written_yaml

OVERALL = ("overall", "macro", "mean", "average")
MIX, SAMPLE = "next_mix", "next_sample"  # the steps that a next recipe ends with
Problems = Callable[[Path], list[str]]
WRITING = ("self-instruct", "evolve")  # methods of generate that can be told how many rows of an ability to write


def next_recipe(
    build: Path, budget: int | None = None, out: Path | None = None, problems: Problems | None = None
) -> dict[str, Any]:
    """Plan the next recipe and write it; returns what `next --json` prints.

    build: a build folder with curves, or a CSV table (`published`), for which no recipe can be written. budget: rows of
    the next training set; default: as many as the largest run had. out: default <name>.next.yaml here; its paths are
    those of the build's recipe, so keep it beside that one. problems: what would stop the written recipe, told as
    notes. Raises InputError.
    """
    if build.suffix.lower() == ".csv":
        if out is not None:
            raise InputError(f"{build} is a table: there is no recipe to change. Leave --out away")
        return {"build": str(build), **plan(published(build), budget), "recipe": None}
    recipe, steps, supply = _recipe(build)
    found = plan(measured(build, supply), budget)
    rows = {a["ability"]: a["rows"] for a in found["abilities"]} | found["others"]
    head = [
        f"Written by `instdata next {build.name}`: {found['rows']:,} rows where the curves still rise.",
        *found["notes"],
    ]
    out = out or Path(f"{recipe['name']}.next.yaml")
    found["notes"] += _write(out, {**recipe, "steps": _steps(steps, rows, supply)}, head, problems)
    return {"build": str(build), **found, "recipe": str(out)}


def mixture_recipe(
    build: Path, found: Mapping[str, Any], length: Mapping[str, float], budget: int | None, out: Path | None,
    problems: Problems | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the recipe of a proposed mixture (mixture_design.py's result), shares of tokens turned into rows by each
    ability's mean `length`; returns {rows, recipe, notes}, recipe None where nothing is proposed."""
    from instdata.builds import manifest

    if found["proposal"] is None:
        return {"rows": None, "recipe": None, "notes": list(found["notes"])}
    recipe, steps, supply = _recipe(build)
    full = manifest(build)["configs"]["full"]
    others = {a: n for a, n in full["by_ability"].items() if a not in found["proposal"]}
    whole = budget or full["rows"]
    kept = {a: round(n * whole / full["rows"]) for a, n in others.items()}
    parts = {a: share / length[a] for a, share in found["proposal"].items()}
    rows = {a: round((whole - sum(kept.values())) * p / sum(parts.values())) for a, p in parts.items()}
    short = [a for a, n in rows.items() if a in supply and (most := supply[a].most) is not None and n > most]
    notes = [
        *found["notes"],
        *([f"fewer rows than the mixture asks for, so all get less: {', '.join(short)}"] if short else []),
    ]
    span = f"[{found['low']:+.4f}, {found['high']:+.4f}]"
    head = [
        f"Written by `instdata next {build.name} --design`: the mixture that {len(found['mixtures'])} others speak "
        f"for.",
        f"Expected over the present mixture, at {found['rows']:,} rows: {found['gain']:+.4f} {span} ({found['unit']}).",
        f"Better than even: {found['better_than_even']}; than the present mixture: {found['better_than_present']}.",
        *notes,
    ]
    out = out or Path(f"{recipe['name']}.next.yaml")
    notes += _write(out, {**recipe, "steps": _steps(steps, rows | kept, supply)}, head, problems)
    return {"rows": rows | kept, "recipe": str(out), "notes": notes}


def _recipe(build: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Supply]]:
    """(a build's recipe, its steps without those that an earlier next recipe added, what there is of each ability)."""
    from instdata.util.yaml import load_yaml

    recipe = load_yaml(part(build, "recipe.yaml")).data
    steps = [s for s in recipe.get("steps") or [] if _options(s).get("name") not in (MIX, SAMPLE)]
    return recipe, steps, _supply(build, steps)


def _write(out: Path, recipe: dict[str, Any], head: list[str], problems: Problems | None) -> list[str]:
    """Write the next recipe with what is known of it on top; returns what would stop it, as notes."""

    from instdata.util.atomic import write_text

    after = {**recipe, "name": f"{recipe['name']}-next"}
    if after.get("subsets"):
        after["subsets"] = {**after["subsets"], "on_short": "clip"}
    body = written_yaml(after, width=120)
    write_text(out, "".join(f"# {' '.join(line.split())}\n" for line in head) + body)
    return [f"before it runs: {line}" for line in (problems(out) if problems else [])]


@dataclass(frozen=True)
class Supply:
    """Rows of an ability that a recipe can come by. fixed: come from sources whatever is generated; most: all there
    are, None where more can be written; held: evaluation items; survival: share of written rows that reach the training
    set."""

    fixed: int
    most: int | None
    held: int
    survival: float


def _options(step: Any) -> dict[str, Any]:
    return next((v for k, v in step.items() if k != "name" and isinstance(v, dict)), {}) | (
        {"name": step["name"]} if "name" in step else {}
    )


def _writer(steps: list[dict[str, Any]]) -> int | None:
    """The place of the last generate step that can be told numbers per ability."""
    found = [i for i, s in enumerate(steps) if "generate" in s and _options(s).get("method") in WRITING]
    return found[-1] if found else None


def _supply(build: Path, steps: list[dict[str, Any]]) -> dict[str, Supply]:
    """What the build's ledger says of each ability."""
    at = _writer(steps)
    name = None if at is None else _options(steps[at]).get("name", "generate")
    with connected(ledger=[part(build, "ledger.parquet")]) as db:
        # Rows that an earlier next recipe left out are there to be taken again.
        rows = db.execute(
            """select ability, count(*) filter (free and source is distinct from $name), count(*) filter (free),
                      count(*) filter (config = 'holdout'), count(*) filter (free and source = $name),
                      count(*) filter (source = $name and step is distinct from $name)
               from (select *, coalesce(config = 'train' or step in ($mix, $sample), false) as free from ledger)
               where ability is not null group by ability order by ability""",
            {"name": name, "mix": MIX, "sample": SAMPLE},
        ).fetchall()
    kept, written = (sum(r[i] for r in rows) for i in (4, 5))
    survival = kept / written if kept else 1.0
    return {
        ability: Supply(fixed if name else 0, None if name else free, held, survival)
        for ability, fixed, free, held, _, _ in rows
    }


def _steps(steps: list[dict[str, Any]], rows: dict[str, int], supply: dict[str, Supply]) -> list[dict[str, Any]]:
    """The steps that give so many rows of each ability: numbers for the generator, or a mix of what there is."""
    at = _writer(steps)
    if at is not None:
        wanted = {a: math.ceil((n - supply[a].fixed) / supply[a].survival) for a, n in rows.items() if a in supply}
        wanted |= {a: n for a, n in rows.items() if a not in supply}
        wanted = {a: n for a, n in wanted.items() if n > 0 and a != UNKNOWN}
        options = {k: v for k, v in _options(steps[at]).items() if k != "target"}
        step = [{"generate": {**options, "per_ability": wanted}}] if wanted else []
        return [*steps[:at], *step, *steps[at + 1 :]]
    # mix and sample count held-out rows too, and keep them whatever they decide: so much more is asked for.
    weights = {a: round(n * (1 + supply[a].held / most), 3) for a, n in rows.items() if (most := supply[a].most)}
    total = round(sum(weights.values()))
    return [
        *steps,
        {"mix": {"name": MIX, "by": "ability", "weights": weights}},
        {"sample": {"name": SAMPLE, "rows": total}},
    ]


def published(path: Path) -> CurveTable:
    """A published table: a CSV file whose first column names the ability and whose columns named like sizes (0.2M, 600)
    hold its scores; or columns ability, size, score. Rows are taken to be shared evenly. Raises InputError."""
    try:
        records = list(csv.DictReader(io.StringIO(file_text(path), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: not a readable CSV table: {e}") from e
    if not records:
        raise InputError(f"{path}: no rows; the first line names the columns, e.g. ability,0.2M,0.6M,1M")
    names = list(records[0])
    if {"ability", "size", "score"} <= set(names):
        cells = [(r["ability"], r["size"], r["score"]) for r in records]
    else:
        cells = [(r[names[0]], size, r[size]) for r in records for size in names[1:] if _rows(size)]
    scores: dict[str, dict[int, float]] = {}
    for ability, size, score in cells:
        rows = _rows(size)
        if (ability or "").strip().lower() in OVERALL:
            continue
        if rows is None:
            raise InputError(f'{path}: {ability}: "{size}" is not a size; write rows: 600, 200k, 0.2M')
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f'{path}: {ability}, size {size}: "{score}" is not a score')
        scores.setdefault(ability, {})[rows] = value
    sizes = sorted({r for by_rows in scores.values() for r in by_rows})
    _enough(str(path), sizes)
    for ability, by_rows in scores.items():
        for rows in sizes:
            if rows not in by_rows:
                raise InputError(f"{path}: {ability} has no score at {rows:,} rows")
    own = sorted({rows // len(scores) for rows in sizes} - {0})
    if len(own) < len(sizes):
        raise InputError(f"{path}: a size of {sizes[0]:,} rows is too small to be shared by {len(scores)} abilities")
    growth = [
        Growth(ability, fits.fit(own, [0] * len(own), np.array([by_rows[r] for r in sizes])), 1.0)
        for ability, by_rows in scores.items()
    ]
    floors = {g.ability: g.fit.rows[0] for g in growth}
    now = {g.ability: g.fit.rows[-1] for g in growth}
    notes = [
        "one run of each size: how a curve bends rests on how far scores lie from a straight line",
        "the table does not say how rows were shared: evenly, it is assumed",
    ]
    return CurveTable(growth, now, {}, floors, dict.fromkeys(floors, 2**62), "score", "score", 1, notes)


def _rows(word: str) -> int | None:
    from instdata.util.sizes_and_shares import parse_size

    try:
        return parse_size(word).rows
    except ValueError:
        return None


def _enough(where: str, sizes: list[int]) -> None:
    if len(sizes) < fits.SLOPE_RUNGS:
        raise InputError(
            f"{where}: {len(sizes)} size{'s' * (len(sizes) != 1)}, a growth curve needs {fits.SLOPE_RUNGS}: add "
            f"sizes to "
            "subsets: and run `instdata curves` again"
        )


def _curve_cells(build: Path) -> tuple[str, dict[str, Cells]]:
    """(the metric that tells most, the runs of each ability) of a build's curves: last model, in-domain items. Raises
    InputError where curves are missing or of another build."""
    import pyarrow.compute as pc

    from instdata.corpus.cached_tables import read_parquet
    from instdata.score.from_build import manifest_digest

    folder = build / "curves"
    if not (folder / "summary.json").is_file() or not (folder / "scores.parquet").is_file():
        raise InputError(f"{build}: no growth curves yet: run `instdata curves {build}` first")
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    if summary.get("manifest_sha256", digest := manifest_digest(build)) != digest:
        raise InputError(f"{build} has changed since its curves were made: run `instdata curves {build}` again")
    scores = read_parquet(folder / "scores.parquet")
    model = summary["models"][-1]["name"]
    for column, value in (("model", model), ("arm", "all")):
        scores = scores.filter(pc.equal(scores[column], value))
    suites = scores["suite"].unique().to_pylist()
    suite = "holdout" if "holdout" in suites else min(suites, default=None)
    scores = scores.filter(pc.and_(pc.equal(scores["suite"], suite), pc.greater(scores["rows"], 0)))
    if not scores.num_rows:
        raise InputError(f"{build}: the curves hold no scores of {model} on all rows: run `instdata curves {build}`")
    known = scores.filter(pc.is_valid(scores["value"])).group_by(["metric", "ability"]).aggregate([])["metric"]
    counts = {m: c for m, c in sorted((x["values"], x["counts"]) for x in known.value_counts().to_pylist())}
    if not counts:
        raise InputError(f"{build}: no item has a score in its curves: give items with references")
    metric = max(counts, key=lambda m: (counts[m], m == "bits"))
    cells = cells_of(scores.filter(pc.equal(scores["metric"], metric)))
    cells = {a: c for a, c in cells.items() if np.isfinite(c.values).all(0).any()}
    if not cells:
        raise InputError(f"{build}: no item has a score of metric {metric} in every run")
    return metric, cells


def measured(build: Path, supply: Mapping[str, Supply]) -> CurveTable:
    """The curves of a build, its last model, in-domain items; no ability gets more rows than there are, nor fewer than
    its curve begins with. Raises InputError where curves are missing, too short, or rest on one seed."""
    from instdata.builds import manifest

    configs = manifest(build)["configs"]
    metric, cells = _curve_cells(build)
    growth = []
    for ability, c in cells.items():
        own = np.array([_share(configs, *size).get(ability, 0) for size in zip(c.configs, c.rows.tolist())])
        first = {(o, s): i for i, (o, s) in reversed(list(enumerate(zip(own.tolist(), c.seeds.tolist()))))}
        use = sorted(i for (rows, _), i in first.items() if rows > 0)
        if len({int(own[i]) for i in use}) < fits.SLOPE_RUNGS:
            continue  # a rare ability may have as many rows in two sizes: it keeps its share
        fit = fits.fit(
            own[use], c.seeds[use], c.values[use], c.weights, lower_is_better=metric == "bits"
        )  # fmt: skip
        if fit.seeds < 2:
            raise InputError(
                f"{build}: {ability} rests on one seed, which says nothing about the next: --seeds 2 or more"
            )
        # Bits of different abilities are compared as shares of their own value.
        growth.append(Growth(ability, fit, abs(float(fit.means[-1])) if metric == "bits" else 1.0))
    if not growth:
        _enough(str(build), sorted({int(r) for c in cells.values() for r in c.rows})[: fits.SLOPE_RUNGS - 1])
    largest = max(((c.configs[i], int(n)) for c in cells.values() for i, n in enumerate(c.rows)), key=lambda x: x[1])
    rows, full = _share(configs, *largest), configs["full"]
    # An ability too rare for the largest size is in the build all the same, and keeps its share of that.
    rows |= {a: max(1, round(n * largest[1] / full["rows"])) for a, n in full["by_ability"].items() if not rows.get(a)}
    curved = {g.ability for g in growth}
    now, others = ({a: n for a, n in rows.items() if (a in curved) == known} for known in (True, False))
    floors, ceilings = {}, {}
    for g in growth:
        has = supply.get(g.ability, Supply(0, None, 0, 1.0))
        floors[g.ability] = max(g.fit.rows[0], has.fixed)
        ceilings[g.ability] = 2**62 if has.most is None else max(floors[g.ability], has.most)
    unit = "share of bits per byte" if metric == "bits" else "score"
    return CurveTable(growth, now, others, floors, ceilings, metric, unit, min(g.fit.seeds for g in growth), [])


def _share(configs: Mapping[str, Any], name: str, rows: int) -> dict[str, int]:
    """Rows of each ability in a size: a config's, or, of a size given by its number of rows, those of the next larger
    config in proportion (a ladder keeps every prefix within a row of that)."""
    if name in configs:
        return configs[name]["by_ability"]
    larger = min((c for n, c in configs.items() if n != "holdout" and c["rows"] >= rows), key=lambda c: c["rows"])
    return {a: round(n * rows / larger["rows"]) for a, n in larger["by_ability"].items()}
