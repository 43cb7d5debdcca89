"""Whether new rows are right: verify's checks while they are written, so that another is written for each that is not.

Where draws of the task come to the same number, which is not that of the answer that came with it, theirs is taken
(self-consistency, Wang et al. 2022, arXiv 2203.11171): a small model answers better when it is asked by itself than
inside a list. So what draws cannot be compared of (a text to write, a rewriting) is answered anew, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from instdata.corpus.rows import UNKNOWN
from instdata.llm.reply import answer as reply
from instdata.llm.request import Answer, Request
from instdata.steps.generate.new_row_checks import OVER_TARGET, NewRow, plain_faults, wrong_language
from instdata.steps.verify.case import Case
from instdata.steps.verify.checks_by_ability import check
from instdata.steps.verify.model_checks import Question, agrees, alone, finding, question, votes_of
from instdata.steps.verify.options import Checking
from instdata.steps.verify.text_checks import found

AskOne = Callable[[Request, Callable[[str], Any]], Coroutine[Any, Any, Answer]]


@dataclass(frozen=True)
class Verifier:
    """What is checked of new rows in one language."""

    checking: Checking
    language: str
    seed: int

    def by_rules(self, item: NewRow) -> None:
        """Give an item that has no reason yet that of the first rule it does not pass."""
        if item.reason is None:
            self._mark(item, self.checking.fault(check(self.case(item))))

    async def enough(self, items: Sequence[NewRow], need: int, ask: AskOne) -> None:
        """by_draws for items. Where fewer are needed than there are, one after the other until so many have passed:
        nothing is asked of the rest, which is beyond the target."""
        standing = [i for i in items if i.reason is None]
        if need >= len(standing) or not self.checking.draws:
            await asyncio.gather(*(self.by_draws(i, ask) for i in standing))
            return
        for item in standing:
            if need > 0:
                await self.by_draws(item, ask)
                need -= item.reason is None
            else:
                item.reason = OVER_TARGET

    async def by_draws(self, item: NewRow, ask: AskOne) -> None:
        """The same for what the model says of it; its answer may become that of the draws."""
        if item.reason is not None or not self.checking.draws:
            return
        case = self.case(item)
        if (request := alone(case, self.seed)) is not None:
            answer = await ask(request, reply)
            item.meta["draws"] = [answer.key]
            if answer.value is not None and self._fits(item, answer.value):
                item.response, item.meta["answer_of"] = answer.value, "alone"
                case = self.case(item)
        asked = question(case)
        if asked.name in self.checking.skip:
            return
        answers = await self._draws(case, asked, ask)
        item.meta["draws"] = [*item.meta.get("draws", []), *(a.key for a in answers)]
        fault = self.checking.fault({asked.name: finding(case, asked, answers)})
        better = None if fault is None else agreed(case, asked, answers)
        if better is not None and self._passes(replace(case, answer=better)):
            item.response, item.meta["answer_of"] = better, "draws"
            return
        self._mark(item, fault)

    async def _draws(self, case: Case, asked: Question, ask: AskOne) -> list[Answer]:
        """The draws; no more of them once so many speak against the row that it cannot pass. Numbers need all: the one
        that they agree on may be taken."""
        requests = asked.requests(self.checking.draws, self.seed)
        if asked.compare == "number":
            return list(await asyncio.gather(*(ask(r, asked.read) for r in requests)))
        answers: list[Answer] = []
        for request in requests:
            answers.append(await ask(request, asked.read))
            against = votes_of(case, asked, answers).count(False)
            if 1 - against / len(requests) < self.checking.least(asked.name):
                break
        return answers

    def case(self, item: NewRow) -> Case:
        return Case.of(item.instruction, item.response, item.ability or UNKNOWN, self.language)

    def _fits(self, item: NewRow, answer: str) -> bool:
        """Whether an answer that was asked for by itself passes all that the one before it has passed."""
        other = replace(item, response=answer)
        alike = plain_faults(other, self.language) is None and not found("cannot_say", answer)
        return alike and not wrong_language([answer], self.language)[0] and self._passes(self.case(other))

    def _passes(self, case: Case) -> bool:
        return self.checking.fault(check(case)) is None

    def _mark(self, item: NewRow, fault: tuple[str, dict[str, Any]] | None) -> None:
        if fault is not None:
            item.reason, item.evidence = fault


def agreed(case: Case, asked: Question, answers: Sequence[Answer]) -> str | None:
    """The answer whose number all the draws come to, two or more; None where they differ, or where it is no number that
    they are compared by: words in which two draws agree against the answer were right in 2 of 8 rows that were read."""
    values = [a.value for a in answers]
    if asked.compare != "number" or len(values) < 2 or not all(isinstance(v, str) for v in values):
        return None
    first = replace(case, answer=values[0])
    return values[0] if all(agrees(first, "number", v) for v in values[1:]) else None
