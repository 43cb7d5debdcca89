"""A row as verification sees it: what is asked, the material that it is asked about, the answer; and what a check
finds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from instdata.score.extract.text import UNSPACED, normalise, tokens
from instdata.steps.verify.phrases import lists

QUOTED = re.compile(r"“([^”\n]{2,})”|\"([^\"\n]{2,})\"|「([^」\n]{2,})」|『([^』\n]{2,})』|《([^》\n]{2,})》|(?<!\w)['‘]([^'’\n]{4,})['’](?!\w)")  # fmt: skip  # noqa: E501
COLON = re.compile(r"[：:]\s*(?=\S)(?!//)")
ENDS = re.compile(r"(?<=[。！？!?])|(?<=\.)\s+|\n+")
QUESTION = re.compile(r"[?？]\s*$")
LEAST = 4  # words, or characters of an unspaced script, from which a piece of a task can be its material
SHARE = 0.4  # of a one-line task, from which a quotation in it is what the task is about
STEM = 6  # letters of a word that count


@dataclass(frozen=True)
class Case:
    """`ask`: what is wanted; `source`: the passage, sentence or data that it is wanted of ("" where there is none).
    `task` has both, as the model sees them. `language`: ISO 639-1 code of the task, "zh" or else taken for English."""

    task: str
    ask: str
    source: str
    answer: str
    ability: str
    language: str

    @classmethod
    def of(cls, task: str, answer: str, ability: str, language: str, given: str = "") -> Case:
        """A row's case; `given` where its format tells the material apart."""
        ask, source = (task.replace(given, "").strip() or task, given) if given else split(task)
        return cls(task, ask, source, answer.strip(), ability, language)

    @property
    def chinese(self) -> bool:
        return self.language == "zh"


@dataclass(frozen=True)
class Finding:
    """What a check says of a case: from 0 (surely wrong) to 1 (nothing against it), and why. `score` None: it was asked
    for and could not be told."""

    score: float | None
    evidence: dict[str, Any] = field(default_factory=dict)


def split(task: str) -> tuple[str, str]:
    """(what is asked, the material) of one undivided text. On several lines the first is the question, unless only the
    last one asks; on one line the material stands in quotes, after a colon, or before a question."""
    task = task.strip()
    lines = [line for line in task.split("\n") if line.strip()]
    if len(lines) > 1:
        if QUESTION.search(lines[-1]) and not QUESTION.search(lines[0]) and not COLON.search(lines[0][-1:] + " x"):
            return lines[-1], "\n".join(lines[:-1])
        return lines[0], "\n".join(lines[1:])
    quoted = max((g for m in QUOTED.finditer(task) for g in m.groups() if g), key=len, default="")
    if size(quoted) >= LEAST and len(quoted) >= SHARE * len(task):
        return task.replace(quoted, "", 1), quoted
    for colon in COLON.finditer(task):
        before, after = task[: colon.start()], task[colon.end() :]
        if size(before) >= 2 and size(after) >= LEAST:
            return before, after
    if quoted:
        return task.replace(quoted, "", 1), quoted
    sentences = [s for s in ENDS.split(task) if s and s.strip()]
    if len(sentences) > 1 and QUESTION.search(sentences[-1]):
        return sentences[-1], "".join(sentences[:-1])
    if len(sentences) > 1 and size("".join(sentences[1:])) >= 2 * LEAST:
        return sentences[0], " ".join(sentences[1:])
    return task, ""


def size(text: str) -> int:
    """Words, or characters of scripts without blanks."""
    return len(tokens(text))


def grams(text: str) -> set[str]:
    """What a text speaks of: its words without the commonest, and pairs of characters of unspaced scripts."""
    words = tokens(text)
    found = {w for w in words if not re.match(f"[{UNSPACED}]", w) and w not in common()}
    dense = [w if re.match(f"[{UNSPACED}]", w) else " " for w in words]
    pairs = {a + b for a, b in zip(dense, dense[1:]) if a != " " and b != " "}
    return found | pairs or set(words)


@cache
def common() -> frozenset[str]:
    """Words and characters that say nothing of what a text is about."""
    return frozenset(p.text for p in lists()["common_words"])


def units(text: str) -> set[str]:
    """The words (their first letters, which inflection leaves alone) and characters of a text, without the commonest
    and without numbers."""
    return {w[:STEM] for w in tokens(text) if w not in common() and not w.isdigit()}


def covered(part: str, whole: str) -> float:
    """The share of a text's units that stand in another one, too; 1 for a text without any."""
    mine = units(part)
    return len(mine & units(whole)) / len(mine) if mine else 1.0


def same_script(a: str, b: str) -> bool:
    """Whether two texts are both mostly of unspaced scripts, or both not."""
    return _dense(a) == _dense(b)


def _dense(text: str) -> bool:
    words = tokens(text)
    return 2 * sum(re.match(f"[{UNSPACED}]", w) is not None for w in words) > len(words)


def alike(a: str, b: str) -> float:
    """F1 of what two texts speak of; 1 where one is the other's beginning, middle or end and not much shorter."""
    one, other = grams(a), grams(b)
    if not one or not other:
        return float(normalise(a) == normalise(b))
    return 2 * len(one & other) / (len(one) + len(other))


def pieces(answer: str) -> list[str]:
    """The things that an answer lists: lines and what lies between commas, without numbers and bullets, normalised."""
    found = re.split(r"[\n;；、,，]|(?<=[。！？])", answer)
    return [p for p in (normalise(re.sub(r"^\s*(?:[-*•·]|\(?\d{1,2}[.)）、])\s*", "", f)) for f in found) if p]
