"""Rules about the form of a response: length, repetition, echo, truncation, language, and what the task asked to
count."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality.phrases import listed, lists
from instdata.steps.quality.rule_text import Found, Text, among, asks, count, has, piece

WORDS = re.compile(r"[\u3040-\u9fff\uac00-\ud7a3]|[A-Za-z\u00c0-\u1fff][A-Za-z0-9\u00c0-\u1fff]+")
RUN = re.compile(r"(.)\1{11,}", re.DOTALL)
SURE = 0.6  # language confidence from which a rule on language acts


# -- repetition ------------------------------------------------------------------------------------------------------


def repetition(t: Text) -> np.ndarray:
    """Share of each response's words covered by an 8-gram that came before in it, 0..1 (float32); 0 for code. See
    repeats.py."""
    return np.where(t.code, 0, t.repeats[0]).astype(np.float32)


def repeated_line(t: Text) -> np.ndarray:
    found = among((count(t.response, r"\n") >= 3) & ~t.code, stuck_line, t.response)
    return t.unless(found, lambda f: asks(f.ask, "repeating"))


def stuck_line(response: str) -> Found:
    """The first line that comes again, where two lines in three or more were there before."""
    lines = [*map(str.strip, response.split("\n"))]
    if len(lines) - len(set(lines)) < 3:  # of four lines or more, two in three; nearly all texts end here
        return None
    lines = [line for line in lines if len(line) >= 6]
    if len(lines) - len(set(lines)) < 3:
        return None
    lines = [line for line in lines if sum(map(str.isalpha, line)) >= 6]
    if len(lines) < 4 or len(set(lines)) > len(lines) / 3:
        return None
    line = next(line for i, line in enumerate(lines) if line in lines[:i])
    start = response.index(line, response.index(line) + len(line))
    return {**piece(response, start, start + len(line)), "lines": len(lines), "different": len(set(lines))}


def repeated_char(t: Text) -> np.ndarray:
    """A letter, Chinese character or sentence mark 12 times running (rules, dots to fill and digits do not count)."""
    found = t.unless(t.repeats[1] & ~t.code, lambda f: asks(f.ask, "repeating", "run_wanted"))
    return among(found, new_run, t.prompt, t.response)


def new_run(prompt: str, response: str) -> Found:
    """A run in the response that is not one of letters about which the prompt asks."""
    run = run_of_one(response)
    return run if run and not (run["text"].isalpha() and run_of_one(prompt)) else None


def run_of_one(text: str) -> Found:
    """The first run of twelve or more of one letter or mark; digits, x, rules and dots to fill are none."""
    for m in RUN.finditer(text):
        char = m[1]
        if (char.isalpha() and char not in "xX") or char in "!?！？。，," or unicodedata.category(char)[0] == "M":
            return {**piece(text, *m.span()), "times": len(m[0])}
    return None


# -- echo, length, truncation ----------------------------------------------------------------------------------------


def echo(t: Text) -> np.ndarray:
    rewriting = (t.chars >= 8) & (t.chars < t.prompt_chars)
    rewriting = t.only(rewriting, lambda f: asks(f.line, "rewriting"))
    unchanged = among(rewriting, ends_with, pc.utf8_trim_whitespace(t.prompt), pc.utf8_trim_whitespace(t.response))
    found = _same(t, "prompt") | _same(t, "line") | unchanged
    return t.unless(found & t.answered & (t.chars >= 4), lambda f: asks(f.line, "copying"))


def _same(t: Text, view: str) -> np.ndarray:
    """Rows whose response is a view of the prompt, white space around it and case aside."""
    texts, response = (pc.utf8_trim_whitespace(c) for c in (getattr(t, view), t.response))
    at = np.flatnonzero(np.asarray(pc.equal(pc.utf8_length(texts), pc.utf8_length(response))))
    found = np.zeros(len(t), bool)
    found[at] = np.asarray(pc.equal(*(pc.utf8_lower(c.take(pa.array(at))) for c in (texts, response))))
    return found


def ends_with(prompt: str, response: str) -> bool:
    """Whether the prompt's last part (after a line break or a colon, quotes aside) is the response."""
    prompt, response = prompt.rstrip("\"”'’」"), response.strip("\"“”'’「」")
    before = prompt[: -len(response)].rstrip(" \t\"“'‘「")
    return prompt.endswith(response) and before[-1:] in ("\n", ":", "：")


