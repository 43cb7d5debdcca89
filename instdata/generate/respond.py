"""respond: answers for instructions that lack one; of several draws the best by a verifier, a judge, or agreement.

A row whose meta has a `reference` is verified: the first draw whose final answer equals it is taken. Else a `judge`
chooses, else the answer most others agree with (self-consistency, Wang et al. 2022, arXiv 2203.11171).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from instdata.generate.check import Broken, Item
from instdata.generate.prompt import read_object, render, template
from instdata.generate.rounds import Candidate, Given, broken, given_rows, record, run, shuffled
from instdata.llm.client import Answer, Request, Unusable
from instdata.record import Rows
from instdata.step import Context

if TYPE_CHECKING:
    from instdata.generate.session import Asking
    from instdata.generate.step import Generate

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
CHOICE_SCHEMA = {
    "type": "object",
    "properties": {"best": {"type": "integer"}},
    "required": ["best"],
    "additionalProperties": False,
}
JUDGE = {
    "zh": "下面是一个任务和几个回答。选出最正确、最完整的一个，只输出 JSON：{\"best\": 编号}\n---\n任务：$task\n$answers",
    "en": 'Here are a task and several answers. Choose the one that is most correct and complete. Reply with JSON only: {"best": number}\n---\nTask: $task\n$answers',
}  # fmt: skip


def produce(step: Generate, rows: Rows, context: Context, ask: Asking) -> tuple[list[Item | Broken], set[int]]:
    """The step's records and the positions of the rows they answer."""
    open_rows = np.asarray(pc.invert(pc.is_valid(rows.response)))
    given = given_rows(rows, np.flatnonzero(open_rows))
    given = shuffled(given, context.seed) if step.target else given
    text = template("respond", step.language, step.prompt, context.base)
    length = 10 * step.words()

    def candidates() -> Iterator[Candidate]:
        for g in given:
            messages = render(text, {"task": g.prompt})
            draws = (
                Request(messages, length, step.temperature, seed=context.seed, draw=d) for d in range(step.best_of)
            )
            yield Candidate(g, tuple(draws))

    def take(candidate: Candidate, answers: list[Answer]) -> list[Item | Broken]:
        made = broken(answers, "respond", candidate.given)
        usable = [a for a in answers if a.value is not None]
        if not usable:
            return made
        at, how = choose(
            candidate.given, [a.value for a in usable], lambda texts: _judged(step, ask, candidate.given, texts)
        )
        best = usable[max(at, 0)]
        item = record(
            candidate, best, "respond", ask.origin, candidate.given.prompt, best.value, chosen_by=how, draws=len(usable)
        )
        item.reason = "not_verified" if at < 0 else None
        return [*made, item]

    return run(candidates(), step.target, lambda r: ask(r, read_text), take, context.say), set()


def read_text(text: str) -> str:
    """An answer's text without its thinking. Raises Unusable where nothing is left."""
    answer = text.split("</think>", 1)[-1].strip()
    if not answer:
        raise Unusable("empty answer")
    return answer


def choose(given: Given, texts: Sequence[str], judged: Callable[[Sequence[str]], int | None]) -> tuple[int, str]:
    """(which text, how it was chosen); -1 where a reference is known and none equals it."""
    reference = _reference(given.meta)
    if reference is not None:
        want = final_answer(reference)
        return next((n for n, t in enumerate(texts) if final_answer(t) == want), -1), "reference"
    if len(texts) == 1:
        return 0, "only"
    chosen = judged(texts)
    return (agreed(texts), "agreement") if chosen is None else (chosen, "judge")


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


def _reference(meta: str | None) -> str | None:
    found = json.loads(meta).get("reference") if meta else None
    return str(found) if found not in (None, "") else None


def _judged(step: Generate, ask: Asking, given: Given, texts: Sequence[str]) -> int | None:
    """Which text the judge prefers, or None without a judge or a verdict."""
    if step.judge is None:
        return None
    listed = "\n".join(f"[{n}] {t}" for n, t in enumerate(texts, 1))
    request = Request(
        render(JUDGE.get(step.language, JUDGE["en"]), {"task": given.prompt, "answers": listed}),
        20,
        0.0,
        CHOICE_SCHEMA,
        seed=0,
    )
    (answer,) = ask.judge([request], read_object)
    best = answer.value.get("best") if answer.value else None
    return best - 1 if isinstance(best, int) and 1 <= best <= len(texts) else None
