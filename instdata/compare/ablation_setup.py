"""An ablation that can run: what is compared, on what, and the looks that it may have."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from instdata.compare.arm import Drawn, Pool, draw
from instdata.compare.arm_contrasts import JUDGED
from instdata.compare.cell import Grid
from instdata.compare.equivalence_margin import DOUBLINGS
from instdata.compare.sequential_looks import Looks, read_looks
from instdata.compare.trained_elsewhere import Outside
from instdata.score.evaluate import GENERATED
from instdata.score.item import Item
from instdata.score.metric import ACCURACY
from instdata.util.progress import phase


@dataclass(frozen=True)
class Ablation:
    """An ablation that can run. `digest`: of the build's manifest. `seeds` are those of the first look; each further
    look adds one, up to `most`. `draws`: the arms of the seeds that were asked for."""

    pool: Pool
    grid: Grid
    sizes: list[int]
    seeds: int
    most: int
    metric: str
    match: str
    digest: str
    doublings: float = DOUBLINGS  # of data, that count as no difference
    passing: dict[str, bool] | None = None  # whether the step would pass an item, by its id
    outside: tuple[Outside, ...] = ()  # models that were trained elsewhere: nothing is trained here
    judge_card: dict[str, Any] | None = None  # `barred`: why the judge may not decide
    draws: dict[int, Drawn] = field(default_factory=dict)

    @property
    def told(self) -> list[Item]:
        """The items that the metric can tell something of."""
        items = self.grid.items
        if self.metric in JUDGED:
            return [i for i in items if i.scorer == "judge"]
        if self.metric == ACCURACY or self.metric in GENERATED:
            return [i for i in items if i.scorer in GENERATED and self.metric in (ACCURACY, i.scorer)]
        if self.metric == "bits":
            return [i for i in items if i.reference]
        needs = {"distractor_fine": ["fine"], "distractor_coarse": ["coarse"]}.get(self.metric, ["fine", "coarse"])
        return [i for i in items if i.reference and all(getattr(i, f) is not None for f in needs)]

    def asked(self) -> dict[str, Any]:
        """What was asked, as effects.json says it."""
        judge = self.grid.judge
        return {
            "build": self.pool.build.resolve().name,
            "filter": self.pool.filter,
            "metric": self.metric,
            "sizes": self.sizes,
            "match": self.match,
            "model": "outside" if self.outside else self.grid.about()[0],
            "training": self.grid.recipe.model_dump(mode="json"),
            "judge": {"model": judge.options.model, "runs": judge.runs} if judge else None,
        }

    @property
    def question(self) -> str:
        """Names what is looked at again and again: all but the seeds."""
        keys = sorted(t.key for t in self.grid.tasks)
        shaped = [self.asked(), self.digest, keys, self.doublings]
        return hashlib.blake2b(json.dumps(shaped, sort_keys=True).encode(), digest_size=12).hexdigest()

    def looks(self) -> Looks:
        """All looks at the question: those that were made in the folder before, and those that are due now."""
        return read_looks(self.grid.folder, self.question).planned(self.seeds, self.most)

    def leaks(self, seeds: int) -> int:
        """Rows that hold evaluation items and are left out, in the seed that has most."""
        return max(self.drawn(seed).leaks for seed in range(seeds))

    def drawn(self, seed: int) -> Drawn:
        """The arms of a seed."""
        if seed not in self.draws:
            with phase(f"drawing the arms of seed {seed}"):
                self.draws[seed] = draw(self.pool, self.sizes, seed, self.match, self.grid)
        return self.draws[seed]
