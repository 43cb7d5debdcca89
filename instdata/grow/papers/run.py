"""Plan and run a study: its cells, one table of primary scores, the published one beside it, the ability x ability
matrix."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.cell import run_grid
from instdata.compare.equal_cost import cost
from instdata.compare.grid_summary import curve_rows, run_facts
from instdata.compare.paired_comparison import Matched, decide
from instdata.corpus.write_build_folder import locked
from instdata.grow.curve import fitted
from instdata.grow.papers import protocol
from instdata.grow.papers.primary_score import PRIMARY, primary
from instdata.grow.papers.study import ONLY, Study
from instdata.judge.judge_cells import graded
from instdata.score.from_build import manifest_digest
from instdata.score.metric import metric_of
from instdata.score.score_table import cells_of, groups, write_table
from instdata.util.atomic import write_text
from instdata.util.errors import InputError

SCHEMA_VERSION = 1
IN_DOMAIN = "in domain"
PUBLISHED = Path(__file__).parents[2] / "report" / "belle_published_scores.json"


def plan(study: Study) -> dict[str, Any]:
    """The protocol, and what the study takes here; without a build the protocol alone."""
    took: dict[str, Any] = {}
    for grid, streams in study.grids:
        part = cost(grid, streams)
        grid.loaded = None
        took = {k: took.get(k, 0) + v for k, v in part.items()} if took else part
    if took:
        took["cells"] -= len(study.grids) - len(
            study.wanted.models
        )  # a model's untrained cell is one, whatever the epochs
        judge = study.grids[0][0].judge
        times = sum(len(s.rungs) for s in study.grids[0][1]) + 1
        took |= judge.price(study.items, times * len(study.wanted.models)) if judge else {}
    counts = {
        s: sum(e.status == s for e in study.elements) for s in (protocol.DONE, protocol.DIFFERS, protocol.MISSING)
    }
    build = study.wanted.build
    return {
        "paper": study.wanted.paper, "build": build and build.resolve().name,
        "protocol": protocol.plain(study.elements),
        "counts": counts, "unlearned_rows_left_out": study.unlearned, **took,
    }  # fmt: skip


def run(study: Study) -> dict[str, Any]:
    """Run what is missing; writes the study's folder and returns what `reproduce --json` prints."""
    if study.wanted.build is None:
        raise InputError(
            f"there is no build to reproduce {study.wanted.paper} on: `instdata build "
            f"recipes/{study.wanted.paper}.yaml`, or name "
            "a build or a recipe; --plan lists the protocol without one"
        )
    started, folder = time.perf_counter(), study.folder
    with locked(folder):
        parts, seen = [], set()
        for grid, streams in study.grids:  # a model's untrained cell is one, whatever the epochs
            parts.append(run_grid(grid, streams, base=grid.spec not in seen))
            seen.add(grid.spec)
            grid.loaded = None
        scores = pa.concat_tables(parts)
        judge = study.grids[0][0].judge
        if judge:
            scores = graded(judge, study.items, scores)
        found = _found(study, scores)
        write_table(scores, folder / "scores.parquet")
        write_text(folder / "reproduction.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        seconds = time.perf_counter() - started
        write_text(folder / "run.json", json.dumps(run_facts(study.grids[0][0], seconds), indent=1) + "\n")
    return {**found, "folder": str(folder), "seconds": round(seconds, 1)}


def _found(study: Study, scores: pa.Table) -> dict[str, Any]:
    """What reproduction.json says."""
    wanted = study.wanted
    mine = _in_domain(study, primary(scores, study.items))
    alone = pc.starts_with(mine["arm"], ONLY)
    build = wanted.build
    assert build is not None
    main = mine.filter(pc.invert(alone))
    return {
        "schema_version": SCHEMA_VERSION, "paper": wanted.paper, "build": build.resolve().name,
        "manifest_sha256": manifest_digest(build), "models": list(wanted.models), "seeds": wanted.seeds,
        "training": study.grids[0][0].recipe.model_dump(mode="json"), "items": len(study.items),
        "unlearned_rows_left_out": study.unlearned,
        "protocol": protocol.plain(study.elements), "table": curve_rows(main).to_pylist(), "fits": fitted(main),
        "published": _published() if wanted.paper == "belle" and wanted.judge else None,
        "matrix": _matrix(mine.filter(pc.or_(alone,
        pc.equal(mine["config"], "base")))) if wanted.paper == "doit" else None,
    }  # fmt: skip


def _published() -> dict[str, Any]:
    """BELLE's own table: source, rows of each size, scores of each use case and macro."""
    return json.loads(PUBLISHED.read_text("utf-8"))


def _in_domain(study: Study, scores: pa.Table) -> pa.Table:
    """All in-domain suites are one table."""
    apart = sorted({i.suite for i in study.items if i.out_of_domain})
    suite = pc.if_else(pc.is_in(scores["suite"], pa.array(apart, pa.string())), scores["suite"], IN_DOMAIN)
    return scores.set_column(scores.schema.get_field_index("suite"), "suite", suite)


def _matrix(scores: pa.Table) -> list[dict[str, Any]]:
    """What training on one ability alone did to every other, against the untrained model: the difference with its 95 %
    interval, and Holm's p over a model's whole matrix."""
    found: list[dict[str, Any]] = []
    kind = metric_of(PRIMARY)
    for group, mine in groups(scores, ["model", "suite"]):
        base = cells_of(mine.filter(pc.equal(mine["config"], "base")))
        pairs, names = [], []
        for arm, table in groups(mine.filter(pc.not_equal(mine["config"], "base")), ["arm"]):
            for examined, cells in cells_of(table).items():
                start = np.repeat(base[examined].values, len(cells.seeds), 0)
                pairs.append(Matched(start, cells.values, cells.weights))
                names.append((arm["arm"].removeprefix(ONLY), examined))
        for (trained, examined), v in zip(names, decide(pairs, [(kind, None)] * len(pairs))):
            known = {"untrained": v.mean_a, "value": v.mean_b, "effect": v.effect, "low": v.low, "high": v.high}
            found.append(group | {"trained": trained, "examined": examined, **known, "p_holm": v.p_holm, "n": v.n,
                "verdict": v.verdict})  # fmt: skip
    return found
