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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from instdata.corpus.rows import Rows
from instdata.llm.client import Answer, Request
from instdata.llm.reply import answer, sole_object
from instdata.steps.generate.new_row_checks import Broken, NewRow
from instdata.steps.generate.prompt_templates import render, template
from instdata.steps.generate.rounds import Candidate, Given, asked_by, broken, given_rows, record, run, shuffled
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions
    from instdata.steps.generate.session import Asking

Turns = tuple[tuple[str, str], ...]  # (role, content) each
SENT = ("name", "tool_calls", "tool_call_id")  # of a turn, besides role and content: what the API takes
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
CHOICE_SCHEMA = {
    "type": "object",
    "properties": {"best": {"type": "integer"}},
    "required": ["best"],
    "additionalProperties": False,
}


def produce(step: GenerateOptions, rows: Rows, context: Context, ask: Asking) -> tuple[list[NewRow | Broken], set[int]]:
    """The step's records and the positions of the rows they answer."""
    given = given_rows(rows, unanswered(rows, context.say))
    given = shuffled(given, context.seed) if step.target else given
    settled: dict[str, tuple[int, str, str]] = {}  # by rid
    text = template("respond", step.language, step.prompt, context.base)
    length, likely = 10 * step.words(), likeliest_of(step, context)

    def candidates() -> Iterator[Candidate]:
        for g in given:
            turns, beside, more = conversation(render(text, {"task": g.prompt}), g)
            draws = (
                Request(turns, length, step.temperature, None, context.seed, d, more, whole=True, beside=beside)
                for d in range(step.best_of)
            )
            yield Candidate(g, tuple(draws))

    def look(asked: Sequence[tuple[Candidate, list[Answer]]]) -> None:
        texts = [(c.given, [a.value for a in said if a.value is not None]) for c, said in asked]
        settled.update(settle(step, ask, [(g, t) for g, t in texts if t], likely))

    def take(candidate: Candidate, answers: list[Answer]) -> list[NewRow | Broken]:
        made = broken(answers, "respond", candidate.given)
        usable = [a for a in answers if a.value is not None]
        if not usable:
            return made
        at, how, said = settled.pop(candidate.given.rid)
        best = usable[max(at, 0)]
        g = candidate.given
        item = record(candidate, best, "respond", ask.origin, g.prompt, best.value, chosen_by=how, draws=len(usable))
        item.turns, item.columns, item.brought = g.asked, g.columns, json.loads(g.meta) if g.meta else {}
        item.thought = best.thought
        if at < 0:
            item.reason, item.evidence = "not_verified", {"by": how, "said": said}
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, answer), take, context.say, look), set()


def unanswered(rows: Rows, say: Callable[[str], None]) -> np.ndarray:
    """Positions of the rows that end with a user's turn, or with what a tool answered; others are counted aloud."""
    wanted, asked = ~np.asarray(pc.is_valid(rows.response)), asked_by(rows, "user", "tool")
    n = int((wanted & ~asked).sum())
    if n:
        say(f"respond: {n:,} rows stay as they are: they end with no user's turn, and nothing a tool answered")
    return np.flatnonzero(wanted & asked)


def conversation(asked: Turns, given: Given) -> tuple[Turns, dict[int, dict[str, Any]], dict[str, Any]]:
    """(what is asked, with the turns that came before the question, their system turn joined to ours; what those say
    besides role and content, by their place; the tools that the row offers, as a parameter)."""
    system, question = asked
    own = [t["content"] for t in given.asked if t["role"] == "system"]
    talk = [t for t in given.asked if t["role"] != "system"]
    turns = [("system", "\n\n".join([system[1], *own])), *((t["role"], t["content"]) for t in talk)]
    if talk[-1]["role"] == "user":
        turns[-1] = question
    beside = {n: found for n, t in enumerate(talk, 1) if (found := {k: t[k] for k in SENT if k in t})}
    tools = json.loads(given.columns.get("tools") or "[]")
    bare = [isinstance(t, dict) and "function" not in t for t in tools]  # not in the API's envelope
    told = [{"type": "function", "function": t} if b else t for t, b in zip(tools, bare)]
    return tuple(turns), beside, {"tools": told} if told else {}