def short_for_task(t: Text) -> np.ndarray:
    return t.only(t.answered & (t.chars < 150) & ~t.code, _short_for_task)


def _short_for_task(t: Text) -> np.ndarray:
    short = t.chars < np.where(has(t.response, r"\p{Han}"), 50, 150)
    return t.unless(short & asks(t.line, "long_form"), lambda f: asks(f.ask, "short_form"))


CUT_MARK = r"[\pL\d)\"”’](?:,|，|、)$|[\pL](?::|：)$"


def cut_off() -> str:
    """The end of a response that stops in the middle of a sentence."""
    english = listed("cut_off", "en").replace(r"\s*$", "$")
    return rf"{CUT_MARK}|[\pL,]{english}|[\p{{Han}}，。]{listed('cut_off', 'zh').replace(chr(92) + 's*$', '$')}"


def truncated(t: Text) -> np.ndarray:
    cut = t.only((t.chars > 80) & ~t.code, lambda f: has(f.tail, cut_off()))
    return t.unless(cut, lambda f: asks(f.ask, "open_end") | asks(f.tail, "closing"))


# -- language --------------------------------------------------------------------------------------------------------


@cache
def languages() -> dict[str, str]:
    """The code of each language by its names, in English and Chinese."""
    named = [(name.removeprefix("language_"), p) for name, p in lists().items() if name in LANGUAGE_LISTS]
    return {p.text: code for code, phrases in named for p in phrases}


LANGUAGE_LISTS = tuple(
    f"language_{c}"
    for c in [
        "fr",
        "es",
        "de",
        "it",
        "pt",
        "ja",
        "ko",
        "ru",
        "zh",
        "en",
        "ar",
        "hi",
        "nl",
        "sv",
        "pl",
        "tr",
        "el",
        "vi",
        "th",
        "he",
        "uk",
    ]
)


def translation_asked() -> str:
    """A task of translating into a language, which is the group `target`."""
    into = r"(?:\b(?:in)?to\b|成|为|到)\s*(?:the |simplified |traditional )?"
    return rf"(?i)(?:translat\w*|翻译|译)[^\n]{{0,60}}?{into}(?P<target>{'|'.join(languages())})"


def _about_language(texts: pa.Array) -> np.ndarray:
    return asks(texts, "language_task", *LANGUAGE_LISTS)


def wrong_language(t: Text) -> np.ndarray:
    asked, sure_asked = t.prompt_language
    given, sure_given = t.response_language
    dense = _dense(given)
    scripts = _dense(asked) != dense
    # between two languages in Latin letters the model is often sure and wrong
    decided = np.where(scripts, (sure_asked >= SURE) & (sure_given >= 0.8), (sure_asked >= 0.95) & (sure_given >= 0.95))
    enough = t.chars >= np.where(dense, 15, 40)
    # where one of them is undecided, its confidence is 0
    differ = np.asarray(pc.fill_null(pc.not_equal(asked, given), False))
    return t.unless(decided & enough & differ & ~t.code, _both_languages)


def _dense(lang: pa.Array) -> np.ndarray:
    return np.asarray(pc.is_in(lang, pa.array(["zh", "ja", "ko"])))


def _both_languages(t: Text) -> np.ndarray:
    """Whether the prompt has both languages, or is about one."""
    shown = has(t.prompt, r"(?:[A-Za-z'’-]+[ ,.]+){4}[A-Za-z]+") & has(t.prompt, r"\p{Han}")
    return shown | _about_language(t.prompt)


LATIN_RUN, HAN_RUN = r"(?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[A-Za-z]", r"\p{Han}[\p{Han}，、]{9,}"
QUOTED_RUN = r"[\"“《(（‘'](?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[^\"”》)）]{0,200}[\"”》)）’']|https?://"


def mixed_language(t: Text) -> np.ndarray:
    """A run of six words in one script inside a response in the other, that the prompt neither has nor asks for."""
    some = t.only(~np.asarray(pc.string_is_ascii(t.response)), lambda f: has(f.response, r"\p{Han}"))
    return t.only(some, lambda f: has(f.response, r"[A-Za-z]{2}") & _mixed(f))


