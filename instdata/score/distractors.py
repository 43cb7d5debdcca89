"""Distractors (DoIT, Song et al., arXiv 2310.19651): an answer counts where it is likelier than a fine-grained and a
coarse-grained wrong one. Where a suite brings none they are made here, the same for the same items and seed.

Fine ones are made only where an exact change is cheap and sure: another option, another number, another label. DoIT's
were written by hand; changes of words were tried, had no signal in our own results and are gone (docs/evaluate.md)."""

from __future__ import annotations

import random
import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from instdata.score.extract.text import UNSPACED, normalise
from instdata.score.holdout_items import choices_in
from instdata.score.item import LETTERS, Item

NEAR = 12  # answers of about the same length that a coarse distractor is chosen from
SHORT = 24  # characters of an answer that may be a label
KINDS = ("given", "choice", "number", "label")  # how a fine distractor was come by
SEEN = 6000  # characters of an answer that numbers are looked for in


def make(items: list[Item], seed: int = 0) -> list[Item]:
    """The items, each with the distractors that it lacked. `fine` is another choice, label or number (`fine_kind`
    says which; None where there is none), `coarse` another item's reference: of the same ability and script and
    about as long, where there is one. Items without a reference stay as they are."""
    pool = _Pool(items)
    return [_filled(item, pool, seed) if item.reference and item.reference.strip() else item for item in items]


def _filled(item: Item, pool: _Pool, seed: int) -> Item:
    rng = random.Random(f"{seed}:{item.id}")
    taken = [item.reference, item.fine, item.coarse]
    if item.coarse is None:
        item = replace(item, coarse=pool.other(item, [t for t in taken if t], rng))
    if item.fine is None:
        found = _fine(item, pool, rng)
        item = replace(item, fine_kind=found[0], fine=found[1]) if found else item
    return item


def _fine(item: Item, pool: _Pool, rng: random.Random) -> tuple[str, str] | None:
    """(kind, wrong answer): another choice, another label of the ability, or the answer with another number; None where
    it has none of them."""
    choices = item.choices or choices_in(item.question)
    if choices and (other := _other_choice(item.right, choices, rng)):
        return "choice", other
    if label := pool.label(item, rng):
        return "label", label
    made = [t for t in other_numbers(item.right, rng) if _differs(t, item)]
    return ("number", rng.choice(made)) if made else None


def _differs(text: str, item: Item) -> bool:
    """Whether a text says something else than the reference (case, blanks and punctuation say nothing, operators do)
    and is not the coarse distractor."""
    return text != item.coarse and _said(text) != _said(item.right)


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
        script, avoid, question = _script(item.right), {normalise(t) for t in taken}, normalise(item.question)
        for key in ((item.ability, script), (item.ability, None), (None, script), (None, None)):
            near = _nearest(self.by[key], len(item.right), 3 * NEAR)
            fit = [e for e in near if e.plain not in avoid and e.question != question]
            if fit:
                return rng.choice(fit[:NEAR]).text
        return None

    def label(self, item: Item, rng: random.Random) -> str | None:
        """Another label of the same ability, where the reference is one: a short answer that several items share."""
        shared, question = self.shared[item.ability], normalise(item.question)
        if len(item.right) > SHORT or (shared[normalise(item.right)] < 2 and item.scorer != "label"):
            return None
        entries = _nearest(self.by[item.ability, _script(item.right)], len(item.right), 200)
        others = sorted({e.text for e in entries if shared[e.plain] > 1 and _differs(e.text, item)})
        return rng.choice([o for o in others if normalise(o) in question] or others) if others else None


def _nearest(entries: list[_Entry], length: int, count: int) -> list[_Entry]:
    """Of entries in order of length, about as many as wanted nearest to a length, the nearest first."""
    at = bisect_left(entries, length, key=lambda e: e.length)
    return sorted(entries[max(0, at - count) : at + count], key=lambda e: (abs(e.length - length), e.id))


# A number that says something: no part of a word, a path, a version or a larger number.
FIGURE = re.compile(
    r"(?<![A-Za-z0-9_.,#/\\^:-])(?P<n>\d{1,3}(?:,\d{3})+|\d{1,12})(?P<tail>\.\d{1,6})?(?![A-Za-z0-9_/-]|[.,:]\d)"
    r"(?P<unit>\s?(?:%|°|percent|per cent|degrees))?"
)
LISTED = re.compile(r"[.)、:：）\]】]\s*\S")  # behind the number of a list's entry
CHINESE_COUNT = re.compile(r"(?<=[有共分为约每了])[两三四五六七八九](?=[个种名位年天次倍条只]|部分|方面|大类)")


def other_numbers(text: str, rng: random.Random) -> list[str]:
    """The text with one of its numbers changed, once for each number that an answer states (not the places of a list,
    not in code)."""
    if "```" in text:
        return []
    found = []
    for m in FIGURE.finditer(text[:SEEN]):
        starts_line = not text[max(0, m.start() - 4) : m.start()].rpartition("\n")[2].strip(" (（[【*#")
        if starts_line and LISTED.match(text[m.end() : m.end() + 4]):
            continue
        new = _other_number(m["n"], m["tail"] or "", bool(m["unit"]), rng)
        if new is not None:
            found.append(text[: m.start()] + new + text[m.end("tail") if m["tail"] else m.end("n") :])
    for m in CHINESE_COUNT.finditer(text[:SEEN]):
        found.append(text[: m.start()] + rng.choice([c for c in "两三四五六七八九" if c != m[0]]) + text[m.end() :])
    return found


def _other_number(whole: str, tail: str, share: bool, rng: random.Random) -> str | None:
    """Another number of the same shape; None for 0 and 1, which seldom can be others."""
    value = int(whole.replace(",", ""))
    if value < 2 and not tail:
        return None
    if whole.startswith("0"):
        return whole + "." + _other_digit(tail[1:], rng) if tail else None
    if 1000 <= value <= 2100 and "," not in whole and not tail:  # a year
        return str(value + rng.choice([-30, -20, -10, 10, -3, -2, 2, 3][: 7 if value > 2000 else 8]))
    if value < 10:
        return str(rng.choice([n for n in (value - 1, value + 1, value + 2) if 2 <= n <= 9 and n != value])) + tail
    at = (
        next(i for i in range(2) if whole[i].isdigit())
        if len(whole) < 3
        else rng.choice([0, 1 if whole[1].isdigit() else 2])
    )
    new = (
        whole[:at]
        + rng.choice([d for d in ("123456789" if at == 0 else "0123456789") if 1 <= abs(int(d) - int(whole[at])) <= 3])
        + whole[at + 1 :]
    )
    return (new if not share or value > 100 or int(new) <= 100 else str(value - 10)) + tail


def _other_digit(digits: str, rng: random.Random) -> str:
    at = next((i for i, d in enumerate(digits) if d != "0"), 0)
    return digits[:at] + rng.choice([d for d in "123456789" if d != digits[at]]) + digits[at + 1 :]
