"""From the table of scores to contrasts of arms, and to effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.compare.arm import CONTROL
from instdata.compare.effect import Contrast, Effect, decide
from instdata.score.evaluate import GENERATED, METRICS
from instdata.score.metric import ACCURACY
from instdata.score.score_table import cells_of, groups
from instdata.train.backend import only_writes
from instdata.util.errors import InputError

# The kinds of scores that a metric needs.
KINDS = {"bits": ["bits"], "distractors": ["bits", "distractors"], "distractor_fine": ["bits", "distractors"],
         "distractor_coarse": ["bits", "distractors"], ACCURACY: ["bits", "answers"], "judge": ["bits"],
         "pairs": ["bits"],
         **{scorer: ["bits", "answers"] for scorer in GENERATED}}  # fmt: skip
JUDGED = ("judge", "pairs")


def kinds_of(metric: str, models: Sequence[str] = (), card: bool = False) -> list[str]:
    """The kinds of scores that a metric needs, all with `card`; bits beside it where all models, if any are named, tell
    likelihoods."""
    writers = any(map(only_writes, models))
    wanted = set(METRICS if card else KINDS[metric]) - ({"bits", "distractors"} - {metric} if writers else set())
    return [k for k in METRICS if k in wanted]


def of_metric(scores: pa.Table, metric: str) -> pa.Table:
    """The scores of a metric; of accuracy those of every ability's own scorer."""
    if metric == ACCURACY:
        return scores.filter(pc.is_in(scores["metric"], pa.array(GENERATED)))
    return scores.filter(pc.equal(scores["metric"], metric))


def effects_of(
    scores: pa.Table, metric: str, size: int, levels: tuple[float, float], margin: float | None = None
) -> tuple[list[Effect], list[Effect]]:
    """(effects of with against without, of aa against without) at one size."""
    main, other = contrasts(scores, metric, str(size))
    if not main:
        raise InputError(f"no item has a score of metric {metric}: give items with references, or another --metric")
    args: dict[str, Any] = {"levels": levels, "metric": metric, "margin": margin}
    return decide(main, other, **args), decide(other, **args) if other else []


def contrasts(scores: pa.Table, metric: str, config: str) -> tuple[list[Contrast], list[Contrast]]:
    """(with against without, aa against without) of every ability, from the scores of a size, seed by seed; cells from
    outside may have no aa. Raises InputError where an arm lacks a seed of the control."""
    mine = of_metric(scores, metric)
    mine = mine.filter(pc.equal(mine["config"], config))
    arms = {g["arm"]: cells_of(table) for g, table in groups(mine, ["arm"])}
    control = arms.get(CONTROL, {})

    def contrast(ability: str, arm: str) -> Contrast:
        a, b = control[ability], arms[arm][ability]
        if a.seeds.tolist() != b.seeds.tolist():
            raise InputError(f"the arms {CONTROL} and {arm} have other seeds: run it again to finish the missing cells")
        shared = len(np.unique(a.cluster)) < len(a.cluster)
        return Contrast(ability, a.values, b.values, a.weights, a.cluster if shared else None)

    return [contrast(a, "with") for a in control], [contrast(a, "aa") for a in control if "aa" in arms]
