"""Changes of words and their places that make a good answer wrong and leave it fluent (see alter.py)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from functools import cache

from instdata.score.alter import HAN, SEEN, Answer, Change, count
from instdata.score.contraries import AMBIGUOUS_EN, NOT_AFTER_ZH, NOT_BEFORE_ZH, contraries, kinds

BEFORE_ZH, AFTER_ZH = set(NOT_BEFORE_ZH), set(NOT_AFTER_ZH)

# ---- words


WORD = re.compile(r"\b[A-Za-z]+(?:-[A-Za-z]+)?\b")


@cache
def _chinese() -> tuple[dict[str, str], dict[str, list[str]]]:
    return contraries()[1], {k: v for k, v in kinds().items() if not k.isascii()}


@cache
def _english() -> tuple[dict[str, str], dict[str, list[str]]]:
    return contraries()[0], {k: v for k, v in kinds().items() if k.isascii()}


@cache
def _risky() -> frozenset[str]:
    return frozenset(AMBIGUOUS_EN.split())


def _found(text: str, words: Container[str]) -> Iterator[tuple[int, str]]:
    """(place, word) of each known word of an unspaced script, the longest at each place."""
    at = 0
    while at < len(text):
        word = next((text[at : at + n] for n in (5, 4, 3, 2, 1) if text[at : at + n] in words), None)
        if word:
            yield at, word
        at += len(word or " ")


# English words whose contrary does not fit in some set phrases.
PHRASES = re.compile(
    r"\b(?:more than|more and more|first of all|at least|at most|most of|day by day|day to day|every day|one day|base(?:d)? on|with(?:out)? (?:a|the) |light of|long as|soon|even (?:if|though|when)|right (?:away|now)|so many|high[- ]quality|make up|up to|look up|end up|set up|come up|bring up|pick up|wake up|sign up|follow up|same time|before long|after all|best of|in the end|kind of|last|at first|for the first)\b",
    re.IGNORECASE,
)


def contrary(a: Answer) -> Iterator[Change]:
    """One word is its contrary: increases and decreases, 优点 and 缺点."""
    pairs = _english()[0]
    phrases = [m.span() for m in PHRASES.finditer(a.text[:SEEN])]
    for m in WORD.finditer(a.text[:SEEN]):
        word, new = m[0], pairs.get(m[0].lower())
        if new is None or a.in_code(m.start()) or any(s <= m.start() < e for s, e in phrases) or word.isupper():
            continue
        new = new.capitalize() if word[0].isupper() else new
        article = re.search(r"\b[Aa]n? $", a.text[max(0, m.start() - 4) : m.start()])
        start = at = m.start()
        if article and (new[0].lower() in "aeiou") != (word[0].lower() in "aeiou"):
            start -= len(article[0])
            new = article[0][0] + ("n " if new[0].lower() in "aeiou" else " ") + new
        sure = 2 if word.lower() not in _risky() and _stated(a, at) else 1
        yield a.swap("antonym", start, m.end(), new, sure)
    pairs = _chinese()[0]
    for at, word in _found(a.text[:SEEN], pairs):
        alone = (
            a.text[max(0, at - 1) : at] not in BEFORE_ZH and a.text[at + len(word) : at + len(word) + 1] not in AFTER_ZH
        )
        if alone and not a.in_code(at):
            yield a.swap("antonym", at, at + len(word), pairs[word], 2 if len(word) > 1 and _stated(a, at) else 1)


def members(a: Answer) -> Iterator[Change]:
    """One word is another of its kind: May and June, 唐朝 and 宋朝. One that the question names is taken first."""
    english, chinese = _english()[1], _chinese()[1]
    words = [(m.start(), m[0]) for m in WORD.finditer(a.text[:SEEN])]
    known = [(at, w if w in english else w.lower(), w) for at, w in words if w in english or w.lower() in english]
    known += [(at, w, w) for at, w in _found(a.text[:SEEN], chinese)]
    for at, key, word in known:
        others = [w for w in (english if word.isascii() else chinese)[key] if w not in a.text]
        if not others or a.in_code(at):
            continue
        asked = [w for w in others if w in a.question]
        sure = 3 if asked or a.anchored(word) else 2 if key[0].isupper() or not word.isascii() else 1
        new = a.rng.choice(asked or others)
        yield a.swap("term", at, at + len(word), new.capitalize() if key != word else new, sure)


EN_TO_NOT = re.compile(
    r"\b(?:is|are|was|were|will|should|must|can)(?= (?!not\b|also\b|only\b|just\b|it\b|there\b|you\b|they\b|we\b|he\b|she\b|this\b|that\b|be not|no\b|never\b|always\b|often\b|then\b|the\b(?! same))[a-z]{2,})",
    re.IGNORECASE,
)
EN_FROM_NOT = re.compile(
    r"\b(is|are|was|were|should|must|will) not(?= (?!only|just|necessarily)[a-z])|\b(can)not\b|\b(can|is|are|was|were|should)['’]?n?['’]t(?= (?!only|just)[a-z])|\b(?:do not|don't|never)(?= [a-z]+ )",
    re.IGNORECASE,
)
ZH_TO_NOT = re.compile(
    rf"(?<![但可还于总就只都也凡若要不或而正即便像算如又更乃才并老越多硬倒先自本尤仅])是(?![否的非不因由以为指时])(?=[^，。；！？\n]{{2,}})|(?<=[{HAN}])(?:可以|能够|应该|应当|需要|必须)(?!是|吗)"
)
ZH_FROM_NOT = re.compile(
    r"(?<![无所])(?:不是(?!吗|说|很|因为)|不被|不能(?!不)|不会(?!不)|不应该|不应(?!当)|不需要|不可以|没有(?!了|人|什么|任何)|不属于|不包括|不得(?!不|已))"
)
ZH_NOTS = {
    "是": "不是",
    "可以": "不可以",
    "能够": "不能",
    "应该": "不应该",
    "应当": "不应当",
    "需要": "不需要",
    "必须": "不必",
}


def negations(a: Answer) -> Iterator[Change]:
    """A statement is denied, or no longer is."""
    for m in EN_TO_NOT.finditer(a.text[:SEEN]):
        if _stated(a, m.start()) and not a.in_code(m.start()):
            yield a.swap("negation", m.start(), m.end(), m[0] + ("not" if m[0].lower() == "can" else " not"), 2)
    for m in EN_FROM_NOT.finditer(a.text[:SEEN]):
        kept = next((g for g in m.groups() if g), None)
        if not _stated(a, m.start()) or a.in_code(m.start()) or a.text[: m.start()].lower().endswith(("or ", "why ")):
            continue
        if kept:
            yield a.swap("negation", m.start(), m.end(), kept, 2)
        elif m[0].lower() == "never":
            yield a.swap("negation", m.start(), m.end(), "Always" if m[0][0].isupper() else "always", 2)
        elif m[0][0].isupper():  # Don't open it: Open it
            yield Change("negation", a.text[: m.start()] + a.text[m.end() + 1].upper() + a.text[m.end() + 2 :], 2)
        else:
            yield a.swap("negation", m.start(), m.end() + 1, "", 2)
    for m in ZH_TO_NOT.finditer(a.text[:SEEN]):
        if _stated(a, m.start()):
            yield a.swap("negation", m.start(), m.end(), ZH_NOTS[m[0]], 2)
    for m in ZH_FROM_NOT.finditer(a.text[:SEEN]):
        if _stated(a, m.start()):
            yield a.swap("negation", m.start(), m.end(), m[0].lstrip("不没"), 2)


def _stated(a: Answer, at: int) -> bool:
    """Whether a place is in a statement, not in a question."""
    end = re.search(r"[.!?。！？\n]", a.text[at : at + 400])
    return not end or end[0] not in "?？"


# ---- what stands where

NAME = re.compile(r"(?<=[a-z,;:] )(?:[A-Z][a-z]{2,}(?: (?:[A-Z][a-z]+|of(?= [A-Z]))){0,3})")
TITLE = re.compile(r"《([^《》\n]{1,30})》")
NOT_NAMES = {
    "The",
    "This",
    "That",
    "These",
    "There",
    "They",
    "However",
    "Also",
    "And",
    "But",
    "For",
    "You",
    "Your",
    "Step",
    "Our",
    "His",
    "Her",
    "Here",
    "What",
    "When",
    "How",
    "Why",
    "Who",
    "Dear",
    "Sincerely",
    "Yes",
    "Not",
    "Use",
    "Make",
    "Get",
    "Best",
}


def names(a: Answer) -> Iterator[Change]:
    """Two names change places; a name that stands alone gives way to one of the question."""
    for pattern in (NAME, TITLE):
        found: dict[str, re.Match] = {}
        for m in pattern.finditer(a.text[:SEEN]):
            line = a.text[a.text.rfind("\n", 0, m.start()) + 1 : m.end() + 40].split("\n")[0].split()
            headline = 2 * sum(w[0].isupper() for w in line) > len(line) > 3
            if m[0].split()[0] not in NOT_NAMES and not a.in_code(m.start()) and not headline:
                found.setdefault(m[0], m)
        spans = sorted(found.values(), key=lambda m: m.start())[:8]
        for i, first in enumerate(spans):
            for second in spans[i + 1 :]:
                if first[0] in second[0] or second[0] in first[0] or len(first[0].split()) != len(second[0].split()):
                    continue
                # Names of a list may change places without harm.
                between = a.text[first.end() : second.start()]
                articles = [a.text[: m.start()].endswith("the ") for m in (first, second)]
                if (
                    "\n" in between
                    or articles[0] != articles[1]
                    or re.fullmatch(r"[\s,、和与及]*(?:and\s)?(?:the\s)?", a.text[first.end() : second.start()])
                ):
                    continue
                yield Change("entity", _exchange(a.text, first.span(), second.span()), 2)
        if len(spans) == 1:
            others = {m[0] for m in pattern.finditer(a.question)} - set(found) - NOT_NAMES
            for other in sorted(
                o
                for o in others
                if o not in spans[0][0] and spans[0][0] not in o and len(o.split()) == len(spans[0][0].split())
            ):
                yield a.swap("entity", *spans[0].span(), other, 2)


PAIR = re.compile(
    r"^(?P<key>[ \t]*(?:[-*•]\s*|\d{1,2}[.)、]\s*)?[^\n:：]{1,40}(?:[:：]| [-–—=] |->)[ \t]*)(?P<value>[^\n]{1,300})$",
    re.MULTILINE,
)
ENTRY = re.compile(
    r"^(?P<mark>[ \t]*(?:\d{1,2}[.)、]|第[一二三四五六七八九十]步[:：]?)[ \t]*)(?P<text>\S[^\n]*)$", re.MULTILINE
)
ORDERED = re.compile(
    r"\b(?:steps?|how (?:to|do|can)|recipe|instructions?|sort(?:ed)?|order|rank|arrange|process|timeline|procedure|algorithm|sequence|alphabetical\w*)\b|步骤|如何|怎么|怎样|做法|流程|过程|排序|排列|顺序|升序|降序|过程|菜谱|食谱",
    re.IGNORECASE,
)
UNORDERED = re.compile(
    r"\b(?:tips?|ways|reasons|ideas|suggestions?|advice|strategies|benefits|examples|questions)\b|提示|建议|技巧|方法|方式|理由|原因|想法|例子|问题列表|策略",
    re.IGNORECASE,
)
FROM_TO = re.compile(
    r"\bfrom ((?:the )?[\w-]{2,20}) to ((?:the )?[\w-]{2,20})\b|从([^\s，。；、到至]{1,5})[到至]([^\s，。；、的]{1,5})(?=[，。；、的])",
    re.IGNORECASE,
)
INLINE = re.compile(
    r"(?<![\w.])(?:[\w.'-]{1,20}, ){3,30}(?:and )?[\w.'-]{1,20}(?![\w,])|(?:[^\s，。、：:]{1,10}[、，]){3,30}[^\s，。、]{1,10}"
)


def places(a: Answer) -> Iterator[Change]:
    """What belongs to two headings changes places; so do two steps, two members of a sorted list, the ends of from … to."""
    text = a.text[:SEEN]
    rows = [m for m in PAIR.finditer(text) if not a.in_code(m.start())]
    same_kind = [
        m
        for m in rows
        if m["value"].strip() and not re.search(r"答案|结果|answer|result|[:：]\s*$", m[0], re.IGNORECASE)
    ]
    for first, second in zip(same_kind, same_kind[1:]):
        if first["value"].strip() != second["value"].strip() and first["key"].strip() != second["key"].strip():
            yield Change("swap", _exchange(a.text, first.span("value"), second.span("value")), 3)
    for m in FROM_TO.finditer(text):
        one, other = (m.span(1), m.span(2)) if m[1] else (m.span(3), m.span(4))
        if a.text[slice(*one)] != a.text[slice(*other)]:
            yield Change("swap", _exchange(a.text, one, other), 2)
    if not ORDERED.search(a.question) or UNORDERED.search(a.question):
        return
    steps = [m for m in ENTRY.finditer(text) if not a.in_code(m.start())]
    for first, second in zip(steps, steps[1:]):
        yield Change("swap", _exchange(a.text, first.span("text"), second.span("text")), 2)
    if re.search(
        r"\b(?:sort|order|rank|arrange|alphabetical\w*|ascending|descending)|排序|排列|顺序|升序|降序",
        a.question,
        re.IGNORECASE,
    ):
        for m in INLINE.finditer(text):
            parts = [
                (m.start() + p.start(), m.start() + p.end()) for p in re.finditer(r"[^\s,、，]+", m[0]) if p[0] != "and"
            ]
            for one, other in zip(parts, parts[1:]):
                if a.text[slice(*one)] != a.text[slice(*other)]:
                    yield Change("swap", _exchange(a.text, one, other), 3)


def _exchange(text: str, one: tuple[int, int], other: tuple[int, int]) -> str:
    return text[: one[0]] + text[slice(*other)] + text[one[1] : other[0]] + text[slice(*one)] + text[other[1] :]


def alternatives(a: Answer) -> Iterator[Change]:
    """A short answer that the question offers among others gives way to another of them: positive or negative, 咨询还是投诉."""
    short = a.text.strip().rstrip(".。!！")
    if not 1 <= len(short) <= 24 or "\n" in short or short.lower() not in a.question.lower():
        return
    word = r"[\"'“”‘’「」]{0,2}([\w\- ]{1,24}?|[\u3400-\u9fff]{1,10}?)[\"'“”‘’「」]{0,2}"
    between = r"\s{0,2}(?:,? or |,|/|、|，|还是|或者|或|与|和| and )\s{0,2}"
    here = r"[\"'“‘「]?" + re.escape(short) + r"[\"'”’」]?"
    for pattern in (
        rf"{here}{between}{word}(?=[\s,.;:?!。，、？；：)）)/\"'“”]|$)",
        rf"(?:^|[\s,:：(（\"'“”是为于])?{word}{between}{here}(?!\w)",
    ):
        for m in re.finditer(pattern, a.question[:SEEN], re.IGNORECASE):
            other = re.split("[为是于成属]", m[1].strip())[-1]
            if m.end(1) < m.end() - len(short) and m[1].isascii():  # it stands before: of a longer stretch its end
                other = " ".join(other.split()[-len(short.split()) :])
            if other and other.lower() != short.lower() and len(other) <= 2 * len(short) + 8:
                other = other.capitalize() if short[0].isupper() else other
                yield Change("choice", a.text.replace(short, other, 1), 3)


OFFER = re.compile(
    r"[\"'“‘]?\b([A-Za-z0-9-]{2,20})[\"'”’]?(?:,? or |/)(?:as |an? |the )?[\"'“‘]?([A-Za-z0-9-]{2,20})\b|(?<=[“\"「'])([^“”\"「」'\n]{1,16})[”\"」'](?:[、，,和或]|还是|或者| or | and )+[“\"「']([^“”\"「」'\n]{1,16})(?=[”\"」'])",
    re.IGNORECASE,
)


def offers(a: Answer) -> Iterator[Change]:
    """A sentence that names one of two things that the question offers names the other one."""
    if len(a.text) > 300:
        return
    for m in OFFER.finditer(a.question[:SEEN]):
        one, other = (m[1], m[2]) if m[1] else (m[3], m[4])
        for old, new in ((one, other), (other, one)):
            if count(old, a.text) == 1 and new.lower() not in a.text.lower() and old.lower() not in COMMON:
                at = a.text.index(old)
                yield a.swap("choice", at, at + len(old), new, 3)


COMMON = frozenset(
    [
        "the",
        "an",
        "is",
        "to",
        "of",
        "and",
        "or",
        "in",
        "on",
        "it",
        "as",
        "by",
        "for",
        "with",
        "this",
        "that",
        "sentence",
        "text",
        "word",
        "list",
    ]
)
