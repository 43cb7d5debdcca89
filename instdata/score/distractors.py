"""Distractors (DoIT, Song et al., arXiv 2310.19651): an answer counts where it is likelier than a fine-grained and a
coarse-grained wrong one. Where a suite brings none they are made here, the same for the same items and seed."""

from __future__ import annotations

import random
import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from instdata.score.alter import Answer, Change, chinese_numbers, code_in, numbers, operators
from instdata.score.extract.text import UNSPACED, normalise
from instdata.score.items import LETTERS, Item, choices_in
from instdata.score.reword import alternatives, contrary, members, names, negations, offers, places

NEAR = 12  # answers of about the same length that a coarse distractor is chosen from
SHORT = 24  # characters of an answer that may be a label
KINDS = ("given", "choice", "number", "operator", "term", "antonym", "negation", "entity", "swap", "part")


WAYS: tuple[Callable[[Answer], Iterator[Change]], ...] = (
    alternatives, offers, operators, numbers, chinese_numbers, members, places, contrary, negations, names,
)  # fmt: skip


def make(items: list[Item], seed: int = 0) -> list[Item]:
    """The items, each with the distractors that it lacked. `fine` is the reference with one small change (`fine_kind`
    says which; None where nothing can be changed), `coarse` another item's reference: of the same ability and script and
    about as long, where there is one. Items without a reference stay as they are."""
    pool = _Pool(items)
    return [_filled(item, pool, seed) if item.reference and item.reference.strip() else item for item in items]


def _filled(item: Item, pool: _Pool, seed: int) -> Item:
    rng = random.Random(f"{seed}:{item.id}")
    taken = [item.reference, item.fine, item.coarse]
    if item.coarse is None:
        item = replace(item, coarse=pool.other(item, [t for t in taken if t], rng))
    if item.fine is None:
        change = _fine(item, pool, rng)
        item = replace(item, fine=change.text, fine_kind=change.kind) if change else item
    return item


def _fine(item: Item, pool: _Pool, rng: random.Random) -> Change | None:
    """The change to make: one of the surest, each of their kinds as likely as another; a denial only where there is no
    other, since models tell those most easily."""
    choices = item.choices or choices_in(item.question)
    if choices and (other := _other_choice(item.reference, choices, rng)):
        return Change("choice", other, 3)
    made = [c for c in changes(item.reference, item.question, rng) if _differs(c.text, item)]
    if made:
        made = [c for c in made if c.sure == max(m.sure for m in made)]
        kinds = sorted({c.kind for c in made} - {"negation"}) or ["negation"]
        kind = rng.choice(kinds)
        return rng.choice([c for c in made if c.kind == kind])
    if label := pool.label(item, rng):
        return Change("choice", label, 2)
    part = pool.part(item, rng)
    return Change("part", part, 1) if part else None


def changes(text: str, question: str, rng: random.Random) -> list[Change]:
    """Every change of every kind, in a fixed order (up to a few dozen of each)."""
    answer = Answer(text, question, tuple(code_in(text)), rng)
    found: dict[str, Change] = {}
    for way in WAYS:
        for nth, change in enumerate(way(answer)):
            if change.text != text:
                found.setdefault(change.text, change)
            if nth == 40:
                break
    return list(found.values())


def _differs(text: str, item: Item) -> bool:
    """Whether a text says something else than the reference (case, blanks and punctuation say nothing, operators do) and
    is not the coarse distractor."""
    return text != item.coarse and _said(text) != _said(item.reference)


def _said(text: str) -> str:
    return "".join(re.findall(r"\w|[+\-*/<>=!&|×÷]", unicodedata.normalize("NFKC", text).casefold()))


def _other_choice(reference: str, choices: list[str], rng: random.Random) -> str | None:
    """A reference with another choice in place of the right one; None where it names none, or several."""
    reference = reference.strip()
    for i, right in enumerate(choices):
        other = rng.choice([j for j in range(len(choices)) if j != i])
        if normalise(right) == normalise(reference):
            return choices[other]
        found = re.match(rf"[(（]?{LETTERS[i]}(?![A-Za-z])[)）]?", reference)
        if found and not re.match(r"[\s,、和]*[A-J](?![A-Za-z])", reference[found.end() :]):
            behind = reference[found.end() :]
            return found[0].replace(LETTERS[i], LETTERS[other]) + behind.replace(right, choices[other], 1)
    return None


def _script(text: str) -> str:
    """The script that an answer is in: of unspaced words, or not."""
    unspaced = len(re.findall(f"[{UNSPACED}]", text[:2000]))
    return "unspaced" if 3 * unspaced > len(re.findall(r"[^\W\d_]", text[:2000])) - unspaced and unspaced else "spaced"


