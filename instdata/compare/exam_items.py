"""Which items an ablation may be scored on: none that passed the step it judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from instdata.builds import manifest
from instdata.corpus.cached_tables import read_parquet
from instdata.corpus.rows import Rows
from instdata.corpus.taxonomy import Taxonomy
from instdata.recipe.load import read_recipe
from instdata.score.from_build import items_of
from instdata.score.holdout_items import holdout_items
from instdata.score.item import Item
from instdata.steps.base import Step
from instdata.steps.run import verdicts_of
from instdata.util.build_context import Context
from instdata.util.checksums import part
from instdata.util.errors import InputError

Say = Callable[[str], None]
LABELS = ("categorize", "holdout")  # they keep every row: nothing passes or fails them


def exam_items(
    build: Path, asked: str | None, taxonomy: Taxonomy, suites: Sequence[Path] = (), most: int | None = None
) -> list[Item]:
    """The items of suites, or what the build held out before the step `asked`.

    Raises InputError where the holdout passed the step: items that a filter chose cannot tell what it does (in a toy
    the sign of the effect turned)."""
    step = (asked or "").partition(".")[0]
    steps = manifest(build)["steps"]
    names = [s["name"] for s in steps]
    held = [i for i, s in enumerate(steps) if s["kind"] == "holdout"]
    if not suites and "=" not in (asked or "") and step in names and held:
        at = names.index(step)
        if at < held[0] and steps[at]["kind"] not in LABELS and steps[at]["dropped"]:
            raise InputError(
                f"{build.name}: its holdout passed the step {step}, so it cannot judge it. Put the holdout before "
                f"{step} in "
                "the recipe and build again, or give --suite FILE"
            )
    return items_of(build, taxonomy, suites, most)


def passing(build: Path, asked: str, taxonomy: Taxonomy, say: Say = print) -> dict[str, bool] | None:
    """For each held-out item by its id, whether the step `asked` would pass it, those left out on which it fails; None
    where that cannot be told: the step looks at the whole corpus, or at scores of other steps, or fails here, which is
    said."""
    name = asked.partition(".")[0]
    step = next((s for s in read_recipe(part(build, "recipe.yaml")).steps if s.name == name), None)
    if step is None or step.scope != "rows" or step.reads_scores or step.reads_labels:
        return None
    table = read_parquet(part(build, "data/holdout.parquet"))
    try:
        passed, failed = passes(step, Rows(table, Context(taxonomy=taxonomy)), say)
    except Exception as e:  # a step of anybody's, without what only a build has; the exam goes on without this table
        say(f"which held out rows {name} would pass cannot be told ({type(e).__name__}: {e})")
        return None
    return {i.id: bool(p) for i, p, f in zip(holdout_items(build, taxonomy), passed, failed) if not f}


def passes(step: Step, rows: Rows, say: Say) -> tuple[np.ndarray, np.ndarray]:
    """(which rows a step passes, on which it fails, whose number is said): both [rows] of bool. Raises whatever steps
    do."""
    verdicts = verdicts_of(step, rows)
    passed, failed = np.asarray(verdicts.reason.is_null()), np.zeros(len(rows), bool)
    errors = verdicts.errors
    if errors is not None and errors.null_count < len(rows):
        failed = np.asarray(errors.is_valid())
        said = f"{int(failed.sum()):,} of {len(rows):,} rows, which it neither passes nor drops"
        say(f"{step.name} fails on {said}: {errors.drop_null()[0]}")
    return passed & ~failed, failed
