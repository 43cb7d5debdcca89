"""magpie (Xu et al. 2024, arXiv 2406.08464): a chat model is shown what stands before a user's first words, and nothing
else, and goes on with a question of its own; asked in a conversation, it answers that.

The completions endpoint takes such a text as it is. What the system says names the ability and the language.
"""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING, Any

from instdata.llm.client import Answer, Request
from instdata.llm.reply import Unusable
from instdata.llm.reply import answer as reply
from instdata.steps.generate.goals import Goal, Shown
from instdata.steps.generate.new_row_checks import NewRow
from instdata.steps.generate.prompt_templates import LESS_OF_THE_SAME, prefix_of, render, template
from instdata.steps.generate.self_instruct import Ordered, Writing, write
from instdata.steps.generate.written_records import Records

if TYPE_CHECKING:
    from instdata.corpus.rows import Rows
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking
    from instdata.steps.generate.verify_new_rows import AskOne
    from instdata.util.build_context import Context

QUESTION = 160  # tokens; longer ones are seldom questions
HOT = 0.3  # how much warmer than its answer a question is drawn: nothing else tells one from the next


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[Records, set[int]]:
    """The step's records; no rows are shown."""
    prefix, stop = prefix_of(step.model, step.user_prefix)
    text = template("magpie", step.language, step.prompt, context.base)

    def compose(plan: Writing, goal: Goal, count: int, number: int) -> tuple[Request, list[Shown]]:
        (_, system), _ = render(plan.template, _told(goal, ""))
        before = Template(prefix).safe_substitute(system=system)
        warm = min(2.0, plan.temperature + HOT)
        return Request((), QUESTION, warm, seed=plan.seed + number, raw=before, more={"stop": stop}, whole=True), []

    async def read(asked: Ordered, ask_one: AskOne, meta: dict[str, Any]) -> tuple[Answer, list[NewRow]]:
        question = await ask_one(asked.request, _question)
        if question.value is None:
            return question, []
        goal = asked.goal
        messages = render(text, _told(goal, question.value))
        limit, seed = 10 * step.words(), asked.request.seed
        request = Request(messages, limit, step.temperature, seed=seed, more=LESS_OF_THE_SAME, whole=True)
        said = await ask_one(request, reply)
        if said.value is None:
            return said, []
        meta = {**meta, "request": question.key, "answer": said.key}
        return question, [NewRow(question.value, said.value, goal.name, ask.origin, meta)]

    return write(step, rows, context, ask, "magpie", compose, read, 1)


def _told(goal: Goal, task: str) -> dict[str, str]:
    """What a template may show."""
    about = goal.form.told or goal.description
    return {"label": goal.label, "description": goal.description, "about": about, "task": task}


def _question(text: str) -> str:
    """What the user asked. Raises Unusable where that is nothing, or goes on as the assistant."""
    found = re.split(r"<[|｜]\w+[|｜]>", text.strip())[0].strip()
    if not found:
        raise Unusable("no question")
    return found
