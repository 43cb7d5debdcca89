"""Rules about the form of a response: length, repetition, echo, truncation, language, and what the task asked to count."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality.phrases import listed, lists
from instdata.steps.quality.text import Found, Text, among, asks, count, has, piece

NGRAM = 8  # words (or Chinese characters) in a row that make a repetition
WORDS = re.compile(r"[\u3040-\u9fff\uac00-\ud7a3]|[A-Za-z\u00c0-\u1fff][A-Za-z0-9\u00c0-\u1fff]+")
RUN = re.compile(r"(.)\1{11,}", re.DOTALL)
SURE = 0.6  # language confidence from which a rule on language acts


# -- repetition ------------------------------------------------------------------------------------------------------


def repetition(t: Text) -> np.ndarray:
    """Share of each response's words covered by an 8-gram that came before in it, 0..1 (float32); 0 for code.

    The duplicate n-gram fraction of Rae et al. 2021 (Gopher), on words and, where a script has no spaces, characters.
    Numbers and single letters are no words: tables, sums and melodies repeat by nature.
    """
    share = np.zeros(len(t), np.float32)
    code, row = t.points
    dense = ((code >= 0x3040) & (code <= 0x9FFF)) | ((code >= 0xAC00) & (code <= 0xD7A3)) | (code >= 0x20000)
    wordy = dense | _is_word(code)
    if len(code) == 0:
        return share
    edge = np.append(True, (row[1:] != row[:-1]) | dense[1:] | dense[:-1] | (wordy[1:] != wordy[:-1]))
    starts = np.flatnonzero(edge & wordy)
    end = np.flatnonzero(np.append(edge[1:], True) & wordy)
    starts = starts[dense[starts] | ((end > starts) & (code[starts] > ord("9")))]
    if len(starts) < NGRAM:
        return share
    words = _hash_runs(np.where(wordy, code, 0), starts)
    word_row = row[starts]
    grams = len(words) - NGRAM + 1
    key = np.zeros(grams, np.uint64)
    for k in range(NGRAM):
        key = key * np.uint64(0x9E3779B97F4A7C15) + words[k : k + grams]
    inside = np.flatnonzero(word_row[:grams] == word_row[NGRAM - 1 :])
    key = _mix(key[inside] ^ _mix(word_row[inside].astype(np.uint64)))
    order = np.argsort(key, kind="stable")
    again = inside[order[1:][key[order[1:]] == key[order[:-1]]]]
    cover = (
        np.bincount(again, minlength=len(words))
        - np.bincount(np.minimum(again + NGRAM, len(words)), minlength=len(words) + 1)[:-1]
    )
    total = np.bincount(word_row, minlength=len(t))
    covered = np.bincount(word_row, np.cumsum(cover) > 0, len(t)) / np.maximum(total, 1)
    return np.where(t.code, 0, covered).astype(np.float32)


def _is_word(code: np.ndarray) -> np.ndarray:
    ascii_word = ((code | 32) - np.uint32(97) < 26) | (code - np.uint32(48) < 10)
    return ascii_word | ((code >= 0xC0) & (code < 0x2000))


def _hash_runs(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """A hash of the values from each start to the next; zeros count for nothing."""
    values = values[starts[0] :]
    place = np.arange(len(values), dtype=np.int32) - np.repeat(
        starts - starts[0], np.diff(np.append(starts - starts[0], len(values)))
    ).astype(np.int32)
    return np.add.reduceat(CHARS[values & 0xFFFF] * WEIGHTS[np.minimum(place, 63)], starts - starts[0])


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


CHARS = _mix(np.arange(1 << 16, dtype=np.uint64))  # a hash of each character; that of 0 is 0
WEIGHTS = np.cumprod(np.full(64, 0xD6E8FEB86659FD93, np.uint64))  # of each place in a word


def repeated_line(t: Text) -> np.ndarray:
    found = among((count(t.response, r"\n") >= 3) & ~t.code, stuck_line, t.response)
    return t.unless(found, lambda f: asks(f.ask, "repeating"))


def stuck_line(response: str) -> Found:
    """The first line that comes again, where two lines in three or more were there before."""
    lines = [line for line in (raw.strip() for raw in response.split("\n")) if sum(map(str.isalpha, line)) >= 6]
    if len(lines) < 4 or len(set(lines)) > len(lines) / 3:
        return None
    line = next(line for i, line in enumerate(lines) if line in lines[:i])
    start = response.index(line, response.index(line) + len(line))
    return {**piece(response, start, start + len(line)), "lines": len(lines), "different": len(set(lines))}


def repeated_char(t: Text) -> np.ndarray:
    """A letter, Chinese character or sentence mark 12 times running (rules, dots to fill and digits do not count)."""
    code, row = t.points
    found = np.zeros(len(t), bool)
    if len(code) < 12:
        return found
    same = (code[1:] == code[:-1]) & (row[1:] == row[:-1])
    for step in (1, 2, 4, 3):  # 1 + 1 + 2 + 4 + 3: eleven in a row like the one before
        same = same[:-step] & same[step:]
    at = np.flatnonzero(same)
    value = code[at]
    letter = _is_word(value) & ~((value >= ord("0")) & (value <= ord("9"))) & ((value | 32) != ord("x"))
    letter |= (value >= 0x3400) & (value < 0xFF00) & (value != 0xFEFF)
    found[row[at[letter | np.isin(value, [ord(c) for c in "!?！？。，,"])]]] = True
    found = t.unless(found & ~t.code, lambda f: asks(f.ask, "repeating", "run_wanted"))
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
    prompt, response = pc.utf8_trim_whitespace(t.prompt), pc.utf8_trim_whitespace(t.response)
    whole = pc.equal(pc.utf8_lower(prompt), pc.utf8_lower(response))
    line = pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(t.line)), pc.utf8_lower(response))
    rewriting = asks(t.line, "rewriting") & (t.chars >= 8) & (t.chars < t.prompt_chars)
    unchanged = among(rewriting, ends_with, prompt, response)
    excused = asks(t.line, "copying")
    return (np.asarray(whole) | np.asarray(line) | unchanged) & t.answered & (t.chars >= 4) & ~excused


def ends_with(prompt: str, response: str) -> bool:
    """Whether the prompt's last part (after a line break or a colon, quotes aside) is the response."""
    prompt, response = prompt.rstrip("\"”'’」"), response.strip("\"“”'’「」")
    before = prompt[: -len(response)].rstrip(" \t\"“'‘「")
    return prompt.endswith(response) and before[-1:] in ("\n", ":", "：")


