"""backtranslate: documents become answers, and the model writes the task that each answers (Li et al. 2023, arXiv
2308.06259; Köksal et al. 2023, arXiv 2304.08460). The answer is the document, so its origin is the document's.

A document is a row without a response: `sources: [{path: texts.jsonl, map: {instruction: text}}]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import read_object
from instdata.steps.generate.new_row_checks import Broken, NewRow, Novelty, pure_faults, settle
from instdata.steps.generate.prompt_templates import render, template, text_of
from instdata.steps.generate.rounds import Candidate, broken, carried, given_rows, record, run, shuffled
from instdata.steps.verify.case import covered
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

FIELDS = {"instruction": {"type": "string"}, "usable": {"type": "boolean"}}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}
LONGEST = 4000  # characters of a document; longer ones are no answers
SHARED = 0.9  # of what a task speaks of, from which, taken word for word from the document, it gives the answer away


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the documents that became answers."""
    own = np.asarray(pc.fill_null(pc.equal(rows.lang, step.language), False))
    short = np.asarray(pc.less_equal(pc.utf8_length(rows.prompt), LONGEST))
    documents = own & short & np.asarray(pc.is_null(rows.response))
    given = given_rows(rows, carried(rows, documents, "backtranslate", context.say))
    given = shuffled(given, context.seed) if step.target else given
    origins = rows.origin.to_pylist()
    seen, rids = Novelty([], step.threshold), rows.rid.to_pylist()
    text = template("backtranslate", step.language, step.prompt, context.base)
    used: set[int] = set()

    def candidates() -> Iterator[Candidate]:
        for g in given:
            messages = render(text, {"text": g.prompt, "chars": step.words()})
            yield Candidate(g, (Request(messages, 150 + step.words(), step.temperature, SCHEMA, seed=context.seed),))

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        (answer,), g = answers, candidate.given
        used.add(g.row)
        made = broken(answers, "backtranslate", g)
        if answer.value is None:
            return made
        task = text_of(answer.value.get("instruction"))
        item = record(
            candidate, answer, "backtranslate", origins[g.row] or ask.origin, task, g.prompt, task_by=ask.origin
        )
        if answer.value.get("usable") is False:
            item.reason = "unusable_text"
        else:
            pure_faults([item], step.language)
            if item.reason is None and covered(task, g.prompt) >= SHARED and task in g.prompt:
                item.reason = "echo"
            settle(item, seen, rids)
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, read_object), take, context.say), used
