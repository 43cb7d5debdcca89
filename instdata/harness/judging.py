"""The judge of a run: which model scores the answers of abilities that ask for one, and at what price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from instdata.ability.taxonomy import Taxonomy
from instdata.errors import InputError
from instdata.harness.items import Item
from instdata.harness.scores import groups

if TYPE_CHECKING:
    from instdata.harness.judge import Compared, Judged
    from instdata.llm.ask import Options
    from instdata.step import Context


Asked = tuple[str, int, "float | None"]  # --judge, --judge-runs, --max-usd


@dataclass(frozen=True)
class Judging:
    """A judge with everything but items and answers given. `runs`: calls for each answer, whose mean is its score.
    `pairs`: answers are not graded one by one but compared with the control's, once both are there (`compared`)."""

    options: Options
    taxonomy: Taxonomy
    runs: int
    say: Callable[[str], None]
    pairs: bool = False

    @property
    def name(self) -> str:
        """What shapes its scores of a cell; of a cell whose answers are compared later, no judge does."""
        return "answers" if self.pairs else f"{self.options.model} x{self.runs} {self.taxonomy.digest()}"

    def asked(self, items: Sequence[Item]) -> list[Item]:
        """The items that it scores."""
        return [i for i in items if i.scorer == "judge"]

    def __call__(self, items: Sequence[Item], answers: Sequence[str | None]) -> list[Judged]:
        from instdata.harness.judge import Judged, judge_items

        if self.pairs:
            return [Judged(None, "to be compared with the control's answer", 0) for _ in items]
        return judge_items(items, answers, self.taxonomy, self.options, runs=self.runs, context=self._context())

    def compare(
        self, items: Sequence[Item], candidates: Sequence[str | None], controls: Sequence[str | None]
    ) -> list[Compared]:
        """Each candidate against its control: which is better."""
        from instdata.harness.judge import judge_pairs

        return judge_pairs(items, candidates, controls, self.taxonomy, self.options, context=self._context())

    def _context(self) -> Context:
        from instdata.step import Context

        return Context(taxonomy=self.taxonomy, say=self.say)

    def price(self, items: Sequence[Item], cells: int) -> dict[str, Any]:
        """{judge_calls, usd, judge_minutes} for so many cells, or comparisons of cells; usd is None where the model's price is
        unknown."""
        from instdata.harness.judge import estimate

        found = estimate(self.asked(items), self.taxonomy, self.options, runs=self.runs, pairs=self.pairs)
        usd = None if found["usd"] is None else found["usd"] * cells
        return {
            "judge_calls": found["requests"] * cells,
            "usd": usd,
            "judge_minutes": round(found["minutes"] * cells, 1),
        }


def judging(
    asked: Asked | None, taxonomy: Taxonomy, items: Sequence[Item], say: Callable[[str], None], pairs: bool = False
) -> Judging | None:
    """The judge that is asked for; None without one. Raises InputError where no ability asks for a judge."""
    if asked is None:
        return None
    model, runs, max_usd = asked
    from instdata.llm.ask import Options

    if not any(i.scorer == "judge" for i in items):
        raise InputError("--judge: no item's ability has `scorer: judge` in the taxonomy, so there is nothing to judge")
    return Judging(Options(model=model, max_usd=max_usd).resolved(), taxonomy, runs, say, pairs)


def compared(judge: Judging, items: Sequence[Item], scores: pa.Table, control: str) -> pa.Table:
    """The scores with every arm's answers compared, size by size and seed by seed, with those of the arm `control`: metric
    "pairs", 1 where the arm's answer is better, 0 where the control's is, between them a tie or doubt; the control
    itself has 0.5. What is compared already comes from the cache of requests."""
    is_answer = pc.equal(scores["metric"], "judge")
    by_id, found = {i.id: i for i in items}, [scores.filter(pc.invert(is_answer))]
    for _, mine in groups(scores.filter(pc.and_(is_answer, pc.greater(scores["rows"], 0))), ["config", "seed"]):
        arms = {g["arm"]: t.sort_by("item") for g, t in groups(mine, ["arm"])}
        controls = arms[control]["answer"].to_pylist()
        for arm, table in arms.items():
            if arm == control:
                values, reasons = [0.5] * len(table), ["the control"] * len(table)
            else:
                asked = [by_id[i] for i in table["item"].to_pylist()]
                said = judge.compare(asked, table["answer"].to_pylist(), controls)
                values, reasons = [s.value for s in said], [s.reason for s in said]
            columns = {
                "metric": pa.array(["pairs"] * len(table)), "value": pa.array(values, pa.float64()),
                "chance": pa.array([0.5] * len(table)), "reason": pa.array(reasons, pa.string()),
            }  # fmt: skip
            found.append(pa.table([columns.get(n, table[n]) for n in table.column_names], schema=table.schema))
    return pa.concat_tables(found)
