"""self-instruct (Wang et al. 2022, arXiv 2212.10560): seed tasks in context, new tasks out, the abilities that are
behind their target first.

Requests are numbered. Each time an answer was taken the next ones are planned, from what was accepted so far, and
answers are taken in request order, so the rows depend on the answers alone: not on concurrency, timing, kills or
resumes.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.endpoint import LOCAL
from instdata.llm.reply import read_items
from instdata.steps.generate.goals import Goal, Shown, goals_of
from instdata.steps.generate.new_row_checks import OVER_TARGET, Broken, NewRow, Novelty, pure_faults, settle
from instdata.steps.generate.options import YIELD, YIELD_VERIFIED
from instdata.steps.generate.prompt_templates import (
    personas,
    render,
    tasks_schema,
    template,
    text_of,
    topics,
)
from instdata.steps.generate.right_ability import other_ability
from instdata.steps.generate.verify_new_rows import AskOne, Verifier
from instdata.steps.generate.written_records import Records
from instdata.steps.verify.case import alike, size, split
from instdata.util.build_context import Context
from instdata.util.errors import BuildError

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

FIRST, MOST = 8, 8192  # requests under way: at first, then as many as were answered, at most
HERE = 5  # of a model on this machine: enough for its slots; more would wait, and be given up at the end
SPARE = 4  # requests under way as long as a row is lacking: the last ones are not waited for one by one
STUCK = 5  # requests for one ability in a row without an accepted row, after which it is given up
STUCK_VERIFIED = 6  # the same where each row is verified
CHARS_SHOWN = {"zh": 100, "en": 300}  # longer examples are shown only where there are no shorter ones
COPY = 0.75  # F1 of what a task and an example speak of, from which it is the example again
AGAINST_LOOPS = 0.1  # frequency penalty, against loops; more of it takes units and names away that have to come again
TOKENS_APART = 80  # what a task may need besides its answer; twice that with material


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
    personas: bool = False
    small: bool = False  # the model is a small one: tasks of the kinds that it gets right


@dataclass(frozen=True)
class Ordered:
    """A request, the goal that it is for, how many tasks it asks for, how many rows that goal lacked when it was
    planned, and the rows that it shows."""

    goal: Goal
    request: Request
    count: int
    need: int
    rows: list[int]
    shown: Sequence[Shown] = ()


@dataclass
class Writer:
    """What has been asked and accepted. `compose` makes request number n for a goal, `read` the items of its answer;
    `look` gives items the reasons that they have by themselves, before they are taken, told how many of them are
    wanted; `accept` the last one, of what was accepted before. `spread`: an ability that the model cannot write for
    leaves its share to the others."""

    writing: Writing
    goals: Sequence[Goal]
    records: Records
    look: Callable[[list[NewRow], int, AskOne], Coroutine[Any, Any, None]]
    accept: Callable[[NewRow], None]
    rids: Sequence[str]
    say: Callable[[str], None]
    spread: bool
    compose: Callable[[Writing, Goal, int, int], tuple[Request, list[Shown]]]
    read: Callable[[Ordered, AskOne, dict[str, Any]], Coroutine[Any, Any, tuple[Answer, list[NewRow]]]]
    method: str = "self-instruct"
    stuck: int = STUCK
    hope: float = YIELD  # of the rows written, those accepted, before anything is known
    number: int = 0
    answered: int = 0
    written: int = 0
    shown: set[int] = field(default_factory=set)

    @property
    def accepted(self) -> int:
        return sum(g.accepted for g in self.goals)

    def plan(self, under_way: int) -> list[Ordered] | None:
        """The next requests: always for the ability that is furthest behind its target, counting what is already asked
        for at the yield so far, and a few to spare. [] where enough is asked for; None where a local model, whose
        answers are not paid for, need not go on with those under way."""
        if self.writing.small and not any(g.lacking > 0 for g in self.goals):
            return None
        rate = (self.accepted + 8 * self.hope) / (self.written + 8)  # the hope at first, what is seen soon
        planned: list[Ordered] = []
        most = HERE if self.writing.small else min(MOST, max(FIRST, self.answered))
        for n in range(under_way, most):
            behind = [g for g in self.goals if g.lacking - g.coming_good(rate) >= 0.75]
            spare = [] if behind or n >= SPARE else [g for g in self.goals if g.lacking > 0]
            if not behind and not spare:
                break
            # ties: the taxonomy's order
            goal = min(behind or spare, key=lambda g: (g.accepted + g.coming_good(rate)) / g.target)
            wanted = math.ceil((goal.lacking - goal.coming_good(rate)) / rate)
            count = self.writing.batch if spare else max(1, min(self.writing.batch, wanted))
            request, examples = self.compose(self.writing, goal, count, self.number)
            rows = [e.row for e in examples if e.row >= 0]
            planned.append(Ordered(goal, request, count, goal.lacking, rows, examples))
            goal.coming += count
            self.number += 1
            self.shown.update(rows)
        return planned

    async def work(self, asked: Ordered, ask: AskOne) -> tuple[Answer, list[NewRow]]:
        """The answer to a request, and its items with the reasons that they have by themselves."""
        meta = {"method": self.method, "seeds": [self.rids[r] for r in asked.rows]}
        answer, items = await self.read(asked, ask, meta)
        await self.look([i for i in items if not _copied(i, asked)], asked.need, ask)
        return answer, items

    def take(self, asked: Ordered, made: tuple[Answer, list[NewRow]]) -> None:
        """The records of one answer; accepted items move their goal forward, those beyond it are surplus."""
        (answer, items), goal = made, asked.goal
        goal.coming -= asked.count
        self.answered += 1
        self.records.extend(Broken(f.text, f.why, {"request": f.key}) for f in answer.failures)
        goal.barren = goal.barren + 1 if goal.accepted < goal.target else 0
        for item in items:
            if goal.accepted >= goal.target or item.reason == OVER_TARGET:
                item.reason, item.evidence = OVER_TARGET, {}
            else:
                self.written += 1
                goal.written += 1
                self.accept(item)
            if item.reason is None:
                goal.accepted += 1
                goal.barren = 0
                goal.latest.append(Shown(item.instruction, item.response))
            self.records.append(item)
        self._give_up(goal)
        if self.answered >= 8 and self.answered & (self.answered - 1) == 0:
            self.beat()

    def beat(self, under_way: int | None = None) -> None:
        """Say how far it is."""
        wanted, asked = sum(g.target for g in self.goals), f", {under_way} requests under way" if under_way else ""
        self.say(f"{self.accepted} of {wanted} rows accepted, {self.records.count} written{asked}")

    def _give_up(self, goal: Goal) -> None:
        """Hand what an ability lacks to the others, one row each in turn, where it has given nothing for too long."""
        if goal.given_up or goal.barren < self.stuck or goal.target <= goal.accepted:
            return
        goal.given_up = True
        others = [g for g in self.goals if not g.given_up]
        if not self.spread or not others:
            return
        left, goal.target = goal.target - goal.accepted, goal.accepted
        self.records.given_up[goal.name or goal.label] = left
        self.say(
            f"{goal.label}: nothing acceptable in {self.stuck} requests in a row; its last {left} rows go to the others"
        )
        for n in range(left):
            others[n % len(others)].target += 1

    def finish(self) -> None:
        """Raises BuildError where rows are still lacking; everything answered stays in the cache."""
        short = {g.label: g.target - g.accepted for g in self.goals if g.target > g.accepted}
        if short:
            raise BuildError(
                f"the model gave no acceptable row in {self.stuck} requests in a row for "
                f"{', '.join(f'{k} ({v} lacking)' for k, v in short.items())}: "
                "raise temperature, add seeds for it, or take another model; what was answered is kept"
            )


def _copied(item: NewRow, asked: Ordered) -> bool:
    """Whether an item repeats what its prompt says of the form, or the material of an example; it gets its reason
    here."""
    told = asked.goal.form.told
    for part in (*re.split(r"[；。：;:.]", told), *re.split(r"[；。：，;:.,]", told)):
        if size(part) >= 8 and part.strip() in item.instruction:
            item.reason, item.evidence = "echo", {"of": "prompt", "words": part.strip()}
    for example in asked.shown:
        source = split(example.instruction)[1]
        near = alike(item.instruction, example.instruction)
        same = size(example.response) >= 8 and item.response == example.response  # another task, its answer
        if item.reason is None and ((size(source) >= 8 and source in item.instruction) or near >= COPY or same):
            item.reason, item.evidence = "copies_example", {"words": (source or example.instruction)[:80]}
    return item.reason is not None


def _request(plan: Writing, goal: Goal, count: int, number: int) -> tuple[Request, list[Shown]]:
    """Request `number`, and the examples in it: examples of the ability (the last one from accepted rows once there are
    some) and subjects, drawn by the seed and the number alone."""
    draw, fields = random.Random(f"{plan.seed}:{number}"), goal.form.fields
    fitting = [e for e in goal.seeds if not goal.form.material or "\n" in e.instruction]
    by_size = sorted(fitting, key=lambda e: len(e.instruction) + len(e.response))
    few = sum(len(e.instruction) + len(e.response) <= CHARS_SHOWN.get(plan.language, 300) for e in by_size)
    plain = [Shown(*e) for e in draw.sample(goal.form.examples, min(len(goal.form.examples), plan.examples))]
    enough = plan.small and len(goal.form.examples) > plan.examples  # a hard seed makes a small model write nonsense
    room = 0 if enough else plan.examples - bool(plain)
    short = draw.sample(by_size[:few], min(few, max(0, room)))
    examples = plain[: plan.examples - len(short)]
    examples = by_size[few : few + plan.examples - len(examples) - len(short)] + short + examples  # plain ones last
    if goal.accepted >= 2 and len(examples) > 1:
        examples[0] = draw.choice(goal.latest)
    lines = [json.dumps(_fields(e, fields), ensure_ascii=False, separators=(",", ":")) for e in examples]
    values = {
        "label": goal.label,
        "description": goal.description,
        "about": goal.form.told or goal.description,
        "examples": ",".join(lines),
        "count": count,
        "chars": plan.chars,
        "shape": json.dumps(dict.fromkeys(fields, "…"), ensure_ascii=False, separators=(",", ":")),
        "topics": _subjects(plan, goal.form.kinds, count, draw),
    }
    limit = int(count * (TOKENS_APART * (2 if goal.form.material else 1) + 1.5 * plan.chars))
    request = Request(
        render(plan.template, values),
        limit,
        plan.temperature,
        tasks_schema(count, fields),
        seed=plan.seed + number,
        more={"frequency_penalty": AGAINST_LOOPS},
    )
    return request, examples


def _subjects(plan: Writing, kinds: Sequence[str], count: int, draw: random.Random) -> str:
    """What the tasks of a request are about: a small model is given a kind for each, others subjects; and who asks."""
    zh = plan.language == "zh"
    about = kinds if plan.small and kinds else topics(plan.language)
    told = draw.sample(about, min(count, len(about)))
    person = draw.choice(personas(plan.language)) if plan.personas else ""
    who = f"{'；提问的人是' if zh else '; the one who asks is '}{person}" if person else ""
    return ("；" if zh else "; ").join(told) + who


def _fields(example: Shown, fields: Sequence[str]) -> dict[str, str]:
    """An example as an answer would write it: its material, what follows its first line, in a field of its own."""
    first, _, rest = example.instruction.partition("\n")
    told = {"input": rest.strip(), "instruction": first} if "input" in fields else {"instruction": example.instruction}
    return {**told, "response": example.response}


def _item(raw: object, goal: Goal, origin: str, meta: dict) -> NewRow:
    found: Mapping = raw if isinstance(raw, Mapping) else {"instruction": raw}
    instruction, extra = text_of(found.get("instruction")), text_of(found.get("input"))
    if extra and extra.strip("'\"“”‘’ ") not in instruction:  # some write the sentence into the question, too
        instruction = f"{instruction}\n{extra}"
    response = next((text_of(found[k]) for k in ("response", "output", "answer") if k in found), "")
    return NewRow(instruction, response, goal.name, origin, meta)


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[Records, set[int]]:
    """The step's records and the positions of the rows that prompts showed."""

    async def read(asked: Ordered, ask_one: AskOne, meta: dict[str, Any]) -> tuple[Answer, list[NewRow]]:
        answer = await ask_one(asked.request, read_items)
        told = [{**meta, "request": answer.key, "item": n} for n in range(len(answer.value or []))]
        return answer, [_item(raw, asked.goal, ask.origin, m) for raw, m in zip(answer.value or [], told, strict=True)]

    return write(step, rows, context, ask, "self-instruct", _request, read, step.batch or 1)