def short_for_task(t: Text) -> np.ndarray:
    dense = has(t.response, r"\p{Han}")
    short = t.chars < np.where(dense, 50, 150)
    return t.answered & short & t.unless(asks(t.line, "long_form"), lambda f: asks(f.ask, "short_form")) & ~t.code


CUT_MARK = r"[\pL\d)\"”’](?:,|，|、)$|[\pL](?::|：)$"


def cut_off() -> str:
    """The end of a response that stops in the middle of a sentence."""
    english = listed("cut_off", "en").replace(r"\s*$", "$")
    return rf"{CUT_MARK}|[\pL,]{english}|[\p{{Han}}，。]{listed('cut_off', 'zh').replace(chr(92) + 's*$', '$')}"


def truncated(t: Text) -> np.ndarray:
    cut = has(t.tail, cut_off())
    cut &= (t.chars > 80) & ~t.code
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


DENSE_SCRIPT = ["zh", "ja", "ko"]


def wrong_language(t: Text) -> np.ndarray:
    asked, sure_asked = t.prompt_language
    given, sure_given = t.response_language
    scripts = np.isin(asked, DENSE_SCRIPT) != np.isin(given, DENSE_SCRIPT)
    # between two languages in Latin letters the model is often sure and wrong
    decided = np.where(scripts, (sure_asked >= SURE) & (sure_given >= 0.8), (sure_asked >= 0.95) & (sure_given >= 0.95))
    shown = has(t.prompt, r"(?:[A-Za-z'’-]+[ ,.]+){4}[A-Za-z]+") & has(t.prompt, r"\p{Han}")  # the prompt has both
    enough = t.chars >= np.where(np.isin(given, DENSE_SCRIPT), 15, 40)
    return decided & enough & (asked != given) & ~shown & ~_about_language(t.prompt) & ~t.code


