"""Checks that ask a model: whether draws of the same task come to the same, whether a translation comes back, what a
judge says.

Each check is one question of a case, asked `draws` times; its score is the share of the draws that speak for the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import yaml

from instdata.llm.client import Answer, Request
from instdata.llm.fence import fence
from instdata.llm.reply import Unusable, sole_object
from instdata.llm.reply import answer as reply
from instdata.llm.structured_asks import structured
from instdata.score.extract.number import same_number
from instdata.score.extract.stated_result import final_numbers, final_part
from instdata.score.extract.text import normalise
from instdata.score.extract.yes_no import verdict_in
from instdata.steps.verify.case import Case, Finding, alike, covered, size, units
from instdata.steps.verify.text_checks import found, offers

NUMBER = re.compile(r"\d+(?:\.\d+)?")
DAY = re.compile(r"(?:星期|礼拜|周)([一二三四五六日天])|((?:mon|tues|wednes|thurs|fri|satur|sun)day)")
SHOWN = 3000  # characters of a task and of an answer that a judge sees
ALONE = 200  # tokens of an answer that is written by itself
TEMPERATURE = 0.5  # of the draws: enough that a guess comes out otherwise
YES, NO = ("yes", "是"), ("no", "否")
NEAR = {
    "words": 0.65,
    "list": 0.85,
    "loose": 0.3,
    "back": 0.45,
}  # F1 of what two texts speak of, from which they say the same
NAMES = {"zh": ("任务", "回答"), "en": ("task", "response")}


@dataclass(frozen=True)
class Question:
    """What is asked about a case: `name` is the reason that it drops for. `compare`: how draws are read ("judge": as
    yes or no)."""

    name: str
    compare: str
    messages: tuple[tuple[str, str], ...]
    tokens: int

    def requests(self, draws: int, seed: int) -> list[Request]:
        """One request a draw."""
        if self.compare == "judge":
            words = {"right": {"type": "string", "enum": [*YES, *NO]}}
            return [structured(self.messages, words, self.tokens, temperature=TEMPERATURE, seed=seed,
                draw=d) for d in range(draws)]  # fmt: skip
        return [Request(self.messages, self.tokens, TEMPERATURE, seed=seed, draw=d) for d in range(draws)]

    def read(self, text: str) -> Any:
        """The value of one reply. Raises Unusable."""
        if self.compare != "judge":
            return reply(text)
        said = sole_object(text, "right")["right"]
        if said not in (*YES, *NO):
            raise Unusable("neither yes nor no")
        return said in YES


NAMED = {"again": "draws_disagree", "back": "not_back", "judge": "judged_wrong"}
ASKS = tuple(NAMED.values())


@cache
def asked() -> dict[str, Any]:
    """The prompts by ability."""
    text = (Path(__file__).parent / "prompts" / "asked.yaml").read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader, in C


def question(c: Case) -> Question:
    """What to ask about a case."""
    told = _told(c.ability)
    tongue = "zh" if c.chinese else "en"
    how, kind = told["how"][tongue], told["kind"]
    if kind == "judge":
        return Question(NAMED[kind], "judge", _judging(c, how, tongue), 20)
    if kind == "back":
        how = Template(how).substitute(language=_language_of(c.source, tongue))
        return Question(NAMED[kind], "back", (("user", f"{how}\n\n{c.answer}"),), told["tokens"] + size(c.source))
    return Question(NAMED[kind], told["compare"], (("user", f"{c.task}\n\n{how}"),), told["tokens"])


def alone(c: Case, seed: int) -> Request | None:
    """What has a case's task answered anew, by itself; None where that answer is compared, not taken."""
    told = _told(c.ability)
    if "alone" not in told:
        return None
    how = told["alone"]["zh" if c.chinese else "en"]
    return Request((("user", f"{c.task}\n\n{how}"),), ALONE, TEMPERATURE, seed=seed, whole=True)


def answered_alone(ability: str) -> bool:
    """Whether rows of an ability are answered anew by themselves while they are generated."""
    return "alone" in _told(ability)


def _told(ability: str) -> dict[str, Any]:
    told = asked().get(ability, {})
    return told if "kind" in told else asked()["any"]


def _judging(c: Case, how: str, tongue: str) -> tuple[tuple[str, str], ...]:
    code, material = fence(list(zip(NAMES[tongue], (c.task[:SHOWN], c.answer[:SHOWN]), strict=True)))
    text = Template(asked()["verdict"][tongue]).substitute(code=code, material=material, how=how)
    return (("system", asked()["shots"][tongue]), ("user", text))