@dataclass(frozen=True, order=True)
class _Entry:
    """A reference of the pool."""

    length: int
    id: str
    text: str
    plain: str  # normalised, as is the question
    question: str


class _Pool:
    """The references of all items, by ability and script, in order of length."""

    def __init__(self, items: list[Item]):
        self.by: dict[tuple[str | None, str | None], list[_Entry]] = defaultdict(list)
        for item in items:
            if item.reference and item.reference.strip():
                text = item.reference
                entry = _Entry(len(text), item.id, text, normalise(text), normalise(item.question))
                for key in ((item.ability, _script(text)), (item.ability, None), (None, _script(text)), (None, None)):
                    self.by[key].append(entry)
        self.shared: dict[str, Counter[str]] = defaultdict(Counter)
        for (ability, script), entries in self.by.items():
            entries.sort()
            if ability is not None and script is None:
                self.shared[ability].update(e.plain for e in entries if e.length <= SHORT)

    def other(self, item: Item, taken: list[str], rng: random.Random) -> str | None:
        """Another item's reference to another question, one of the NEAR nearest in length; of the same ability before
        the same script before any."""
        script, avoid, question = _script(item.reference), {normalise(t) for t in taken}, normalise(item.question)
        for key in ((item.ability, script), (item.ability, None), (None, script), (None, None)):
            near = _nearest(self.by[key], len(item.reference), 3 * NEAR)
            fit = [e for e in near if e.plain not in avoid and e.question != question]
            if fit:
                return rng.choice(fit[:NEAR]).text
        return None

    def label(self, item: Item, rng: random.Random) -> str | None:
        """Another label of the same ability, where the reference is one: a short answer that several items share."""
        shared, question = self.shared[item.ability], normalise(item.question)
        if len(item.reference) > SHORT or (shared[normalise(item.reference)] < 2 and item.scorer != "label"):
            return None
        entries = _nearest(self.by[item.ability, _script(item.reference)], len(item.reference), 200)
        others = sorted({e.text for e in entries if shared[e.plain] > 1 and _differs(e.text, item)})
        return rng.choice([o for o in others if normalise(o) in question] or others) if others else None

    def part(self, item: Item, rng: random.Random) -> str | None:
        """The reference with one sentence, entry or list member out of another answer of the same ability, of about the
        same length."""
        if "```" in item.reference:
            return None
        script = _script(item.reference)
        pools = [self.by[item.ability, script], self.by[None, script]]
        others = [e.text for pool in pools for e in rng.sample(pool, min(len(pool), 60)) if e.id != item.id]
        for split in (_sentences, _entries, _members):
            spans = split(item.reference)
            if not spans or (split is not _members and len(spans) < 2):
                continue
            start, end = rng.choice(spans)
            found = [o[s:e] for o in others for s, e in split(o) if o[s:e] not in item.reference and o[s].isalnum()]
            if found:
                new = min(found, key=lambda t: (abs(len(t) - (end - start)), t))
                return item.reference[:start] + new + item.reference[end:]
        return None


def _nearest(entries: list[_Entry], length: int, count: int) -> list[_Entry]:
    """Of entries in order of length, about as many as wanted nearest to a length, the nearest first."""
    at = bisect_left(entries, length, key=lambda e: e.length)
    return sorted(entries[max(0, at - count) : at + count], key=lambda e: (abs(e.length - length), e.id))


def _sentences(text: str) -> list[tuple[int, int]]:
    return [
        m.span() for m in re.finditer(r"[^\s.!?。！？][^.!?。！？\n]{8,300}(?:[.!?](?=\s|$)|[。！？])", text[:6000])
    ]


def _entries(text: str) -> list[tuple[int, int]]:
    return [
        m.span(1)
        for m in re.finditer(r"^[ \t]*(?:[-*•]|\d{1,2}[.)、])[ \t]*(\S[^\n]{0,200})$", text[:6000], re.MULTILINE)
    ]


def _members(text: str) -> list[tuple[int, int]]:
    """The members of an answer that is a list on one line, but for the first, which may lead in."""
    spans = [
        m.span()
        for m in re.finditer(
            r"[^\s,、，。.;；:：和及与“”\"'\[\]()（）][^\n,、，。.;；:：和及与“”\"'\[\]()（）]{0,30}", text[:400]
        )
    ]
    return spans[1:] if len(re.findall("[,、，]", text[:400])) > 1 and len(text) <= 400 else []
