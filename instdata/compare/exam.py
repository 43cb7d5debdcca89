"""Which items an ablation may be scored on: none that passed the step it judges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instdata.builds import manifest
from instdata.corpus.corpus import read_parquet
from instdata.corpus.rows import Rows
from instdata.corpus.taxonomy import Taxonomy
from instdata.recipe.load import read_recipe
from instdata.score.item import Item
from instdata.score.items import holdout_items
from instdata.score.source import items_of
from instdata.steps.base import Scores
from instdata.steps.run import table_of
from instdata.util.context import Context
from instdata.util.errors import InputError, InstdataError

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


def passing(build: Path, asked: str, taxonomy: Taxonomy) -> dict[str, bool] | None:
    """For each held-out item by its id, whether the step `asked` would pass it; None where that cannot be told: the
    step looks at the whole corpus, or at scores of other steps."""
    name = asked.partition(".")[0]
    step = next((s for s in read_recipe(build / "recipe.yaml").steps if s.name == name), None)
    if step is None or step.scope != "rows" or step.reads_scores or step.reads_labels:
        return None
    table = read_parquet(build / "data" / "holdout.parquet")
    try:
        rows = Rows(table, Context(taxonomy=taxonomy))
        scored = step.score(rows)
        verdicts = step.decide(Scores(table_of(step, scored, len(rows))))
    except (InstdataError, KeyError, AttributeError):  # it needs what only a build has
        return None
    passed = np.asarray(verdicts.reason.is_null())
    return {i.id: bool(p) for i, p in zip(holdout_items(build, taxonomy), passed)}
