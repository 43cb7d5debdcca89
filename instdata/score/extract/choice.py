"""The letters that an answer to a multiple-choice question settles on, in Chinese and English."""

from __future__ import annotations

import re
import unicodedata

from instdata.score.extract.number import final_part, plain_text
from instdata.score.extract.text import NEGATED, named, normalise, tokens
from instdata.score.item import LETTERS

_L = r"[A-J](?![A-Za-z0-9'’])(?!\s?[=+\-*/<>]\s?\w)"
_MANY = r"[(\[【\"'“*]{0,4}(?P<letters>[A-J](?:[ ,、和与及&/]{0,3}(?:and |or )?[A-J]){0,9})(?![A-Za-z0-9'’])"
# The strongest first: of each, the last that is not denied counts.
SAYS = [
    re.compile(p, re.IGNORECASE)
    for p in (
        rf"(?:\banswers?[*_]{{0,3}}\s?(?:is|are|was|would be|should be|must be|=|:)|\b(?:correction|corrected)\b\s?:?|更正|订正|答案[】\]]?(?:应该|应当|应|就)?(?:选择|选|是|为|:|\s){{0,3}}|故选|应选|而是|因此选|所以选|选择|选)[*_\s:]{{0,5}}(?:the |option |choice |选项|letter )?{_MANY}",
        rf"(?:\b(?:choose|pick|select|go with|chose)|正确(?:的)?(?:选项|说法|答案)?(?:是|为|:)|符合(?:题意|要求)的(?:选项)?(?:是|为|:)|正确的(?:选项|说法)?(?:有|包括)[:\s]?|\bcorrect (?:option|choice|one)\s?(?:is|:))[*_\s:]{{0,5}}(?:the |option |choice |选项|letter )?{_MANY}",
        rf"(?:\b(?:option|choice)\s|选项)?{_MANY}[)\]】\"'”*]{{0,4}}(?:\s(?:is|are) (?:the )?(?:correct|right|true|best|answer)|\s?(?:选项|项)?(?:是|为)?(?:正确|对的|符合))",
        rf"(?:\b(?:so|therefore|thus|hence|leaves|leaving)\b[, ]{{0,2}}(?:only )?|剩下|只剩|所以|因此)(?:it is |it's |是)?{_MANY}(?=\s*(?:[.。!！]|$))",
    )
]
STARTS = re.compile(rf"[\s*_#>]{{0,12}}{_MANY}")
ALONE = re.compile(rf"(?<![A-Za-z0-9'’.]){_L}")
# "A cell …" begins a sentence; "A because …" does not.
ARTICLE = re.compile(
    r"[Aa] (?!because\b|since\b|as\b|and\b|is\b|are\b|or\b|due\b|for\b|with\b|which\b|from\b|in\b)[a-z]"
)


ORDINAL = re.compile(
    r"第([一二三四五六七八九十])(?:个|项)?(?:选项|答案|项|个)|\b(?:the )?(first|second|third|fourth|fifth) (?:option|choice|answer|one)\b",
    re.IGNORECASE,
)
ORDINALS = {w: i for i, w in enumerate("一二三四五六七八九十")} | {
    w: i for i, w in enumerate(("first", "second", "third", "fourth", "fifth"))
}
CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
TURNS = re.compile(
    r"但|不过|然而|而是|不对|错|\bbut\b|\bhowever\b|\bnot\b|\bwrong\b", re.IGNORECASE
)  # a sentence may take back


def reference_letters(reference: str, choices: list[str] | None) -> str | None:
    """The letters that a reference means, sorted: `B`, `(B)`, `B。…`, `ABD`, or the text of a choice."""
    if choices:
        same = [i for i, c in enumerate(choices) if normalise(c) == normalise(reference)]
        if same:
            return LETTERS[same[0]]
    bare = letter_set(reference)
    letters = bare or chosen_letters(reference, choices, LETTERS[:10])
    most = LETTERS[: len(choices)] if choices else LETTERS[:10]
    return letters if letters and set(letters) <= set(most) else None