def settle(
    step: GenerateOptions,
    ask: Asking,
    asked: Sequence[tuple[Given, Sequence[str]]],
    likely: Callable[[Given, Sequence[str]], int | None] | None,
) -> dict[str, tuple[int, str, str]]:
    """rid -> (which of a row's texts, -1 for none; by what; what was said of it): what verifies it, else what the
    student finds likeliest or the judge says, who is asked once for all, else the text that most others agree with."""
    found = {g.rid: verified(g, texts) for g, texts in asked}
    several = [(g, texts) for g, texts in asked if found[g.rid] is None and len(texts) > 1]
    verdicts: Sequence[int | None] = [None] * len(several)
    if likely:
        verdicts = [likely(g, texts) for g, texts in several]
    elif step.judge and several:
        verdicts = _judged(step, ask, several)
    best = {g.rid: at for (g, _), at in zip(several, verdicts, strict=True)}

    def chosen(given: Given, texts: Sequence[str]) -> tuple[int, str, str]:
        if len(texts) == 1:
            return 0, "only", ""
        at = best[given.rid]
        at = at if at is not None and at < len(texts) else None
        return (agreed(texts), "agreement", "") if at is None else (at, "student" if likely else "judge", "")

    return {g.rid: found[g.rid] or chosen(g, texts) for g, texts in asked}


def likeliest_of(step: GenerateOptions, context: Context) -> Callable[[Given, Sequence[str]], int | None] | None:
    """Which of several answers to a row the student finds likeliest: that of the lowest mean loss a token; the first of
    equal ones. None without a student. Its weights are read when the first choice is made."""
    if step.student is None:
        return None
    from instdata.steps.quality.perplexity_and_ifd import encode, load, losses, weights

    model, loaded = step.student, list[Any]()

    def choose(given: Given, texts: Sequence[str]) -> int | None:
        if not loaded:
            loaded.extend(load(weights(model, context), model.dtype))
        tokenizer, net = loaded
        before = "\n".join(turn["content"] or "" for turn in given.asked)
        found = losses(net, encode(tokenizer, [before] * len(texts), list(texts), model.max_tokens))
        return None if np.isnan(found).all() else int(np.nanargmin(found))

    return choose


def verified(given: Given, texts: Sequence[str]) -> tuple[int, str, str] | None:
    """(which text is the first that is right, -1 for none; by what; what was said of the last one looked at). None
    where the row brings neither `tests` (run in the sandbox) nor a `reference`."""
    from instdata.score.item import Item as Question
    from instdata.score.scorers import score_answer, unusable

    tests, reference = _brought(given)
    if tests is None and reference is None:
        return None
    scorer = "unit_tests" if tests else "number" if unusable("number", reference, None) is None else "exact"
    turns = [{k: t[k] for k in ("role", "content")} for t in given.asked]
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


def _brought(given: Given) -> tuple[str | None, str | None]:
    """The tests and the reference that a row brings: a column `tests` lies in its meta, `reference` (or what the reader
    takes for one) is a column of ours."""
    tests = json.loads(given.meta).get("tests") if given.meta else None
    tests = tests if isinstance(tests, str) and tests.strip() else None
    return tests, given.columns.get("reference") or None


def _judged(step: GenerateOptions, ask: Asking, asked: Sequence[tuple[Given, Sequence[str]]]) -> list[int | None]:
    """For each row, which of its texts the judge prefers, None without a verdict."""
    text = template("choose", step.language, None, Path())

    def request(given: Given, texts: Sequence[str]) -> Request:
        listed = "\n".join(f"[{n}] {t}" for n, t in enumerate(texts, 1))
        return Request(render(text, {"task": given.prompt, "answers": listed}), 20, 0.0, CHOICE_SCHEMA, seed=0)

    replies = ask.judge([request(*a) for a in asked], lambda text: sole_object(text, "best"))
    verdicts = [a.value["best"] if a.value else None for a in replies]
    return [best - 1 if isinstance(best, int) and best > 0 else None for best in verdicts]
