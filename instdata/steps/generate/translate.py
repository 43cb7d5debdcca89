"""translate: rows in other languages, in this one. BELLE's way (Ji et al. 2023) of starting from foreign seed tasks:
translate, adapt what is bound to a culture, and check the language of the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import read_object
from instdata.steps.generate.new_row_checks import Broken, NewRow, plain_faults
from instdata.steps.generate.prompt_templates import render, template, text_of
from instdata.steps.generate.rounds import (
    Candidate,
    broken,
    carried,
    foreign,
    given_rows,
    record,
    run,
    shuffled,
)
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

FIELDS = {"instruction": {"type": "string"}, "response": {"type": "string"}}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}


# A single small-letter word among another script, not in quotes, code or a sentence of its own: `前台 desk更换`.
LEFT = re.compile(
    r"(?<![A-Za-z0-9_`\"'“‘./\\(\[{<=-])(?<![A-Za-z,]\s)[a-z]{3,}(?![A-Za-z0-9_`\"'”’./\\)(\]}>=-]|\s[A-Za-z])"
)
OTHER_SCRIPT = frozenset({"zh", "ja", "ko", "th", "ru", "ar", "he", "hi"})
TERMS = frozenset({"null", "true", "false", "none", "http", "https"})


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows they translate."""
    other = np.asarray(pc.fill_null(pc.not_equal(rows.lang, step.language), False))
    answered = np.asarray(pc.is_valid(rows.response))
    source = given_rows(rows, carried(rows, other & answered, "translate", context.say))
    source = shuffled(source, context.seed) if step.target else source
    text = template("translate", step.language, step.prompt, context.base)
    used: set[int] = set()

    def candidates() -> Iterator[Candidate]:
        for g in source:
            task = json.dumps({"instruction": g.prompt, "response": g.response}, ensure_ascii=False)
            limit = 100 + 2 * len(g.prompt.encode()) + 2 * len((g.response or "").encode())
            yield Candidate(
                g, (Request(render(text, {"task": task}), limit, step.temperature, SCHEMA, seed=context.seed),)
            )

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        (answer,), given = answers, candidate.given
        used.add(given.row)
        made = broken(answers, "translate", given)
        if answer.value is None:
            return made
        task, response = text_of(answer.value.get("instruction")), text_of(answer.value.get("response"))
        item = record(candidate, answer, "translate", ask.origin, task, response)
        left = words_left(f"{task}\n{response}", f"{given.prompt}\n{given.response}", step.language)
        item.reason = plain_faults(item, step.language) or ("wrong_language" if foreign(item, step.language) else None)
        if item.reason is None and left:
            item.reason, item.evidence = "untranslated", {"words": left}
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, read_object), take, context.say), used


def words_left(text: str, source: str, language: str) -> list[str]:
    """Words of the source that stand alone in a translation into another script, first come first."""
    if language not in OTHER_SCRIPT:
        return []
    known = set(re.findall(r"[a-z]{3,}", source)) - TERMS
    prose = re.sub(r"```.*?(?:```|$)", " ", text, flags=re.S)
    return list(dict.fromkeys(w for w in LEFT.findall(prose) if w in known))
