"""The letters that an answer to a multiple-choice question settles on, in Chinese and English.

Every letter (or list of letters) that an answer mentions has a role by the words around it: picked, right, wrong,
excluded, left over, or just mentioned. The strongest role that any letter has decides."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from instdata.score.extract.number import numbers, plain_text, same_number
from instdata.score.extract.phrases import FLAGS, found, group, is_denied
from instdata.score.extract.stated_result import contained, final_numbers, settled, stated
from instdata.score.extract.text import named, normalise, tokens
from instdata.score.extract.yes_no import verdict_in, verdicts
from instdata.score.item import LETTERS

MENTION = re.compile(
    r"(?<![A-Za-z0-9'’.\\^])(?P<letters>[A-J](?:(?:[ ,、;；和与及&/+()]|\s?(?:and|or|nor|AND|OR|或者?)\s?){1,5}(?:and |or )?\(?[A-J](?![A-Za-z0-9'’])|[A-J]){0,9}|[a-j])"
    r"(?![A-Za-z0-9'’])(?!\s?[=+*/<>]\s?\w|\s?-\s?[\dA-Za-z](?![a-z])|-\w)"
)
OR = re.compile(r"\bor\b|或", re.IGNORECASE)
OPENING = r"[*_\s:\"'“(\[【「<>$-]{0,6}(?:the |option |choice |letter |选项|答案|是|为)?[*_\s:\"'“(\[【「$]{0,4}$"
CLOSING = r"[*_\"'”)\]】」$]{0,4}\s?(?:选项|项|option|choice)?s?"
MARK = r"\s?[.:、\-–—,)]{0,2}\s?"
# "A cell …" begins a sentence; "A because …" does not.
ARTICLE = re.compile(r"[Aa] (?!because\b|since\b|as\b|and\b|is\b|are\b|or\b|nor\b|due\b|for\b|with\b|which\b|from\b|in\b|can\b|seems\b|looks\b|fails\b|best\b|fits\b)[a-z]")  # fmt: skip
NTH = ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th")
ORDINALS = {w: i for i, w in enumerate("一二三四五六七八九十")} | {str(i + 1): i for i in range(9)} | {
    word: i for i, words in enumerate(NTH) for word in words.split()
}  # fmt: skip
_NTH = r"([一二三四五六七八九十]|\d(?!\d))"
ORDINAL = re.compile(
    rf"第{_NTH}(?:个|项)?(?:选项|答案)|(?:选项|option |choice |故选|应选|答案选|^选){_NTH}(?![个项条种])"
    r"|\b(?:the )?(first|second|third|fourth|fifth|1st|2nd|3rd|4th|5th) (?:option|choice|answer)\b",
    re.IGNORECASE | re.MULTILINE,
)
LOOSE = re.compile(rf"第{_NTH}(?:个|项)|\b(?:the )?(first|second|third|fourth|fifth|1st|2nd|3rd|4th) one\b", re.I)
LAST = re.compile(r"最后(?:一)?个?(?:选项|一项)|\b(?:the )?last (?:option|choice|one)\b", re.IGNORECASE)
CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
TURNS = re.compile(r"但|不过|然而|而是|不对|错|\bbut\b|\bhowever\b|\bnot\b|\bwrong\b", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """A mention of letters: which, where, and their role: picked, right, wrong, odd, excluded, except, left, maybe or
    bare."""

    letters: str
    role: str
    start: int
    end: int
    joined_by_or: bool = False


def reference_letters(reference: str, choices: list[str] | None) -> str | None:
    """The letters that a reference means, sorted: `B`, `(B)`, `B。…`, `ABD`, or the text of a choice."""
    if choices:
        same = [i for i, c in enumerate(choices) if normalise(c) == normalise(reference)]
        if same:
            return LETTERS[same[0]]
    letters = letter_set(reference) or chosen_letters(reference, choices, LETTERS[:10])
    most = LETTERS[: len(choices)] if choices else LETTERS[:10]
    return letters if letters and set(letters) <= set(most) else None


def chosen_letters(answer: str, choices: list[str] | None, wanted: str) -> str | None:
    """The letters that an answer settles on, sorted; None where none can be read.

    In this order: what a container holds (\\boxed, <answer>, JSON), the last letters that are picked, those said to be
    right, those left over, what is not excluded, the letters at its start, the text of a choice, a letter that stands
    alone."""
    most = len(choices) if choices else max(5, LETTERS.index(max(wanted)) + 1)
    allowed = LETTERS[:most]
    inside = contained(answer)
    if inside is not None and (got := _of_container(inside, choices, allowed)):
        return got
    text = _without_options(_lettered(settled(answer), choices, allowed), choices)
    if (bare := letter_set(text)) and set(bare) <= set(allowed):
        return bare
    polar = verdicts(choices)
    if polar is not None and not re.match(rf"[\s(*]*[{allowed}](?![A-Za-z])", text):
        part = stated(text)
        yes = verdict_in(part.text if part else text)
        if yes is not None:
            return LETTERS[polar[yes]]
    said = _mentions(text, allowed, polar is not None)
    got = _settled_on(said, text, allowed, bool(choices))
    if got:
        return got
    denied = {c for s in said if s.role in ("wrong", "excluded") for c in s.letters}
    return _weakly(text, said, choices, allowed, denied)


def _of_container(inside: str, choices: list[str] | None, allowed: str) -> str | None:
    text = _lettered(inside, choices, allowed)
    start = re.match(r"\s*[(\[]?([A-J])[)\].:、\s]", text)
    got = letter_set(text) or (start[1] if start else None) or (_by_text(text, choices) if choices else None)
    return got if got and set(got) <= set(allowed) else None


def _lettered(answer: str, choices: list[str] | None, allowed: str) -> str:
    """The answer's text with ②, 第二个选项 and `the last option` as letters, unless the choices themselves use such
    words."""
    texts = " ".join(choices or [])
    if not any(c in texts for c in CIRCLED):
        answer = re.sub(f"[{CIRCLED}]", lambda m: _letter(CIRCLED.index(m[0]), allowed, m[0]), answer)
    text = plain_text(answer.replace("：", ":"))
    if not ORDINAL.search(texts):
        text = ORDINAL.sub(lambda m: _letter(ORDINALS[(m[1] or m[2] or m[3]).lower()], allowed, m[0]), text)
        text = LAST.sub(lambda m: f" {allowed[-1]} " if choices else m[0], text)
    alone = re.fullmatch(r"[\s(\[]*(\d)[\s.)\]。]*", text)
    if alone and choices and not any(re.search(r"\d", c) for c in choices) and alone[1] != "0":
        return _letter(int(alone[1]) - 1, allowed, text)
    return text


def _letter(place: int, allowed: str, otherwise: str) -> str:
    return f"{allowed[place]} " if 0 <= place < len(allowed) else otherwise


@cache
def _roles() -> list[tuple[str, re.Pattern[str], bool]]:
    """(role, pattern, whether it stands before the letters), the strongest first."""
    one_word = r"(?!的|ly\b)(?=\s*(?:[.,;。，；:\n]|$))"
    return [
        ("except", re.compile(group("excepts") + OPENING, FLAGS), True),
        ("wrong", re.compile(CLOSING + r"\s?" + group("wrong") + "(?!的)", FLAGS), False),
        ("wrong", re.compile(CLOSING + MARK + group("wrong_after_mark") + one_word, FLAGS), False),
        ("wrong", re.compile(CLOSING + r"\s?" + "(?:错误|不正确|错)(?!的)", FLAGS), False),
        ("wrong", re.compile(CLOSING + MARK + "[×✗✘❌]", FLAGS), False),
        ("right", re.compile(CLOSING + MARK + "[√✓✔✅]", FLAGS), False),
        ("odd", re.compile(group("odd_ones") + OPENING, FLAGS), True),
        ("excluded", re.compile(group("excludes") + OPENING, FLAGS), True),
        ("picked", re.compile(group("picks") + r"[】\]〗)]*" + OPENING, FLAGS), True),
        ("right", re.compile(CLOSING + r"\s?" + group("right") + "(?!的(?:是|有|选项))", FLAGS), False),
        ("right", re.compile(CLOSING + MARK + group("right_after_mark") + one_word, FLAGS), False),
        ("wrong", re.compile(CLOSING + r"[^.。,，;；\nA-J]{0,16}" + group("flaws") + "(?!的)", FLAGS), False),
        ("maybe", re.compile(group("maybe") + OPENING, FLAGS), True),
        ("left", re.compile(group("leaves") + r"\s?,?" + OPENING, FLAGS), True),
    ]


def _mentions(text: str, allowed: str, polar: bool) -> list[Said]:
    """The letters that a text mentions, each list with its role. `polar`: the choices are yes and no, so that `B.
    False` names a choice."""
    out: list[Said] = []
    for m in MENTION.finditer(text):
        letters = m["letters"]
        if not set(_sorted(letters)) <= set(allowed):
            continue
        before, after = text[max(0, m.start() - 40) : m.start()], text[m.end() : m.end() + 40]
        before = (
            re.split(r"[\n。!?！？]|\.\s", before)[-1] if not before.endswith("\n") else _line_before(text, m.start())
        )
        role = "bare"
        for name, pattern, stands_before in _roles():
            if (stands_before and pattern.search(before)) or (not stands_before and pattern.match(after)):
                role = name
                break
        if polar and role in ("right", "wrong") and not re.match(r"\s?(?:is|are|选项|项|[是为都均])", after):
            role = "bare"
        if role == "picked" and is_denied(text, m.start()):
            role = "excluded"
        if not _may_name(m, text, role):
            continue
        if role == "bare" and out and out[-1].role in ("excluded",
            "maybe") and re.fullmatch(r"\s?(?:,|、|;|也|and|or|nor|和|或)?\s?", text[out[-1].end : m.start()]):  # fmt: skip
            role = out[-1].role
        out.append(Said(_sorted(letters), role, m.start(), m.end(), bool(OR.search(letters))))
    return out


def _line_before(text: str, at: int) -> str:
    """The last line with words before a place: `### Answer` and `答案` may stand above the letter."""
    lines = [line for line in text[max(0, at - 80) : at].splitlines() if line.strip()]
    return lines[-1][-40:] + "\n" if lines else ""


def _may_name(m: re.Match[str], text: str, role: str) -> bool:
    """Whether a match names letters: upper case, or lower case that ends a phrase; not the article, not the pronoun
    I."""
    letters = m["letters"]
    capital = re.sub(r"\b(?:and|or|nor)\b", "", letters)
    if len(capital) > 1 and not capital.isupper():
        return False
    if ARTICLE.match(text, m.start()) and role != "wrong":
        return False
    if letters == "I" and role == "bare" and re.match(r" [a-z']", text[m.end() : m.end() + 2]):
        return False
    if letters[0].islower():
        named = re.search(r"(?:option |choice |选项|answer )$", text[max(0, m.start() - 8) : m.start()], re.IGNORECASE)
        return (role in ("picked", "excluded") or bool(named)) and bool(re.match(r"\s*(?:[).\]\"'”*,。，;:：；]|$)",
            text[m.end() : m.end() + 4]))  # fmt: skip
    return True


def _settled_on(said: list[Said], text: str, allowed: str, closed: bool) -> str | None:
    """The letters of the strongest role. `closed`: all options are known, so that what is not excluded is left."""
    by = {role: [s for s in said if s.role == role] for role in ("picked", "right", "wrong", "excluded", "except",
        "left", "maybe", "odd")}  # fmt: skip
    denied = {c for s in by["wrong"] + by["excluded"] + by["odd"] for c in s.letters}
    right = {c for s in by["right"] for c in s.letters} - denied
    if by["picked"]:
        last = by["picked"][-1]
        later = {c for s in by["right"] if s.start > last.end for c in s.letters}
        if later and found("takes_back").search(text[last.end :]):
            return "".join(sorted(later))
        return last.letters
    if right:
        return "".join(sorted(right))
    if by["except"]:
        letters = by["except"][-1].letters
        if found("wrong", "wrong_after_mark").search(text[by["except"][-1].end :]):
            return letters
        return "".join(c for c in allowed if c not in letters) if closed else None
    left = [s for s in by["left"] if not set(s.letters) & denied]
    if left:
        return left[-1].letters
    if by["maybe"]:
        return "".join(sorted({c for s in by["maybe"] for c in s.letters}))
    if by["odd"] and len({c for s in by["odd"] for c in s.letters}) == 1:
        return by["odd"][0].letters  # the question asked for it
    if denied and closed:
        rest = [c for c in allowed if c not in denied]
        return rest[0] if len(rest) == 1 else None
    return None


def _weakly(text: str, said: list[Said], choices: list[str] | None, allowed: str, denied: set[str]) -> str | None:
    """Where no words say it: letters at the start, an ordinal, the text of a choice, all of them, the only letters."""
    bare = [s for s in said if s.role == "bare" and not set(s.letters) & denied]
    first = re.match(rf"[\s*_#>(\[【「\"'“$-]{{0,12}}(?:{re.escape('选项')}|option )?", text)
    if bare and first and bare[0].start <= first.end() and not _is_word(text, bare[0]):
        return bare[0].letters
    ordinals = {ORDINALS[(m[1] or m[2]).lower()] for m in LOOSE.finditer(text)}
    if len(ordinals) == 1 and min(ordinals) < len(allowed):
        return LETTERS[ordinals.pop()]
    if choices and (got := _by_number(text, choices) or _by_text(text, choices)) and not set(got) & denied:
        return got
    if choices and found("all_of_them").search(text):
        return allowed
    lines = text.strip().splitlines()
    last = letter_set(lines[-1]) if lines else None
    if last and set(last) <= set(allowed) and not set(last) & denied:
        return last
    alone = {s.letters for s in bare} - {"I"}
    return alone.pop() if len(alone) == 1 else None


def _without_options(text: str, choices: list[str] | None) -> str:
    """The text without the options, where it holds a copy of them."""
    if not choices:
        return text
    lines = text.splitlines()
    copied = {i for i, line in enumerate(lines) if _is_option(line, choices)}
    rest = "\n".join(line for i, line in enumerate(lines) if i not in copied)
    if len(copied) > 1 and rest.strip():
        return rest
    row = r"\s*".join(rf"[(]?{letter}[).、:]\s*{re.escape(plain_text(c))}" for letter, c in zip(LETTERS, choices))
    return re.sub(row, "", text, flags=re.IGNORECASE) if len(text) < 20_000 else text


def _is_option(line: str, choices: list[str]) -> bool:
    got = re.match(r"\s*[(（]?([A-J])[)）.、:：]\s*(.+)$", line)
    at = LETTERS.index(got[1]) if got else len(choices)
    return got is not None and at < len(choices) and normalise(got[2]) == normalise(choices[at])


def _is_word(text: str, said: Said) -> bool:
    """Whether the letter at the start is the first word of a sentence (`I think`, `C is a language`)."""
    return bool(re.match(r" [a-z]", text[said.end : said.end + 2])) and said.letters != "A" and not said.joined_by_or


def _sorted(letters: str) -> str:
    """The letters of a list, each once; of one that says a letter again (A and B, B) the last alone."""
    found = re.sub(r"and|nor|or|[^A-Ja-j]", "", letters).upper()
    return "".join(sorted(found)) if len(set(found)) == len(found) else found[-1]


def _by_number(text: str, choices: list[str]) -> str | None:
    """Where all choices are numbers: the one that the answer ends with."""
    values = [numbers(plain_text(c)) for c in choices]
    if not all(len(v) == 1 and v[0].plain for v in values):
        return None
    for got in final_numbers(text)[:3]:
        same = [i for i, v in enumerate(values) if got.plain and same_number(v[0], got)]
        if len(same) == 1:
            return LETTERS[same[0]]
    return None


def _by_text(text: str, choices: list[str]) -> str | None:
    """The one choice whose text stands in the answer; of a short one that takes nothing back, in its first clause."""
    known = {normalise(c): LETTERS[i] for i, c in enumerate(choices) if len(tokens(c)) > 0}
    whole = normalise(text)
    if whole in known:
        return known[whole]
    words = [k for k in known if not re.fullmatch(r"[a-z]", k)]
    part = stated(text)
    got: set[str] = named(normalise(part.text), words) if part else set()
    if len(got) != 1:
        got = named(whole, words)
    if len(got) > 1 and len(text) <= 40 and not TURNS.search(text):
        clauses = (named(normalise(c), words) for c in re.split(r"[,，;；。.]", text))
        got = next((f for f in clauses if f), got)
    return known[got.pop()] if len(got) == 1 else None


def letter_set(text: str) -> str | None:
    """The letters of an answer that holds nothing else but separators, sorted."""
    bare = re.sub(r"[\s,.;:、，。；：()（）和与及&/*\"'“”+\[\]{}「」【】<>_`$#>-]|\\text|\\mathbf|\band\b", "",
        unicodedata.normalize("NFKC", text[:200]))  # fmt: skip
    return "".join(sorted(set(bare.upper()))) if re.fullmatch(r"[A-Ja-j]{1,10}", bare) else None
