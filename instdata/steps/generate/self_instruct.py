"""self-instruct (Wang et al. 2022, arXiv 2212.10560): seed tasks in context, new tasks out, the abilities that are
behind their target first.

Requests go out in numbered rounds. A round is planned from what the rounds before it accepted and its answers are
taken in request order, so the rows depend on the answers alone: not on concurrency, timing, kills or resumes.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.steps.generate.asked import other_ability
from instdata.steps.generate.check import Broken, NewRow, Novelty, judge, wrong_language
from instdata.steps.generate.prompt import LESS_OF_THE_SAME, render, tasks_schema, template, text_of, topics
from instdata.steps.generate.step import labelled, targets
from instdata.util.context import Context
from instdata.util.errors import BuildError

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

FIRST_ROUND, LARGEST_ROUND = 8, 512  # requests; a round is twice the one before it
STUCK = 5  # requests for one ability in a row without an accepted row, after which it is given up
CHARS_SHOWN = {"zh": 160, "en": 500}  # longer examples are shown only where there are no shorter ones
TOKENS_APART = 80  # what a task may need besides its answer


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
    accepted: list[NewRow] = field(default_factory=list)
    barren: int = 0  # requests in a row without an accepted row
    asked: int = 0

    @property
    def lacking(self) -> int:
        return 0 if self.barren >= STUCK else self.target - len(self.accepted)


@dataclass(frozen=True)
class Writing:
    """What shapes the prompts."""

    template: str
    language: str
    origin: str
    batch: int
    examples: int
    chars: int
    temperature: float
    seed: int


def run(
    plan: Writing,
    goals: Sequence[Goal],
    accept: Callable[[list[NewRow]], None],
    rids: Sequence[str],
    ask: Callable[[Sequence[Request]], list[Answer]],
    say: Callable[[str], None],
    spread: bool,
) -> tuple[list[NewRow | Broken], set[int]]:
    """Every record made, in order, and the rows that prompts showed. The accepted ones are exactly the goals' targets.
    `accept` gives items their reason (check.judge).

    `spread`: an ability that the model cannot write for leaves its share to the others. Raises BuildError where rows
    are still lacking then; everything answered stays in the cache."""
    records: list[NewRow | Broken] = []
    shown: set[int] = set()
    wanted = sum(g.target for g in goals)
    number = 0
    for turn in range(10_000):
        if spread:
            _spread(goals, say)
        planned = _plan_round(plan, goals, records, turn, number)
        if not planned:
            break
        number += len(planned)
        shown.update(row for _, _, rows in planned for row in rows)
        answers = ask([request for _, request, _ in planned])
        for (goal, _, rows), answer in zip(planned, answers, strict=True):
            records += _take(plan, goal, answer, accept, [rids[r] for r in rows])
        have = sum(len(g.accepted) for g in goals)
        say(
            f"round {turn + 1}: {have} of {wanted} rows accepted, {sum(isinstance(r, NewRow) for r in records)} written"
        )
    short = {g.label: g.target - len(g.accepted) for g in goals if g.target > len(g.accepted)}
    if short:
        raise BuildError(
            f"the model gave no acceptable row in {STUCK} requests in a row for {', '.join(f'{k} ({v} lacking)' for k, v in short.items())}: "
            "raise temperature, add seeds for it, or take another model; what was answered is kept"
        )
    return records, shown


def _plan_round(
    plan: Writing, goals: Sequence[Goal], records: Sequence[NewRow | Broken], turn: int, number: int
) -> list[tuple[Goal, Request, list[int]]]:
    """The round's requests: always for the ability that is furthest behind its target, counting what is already asked
    for at the yield so far. A round ends at its size, or when enough is asked for."""
    written = sum(isinstance(r, NewRow) and r.reason != "over_target" for r in records)
    accepted = sum(len(g.accepted) for g in goals)
    rate = (accepted + 6) / (written + 8)  # three quarters at first, what is seen soon
    coming = {id(g): 0.0 for g in goals}
    planned: list[tuple[Goal, Request, list[int]]] = []
    for n in range(number, number + min(LARGEST_ROUND, FIRST_ROUND << min(turn, 10))):
        behind = [g for g in goals if g.lacking - coming[id(g)] >= 0.75]
        if not behind:
            break
        goal = min(behind, key=lambda g: (len(g.accepted) + coming[id(g)]) / g.target)  # ties: the taxonomy's order
        lacking = goal.lacking - coming[id(goal)]
        count = max(1, min(plan.batch, math.ceil(lacking / rate)))
        request, rows = _request(plan, goal, count, n)
        planned.append((goal, request, rows))
        coming[id(goal)] += count * rate
        goal.asked += 1
    return planned


def _request(plan: Writing, goal: Goal, count: int, number: int) -> tuple[Request, list[int]]:
    """Request `number`: examples of the ability (the last one from accepted rows once there are some) and subjects,
    drawn by the seed and the number alone."""
    draw = random.Random(f"{plan.seed}:{number}")
    by_size = sorted(goal.seeds, key=lambda e: len(e.instruction) + len(e.response))
    few = sum(len(e.instruction) + len(e.response) <= CHARS_SHOWN.get(plan.language, 500) for e in by_size)
    pool = by_size[: max(few, plan.examples)]
    examples = draw.sample(pool, min(plan.examples, len(pool)))
    if len(goal.accepted) >= 2 and len(examples) > 1:
        own = draw.choice(goal.accepted)
        examples[-1] = Shown(own.instruction, own.response)
    lines = [
        json.dumps({"instruction": e.instruction, "response": e.response}, ensure_ascii=False, separators=(",", ":"))
        for e in examples
    ]
    subjects = draw.sample(topics(plan.language), count)
    values = {
        "label": goal.label,
        "description": goal.description,
        "examples": ",".join(lines),
        "count": count,
        "chars": plan.chars,
        "topics": ("、" if plan.language == "zh" else ", ").join(subjects),
    }
    limit = int(count * (TOKENS_APART + 1.5 * plan.chars))
    request = Request(
        render(plan.template, values),
        limit,
        plan.temperature,
        tasks_schema(count),
        seed=plan.seed + number,
        more=LESS_OF_THE_SAME,
    )
    return request, [e.row for e in examples if e.row >= 0]


def _take(
    plan: Writing, goal: Goal, answer: Answer, accept: Callable[[list[NewRow]], None], shown: Sequence[str]
) -> list[NewRow | Broken]:
    """The records of one answer; accepted items move their goal forward, those beyond it are surplus."""
    records: list[NewRow | Broken] = [Broken(f.text, f.why, {"request": f.key}) for f in answer.failures]
    meta = {"method": "self-instruct", "request": answer.key, "seeds": shown}
    items = [_item(raw, goal, plan.origin, {**meta, "item": n}) for n, raw in enumerate(answer.value or [])]
    goal.barren = goal.barren + 1 if len(goal.accepted) < goal.target else 0
    for item in items:
        if len(goal.accepted) >= goal.target:
            item.reason = "over_target"
            continue
        accept([item])
        if item.reason is None:
            goal.accepted.append(item)
            goal.barren = 0
    return [*records, *items]


def _item(raw: object, goal: Goal, origin: str, meta: dict) -> NewRow:
    found: Mapping = raw if isinstance(raw, Mapping) else {"instruction": raw}
    instruction, extra = text_of(found.get("instruction")), text_of(found.get("input"))
    if extra:
        instruction = f"{instruction}\n{extra}"
    response = next((text_of(found[k]) for k in ("response", "output", "answer") if k in found), "")
    return NewRow(instruction, response, goal.name, origin, meta)


def _spread(goals: Sequence[Goal], say: Callable[[str], None]) -> None:
    """Hand what given-up abilities lack to the others, one row each in turn."""
    open_goals = [g for g in goals if g.barren < STUCK]
    for goal in goals:
        if goal.barren >= STUCK and open_goals and goal.target > len(goal.accepted):
            left, goal.target = goal.target - len(goal.accepted), len(goal.accepted)
            say(f"{goal.label}: nothing acceptable in {STUCK} requests in a row; its last {left} rows go to the others")
            for n in range(left):
                open_goals[n % len(open_goals)].target += 1


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows that prompts showed."""
    goals = goals_of(step, rows, context)
    plan = Writing(
        template("self-instruct", step.language, step.prompt, context.base),
        step.language, ask.origin, step.batch or 1, step.examples or 0, step.words(), step.temperature, context.seed,
    )  # fmt: skip
    rids = rows.rid.to_pylist()
    accept = partial(
        judge, seen=Novelty(rows.prompt.to_pylist(), step.threshold), rids=rids, language=step.language,
        other=other_ability(rows),
    )  # fmt: skip
    return run(plan, goals, accept, rids, ask, context.say, spread=step.target is not None)


def goals_of(step: GenerateOptions, rows: Rows, context: Context) -> list[Goal]:
    """The abilities to write for, in the taxonomy's order (else the seeds', by name; else one without a name)."""
    at = labelled(rows, context.seed_sources)
    names, prompts, responses = (c.take(pa.array(at)).to_pylist() for c in (rows.ability, rows.prompt, rows.response))
    foreign = wrong_language(prompts, step.language)
    seeds: dict[str | None, list[Shown]] = {}
    for row, name, prompt, response, other in zip(at.tolist(), names, prompts, responses, foreign, strict=True):
        if not other:
            seeds.setdefault(name, []).append(Shown(prompt, response, row))
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
    counts = targets(step, names)
    return [Goal(n, *told[n], count, seeds.get(n, [])) for n, count in zip(names, counts, strict=True) if count > 0]