def _mixed(t: Text) -> np.ndarray:
    english = has(t.response, LATIN_RUN) & (count(t.response, r"\p{Han}") >= 10)
    english &= ~has(t.prompt, r"[A-Za-z]{3,} [A-Za-z]{2,} [A-Za-z]{2,}")
    chinese = has(t.response, HAN_RUN) & (count(t.response, r"[A-Za-z]+") >= 10) & ~has(t.prompt, r"\p{Han}")
    about = _about_language(t.prompt) | asks(t.prompt, "quoting")
    return (english | chinese) & ~about & ~has(t.response, QUOTED_RUN) & ~t.code


TRANSLATE = r"(?i)translat|译"


def wrong_target(t: Text) -> np.ndarray:
    """A translation that is still in the language it came from."""
    return t.only((t.chars >= 8) & t.has("line", TRANSLATE), _wrong_target)


def _wrong_target(t: Text) -> np.ndarray:
    asked = pc.struct_field(pc.extract_regex(t.line, translation_asked()), "target")
    target = np.array([languages().get(word.lower()) if word else None for word in asked.to_pylist()], object)
    spoken, sure = t.response_language
    given = np.array(spoken.to_pylist(), object)
    source = np.isin(given, ["en", "zh"])
    # An answer about the phrase.
    quoted = has(t.response, r"[\"“‘'「][A-Za-zÀ-ÿ]") | asks(t.response, "about_the_phrase")
    mixed = (target == "zh") & has(t.response, r"\p{Han}") | (target == "en") & has(
        t.response, r"[A-Za-z]{3,} [A-Za-z]{2,}"
    )
    more = asks(t.line, "more_than_translation")
    return np.asarray(pc.is_valid(asked)) & source & (given != target) & (sure >= 0.7) & ~mixed & ~quoted & ~more


# -- what the task asked to count ------------------------------------------------------------------------------------

NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "fifteen": 15, "twenty": 20, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,  # noqa: E501
    "十二": 12, "十五": 15, "二十": 20,
}  # fmt: skip
SOME_NUMBER = rf"(?i)\d|\b(?:{'|'.join(k for k in NUMBERS if k.isascii())})\b|[{''.join(sorted({c for k in NUMBERS for c in k if c > 'z'}))}]"  # noqa: E501
COUNTED = r"(?:个|种|条|项|点|位|本|部|款|件|句)"


@cache
def list_asked() -> str:
    """A task that asks for a number of things: groups k (and what), or zk."""
    numbers = {
        ascii_: "|".join(k for k in sorted(NUMBERS, key=len, reverse=True) if k.isascii() == ascii_)
        for ascii_ in (True, False)
    }
    fillers = r"(?: me| us| down| out| a list of| the| any| some| at least| up)*"
    english = (
        rf"(?i)^\W*(?:please |can you |could you )?{listed('list_verbs', 'en')}\b"
        rf"{fillers}\s(?P<k>\d{{1,2}}|{numbers[True]})\s(?P<what>[a-z' -]{{3,60}})"
    )
    chinese = (
        rf"^(?:请)?(?:你)?(?:给我|帮我|为我)?{listed('list_verbs', 'zh')}(?:至少)?"
        rf"(?P<zk>\d{{1,2}}|{numbers[False]}){COUNTED}"
    )
    return f"{english}|{chinese}"


BULLET = re.compile(r"^[ \t]*(?:[-*•·●–](?![-*])|[一二三四五六七八九十]{1,3}[、.．])", re.MULTILINE)
GROUPED = re.compile(r"^[ \t]*(?:\d{1,3}[.)、]|[-*•])[^\n:：]{1,60}[:：][^\n,，、;；]{1,60}[,，、;；]", re.MULTILINE)
UNGROUPED = re.compile(r"^[ \t]*(?:\d{1,3}[.)、]|[-*•])[^\n:：]*$", re.MULTILINE)
NUMBERED = re.compile(r"(?<![\d.$])(\d{1,3})[.)、:：．](?!\d)")


def list_count(t: Text) -> np.ndarray:
    return t.only(t.has("line", SOME_NUMBER) & ~t.code, _list_count)


