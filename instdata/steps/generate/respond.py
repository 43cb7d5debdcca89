"""respond: answers for instructions that lack one; of several draws the best by a verifier, a judge, or agreement.

A row that brings `tests` (a column of Python that raises where the answer's code is wrong) or a `reference` is
verified: the first draw that passes is taken, and none otherwise. Else a `judge` chooses, or the `student` takes the
one that it finds likeliest (GRAPE, Zhang et al. 2025, arXiv 2502.04194), else the answer most others agree with
(self-consistency, Wang et al. 2022, arXiv 2203.11171).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import answer, read_object
from instdata.steps.generate.check import Broken, NewRow
from instdata.steps.generate.prompt import render, template
from instdata.steps.generate.rounds import Candidate, Given, broken, given_rows, record, run, shuffled
from instdata.util.context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

Turns = tuple[tuple[str, str], ...]  # (role, content) each
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
CHOICE_SCHEMA = {
    "type": "object",
    "properties": {"best": {"type": "integer"}},
    "required": ["best"],
    "additionalProperties": False,
}


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows they answer."""
    open_rows = np.asarray(pc.invert(pc.is_valid(rows.response)))
    given = given_rows(rows, np.flatnonzero(open_rows))
    given = shuffled(given, context.seed) if step.target else given
    text = template("respond", step.language, step.prompt, context.base)
    length, likely = 10 * step.words(), likeliest_of(step, context)

    def candidates() -> Iterator[Candidate]:
        for g in given:
            messages = conversation(render(text, {"task": g.prompt}), g)
            draws = (
                Request(messages, length, step.temperature, seed=context.seed, draw=d, whole=True)
                for d in range(step.best_of)
            )
            yield Candidate(g, tuple(draws))

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        made = broken(answers, "respond", candidate.given)
        usable = [a for a in answers if a.value is not None]
        if not usable:
            return made
        texts = [a.value for a in usable]
        found = verified(candidate.given, texts)
        choose = partial(likely, candidate.given) if likely else partial(_judged, step, ask, candidate.given)
        at, how, said = found or chosen(texts, choose, "student" if likely else "judge")
        best = usable[max(at, 0)]
        item = record(
            candidate, best, "respond", ask.origin, candidate.given.prompt, best.value, chosen_by=how, draws=len(usable)
        )
        item.before, item.thought = candidate.given.before, best.thought
        if at < 0:
            item.reason, item.evidence = "not_verified", {"by": how, "said": said}
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, answer), take, context.say), set()


def conversation(asked: Turns, given: Given) -> Turns:
    """What is asked, with the turns that came before the question; their system turn joins ours."""
    system, question = asked
    own = [content for role, content in given.before if role == "system"]
    earlier = [turn for turn in given.before if turn[0] != "system"]
    return (("system", "\n\n".join([system[1], *own])), *earlier, question)


def chosen(
    texts: Sequence[str], judged: Callable[[Sequence[str]], int | None], who: str = "judge"
) -> tuple[int, str, str]:
    """(which text, by what, ""): the choice of `judged`, else the one most others agree with."""
    if len(texts) == 1:
        return 0, "only", ""
    at = judged(texts)
    return (agreed(texts), "agreement", "") if at is None else (at, who, "")


def likeliest_of(step: GenerateOptions, context: Context) -> Callable[[Given, Sequence[str]], int | None] | None:
    """Which of several answers to a row the student finds likeliest: that of the lowest mean loss a token; the first of
    equal ones. None without a student. Its weights are read when the first choice is made."""
    if step.student is None:
        return None
    from instdata.steps.quality.model import encode, load, losses, weights

    model, loaded = step.student, list[Any]()

    def choose(given: Given, texts: Sequence[str]) -> int | None:
        if not loaded:
            loaded.extend(load(weights(model, context), model.dtype))
        tokenizer, net = loaded
        before = "\n".join([*(content for _, content in given.before), given.prompt])
        found = losses(net, encode(tokenizer, [before] * len(texts), list(texts), model.max_tokens))
        return None if np.isnan(found).all() else int(np.nanargmin(found))

    return choose


def verified(given: Given, texts: Sequence[str]) -> tuple[int, str, str] | None:
    """(which text is the first that is right, -1 for none; by what; what was said of the last one looked at). None
    where the row brings neither `tests` (run in the sandbox) nor a `reference`."""
    from instdata.score.item import Item as Question
    from instdata.score.scorers import score_answer, unusable

    tests, reference = _brought(given.meta)
    if tests is None and reference is None:
        return None
    scorer = "unit_tests" if tests else "number" if unusable("number", reference, None) is None else "exact"
    turns = [{"role": r, "content": c} for r, c in (*given.before, ("user", given.prompt))]
    question = Question(given.rid, given.ability or "", turns, reference, None, scorer, tests, "respond")
    how, said = ("tests" if tests else "reference"), ""
    for n, text in enumerate(texts):
        found = score_answer(question, text)
        said = found.reason
        if found.value == 1.0:
            return n, how, said
    return -1, how, said


def agreed(texts: Sequence[str]) -> int:
    """The first text with the commonest final answer; where all differ, the one that shares most with the others
    (mean Jaccard similarity of character pairs)."""
    finals = [final_answer(t) for t in texts]
    word, count = Counter(finals).most_common(1)[0]
    if count > 1:
        return finals.index(word)
    pairs = [{t[i : i + 2] for i in range(len(t) - 1)} or {t} for t in texts]
    shared = [sum(len(a & b) / len(a | b) for b in pairs) for a in pairs]
    return int(np.argmax(shared))


def final_answer(text: str) -> str:
    """What an answer comes to: its last number, else its letters and digits, NFKC and lower case."""
    plain = unicodedata.normalize("NFKC", text)
    numbers = NUMBER.findall(plain)
    if numbers:
        value = numbers[-1].replace(",", "")
        return value.rstrip("0").rstrip(".") if "." in value else value
    return "".join(c for c in plain if c.isalnum()).casefold()


def _brought(meta: str | None) -> tuple[str | None, str | None]:
    """The tests and the reference that a row brings in columns of these names."""
    found = json.loads(meta) if meta else {}
    tests, reference = (found.get(k) for k in ("tests", "reference"))
    tests = tests if isinstance(tests, str) and tests.strip() else None
    return tests, None if reference in (None, "") else str(reference)


def _judged(step: GenerateOptions, ask: Asking, given: Given, texts: Sequence[str]) -> int | None:
    """Which text the judge prefers, or None without a judge or a verdict."""
    if step.judge is None:
        return None
    listed = "\n".join(f"[{n}] {t}" for n, t in enumerate(texts, 1))
    request = Request(
        render(template("choose", step.language, None, Path()), {"task": given.prompt, "answers": listed}),
        20,
        0.0,
        CHOICE_SCHEMA,
        seed=0,
    )
    (answer,) = ask.judge([request], read_object)
    best = answer.value.get("best") if answer.value else None
    return best - 1 if isinstance(best, int) and 1 <= best <= len(texts) else None
