"""A judge's verdict: read from its words, checked against the allowed ones, weighted by what the judge found likely."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from instdata.llm.ask import objects
from instdata.llm.client import Unusable

# The verdict's word in a reply that is not JSON, before a colon. The value is checked later, so anything may stand there.
WORDS = {
    "grade": r"grade|等级|评级",
    "better": r"better(?: answer)?|verdict|winner|更好(?:的回答)?|结论",
}
LEAST_MASS = 0.5  # of the probability must be on allowed verdicts, or the weights say nothing


def read(text: str, key: str, allowed: Mapping[str, float]) -> str:
    """The last verdict in a reply, one of `allowed`: what stands before it may be thinking, or quoted from the answer
    under judgement. Whatever comes last counts, also where it is no allowed verdict. Raises Unusable."""
    body = text.rsplit("</think>", 1)[-1]
    spans = [(start, end, value[key]) for start, end, value in objects(body) if key in value]
    found = spans[-1] if spans else None
    if found is None and body.lstrip().startswith(("{", "```")):
        raise Unusable("broken JSON")  # a verdict inside it would be one that the reason quotes
    said = re.compile(rf'(?i)(?<![a-z])(?:{WORDS[key]})["”*\s]{{0,5}}[:：=]["“*\s]{{0,5}}([^\s"“”*,，;；.。]{{1,12}})')
    for match in said.finditer(body):
        if not any(start <= match.start() < end for start, end, _ in spans) and (not found or match.start() > found[0]):
            found = (match.start(), match.end(), match[1])
    if found is None:
        raise Unusable("no verdict")
    verdict = {w.casefold(): w for w in allowed}.get(str(found[2]).strip().casefold())
    if verdict is None:
        raise Unusable("not one of the verdicts asked for")
    return verdict


def value(verdict: str, body: dict[str, Any], key: str, allowed: Mapping[str, float]) -> float | None:
    """What a verdict is worth: the mean over the allowed verdicts, weighted by their probabilities where the endpoint
    tells them (Liu et al. 2023, G-Eval, arXiv 2303.16634), else its own worth. None where the reply was cut off:
    its last verdict may be a quotation then."""
    choice = body["choices"][0]
    if choice.get("finish_reason") == "length":
        return None
    likely = weights(verdict, choice, key, allowed)
    return sum(p * allowed[v] for v, p in likely.items()) if likely else allowed[verdict]


def weights(verdict: str, choice: dict[str, Any], key: str, allowed: Mapping[str, float]) -> dict[str, float] | None:
    """Probability of each allowed verdict at the token where it was given, summing to 1; None where the endpoint tells
    none, or the reply is not the JSON asked for, which ends with the verdict."""
    tokens = (choice.get("logprobs") or {}).get("content") or []
    try:
        if list(json.loads(choice["message"]["content"]))[-1] != key:
            return None
        at = next(i for i in reversed(range(len(tokens))) if _names(tokens[i]["token"], allowed) == verdict)
        mass: dict[str, float] = {}
        for other in tokens[at]["top_logprobs"]:
            name = _names(other["token"], allowed)
            if name is not None:
                mass[name] = mass.get(name, 0.0) + math.exp(other["logprob"])
    except (LookupError, TypeError, ValueError, StopIteration, OverflowError):
        return None
    total = sum(mass.values())
    return {name: p / total for name, p in mass.items()} if LEAST_MASS <= total < math.inf else None


def _names(token: str, allowed: Mapping[str, float]) -> str | None:
    """The verdict that a token begins, where it can be only one."""
    word = token.strip(' \t\n":{}').casefold()
    found = [v for v in allowed if word and (v.casefold().startswith(word) or word.startswith(v.casefold()))]
    return found[0] if len(found) == 1 else None
