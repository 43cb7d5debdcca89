"""A language model as judge: grades from 0 to 1 by the taxonomy's rubrics, or which of two answers is better.

BELLE's way of scoring (Ji et al. 2023, arXiv 2303.14742): against a reference where the ability has one, the mean of
several runs where asked. What is judged is fenced (llm/fence.py); a verdict that cannot be read is missing, never 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instdata.judge import read_verdict as verdict
from instdata.llm.client import Answer, Request
from instdata.llm.endpoint import LOCAL
from instdata.llm.fence import clip, fence
from instdata.llm.request_cache import digest
from instdata.llm.structured_asks import Options, ask, structured
from instdata.llm.structured_asks import estimate as price
from instdata.steps.generate.prompt_templates import render
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.corpus.taxonomy import Judge, Taxonomy
    from instdata.score.item import Item

VERSION = 2
HERE = Path(__file__).parent / "prompts"
GRADES = {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25, "E": 0.0}
PAIR = {"1": 1.0, "tie": 0.5, "2": 0.0}  # worth for the answer that is shown first
REPLY_TOKENS = 300  # a reason of two sentences and the verdict
# Bytes of all texts of one request. The embedded model has 2,048 tokens for prompt and reply, a byte is at most a third.  # noqa: E501
SHOWN, SHOWN_LOCAL = 48_000, 2_700
SOLVING_TOKENS = 1200  # more, where it solves the task first
AUDIT = 1.0  # of pairs are judged in both orders
NAMES = {
    "en": {"task": "task", "reference": "reference", "answer": "answer", "1": "answer 1", "2": "answer 2"},
    "zh": {"task": "任务", "reference": "参考答案", "answer": "回答", "1": "回答 1", "2": "回答 2"},
}
NO_REFERENCE = {
    "en": "There is no reference answer for this task: judge by the task and by what you know.",
    "zh": "本任务没有参考答案：依据任务本身和你的知识评判。",
}


# A judge that reads a solution first takes its slips for right (Zheng et al. 2023, arXiv 2306.05685, section 3.4).
SOLVE = {
    "en": 'Before you look at any answer, solve the task yourself: the JSON begins with "solution", your own working '
    "and result, and "
    "then goes on as asked below.",
    "zh": '在看任何回答之前，先自己解出本任务：JSON 以 "solution" 开头，写出你自己的过程和结果，其余按下面的要求。',
}


@dataclass(frozen=True)
class Judged:
    """An answer's score, 0..1, None where there is none; the judge's words or why there is none; usable runs."""

    value: float | None
    reason: str
    runs: int


@dataclass(frozen=True)
class Compared(Judged):
    """A candidate against a control. `value`: 1 the candidate is better, 0 the control, between them a tie or doubt.
    `verdict`: 1 candidate, 2 control, 0 tie, None unreadable, from the order that is used; `swapped`: the same from
    the other order, where `audited`."""

    verdict: int | None = None
    swapped: int | None = None
    audited: bool = False


def judge_items(
    items: Sequence[Item],
    answers: Sequence[str | None],
    taxonomy: Taxonomy | None,
    options: Options,
    *,
    runs: int = 1,
    context: Context = Context(),  # noqa: B008 (frozen)
    name: str = "judge",
) -> list[Judged]:
    """Each answer's score by its ability's rubric: the mean of the runs that gave a verdict (the first at temperature 0
    where it is the only one, else all at 1, BELLE's three). None has no score; an empty answer scores 0 unasked.

    The budget goes by `name`. Raises BudgetReached, BuildError, InputError; what was answered is cached."""
    options = options.resolved()
    asked = [i for i, answer in enumerate(answers) if answer and answer.strip()]
    requests = [
        _request("score", items[i], [answers[i] or ""], taxonomy, options, run, runs)
        for i in asked
        for run in range(runs)
    ]
    replies = _ask(items, requests, "grade", GRADES, options, name, context)
    results = [Judged(None, "no answer", 0) if a is None else Judged(0.0, "empty answer", 0) for a in answers]
    for n, i in enumerate(asked):
        mine = replies[n * runs : (n + 1) * runs]
        values = [r.value[1] for r in mine if r.value is not None]
        results[i] = Judged(sum(values) / len(values) if values else None, _reason(mine), len(values))
    _tell_missing(sum(r.value is None for r in replies), len(replies), name, context)
    return results


def judge_pairs(
    items: Sequence[Item],
    candidates: Sequence[str | None],
    controls: Sequence[str | None],
    taxonomy: Taxonomy | None,
    options: Options,
    *,
    audit: float = AUDIT,
    context: Context = Context(),  # noqa: B008
    name: str = "judge",
) -> list[Compared]:
    """Each candidate against its control, in both orders, scored by the mean (see `swaps`). Which order comes first is
    a hash of the item's id; with `audit` below 1 only such a share is judged in both. Equal answers tie unasked.

    The budget goes by `name`. Raises as judge_items."""
    options = options.resolved()
    results = [Compared(None, "no answer", 0) for _ in items]
    plan: list[tuple[int, bool]] = []  # item, whether the candidate is shown first
    for i, (item, a, b) in enumerate(zip(items, candidates, controls, strict=True)):
        if a is None or b is None:
            continue
        if a.strip() == b.strip():
            results[i] = Compared(0.5, "equal answers", 0, 0)
            continue
        first, share = _dice(item.id)
        plan += [(i, first)] + [(i, not first)] * (share < audit)
    requests = [
        _request("pair", items[i], _order(candidates[i], controls[i], first), taxonomy, options) for i, first in plan
    ]
    replies = _ask(items, requests, "better", PAIR, options, name, context)
    by_item: dict[int, list[tuple[bool, Answer]]] = {}
    for (i, first), reply in zip(plan, replies, strict=True):
        by_item.setdefault(i, []).append((first, reply))
    for i, given in by_item.items():
        values = [r.value[1] if first else 1 - r.value[1] for first, r in given if r.value is not None]
        said = [_said(first, reply) for first, reply in given]
        results[i] = Compared(
            sum(values) / len(values) if values else None,
            _reason([r for _, r in given]),
            len(values),
            said[0],
            said[1] if len(said) > 1 else None,
            len(said) > 1,
        )
    _tell_missing(sum(r.value is None for r in replies), len(replies), name, context)
    return results


def swaps(verdicts: Sequence[tuple[int | None, int | None]]) -> dict[str, Any]:
    """How much the order decides: {swapped: pairs with a verdict in both orders, swap_consistency: share of them with
    the same one, flip_rate: share whose winner is the other answer after the swap}. Verdicts are 1, 2 or 0 (tie), both
    in the numbering of the first order; the shares are None where there is no such pair."""
    both = [(a, b) for a, b in verdicts if a is not None and b is not None]
    same, flipped = sum(a == b for a, b in both), sum({a, b} == {1, 2} for a, b in both)
    share = (lambda n: n / len(both)) if both else (lambda n: None)
    return {"swapped": len(both), "swap_consistency": share(same), "flip_rate": share(flipped)}


def estimate(
    items: Sequence[Item],
    taxonomy: Taxonomy | None,
    options: Options,
    *,
    runs: int = 1,
    pairs: bool = False,
    audit: float = AUDIT,
    answer_bytes: int = 800,
) -> dict[str, Any]:
    """What judging these items' answers would come to, for a plan: {requests, tokens, usd (None where the model's price
    is unknown), minutes}. An answer is taken to be as long as the reference, or `answer_bytes`."""
    options, kind = options.resolved(), "pair" if pairs else "score"
    sample = []
    for item in items[:200]:  # typical of the rest: a plan need not render thousands
        answer = item.reference or "x" * answer_bytes
        sample.append(_request(kind, item, [answer] * (1 + pairs), taxonomy, options))
    total = sum(1 + (_dice(i.id)[1] < audit) for i in items) if pairs else len(items) * runs
    return price(options, sample, total)


def _ask(
    items: Sequence[Item],
    requests: list[Request],
    key: str,
    allowed: dict[str, float],
    options: Options,
    name: str,
    context: Context,
) -> list[Answer]:
    """Replies whose value is (verdict, worth), None where there was no verdict."""

    def weigh(word: str, body: dict[str, Any]) -> tuple[str, float] | None:
        worth = verdict.value(word, body, key, allowed)
        return None if worth is None else (word, worth)

    # Answers of several models to the same items share one budget, other items have their own.
    shapes = {"version": VERSION, "model": options.model, "items": digest([item.id for item in items])}
    shapes |= {"params": options.params} if options.params else {}
    read = partial(verdict.read, key=key, allowed=allowed)
    return ask(options, requests, read, name=name, shapes=shapes, context=context, weigh=weigh)


def _request(
    kind: str,
    item: Item,
    answers: Sequence[str],
    taxonomy: Taxonomy | None,
    options: Options,
    run: int = 0,
    runs: int = 1,
) -> Request:
    """What is asked about one item: `answers` holds the one to score, or the two to compare in the order shown."""
    how = _judging(item.ability, taxonomy)
    language = "zh" if _chinese(item) else "en"
    names = NAMES[language]
    reference = item.reference if how is None or how.reference else None
    parts = [("task", _task(item))]
    parts += [("reference", reference)] if reference else []
    parts += [("answer", answers[0])] if kind == "score" else list(zip(("1", "2"), answers))
    size = SHOWN_LOCAL if options.model.startswith(LOCAL) else SHOWN
    texts = clip([text for _, text in parts], size)
    code, material = fence([(names[part], text) for (part, _), text in zip(parts, texts)])
    solves = how is not None and how.solve and not reference
    note = "" if reference else "\n".join([NO_REFERENCE[language], *[SOLVE[language]] * solves])
    values = {"code": code, "material": material, "rubric": _rubric(how, language), "note": note}
    key, allowed = ("grade", GRADES) if kind == "score" else ("better", PAIR)
    solution = {"solution": {"type": "string"}} if solves else {}
    return structured(
        render(_template(kind, language), values),
        {**solution, "reason": {"type": "string"}, key: {"type": "string", "enum": list(allowed)}},
        REPLY_TOKENS + SOLVING_TOKENS * solves,
        temperature=0.0 if runs == 1 else 1.0,
        draw=run,
        more={"logprobs": True, "top_logprobs": 5},  # the client leaves them out where the endpoint has none
    )


@cache
def _template(kind: str, language: str) -> str:
    return (HERE / f"{kind}.{language}.txt").read_text(encoding="utf-8")


def _judging(ability: str, taxonomy: Taxonomy | None) -> Judge | None:
    """How the taxonomy wants an ability judged; None for one that it does not know."""
    return next((a.judge for a in taxonomy.abilities if a.name == ability), None) if taxonomy else None


def _rubric(how: Judge | None, language: str) -> str:
    """The ability's rubric in the item's language, else in any, else the general one."""
    rubrics = how.rubric if how else {}
    return rubrics.get(language) or next(iter(rubrics.values()), None) or _template("rubric", language).strip()


def _chinese(item: Item) -> bool:
    """Whether the last turn is mostly in Chinese characters: a letter counts a third, a word being about one character
    and a half."""
    text = item.messages[-1]["content"]
    han = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return 3 * han > sum(c.isalpha() for c in text) - han


def _task(item: Item) -> str:
    """The conversation up to the answer."""
    if len(item.messages) == 1:
        return item.messages[0]["content"]
    return "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in item.messages)


def _dice(id: str) -> tuple[bool, float]:
    """(whether the candidate is shown first, a number in [0, 1) for the audit): two throws that an item's id
    decides."""
    found = hashlib.blake2b(f"order {id}".encode(), digest_size=9).digest()
    return bool(found[0] & 1), int.from_bytes(found[1:], "big") / 2**64


def _order(candidate: str | None, control: str | None, first: bool) -> list[str]:
    both = [candidate or "", control or ""]
    return both if first else both[::-1]


def _said(first: bool, reply: Answer) -> int | None:
    """A verdict in terms of candidate (1) and control (2)."""
    if reply.value is None:
        return None
    word = reply.value[0]
    return 0 if word == "tie" else int(word) if first else 3 - int(word)


def _reason(replies: Sequence[Answer]) -> str:
    """The first usable reply's words, else why there is none."""
    for reply in replies:
        if reply.value is not None:
            return reply.text
    return f"no verdict: {replies[0].failures[-1].why if replies[0].failures else 'cut off'}"


def _tell_missing(missing: int, asked: int, name: str, context: Context) -> None:
    if missing:
        context.say(f"{name}: {missing:,} of {asked:,} replies had no usable verdict and count as missing")
