"""Lists of phrases in YAML files: what a rule looks for, readable without knowing regular expressions.

    name:
      about: what the list stands for
      en: [plain words, …]            # a plain phrase catches itself
      zh:
        - "phrase in the notation": a text that it catches

The notation: `word*` a word's beginning · `[x]` perhaps x · `(x|y)` x or y · `…20` at most 20 characters of the same
sentence · `‥20` of the same clause · `_` white space or none · `#` a number · `^` only at the text's beginning, marks
aside · `$` only at its end · `¶` at the beginning of a sentence · `{name}` any phrase of that list, in the same
language · a backslash before a mark: the mark. Case and the form of an apostrophe do not count; English phrases are
whole words. Nothing is read before it is asked for. Phrases of quality's rules become RE2 patterns, those of scorers
patterns of Python's own engine (without `^`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

GAPS = {"…": r"[^.。\n]", "‥": r"[^.。,，\n]"}
MARKS = {
    "_": r"\s*",
    "#": r"\d{1,4}",
    "*": r"\w*",
    "^": r"^[\s\pP<>`]*",
    "$": r"\s*$",
    "¶": r"(?:^|[.!?。！？\n])\s*",
    "'": "['’]",
}
SPECIAL = frozenset("[](){}|…‥_#*^$¶\\")
NEEDS_EXAMPLE = frozenset("{…‥^$¶")  # a phrase with one of these shows what it catches


@dataclass(frozen=True)
class Phrase:
    """One phrase in the notation, and a text that it catches."""

    text: str
    language: str
    example: str


class Phrases:
    """The lists of the YAML files of one folder. Names are unique over all its files."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cache  # noqa: B019  # one object a folder, for as long as the program runs
    def lists(self) -> dict[str, list[Phrase]]:
        """Every list of every file. Raises ValueError for a name that two files have."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found: dict[str, list[Phrase]] = {}
        for path in sorted(self.folder.glob("*.yaml")):
            for name, content in yaml.load(path.read_text("utf-8"), loader).items():  # noqa: S506  # a safe loader, in C
                if name in found:
                    raise ValueError(f"{path.name}: a second list {name}")
                found[name] = [_phrase(p, language) for language in ("en", "zh") for p in content.get(language, [])]
        return found

    @cache  # noqa: B019
    def pattern(self, *names: str) -> str:
        """The phrases of some lists as one pattern, without capturing groups. Raises KeyError for an unknown name."""
        return "(?i)" + self.group(*names)

    @cache  # noqa: B019
    def group(self, *names: str) -> str:
        """The same without its flag, to stand inside another pattern (in a group of its own)."""
        phrases = dict.fromkeys(p for name in names for p in self.lists()[name])
        words, others = [], []
        for p in phrases:
            bare, (left, right) = self._bare(p.text, p.language), _edges(p)
            if left and right:
                words.append(bare)
            else:
                others.append((r"\b" if left else "") + bare + (r"\b" if right else ""))
        return "|".join(([rf"\b(?:{'|'.join(words)})\b"] if words else []) + others)

    def matcher(self, phrase: Phrase) -> str:
        """One phrase as a pattern by itself."""
        left, right = _edges(phrase)
        return (
            "(?i)"
            + (r"\b" if left else "")
            + f"(?:{self._bare(phrase.text, phrase.language)})"
            + (r"\b" if right else "")
        )

    @cache  # noqa: B019
    def listed(self, name: str, language: str) -> str:
        """The phrases of one language of a list as one group, to stand inside another pattern."""
        return (
            "(?:" + "|".join(self._bare(p.text, language) for p in self.lists()[name] if p.language == language) + ")"
        )

    def _bare(self, text: str, language: str) -> str:
        """A phrase in the notation as a pattern, without the word boundaries at its ends."""
        out, i = [], 0
        while i < len(text):
            char = text[i]
            i += 1
            if char == "\\":
                out.append(re.escape(text[i]))
                i += 1
            elif char in GAPS:
                digits = re.split(r"\D", text[i:], maxsplit=1)[0]
                before, i = text[: i - 1], i + len(digits)
                edges = [r"\b" if language == "en" and _wordy(part) else "" for part in (before[::-1], text[i:])]
                out.append(f"{edges[0]}{GAPS[char]}{{0,{digits}}}{edges[1]}")
            elif char == "{":
                end = text.index("}", i)
                out.append(self.listed(text[i:end], language))
                i = end + 1
            elif char in "([":
                out.append("(?:")
            elif char in ")]":
                out.append(")" if char == ")" else ")?")
            else:
                out.append("|" if char == "|" else MARKS.get(char) or re.escape(char).replace("\\ ", " "))
        return "".join(out)


def _phrase(entry: str | dict[str, str], language: str) -> Phrase:
    if isinstance(entry, dict):
        ((text, example),) = entry.items()
        return Phrase(text, language, example)
    return Phrase(entry, language, simplest(entry))


def _edges(phrase: Phrase) -> tuple[bool, bool]:
    """Whether a phrase begins, and ends, with a letter of a word that must be whole."""
    if phrase.language != "en":
        return False, False
    return _wordy(phrase.text), phrase.text[-2:-1] != "\\" and _wordy(phrase.text[::-1])


def _wordy(text: str) -> bool:
    """Whether the first character that counts is of a Latin word."""
    first = text.lstrip("([])")[:1]
    return first in ("{", "}", "#") or (first.isascii() and first.isalnum())


def simplest(text: str) -> str:
    """The shortest plain text that a phrase without gaps and lists catches: first alternatives, nothing optional."""
    while (shorter := re.sub(r"(?<!\\)\[[^\[\]]*(?<!\\)\]", "", text)) != text:
        text = shorter
    while (one := re.sub(r"(?<!\\)\(([^()|]*)(?:\|[^()]*)?(?<!\\)\)", r"\1", text)) != text:
        text = one
    plain = re.sub(r"(?<!\\)#", "3", re.sub(r"(?<!\\)[*_]", "", text))
    return re.sub(r"\\(.)", r"\1", plain)
