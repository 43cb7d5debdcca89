"""The judge of a run: which model scores the answers of abilities that ask for one, and at what price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instdata.ability.taxonomy import Taxonomy
from instdata.errors import InputError
from instdata.harness.items import Item

if TYPE_CHECKING:
    from instdata.harness.judge import Judged
    from instdata.llm.ask import Options


@dataclass(frozen=True)
class Judging:
    """A judge with everything but items and answers given. `runs`: calls for each answer, whose mean is its score."""

    options: Options
    taxonomy: Taxonomy
    runs: int
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """What shapes its scores."""
        return f"{self.options.model} x{self.runs} {self.taxonomy.digest()}"

    def asked(self, items: Sequence[Item]) -> list[Item]:
        """The items that it scores."""
        return [i for i in items if i.scorer == "judge"]

    def __call__(self, items: Sequence[Item], answers: Sequence[str | None]) -> list[Judged]:
        from instdata.harness.judge import judge_items
        from instdata.step import Context

        context = Context(taxonomy=self.taxonomy, say=self.say)
        return judge_items(items, answers, self.taxonomy, self.options, runs=self.runs, context=context)

    def price(self, items: Sequence[Item], cells: int) -> dict[str, Any]:
        """{judge_calls, usd} for so many cells; usd is None where the model's price is unknown."""
        from instdata.harness.judge import estimate

        found = estimate(self.asked(items), self.taxonomy, self.options, runs=self.runs)
        usd = found["usd"]
        return {"judge_calls": found["requests"] * cells, "usd": None if usd is None else usd * cells}


def judging(
    model: str | None, taxonomy: Taxonomy, items: Sequence[Item], runs: int, max_usd: float | None,
    say: Callable[[str], None],
) -> Judging | None:  # fmt: skip
    """The judge that --judge names; None without one. Raises InputError where no ability asks for a judge."""
    if model is None:
        return None
    from instdata.llm.ask import Options

    if not any(i.scorer == "judge" for i in items):
        raise InputError("--judge: no item's ability has `scorer: judge` in the taxonomy, so there is nothing to judge")
    return Judging(Options(model=model, max_usd=max_usd).resolved(), taxonomy, runs, say)