LATIN_RUN, HAN_RUN = r"(?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[A-Za-z]", r"\p{Han}[\p{Han}，、]{9,}"
QUOTED_RUN = r"[\"“《(（‘'](?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[^\"”》)）]{0,200}[\"”》)）’']|https?://"


def mixed_language(t: Text) -> np.ndarray:
    """A run of six words in one script inside a response in the other, that the prompt neither has nor asks for."""
    return t.only(has(t.response, r"\p{Han}") & has(t.response, r"[A-Za-z]{2}"), _mixed)


def _mixed(t: Text) -> np.ndarray:
    english = has(t.response, LATIN_RUN) & (count(t.response, r"\p{Han}") >= 10)
    english &= ~has(t.prompt, r"[A-Za-z]{3,} [A-Za-z]{2,} [A-Za-z]{2,}")
    chinese = has(t.response, HAN_RUN) & (count(t.response, r"[A-Za-z]+") >= 10) & ~has(t.prompt, r"\p{Han}")
    about = _about_language(t.prompt) | asks(t.prompt, "quoting")
    return (english | chinese) & ~about & ~has(t.response, QUOTED_RUN) & ~t.code


def wrong_target(t: Text) -> np.ndarray:
    """A translation that is still in the language it came from."""
    asked = pc.struct_field(pc.extract_regex(t.line, translation_asked()), "target")
    candidates = np.asarray(pc.is_valid(asked)) & (t.chars >= 8)
    if not candidates.any():
        return candidates
    target = np.array([languages().get(word.lower()) if word else None for word in asked.to_pylist()], object)
    given, sure = t.response_language
    source = np.isin(given, ["en", "zh"])
    # An answer about the phrase.
    quoted = has(t.response, r"[\"“‘'「][A-Za-zÀ-ÿ]") | asks(t.response, "about_the_phrase")
    mixed = (target == "zh") & has(t.response, r"\p{Han}") | (target == "en") & has(
        t.response, r"[A-Za-z]{3,} [A-Za-z]{2,}"
    )
    more = asks(t.line, "more_than_translation")
    return candidates & source & (given != target) & (sure >= 0.7) & ~mixed & ~quoted & ~more


# -- what the task asked to count ------------------------------------------------------------------------------------

NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "fifteen": 15, "twenty": 20, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
    "十二": 12, "十五": 15, "二十": 20,
}  # fmt: skip
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
    listed_ = has(t.response, r"(?m)^\s*(?:1\s*[.)、:：．]|[-*•●]\s|一、)")
    asked = items_asked(t)
    candidates = t.unless(np.asarray(pc.is_valid(asked)) & listed_ & ~t.code, lambda f: asks(f.line, "vague_count"))
    return among(candidates, fewer_items, pc.fill_null(asked, ""), t.response)


def items_asked(t: Text) -> pa.Array:
    """The number of items that each prompt asks for, as it is written there; null for none."""
    found = pc.extract_regex(t.line, list_asked())
    english = pc.struct_field(found, "k")
    none = pa.scalar(None, pa.string())
    return pc.coalesce(pc.replace_with_mask(english, pc.equal(english, ""), none), pc.struct_field(found, "zk"))


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
    english = rf"(?i)\b{listed('limit_words', 'en')} (?P<n>\d{{1,4}})\s*(?:words?|-word)(?: or (?:less|fewer)| max\w*| limit)?\b"
    before = rf"{listed('limit_words', 'zh')}\s*(?P<zn>\d{{1,4}})\s*(?:个)?(?:字|词)(?:以内|之内|以下|内)?"
    return rf"{english}|{before}|(?P<zm>\d{{1,4}})\s*个?(?:字|词)(?:以内|之内|以下)"


def word_limit(t: Text) -> np.ndarray:
    found, limits = limits_asked(t)
    vague = asks(pc.replace_substring_regex(t.ask, r"(?i)\b(?:no|not) more than\b", ""), "vague_limit")
    return among(np.asarray(pc.is_valid(found)) & ~vague & t.answered, more_words, *limits, t.response)


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