def chosen_letters(answer: str, choices: list[str] | None, wanted: str) -> str | None:
    """The letters that an answer settles on, sorted; None where none can be read. It looks, in this order, at a boxed
    result, at what the answer says is its choice, at its start, at the text of a choice that stands in it, at its last
    line and at letters that stand alone: the first of these that names any decides."""
    bare = answer.strip().strip("。.()（）")
    if len(bare) == 1 and bare in CIRCLED:
        return LETTERS[CIRCLED.index(bare)]
    text = _without_options(plain_text(answer), choices)
    most = len(choices) if choices else max(5, LETTERS.index(max(wanted)) + 1)
    allowed = LETTERS[:most]
    part = final_part(text) if "\\boxed" in text else None
    if part and (found := letter_set(part)):
        return found
    for pattern in SAYS:
        said = [m for m in pattern.finditer(text) if _names(m, text, allowed)]
        if said:
            return _sorted(said[-1]["letters"])
    start = STARTS.match(text)
    if start and _names(start, text, allowed) and not _is_word(text, start):
        return _sorted(start["letters"])
    ordinals = {ORDINALS[(m[1] or m[2]).lower()] for m in ORDINAL.finditer(text)}
    if len(ordinals) == 1 and min(ordinals) < most:
        return LETTERS[ordinals.pop()]
    if choices and (found := _by_text(text, choices)):
        return found
    lines = text.strip().splitlines()
    alone = {m[0] for m in ALONE.finditer(text) if m[0] in allowed and not ARTICLE.match(text, m.start())} - {"I"}
    last = letter_set(lines[-1]) if lines else None
    return last or (alone.pop() if len(alone) == 1 else None)


def _without_options(text: str, choices: list[str] | None) -> str:
    """The text without the options, where it begins with a copy of them."""
    if not choices:
        return text
    lines = text.splitlines()
    copied = [i for i, line in enumerate(lines) if _is_option(line, choices)]
    rest = "\n".join(line for i, line in enumerate(lines) if i not in set(copied))
    return rest if len(copied) > 1 and rest.strip() else text


def _is_option(line: str, choices: list[str]) -> bool:
    found = re.match(r"\s*[(（]?([A-J])[)）.、:：]\s*(.+)$", line)
    at = LETTERS.index(found[1]) if found else len(choices)
    return found is not None and at < len(choices) and normalise(found[2]) == normalise(choices[at])


def _names(match: re.Match, text: str, allowed: str) -> bool:
    """Whether a match names letters that may be chosen: upper case, or lower case that ends a phrase; not the article;
    not denied."""
    letters, end = match["letters"], match.end("letters")
    capital = letters.replace(" and ", "").replace(" or ", "")
    if (
        not set(_sorted(letters)) <= set(allowed)
        or (len(capital) > 1 and not capital.isupper())
        or ARTICLE.match(text, match.start("letters"))
    ):
        return False
    if letters[0].islower() and not re.match(r"\s*(?:[).\]\"'”*,。，;:：；]|$)", text[end : end + 4]):
        return False
    before = text[max(0, match.start() - 16) : match.start()] + text[match.start() : match.start("letters")]
    return not NEGATED.search(before) and not re.search(
        r"(?:不|非|\bnot |n't )$", text[max(0, match.start() - 4) : match.start()]
    )


def _is_word(text: str, match: re.Match) -> bool:
    """Whether the letter at the start is the first word of a sentence (`I think`, `C is a language`)."""
    return bool(re.match(r" [a-z]", text[match.end("letters") : match.end("letters") + 2])) and match["letters"] != "A"


def _sorted(letters: str) -> str:
    return "".join(sorted(set(re.sub(r"and|or|[^A-Ja-j]", "", letters).upper())))


def _by_text(text: str, choices: list[str]) -> str | None:
    """The one choice whose text stands in the answer; of a short one that takes nothing back, in its first clause."""
    known = {normalise(c): LETTERS[i] for i, c in enumerate(choices) if len(tokens(c)) > 0}
    found = named(normalise(text), list(known))
    if len(found) > 1 and len(text) <= 40 and not TURNS.search(text):
        clauses = (named(normalise(c), list(known)) for c in re.split(r"[,，;；。.]", text))
        found = next((f for f in clauses if f), found)
    return known[found.pop()] if len(found) == 1 else None


def letter_set(text: str) -> str | None:
    """The letters of an answer that holds nothing else but separators, sorted."""
    bare = re.sub(r"[\s,.;:、，。；：()（）和与及&/*\"'“”]|\band\b", "", unicodedata.normalize("NFKC", text[:200]))
    return "".join(sorted(set(bare.upper()))) if re.fullmatch(r"[A-Ja-j]{1,10}", bare) else None
