"""`instdata evaluate`: one model's scores on what a build held out, or on suites."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.builds import find_build, run_of
from instdata.compare.run_lm_eval import by_lm_eval, tasks_of
from instdata.judge.judge_cells import Asked, graded, judging
from instdata.score.evaluate import score
from instdata.score.from_build import items_of, manifest_digest, slug, taxonomy_of, with_distractors
from instdata.score.score_table import not_judged, summary, write_table
from instdata.train.backend import only_writes, open_model
from instdata.train.forward import Network
from instdata.util.errors import InputError


def evaluate_model(
    spec: str, build: Path | None, suites: Sequence[Path], kinds: Sequence[str], max_items: int | None,
    out: Path | None,
    taxonomy: str | None, say: Callable[[str], None], judged: Asked | None = None, answer_tokens: int | None = None,
    harness: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score a model on a build's held out rows, or on suites; writes scores.parquet and returns what `evaluate --json`
    prints. `judged`: who judges the abilities that ask for it. `answer_tokens`: of an answer (by default as
    many as its reference suggests). `harness`: lm-eval tasks whose samples are scores beside ours. A run that learned
    thoughts thinks before it answers. A run that chose its epoch on half of the holdout is scored on the other half."""
    run = run_of(Path(spec)) or {}
    build = find_build(build or (Path(run["build"]["name"]) if run else None))
    if run and run["build"]["manifest_sha256"] != manifest_digest(build):
        say(f"{spec} was trained on another build than {build} as it is now: its rows may hold some of these items")
    names = taxonomy_of(build, taxonomy)
    items = items_of(build, names, suites, max_items)
    if run.get("validation") and not suites:
        seen = set(run["validation"])
        items = [i for i in items if i.id not in seen]
        say(f"{len(seen)} held out rows chose this run's epoch: scored on the other {len(items)}")
    if only_writes(spec):
        kinds = [k for k in kinds if k == "answers"]
        say("an endpoint and vLLM tell no likelihoods: scored by answers only")
    items = with_distractors(items, kinds)
    if harness:
        tasks_of(harness)
        if only_writes(spec):
            raise InputError("--with runs a network here: an endpoint or vLLM has a harness of its own")
    thinks = bool((run.get("counts") or {}).get("thoughts_learned"))
    dtype = (run.get("training") or {}).get("dtype", "auto")
    model, network = open_model(spec, say, dtype, answer_tokens, thinks)
    say(f"{model}: {len(items)} items, {', '.join(kinds)}")
    cell = {"cell": model, "model": run.get("model", model), "config": run.get("config", "base")}
    cell |= {"rows": run.get("rows", 0), "seed": run.get("seed", 0)}
    started = time.perf_counter()
    judge = judging(judged, names, items, say)
    table = score(network, items, kinds, cell, judge is not None)
    if judge:
        table = graded(judge, items, table)
    if harness and isinstance(network, Network):
        table = pa.concat_tables([table, by_lm_eval(network, harness, max_items, cell, say)])
    apart = sorted({i.suite for i in items if i.out_of_domain})
    where = out or _where(Path(spec) if run else None, model, build, [i.suite for i in items] if suites else [])
    path = where / "scores.parquet"
    write_table(table, path)
    return {
        "model": model,
        "build": str(build),
        "items": len(items),
        "scores": summary(table),
        "out_of_domain": apart,
        "not_judged": not_judged(items, table),
        "file": str(path),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _where(run: Path | None, model: str, build: Path, suites: Sequence[str]) -> Path:
    """The folder of an evaluation: a run's own for its build's holdout, else one under evaluations/, whose name tells
    the suites, so that one never replaces another."""
    if run and not suites:
        return run
    name = run.resolve().name if run else f"{model}-{build.resolve().name}"
    return Path("evaluations") / slug("-".join([name, *dict.fromkeys(suites)]))
