"""The abilities that new tasks are written for: how many rows each lacks, and what can be shown of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.generate.new_row_checks import wrong_language
from instdata.steps.generate.prompt_templates import TaskForm, forms
from instdata.steps.generate.step import labelled, targets
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions

KEPT = 256  # accepted rows of an ability from which examples are drawn, the latest
LIKE_ALL = 4  # rows written for an ability before its own yield counts as much as that of all


@dataclass(frozen=True)
class Shown:
    """A task that a prompt may show: the position of its row (-1 for one of the taxonomy)."""

    instruction: str
    response: str
    row: int = -1


@dataclass
class Goal:
    """One ability: how it is told to the model, how many rows it still lacks, what can be shown of it."""

    name: str | None
    label: str
    description: str
    target: int
    seeds: list[Shown]
    form: TaskForm = field(default_factory=TaskForm)
    accepted: int = 0
    written: int = 0
    latest: deque[Shown] = field(default_factory=lambda: deque(maxlen=KEPT))
    barren: int = 0  # requests in a row without an accepted row
    coming: int = 0  # tasks that are asked for
    given_up: bool = False

    @property
    def lacking(self) -> int:
        return 0 if self.given_up else self.target - self.accepted

    def coming_good(self, rate: float) -> float:
        """Of the rows asked for, those to be expected: by what was seen of this ability, and the `rate` of all."""
        return self.coming * (self.accepted + LIKE_ALL * rate) / (self.written + LIKE_ALL)


def goals_of(step: GenerateOptions, rows: Rows, context: Context) -> list[Goal]:
    """The abilities to write for, in the taxonomy's order (else the seeds', by name; else one without a name)."""
    at = labelled(rows, context.seed_sources)
    names, prompts, responses = (c.take(pa.array(at)).to_pylist() for c in (rows.ability, rows.prompt, rows.response))
    foreign = wrong_language(prompts, step.language)
    seeds: dict[str | None, list[Shown]] = {}
    for row, name, prompt, response, other in zip(at.tolist(), names, prompts, responses, foreign, strict=True):
        if not other:
            seeds.setdefault(None if name == UNKNOWN else name, []).append(Shown(prompt, response, row))
    taxonomy = context.taxonomy
    if taxonomy is None:
        names = sorted(seeds) or [None]
        told = {n: (n or {"zh": "各类任务"}.get(step.language, "any task"), "") for n in names}
    else:
        names = taxonomy.names
        told = {a.name: (a.label.get(step.language, a.name), a.description) for a in taxonomy.abilities}
        for ability in taxonomy.abilities:
            own = [Shown(f"{e.instruction}\n{e.input}".strip(), e.response) for e in ability.examples if e.response]
            other = wrong_language([e.instruction for e in own], step.language)
            seeds.setdefault(ability.name, [e for e, o in zip(own, other, strict=True) if not o])
    counts, form = targets(step, names), forms(step.language)
    return [
        Goal(n, *told[n], count, seeds.get(n, []), form.get(n or "", TaskForm()))
        for n, count in zip(names, counts, strict=True)
        if count > 0
    ]
