"""What an answer states as its result: the part that it marks as such, and the number in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from instdata.score.extract.number import Number, numbers, plain_text
from instdata.score.extract.phrases import FLAGS, found, group, is_denied

# The number of a list's member or of a step counts nothing.
ITEM = re.compile(r"^\s*(?:(?:step|步骤|第)\s?\d{1,2}\s?步?\s?[:.、)]\s?(?=\D|$)|(?:\d{1,2}[.、)]|\(\d{1,2}\))\s?(?=[^\d\s]))", re.IGNORECASE)  # fmt: skip
SENTENCE = re.compile(r"[。!?；;\n．]|\.(?=\s|$)")
CHAIN = re.compile(r"[=≈≒]")
ASSIGNED = re.compile(r"(?<![A-Za-z])([A-Za-z])\s?=\s?(-?[\d./]+)")
LEFT = re.compile(r"余\s?\d|remainder (?:of )?\d", re.IGNORECASE)
BRACKETS = re.compile(r"\([^()]{0,200}\)|\[\d{1,3}\]")
KEYS = r"(?:final_?answer|answer|ans|result|choice|label|答案|结果|选项)"
IN_JSON = re.compile(rf"\"{KEYS}\"\s?:\s?(?:\"([^\"]{{0,200}})\"|\[([^\]]{{0,200}})\]|([^,}}\s]{{1,100}}))",
    re.IGNORECASE)  # fmt: skip
IN_TAGS = re.compile(r"<(answer|ans|result|final_answer)>\s*(.{0,400}?)\s*(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
BOX = re.compile(r"\\f?box(?:ed)?\s?(?=\{)")
HEADING = re.compile(r"(?:^|\n)[ \t#*_]{0,8}(?:final\s)?(?:answer|答案|result)[ \t*_:]{0,6}\n[-=]{2,}", re.IGNORECASE)


@dataclass(frozen=True)
class Stated:
    """A part of an answer that states its result; `open`: whole sentences follow the mark (答案: …), not a value."""

    text: str
    open: bool = False


def without_stop_words(answer: str) -> str:
    """An answer up to the text of a token that ends a turn, which a model writes out whose tokenizer does not know it;
    the whole where nothing stands before it."""
    cut = _stop_words().search(answer)
    return answer[: cut.start()] if cut and answer[: cut.start()].strip() else answer


def settled(answer: str) -> str:
    """An answer without what stands behind it: the next exercise of a model that goes on, remarks, a farewell."""
    for pattern in (_stop_words(), _run_on(), found("notes", before=r"\n[ \t#*_]{0,6}"), _steps()):
        cut = pattern.search(answer)
        if cut and (before := answer[: cut.start()]).strip() and _says_something(before):
            answer = before
    return _farewell().sub("", answer)


def _says_something(text: str) -> bool:
    return bool(re.search(r"\d", text)) or bool(numbers(plain_text(text))) or bool(re.search(r"[A-Z]\b", text))


@cache
def _stop_words() -> re.Pattern[str]:
    return re.compile(group("stop_words"), FLAGS)


@cache
def _run_on() -> re.Pattern[str]:
    return re.compile(rf"\n[ \t]{{0,4}}{group('run_on')}[ \t]{{0,4}}\d{{0,3}}[ \t]{{0,4}}[:：]", FLAGS)


@cache
def _steps() -> re.Pattern[str]:
    """The way to the answer, where it follows the answer: no conclusion stands behind it."""
    more = group("conclusion", "marks")
    return re.compile(rf"\n[ \t#*_]{{0,6}}{group('steps')}(?![\s\S]{{0,20000}}{more})", FLAGS)


@cache
def _farewell() -> re.Pattern[str]:
    return re.compile(rf"(?<=[。！!.\n])[^。！!.\n]{{0,12}}{group('farewell')}[^\n]{{0,300}}\s{{0,9}}\Z", FLAGS)


@cache
def _mark() -> re.Pattern[str]:
    return re.compile(rf"{group('marks')}(?:[】\]〗)]|\s?\*{{1,3}})*", FLAGS)


@cache
def _lead() -> re.Pattern[str]:
    return re.compile(rf"(?:[\s*_`$:=,\"'“”(\[{{>]|\\\(|\\\[|{group('lead')})*", FLAGS)


def contained(text: str) -> str | None:
    """The content of a container that holds nothing but the answer: the last \\boxed{…}, <answer>, or JSON key
    `answer`."""
    boxes = list(BOX.finditer(text))
    for box in reversed(boxes[-3:]):
        inside = _braces(text, box.end())
        if inside:
            return inside
    tags = list(IN_TAGS.finditer(text))
    if tags and tags[-1][2]:
        return tags[-1][2]
    keys = list(IN_JSON.finditer(text))
    return next((g for g in keys[-1].groups() if g is not None), None) if keys else None


def stated(text: str) -> Stated | None:
    """The part of a text that it marks as its result: what a container holds, else what follows its last "####",
    "answer is", "答案" up to the end of the sentence; None where it marks nothing."""
    inside = contained(text)
    if inside is not None:
        return Stated(inside)
    marks = list(_mark().finditer(text))
    for mark in reversed(marks[-4:]):
        lead = _lead().match(text, mark.end())
        start = lead.end() if lead else mark.end()
        line = text[start : (text.find("\n", start) + 1 or len(text) + 1) - 1]
        cut = re.search(r"[。！？!?；;]|\.(?=\s|$)", line)
        part = (line[: cut.start()] if cut else line).strip(" *_`$)]}\"'“”\t\r|")
        reason = found("end").search(part)
        if reason and part[: reason.start()].strip():
            part = part[: reason.start()]
        if part and not re.fullmatch(r"[-=#*\s]+", part):
            between = text[mark.start() : start]
            return Stated(part, between.rstrip(" *_\n").endswith(":") or "\n" in between)
    return None


def last_marked(text: str) -> str | None:
    """All that follows the last mark of a result; None where there is none."""
    marks = list(_mark().finditer(text))
    return text[marks[-1].end() :] if marks else None


def final_part(text: str) -> str | None:
    """The text of what `stated` finds."""
    part = stated(text)
    return part.text if part else None


def _braces(text: str, at: int) -> str | None:
    """What stands in the braces that open at a place; to the end of the line where they do not close."""
    if at >= len(text) or text[at] != "{":
        return None
    depth = 0
    for i in range(at, min(len(text), at + 2000)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[at + 1 : i].strip() or None
    return text[at + 1 : at + 200].split("\n")[0].strip(" $") or None


# ---- the number


def final_numbers(answer: str) -> list[Number]:
    """The number that an answer ends with, and the same result as it says it again (1.5 km, that is 1500 m; 2/6 = 1/3 ≈
    0.33); empty where it has none, and one number that is not plain where it states something else."""
    text = plain_text(settled(answer.replace("：", ":")))
    part = stated(text)
    if part is not None:
        got = of_part(part, text)
        if got:
            return got
    return _of_text(text)


def of_part(part: Stated, whole: str) -> list[Number]:
    text = without_remarks(ITEM.sub("", part.text) if part.open else part.text)
    reason = found("end").search(text)
    if reason and re.search(r"\b[A-Za-z]\s?=\s?-?\d[^=]*$", text[: reason.start()]):
        text = text[: reason.start()]
    if assigns_several(text):
        return [Number(Fraction(0), plain=False)]
    pieces = found("again").split(text)
    before = numbers(pieces[0])
    if (
        len(pieces) == 1 or not before or len(pieces[0]) - before[-1].end > 8
    ):  # 即 stands for "so", not for "in other words"
        return _chosen(text, whole, first=not part.open)
    return _chosen(pieces[0], whole, first=not part.open) + [n for p in pieces[1:] for n in _chosen(p, whole)[:1]]


def assigns_several(text: str) -> bool:
    """x = 3, y = 4; x = 4 or x = 5; but not x = 4, y = 3, so x + y = 7."""
    found = {(m[1], m[2]) for m in ASSIGNED.finditer(text)}
    if len(found) < 2 or re.search(r"[-+*/×]\s?[A-Za-z]|[A-Za-z]\s?[-+*/×]", text):
        return False
    return len({name for name, _ in found}) > 1 or bool(re.search(r"\bor\b|或", text))


def _of_text(text: str) -> list[Number]:
    """The number of the last sentence that holds one; earlier ones where that one speaks of something else."""
    start, sentences = 0, []
    for cut in SENTENCE.finditer(text):
        sentences.append(text[start : cut.end()])
        start = cut.end()
    sentences.append(text[start:])
    remark = found("remarks", before=r"^[\s*#>(]*")
    told = [s for s in sentences if not remark.match(s) and numbers(s)] or sentences
    words = not re.search(r"\d", text)
    for sentence in reversed(told):
        if not re.search(r"\S", sentence) or not numbers(ITEM.sub("", sentence), words=words):
            continue
        got = of_part(Stated(sentence, open=True), text)
        if got:
            return got
    return []


def without_remarks(text: str) -> str:
    """A text without bracketed remarks, as long as a number is left."""
    bare = BRACKETS.sub(" ", text)
    return bare if bare != text and numbers(bare) else text


def _chosen(text: str, whole: str, first: bool = False) -> list[Number]:
    """Which of a clause's numbers is meant: what a chain of equations ends with; else the only one; else the one right
    at its start (with `first`), the one that the text before worked out, or the last."""
    mine = [n for n in numbers(text) if not is_denied(text, n.start)]
    if not mine:
        return []
    if CHAIN.search(text):
        rest = _behind_chain().search(text)
        if rest and CHAIN.search(text[: rest.start()]) and numbers(text[rest.end() :]):
            return _chosen(text[rest.end() :], whole)
        return _of_chain(CHAIN.split(text)) or mine[-1:]
    if len(mine) == 1:
        return mine
    joined = len(mine) == 2 and re.fullmatch(r"\s?\S{0,3}\s?(?:and|和|与|、)\s?", text[mine[0].end : mine[1].start])
    if joined and len(text) < 24:
        return [replace(mine[0], plain=False)]
    if first and not text[: mine[0].start].strip(" $*("):
        return mine[:1]
    clauses = re.split(r"[,，](?!\d)", text)
    main = clauses[-1] if first is False else text
    aside = found("aside").search(text)
    if aside and (before := [n for n in mine if n.end <= aside.start()]):
        mine = before
        if len(mine) == 1:
            return mine
    worked = worked_out(whole)
    supported = [n for n in mine if n.value in worked]
    if supported:
        best = max(supported, key=lambda n: worked.index(n.value))
        return [best]
    last = numbers(main)
    return [last[-1]] if last and not aside else mine[-1:]


@cache
def _behind_chain() -> re.Pattern[str]:
    """What a sentence concludes, or rounds, from the equation before it."""
    return re.compile(rf"[,，]\s?(?:{group('conclusion', 'rounded')})", FLAGS)


def _of_chain(chain: list[str]) -> list[Number]:
    """The values of a chain of equations that are single numbers: the last, and those that are the same or about it."""
    single = [n for i, link in enumerate(chain) for n in [single_number(link, i == 0)] if n is not None]
    if not single:
        return []
    last = single[-1]
    if len(single) == len(chain) and all(re.search(r"\d\s?[A-Za-z\u4e00-\u9fff°]", link) for link in chain):
        return single[::-1]  # 120 cm = 1.2 m
    near = [n for n in single[:-1] if n.value == last.value or (abs(n.value - last.value) <= Fraction(1,
        2 * 10 ** (last.places or 0)) and last.places)]  # fmt: skip
    return [last, *near]


def single_number(link: str, first: bool = False) -> Number | None:
    """The number of a link that is no expression: 12 apples, but not 3 × 4; of the first link the one beside its
    sign."""
    mine = numbers(link := link.strip())
    if not mine:
        return None
    if len(mine) > 1 and re.fullmatch(r"[\s$]*(?:,|;|and|或|or|和|、)[\s$]*", link[mine[0].end : mine[1].start]):
        return replace(mine[0], plain=False)
    if len(mine) == 1 or not re.search(r"\d\D{0,6}?[-+*/×÷]\s?[(\d]", link):
        return mine[-1 if first else 0]
    return None


def worked_out(text: str) -> list[Fraction]:
    """The values that stand behind an equals sign, in their order."""
    out = []
    for m in re.finditer(r"[=≈]\s?(?=[-$¥]?\s?[\d.])", text):
        got = numbers(text[m.end() : m.end() + 40].split("=")[0].split("≈")[0])
        if got and not LEFT.match(text[m.end() + got[0].end : m.end() + got[0].end + 6]):
            out.append(got[0].value)
    return out
