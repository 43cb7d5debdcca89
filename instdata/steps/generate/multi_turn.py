"""multi-turn: an answered row becomes a conversation. The model, as the one who asked, goes on from the last answer,
and answers that, too; each turn must be new to the conversation and hang together with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import read_object
from instdata.steps.generate.new_row_checks import Broken, NewRow, pure_faults
from instdata.steps.generate.prompt_templates import LESS_OF_THE_SAME, render, template, text_of
from instdata.steps.generate.rounds import Candidate, broken, carried, given_rows, record, run, shuffled
from instdata.steps.verify.case import alike
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

FIELDS = {"instruction": {"type": "string"}, "response": {"type": "string"}}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}
SAME = 0.8  # F1 of what two turns speak of, from which one says the other again


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows that they continue."""
    own = np.asarray(pc.fill_null(pc.equal(rows.lang, step.language), False))
    answered = np.asarray(pc.is_valid(rows.response))
    given = given_rows(rows, carried(rows, own & answered, "multi-turn", context.say, single=False))
    given = shuffled(given, context.seed) if step.target else given
    text = template("multi-turn", step.language, step.prompt, context.base)
    used: set[int] = set()

    def candidates() -> Iterator[Candidate]:
        for g in given:
            told = json.dumps([{k: t[k] for k in ("role", "content")} for t in g.talk], ensure_ascii=False)
            limit = 120 + 4 * step.words()
            messages = render(text, {"conversation": told, "chars": step.words()})
            yield Candidate(
                g, (Request(messages, limit, step.temperature, SCHEMA, seed=context.seed, more=LESS_OF_THE_SAME),)
            )

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        (answer,), g = answers, candidate.given
        used.add(g.row)
        made = broken(answers, "multi-turn", g)
        if answer.value is None:
            return made
        task, response = (text_of(answer.value.get(k)) for k in FIELDS)
        item = record(candidate, answer, "multi-turn", ask.origin, task, response)
        item.turns = (*g.talk, {"role": "user", "content": task})
        pure_faults([item], step.language)
        # "missing_material" is about a task by itself: what a later turn speaks of stands in the turns before it
        item.reason = None if item.reason == "missing_material" else item.reason
        if item.reason is None:
            said = [t["content"] for t in g.talk]
            again = [max((alike(new, old) for old in said), default=0.0) for new in (task, response)]
            if max(again) >= SAME:
                item.reason, item.evidence = "says_again", {"similarity": round(max(again), 4)}
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, read_object), take, context.say), used
