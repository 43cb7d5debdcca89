"""A judge's verdict: read from its words, checked against the allowed ones, weighted by what the judge found likely."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from instdata.llm.reply import Unusable, dicts, found, once, whole

# The verdict's word in a reply that is not JSON. The value is checked later, so anything may stand after it.
WORDS = {
    "grade": r"(?:final )?grade|verdict|(?:最终)?(?:等级|评级)",
    "better": r"better(?: answer)?|verdict|winner|更好(?:的(?:回答)?)?|结论",
}
GAP = r"[\"“”'‘’*_#`(（\[【\s]{0,6}"
LEAST_MASS = 0.5  # of the probability must be on allowed verdicts, or the weights say nothing


# What follows a verdict that takes it back or leaves it open: "A or B", "A -> D", "A/B".
OR = re.compile(r"(?:\s*(?:/|->|→|、)\s*|\s+or\s+|\s*(?:或者|或|还是)\s*)([A-Da-d0-9]|0?\.\d+)(?![A-Za-z0-9])")

WORD = r"(\d(?:\.\d+)?|[A-Z]|[Tt]ie|平局|平手)"
CLOSED = r"[\"“”'‘’*_#`)）\]】]{0,4}"
END = rf"{CLOSED}(?=\s*(?:[.。!！,，;；\n级等档]|$))"
# "Grade: A. On reflection D", "等级：A。不对，应为 D": the one that comes after such words, in the same sentence.
AGAIN = (
    r"(?i:\bon (?:second thoughts?|reflection|balance)|\bthinking again|\breconsider\w*|\bcorrection|\brevis\w+"
    r"|\bscratch that|\bmake (?:it|that)|\bno, |\bwait\b|\bactually|\brather|\binstead"
    r"|\bchanged? (?:my mind|it|to)|\b(?:should|must) be|\bfinal(?:ly)?|\bsorry\b|\bi meant?\b"
    r"|\bbut (?:really|in truth)\b"
    r"|\b(?:could|might|may) (?:also |well |even )?be|\bwould (?:also |rather )?(?:say|give|assign|call it))"
    r"|抱歉|也可能是|也可以是|或许是|会给|再想|再三考虑|重新|仔细想|更正|纠正|修正|改为|改成|应为|应该(?:是|给)|应当是|不对|不,|不，|其实|最终"
)
SECOND = re.compile(rf"(?:{AGAIN})[^\n.。!！?？]{{0,60}}?(?<![A-Za-z0-9.]){WORD}{END}")
# A line, or a letter that is a sentence: not the number or the letter before the items of a list.
LONE = re.compile(rf"^{GAP}{WORD}{CLOSED}[.。]?[^\S\n]*$|[.。!！?？]{GAP}([A-Z]){CLOSED}(?:[.。!！]|[^\S\n]*$)", re.M)


def read(text: str, key: str, allowed: Mapping[str, float]) -> str:
    """The verdict of a reply, one of `allowed`: in its JSON, else in words, else the reply's first word alone. A reply
    that gives two different ones gives none. Raises Unusable."""
    body, values = found(text)
    for one in values:
        once(one, key)
    said = [v[key] for one in values for v in whole(one) if key in v]
    if not said and re.match(r"\s*(?:```\w*\s*)?\{", body):
        raise Unusable("broken JSON")  # a verdict inside it would be one that the reason quotes
    plain = body
    for one in reversed(values):  # what a reason quotes is no verdict
        plain = plain[: one.start] + "\n" + plain[one.end :] if _speaks(one.value) else plain
    bare = not said
    said += _in_words(plain, key) + _marked(plain)
    said = said or _alone(plain, allowed) or _preferred(plain, key)
    if not said:
        raise Unusable("no verdict")
    verdicts = {_allowed(v, allowed) for v in said} | _again(plain, allowed, bare)
    if None in verdicts:
        raise Unusable("not one of the verdicts asked for")
    if len(verdicts) > 1:
        raise Unusable("two different verdicts")
    return str(verdicts.pop())


def _speaks(value: Any) -> bool:
    """Whether a JSON value holds an object, as a list of one letter in a text does not."""
    return any(True for _ in dicts(value))


def _in_words(text: str, key: str) -> list[str]:
    """What follows the verdict's word: after a colon or "is", or on the line below a heading."""
    parts = (
        rf"(?i)(?<![a-z])(?:{WORDS[key]}){GAP}(?:[:：=→]|(?<=\s)[-–—](?=\s)|\b(?:is|of)\b|(?:应该?)?[为是]){GAP}"
        rf"(?:(?-i:an?)\s+(?=[\"“*]{{0,3}}(?-i:[A-Z])\b)|(?:answer|回答)\s*(?=\d))?{GAP}([^\s\"“”'‘’*_`,，;；.。)）\]】]{{1,12}})",
        rf"(?im)^\s*[#*]+\s*(?:{WORDS[key]})\s*[*]*\s*\n{GAP}([^\s\"“”'‘’*_`,，;；.。)）\]】]{{1,12}})",
    )
    found = [m for part in parts for m in re.finditer(part, text)]
    article = re.compile(r"\s+[\"“*]*[A-Za-z]")  # "is a well-deserved B"
    said = ["" if m[1] == "a" and article.match(text, m.end()) else m[1] for m in found]
    return said + [other[1] for m in found if (other := OR.match(text, m.end()))]


def _preferred(text: str, key: str) -> list[str]:
    """The answers that a sentence calls the better one, where none denies it."""
    better = r"(?:is (?:clearly |much |slightly |the )?better|wins\b|更好|更优|胜出)"
    if key != "better" or re.search(r"(?i)\bnot\b|n't|不", text):
        return []
    return re.findall(rf"(?i)(?:answer|回答)\s*([12])\s*{better}", text)


def _marked(text: str) -> list[str]:
    """Verdicts in double brackets or a box."""
    return re.findall(r"\[\[\s*(\S{1,12}?)\s*\]\]", text) + re.findall(
        r"\\boxed\{\s*(?:\\text\{)?\s*(\S{1,12}?)\s*\}", text
    )


def _again(text: str, allowed: Mapping[str, float], bare: bool) -> set[str]:
    """Verdicts that a reply comes to where it says that it thinks again, and, in a `bare` one without JSON, those that
    are a sentence by themselves."""
    said = [m[m.lastindex or 0] for form in (SECOND, LONE)[: 1 + bare] for m in form.finditer(text)]
    return {v for word in said if (v := _allowed(word, allowed))}


def _alone(text: str, allowed: Mapping[str, float]) -> list[str]:
    """The verdict that is the reply's whole first sentence or line."""
    first = re.match(
        rf"{GAP}([^\s\"“”'‘’*_`,，;；.。)）\]】:：/]{{1,6}})[\"”'’*_`)）\]】]{{0,4}}\s*(?:[.。\n,，;；]|$)", text
    )
    return [first[1]] if first and _allowed(first[1], allowed) else []


def _allowed(word: Any, allowed: Mapping[str, float]) -> str | None:
    """The allowed verdict that a word is: in any case and width, with the classifier that Chinese adds. None for
    none."""
    if isinstance(word, (list, dict, bool, float)):
        return None
    plain = unicodedata.normalize("NFKC", str(word)).strip(" \t\n\"'“”*()[]{}<>.。").casefold()
    plain = re.sub(r"^(?:回答|answer)\s*(?=\d)|(?:级|等|档|更好)$", "", plain)
    return {w.casefold(): w for w in allowed}.get({"平局": "tie", "平手": "tie"}.get(plain, plain))


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