def _language_of(text: str, tongue: str) -> str:
    """The name of a text's language; Chinese and English where it cannot be told."""
    import pyarrow as pa

    from instdata.read.language import detect
    from instdata.steps.quality.form import languages

    code = detect(pa.array([text]))[0][0].as_py() or ("en" if tongue == "zh" else "zh")
    names = [name for name, c in languages().items() if c == code and (name.isascii() == (tongue == "en"))]
    return names[0].capitalize() if names and tongue == "en" else names[0] if names else code


def finding(c: Case, q: Question, answers: Sequence[Answer]) -> Finding:
    """The share of the draws that speak for the row; no score where none of them can be used."""
    values = [a.value for a in answers if a.value is not None]
    if not values:
        why = answers[0].failures[-1].why if answers and answers[0].failures else "no usable answer"
        return Finding(None, {"why": why})
    votes = votes_of(c, q, answers)
    score = sum(votes) / len(votes)
    against = [str(v)[-120:] for v, vote in zip(values, votes, strict=True) if not vote]
    facts = {} if score == 1 else {"draws": len(votes), "against": len(votes) - sum(votes)}
    return Finding(round(score, 4), {**facts, "said": against[:2]} if facts and q.compare != "judge" else facts)


def votes_of(c: Case, q: Question, answers: Sequence[Answer]) -> list[bool]:
    """Which of the draws that can be used speak for the row."""
    values = [a.value for a in answers if a.value is not None]
    return [bool(v) if q.compare == "judge" else agrees(c, q.compare, v) for v in values]


def agrees(c: Case, how: str, draw: str) -> bool:
    """Whether another answer to the case's task, or its translation back, says what the case's answer (or source)
    says."""
    if how == "back":
        return near(draw, c.source, NEAR["back"])
    if found("cannot_say", draw) and not found("cannot_say", c.answer):
        return False
    if how == "number":
        return _same_numbers(c.answer, draw)
    if how == "label":
        return _same_labels(c, draw)
    if how == "conclusion":
        mine, other = _conclusion(c.answer), _conclusion(draw)
        polar = verdict_in(mine), verdict_in(other)
        if None not in polar:
            return polar[0] == polar[1]
        if final_numbers(mine) and final_numbers(other):
            return _same_numbers(mine, other)
        apart = _other_numbers(mine, other) or _other_things(c.task, mine, other)
        return near(mine, other, NEAR["loose"]) and not apart
    if how == "list":  # one that lacks a third of what the other lists is not the same
        return shared(c.answer, draw) >= NEAR[how]
    return near(c.answer, draw, NEAR[how]) and not _other_numbers(c.answer, draw)


def near(a: str, b: str, least: float) -> bool:
    """Whether two texts say the same, as far as their words tell: one holds the other, or they share as much."""
    one, other = normalise(a), normalise(b)
    short, long = sorted((one, other), key=len)
    if short and (short in long or (units(short) and covered(short, long) >= 0.9)):
        return True
    return max(shared(a, b), alike(a, b)) >= least


def shared(a: str, b: str) -> float:
    """F1 of the words and characters of two texts."""
    mine, yours = units(a), units(b)
    return 2 * len(mine & yours) / (len(mine) + len(yours)) if mine and yours else float(normalise(a) == normalise(b))


def _other_numbers(a: str, b: str) -> bool:
    """Whether each of two texts has a number or a day of the week that the other has not: 6 is no part of 16, and
    星期一 shares two of three characters with 星期二."""
    mine, yours = ({*NUMBER.findall(t), *DAY.findall(t)} for t in (normalise(a), normalise(b)))
    return bool(mine - yours) and bool(yours - mine)


def _other_things(task: str, a: str, b: str) -> bool:
    """Whether each of two conclusions names something of the task that the other does not: another person is first."""
    told, mine, yours = units(task), units(a), units(b)
    return bool(told & mine - yours) and bool(told & yours - mine)


def _conclusion(text: str) -> str:
    """What an answer concludes: what is marked as its result, else its last sentence."""
    return final_part(text) or text.strip().split("\n")[-1]


def _same_numbers(a: str, b: str) -> bool:
    mine, other = final_numbers(a), final_numbers(b)
    if not mine or not other:
        return near(a, b, NEAR["words"])
    return any(same_number(m, o) or same_number(o, m) for m in mine for o in other)


def _same_labels(c: Case, draw: str) -> bool:
    from instdata.score.extract.text import named

    offered = offers(c)
    mine, other = (named(normalise(t), offered) for t in (c.answer, draw))
    return mine == other if mine or other else near(c.answer, draw, NEAR["words"])