def _list_count(t: Text) -> np.ndarray:
    asked = items_asked(t)
    listed_ = t.only(
        np.asarray(pc.is_valid(asked)), lambda f: has(f.response, r"(?m)^\s*(?:1\s*[.)、:：．]|[-*•●]\s|一、)")
    )
    candidates = t.unless(listed_, lambda f: asks(f.line, "vague_count"))
    return among(candidates, fewer_items, pc.fill_null(asked, ""), t.response)


def items_asked(t: Text) -> pa.Array:
    """The number of items that each prompt asks for, as it is written there; null for none."""
    at = np.flatnonzero(has(t.line, list_asked()))  # to extract is slow
    found = pc.extract_regex(t.line.take(pa.array(at)), list_asked())
    english = pc.struct_field(found, "k")
    none = pa.scalar(None, pa.string())
    asked = pc.coalesce(pc.replace_with_mask(english, pc.equal(english, ""), none), pc.struct_field(found, "zk"))
    index = np.full(len(t), -1, np.int64)
    index[at] = np.arange(len(at))
    return asked.take(pa.array(index, mask=index < 0))


def fewer_items(k: str, response: str) -> Found:
    """{items, of} where a list has fewer items than asked for."""
    wanted = int(k) if k.isdigit() else NUMBERS[k.lower()]
    if GROUPED.search(response) and not UNGROUPED.search(response):
        return None  # "1. Fungi: Aspergillus, Candida": the items are lists themselves
    lines = [*re.finditer(r"^\s*\d{1,3}\s*[.)、:：．]", response, re.MULTILINE)]
    bullets = [*BULLET.finditer(response)]
    given = max(len(bullets), len(lines), _numbered(response))
    if not 0 < given < wanted:
        return None
    last = max((m.start() for m in (*lines, *bullets)), default=0)
    return {**piece(response, last, len(response)), "items": given, "of": wanted}


def _numbered(response: str) -> int:
    """The highest number of a list 1, 2, 3, …, on lines of its own or within one."""
    highest = 0
    for number in NUMBERED.findall(response):
        highest += int(number) == highest + 1
    return highest


@cache
def limit_asked() -> str:
    """A largest number of words: group n, zn or zm."""
    english = rf"(?i)\b{listed('limit_words', 'en')} (?P<n>\d{{1,4}})\s*(?:words?|-word)(?: or (?:less|fewer)| max\w*| limit)?\b"  # noqa: E501
    before = rf"{listed('limit_words', 'zh')}\s*(?P<zn>\d{{1,4}})\s*(?:个)?(?:字|词)(?:以内|之内|以下|内)?"
    return rf"{english}|{before}|(?P<zm>\d{{1,4}})\s*个?(?:字|词)(?:以内|之内|以下)"


DIGIT = r"\d"


def word_limit(t: Text) -> np.ndarray:
    return t.only(t.answered & t.has("ask", DIGIT), _word_limit)


def _word_limit(t: Text) -> np.ndarray:
    found, limits = limits_asked(t)
    few = t.unless(np.asarray(pc.is_valid(found)), _vague_limit)
    return among(few, more_words, *limits, t.response)


def _vague_limit(t: Text) -> np.ndarray:
    return asks(pc.replace_substring_regex(t.ask, r"(?i)\b(?:no|not) more than\b", ""), "vague_limit")


def limits_asked(t: Text) -> tuple[pa.Array, list[pa.Array]]:
    """(null where no number of words is asked for, the number in each of the groups n, zn, zm)."""
    found = pc.extract_regex(t.ask, limit_asked())
    return found, [pc.fill_null(pc.struct_field(found, name), "") for name in ("n", "zn", "zm")]


def more_words(n: str, zn: str, zm: str, response: str) -> Found:
    """{words, of} where a response has more words (or Chinese characters) than the task allowed, by a quarter."""
    limit = int(n or zn or zm or 0)
    chinese = [*re.finditer(r"[\u3400-\u9fff]", response)]
    words = chinese if len(chinese) > 10 else [*re.finditer(r"[^\W_]+(?:['’-][^\W_]+)*", response)]
    if limit < 5 or len(words) <= max(1.25 * limit, limit + 5):
        return None
    return {**piece(response, words[limit].start(), len(response)), "words": len(words), "of": limit}


SOUGHT = (TRANSLATE, SOME_NUMBER, DIGIT)