def write(
    step: GenerateOptions,
    rows: Rows,
    context: Context,
    ask: Asking,
    method: str,
    compose: Callable[[Writing, Goal, int, int], tuple[Request, list[Shown]]],
    read: Callable[[Ordered, AskOne, dict[str, Any]], Coroutine[Any, Any, tuple[Answer, list[NewRow]]]],
    batch: int,
) -> tuple[Records, set[int]]:
    """New tasks for each ability until each has its share: requests as `compose` makes them, answers as `read` reads
    them, `batch` tasks each."""
    plan = Writing(
        template(method, step.language, step.prompt, context.base),
        step.language, ask.origin, batch, step.examples or 0, step.words(), step.temperature, context.seed,
        step.personas, step.model.startswith(LOCAL),
    )  # fmt: skip
    seen, rids = Novelty(rows.prompt.to_pylist(), step.threshold), rows.rid.to_pylist()
    other, checking = other_ability(rows), step.checking
    verifier = Verifier(checking, step.language, context.seed) if checking else None

    async def look(items: list[NewRow], need: int, ask_one: AskOne) -> None:
        pure_faults(items, step.language, other)
        if verifier is not None:
            for item in items:
                verifier.by_rules(item)
            await verifier.enough(items, need, ask_one)

    unusual: dict[str, Any] = {"stuck": STUCK_VERIFIED, "hope": YIELD_VERIFIED} if verifier else {}
    writer = Writer(
        plan, goals_of(step, rows, context), Records(method, context.cache), look,
        partial(settle, seen=seen, rids=rids), rids, context.say, spread=step.target is not None, compose=compose,
        read=read, method=method, **unusual,
    )  # fmt: skip
    ask.flow(writer.plan, writer.work, writer.take, writer.beat)
    writer.finish()
    return writer.records, writer.shown
