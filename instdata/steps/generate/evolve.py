"""evolve (Xu et al. 2023, arXiv 2304.12244): an existing instruction made harder, deeper, more concrete or broader.

A variant counts only if it is new (not near its origin nor any other row) and the model, asked, calls it answerable.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import read_object
from instdata.steps.generate.new_row_checks import Broken, NewRow, Novelty, judge
from instdata.steps.generate.prompt_templates import LESS_OF_THE_SAME, render, template, text_of
from instdata.steps.generate.right_ability import other_ability
from instdata.steps.generate.rounds import (
    Candidate,
    Given,
    broken,
    carried,
    given_rows,
    record,
    run,
    shuffled,
)
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

WAYS = {
    "harder": {"zh": "加一个条件或限制，使它更难", "en": "add one condition or restriction that makes it harder"},
    "deeper": {
        "zh": "追问原因、比较或推导，使它需要多步思考",
        "en": "ask for reasons, a comparison or a derivation, so that it takes several steps",
    },
    "concrete": {
        "zh": "把笼统的说法换成具体的人物、数字、场景",
        "en": "replace what is general by concrete people, numbers and places",
    },
    "broader": {
        "zh": "保持同一领域，换成一个少见的相近话题",
        "en": "stay in the field, but move to a rarer neighbouring topic",
    },
}
DRAWS = 3  # times the whole list of (row, way) is gone through before giving up
FIELDS = {"instruction": {"type": "string"}, "answerable": {"type": "boolean"}, "response": {"type": "string"}}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows they were made from."""
    own = np.asarray(pc.fill_null(pc.equal(rows.lang, step.language), False))
    given = shuffled(given_rows(rows, carried(rows, own, "evolve", context.say)), context.seed)
    seen, rids = Novelty(rows.prompt.to_pylist(), step.threshold), rows.rid.to_pylist()
    other = other_ability(rows)
    text = template("evolve", step.language, step.prompt, context.base)
    used: set[int] = set()

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        (answer,) = answers
        used.add(candidate.given.row)
        made = broken(answers, "evolve", candidate.given)
        if answer.value is None:
            return made
        found: dict[str, Any] = answer.value
        task, response = text_of(found.get("instruction")), text_of(found.get("response"))
        item = record(candidate, answer, "evolve", ask.origin, task, response, way=candidate.what)
        if found.get("answerable") is False:
            item.reason = "unanswerable"
        else:
            judge([item], seen, rids, step.language, other)
        return [*made, item]

    records = run(
        _candidates(step, text, given, context.seed),
        step.target,
        lambda r: ask(r, read_object),
        take,
        context.say,
    )
    return records, used


def _candidates(step: GenerateOptions, text: str, given: list[Given], seed: int) -> Iterator[Candidate]:
    names = list(WAYS)
    for draw, turn in itertools.product(range(DRAWS), range(len(names))):
        for n, g in enumerate(given):
            way = names[(n + turn) % len(names)]
            how = WAYS[way].get(step.language, WAYS[way]["en"])
            values = {
                "way": how,
                "chars": step.words(),
                "task": json.dumps({"instruction": g.prompt}, ensure_ascii=False),
            }
            limit = 120 + 3 * step.words() + len(g.prompt.encode()) // 2  # material is written out again
            request = Request(
                render(text, values), limit, step.temperature, SCHEMA, seed=seed, draw=draw, more=LESS_OF_THE_SAME
            )
            yield Candidate(g, (request,), way)
