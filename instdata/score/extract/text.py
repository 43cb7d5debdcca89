"""Text as scorers see it: normalised, as words, as labels that stand in it, as blocks of code."""

from __future__ import annotations

import re
import unicodedata

from instdata.score.extract.phrases import is_denied

# Scripts without blanks between words: characters count as words.
UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
TOKEN = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


def normalise(text: str) -> str:
    """NFKC, case, one blank for many and none beside characters of unspaced scripts, no punctuation at the ends."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    text = re.sub(rf"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])", "", text)
    return text.strip(" .,;:!?。，、；：！？…*_`\"'“”‘’「」()[]{}《》")


def tokens(text: str) -> list[str]:
    """Words, or the characters of scripts that have no blanks; NFKC, case-folded, no punctuation."""
    return TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def spans(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where a normalised phrase stands in a normalised text: as whole words where it begins or ends with a letter of a
    script that has blanks."""
    before = r"(?<![^\W_])" if not re.match(rf"[{UNSPACED}]", phrase) and phrase[:1].isalnum() else ""
    after = r"(?![^\W_])" if not re.match(rf"[{UNSPACED}]", phrase[-1:]) and phrase[-1:].isalnum() else ""
    if before or after:  # 用Python写: a neighbour of an unspaced script is no part of the word
        before, after = before and rf"(?<![^\W_{UNSPACED}])", after and rf"(?![^\W_{UNSPACED}])"
    return [m.span() for m in re.finditer(before + re.escape(phrase) + after, text)] if phrase else []


def named(text: str, labels: list[str], denied: bool = False) -> set[str]:
    """The labels that stand in a text, none inside a longer one, and none denied; with `denied` those that are."""
    taken: list[tuple[int, int]] = []
    found = set()
    for one in sorted(labels, key=len, reverse=True):
        for start, end in spans(one, text)[:50]:
            if not any(s <= start and end <= e for s, e in taken):
                taken.append((start, end))
                if is_denied(text, start) == denied:
                    found.add(one)
    return found


BLANK = re.compile(r"\s*(?:[;；|/、，\n]|,\s|(?:^|(?<=[\s;；,，、]))(?:\(?\d{1,2}[).、]|[①-⑩]))\s*")


def blanks(text: str) -> list[str]:
    """What an answer fills several blanks with, in their order: 北京；上海 or (1) 北京 (2) 上海."""
    if len(text) > 500:
        return []
    wide = re.sub(r"[（(](\d{1,2})[）)]", r"\1) ", text)
    return [p for p in (normalise(p) for p in BLANK.split(wide)) if p]


def fences(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block of a Markdown text; one that does not close ends with the text."""
    blocks, opened, lines = [], None, text.splitlines(keepends=True)
    for i, line in enumerate(lines):
        bare = line.strip()
        mark = bare[:3]
        if opened is None and mark in ("```", "~~~"):
            opened = (i + 1, mark, bare.lstrip("`~").strip().lower())
        elif opened and mark == opened[1] and not bare.strip(mark[0]):
            blocks.append((opened[2], "".join(lines[opened[0] : i])))
            opened = None
    if opened:
        blocks.append((opened[2], "".join(lines[opened[0] :])))
    return blocks


def code_in(answer: str) -> str:
    """The Python of an answer: its blocks fenced as Python, else its first fenced block, else all of it."""
    blocks = fences(answer)
    python = [code for language, code in blocks if language.split()[:1] in (["python"], ["py"], ["python3"])]
    return "\n".join(python) if python else blocks[0][1] if blocks else answer
