"""translate: rows in other languages, in this one. BELLE's way (Ji et al. 2023) of starting from foreign seed tasks:
translate, adapt what is bound to a culture, and check the language of the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from instdata.generate.check import Broken, Item, plain_faults
from instdata.generate.prompt import read_object, render, template, text_of
from instdata.generate.rounds import Candidate, broken, foreign, given_rows, record, run, shuffled
from instdata.llm.client import Answer, Request
from instdata.record import Rows
from instdata.step import Context

if TYPE_CHECKING:
    from instdata.generate.session import Asking
    from instdata.generate.step import Generate

FIELDS = {"instruction": {"type": "string"}, "response": {"type": "string"}}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}


def produce(step: Generate, rows: Rows, context: Context, ask: Asking) -> tuple[list[Item | Broken], set[int]]:
    """The step's records and the positions of the rows they translate."""
    other = np.asarray(pc.fill_null(pc.not_equal(rows.lang, step.language), False))
    answered = np.asarray(pc.is_valid(rows.response))
    given = given_rows(rows, np.flatnonzero(other & answered))
    given = shuffled(given, context.seed) if step.target else given
    text = template("translate", step.language, step.prompt, context.base)
    used: set[int] = set()

    def candidates() -> Iterator[Candidate]:
        for g in given:
            task = json.dumps({"instruction": g.prompt, "response": g.response}, ensure_ascii=False)
            limit = 100 + 2 * len(g.prompt.encode()) + 2 * len(g.response.encode())
            yield Candidate(
                g, (Request(render(text, {"task": task}), limit, step.temperature, SCHEMA, seed=context.seed),)
            )

    def take(candidate: Candidate, answers: list[Answer]) -> list[Item | Broken]:
        (answer,) = answers
        used.add(candidate.given.row)
        made = broken(answers, "translate", candidate.given)
        if answer.value is None:
            return made
        task, response = text_of(answer.value.get("instruction")), text_of(answer.value.get("response"))
        item = record(candidate, answer, "translate", ask.origin, task, response)
        item.reason = plain_faults(item, step.language) or ("wrong_language" if foreign(item, step.language) else None)
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, read_object), take, context.say), used
