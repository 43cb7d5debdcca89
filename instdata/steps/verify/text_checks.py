"""Checks that need no model. Each takes a case and says how much speaks for it, None where it has nothing to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from instdata.score.extract.stated_result import final_numbers
from instdata.score.extract.text import named, normalise, tokens
from instdata.steps.quality.arithmetic import false_sum
from instdata.steps.verify.case import (
    ENDS,
    QUOTED,
    Case,
    Finding,
    alike,
    covered,
    pieces,
    same_script,
    size,
    units,
)
from instdata.steps.verify.phrases import pattern

Rule = Callable[[Case], Finding | None]
FINE = Finding(1.0)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
ITEM = re.compile(r"^\s*[(（]?\d{1,2}[.)）、:：]", re.M)
LIMIT = re.compile(r"(?:不超过|不多于|少于|控制在|限)\s*(?P<zh>\d{1,4})\s*个?(?:字|词)(?!母)|(?:(?:at most|no more than|under|within|maximum of|up to) )(?P<en>\d{1,4})(?: |-)words?", re.I)  # fmt: skip  # noqa: E501
EACH = re.compile(r"每(?:句|条|个|行|项|则)|名字|标题|口号|each|names|titles|slogans", re.I)
DIGITS = {"一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "two": 2, "three": 3,  # noqa: E501
    "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10}  # fmt: skip
MANY = re.compile(r"(?<![第\d])(?P<n>\d{1,2}|[两三四五六七八九十]|\b(?:two|three|four|five|six|seven|eight|ten)\b)\s*(?:个|条|种|项|点|句)?(?:不同的)?\s*(?:[^，。,.\d]{0,8}?)(?:点子|建议|主意|方法|办法|名字|理由|想法|创意|口号|标题|广告语|ideas?|suggestions?|tips|ways|names|reasons|slogans|titles)", re.I)  # fmt: skip  # noqa: E501
SOME = re.compile(
    r"(?:想|给出|列出|提出|列举|举出|说出|推荐)(?:出|到)?\s*(?P<n>\d{1,2}|[一两三四五六七八九十])(?:个|种|条|点|项)"
)
ONE_SENTENCE = re.compile(r"用一句话|\bin (?:one|a single) sentence\b", re.I)
BULLET = re.compile(r"\s*(?:[-*•·]|[(（]?\d{1,2}[.)）、:：]|[一二三四五六七八九十]、)")
METRE = re.compile(r"([五七])(?:言|律|绝)(?![^，。]{0,8}联)")
ACROSTIC = re.compile(r"首字(?:连起来|依次|合起来|组成)[^“\"]{0,6}[“\"]([^”\"]{2,12})[”\"]")
COPY = 0.95  # of two texts in which as much is the same, one is a copy
LIST = re.compile(
    r"[^、/|，,；;：:（）()。？?！!\n\"“”'‘’\[\]【】]{1,24}(?:[、/|，,；;]\s*[^、/|，,；;：:（）()。？?！!\n\"“”'‘’\[\]【】]{1,24})+"
)
OR = re.compile(r"\s*(?:、|/|\||，|,|；|;|以及|还是|或者|或|和|\bor\b|\band\b)\s*")
BEFORE_LIST = re.compile(
    r"^.*(?:分类为|分为|归为|判断为|标记为|标签为|类别为|类别是|标签是|属于|是|为|\bas|\bis|\binto|\beither|\bbetween|\bof)\s*",
    re.I,
)


def unknowable(c: Case) -> Finding | None:
    """The question asks about now, here, or what only one person knows, and brings no material that would tell."""
    if c.source and size(c.source) >= 12:
        return None
    for name in ("about_now", "about_here", "about_private"):
        hit = found(name, c.task)
        if hit:
            return Finding(0.0, {"asks": name, "words": hit})
    return FINE


def asked_for(c: Case) -> Finding | None:
    """The task asks for what its ability is about."""
    return FINE if found(f"asks_{c.ability}", c.task) else Finding(0.0, {"ability": c.ability})


def definite(c: Case) -> Finding | None:
    """What is to be found is of a kind that can be told, not whatever has to do with a subject."""
    hit = found("asks_for_anything", c.ask)
    return Finding(0.0, {"words": hit}) if hit else FINE


def for_eyes(c: Case) -> Finding | None:
    """Text can be the answer."""
    hit = found("made_for_eyes", c.ask)
    return Finding(0.0, {"words": hit}) if hit else FINE


def material(c: Case) -> Finding | None:
    """A text that the task speaks of is there."""
    hit = found("speaks_of_material", c.ask)
    if not hit or found("writes_code", c.task):
        return FINE
    have = size(c.source)
    return Finding(min(1.0, have / 4), {"words": hit, "source": have})


def length(c: Case) -> Finding | None:
    """The answer keeps to the number of characters or words that the task allows, for each of its lines where it says
    so: the share of what is allowed to what is there."""
    m = LIMIT.search(c.ask)
    if m is None:
        return None
    most = int(m["zh"] or m["en"])
    lines = [line for line in c.answer.split("\n") if line.strip()] if EACH.search(c.ask) else [c.answer]
    there = max((size(ITEM.sub("", line)) for line in lines), default=0)
    return Finding(round(min(1.0, most / there), 4) if there else 0.0, {"most": most, "there": there})


def count(c: Case) -> Finding | None:
    """A list has as many items as were asked for, and a summary in one sentence is one."""
    if c.ability == "summarization":
        said = sum(size(s) > 0 for s in ENDS.split(c.answer) if s)
        one = said and ONE_SENTENCE.search(c.ask)
        return Finding(round(1 / said, 4), {"wanted": 1, "there": said}) if one else None
    m = MANY.search(c.ask) or SOME.search(c.ask)
    lines = [line for line in c.answer.split("\n") if line.strip()]
    if m is None or len(lines) < 2:
        return None
    wanted = DIGITS.get(m["n"].lower()) or int(m["n"])
    listed = sum(bool(BULLET.match(line)) for line in lines) or len(lines)
    return (
        FINE
        if listed == wanted or wanted > 30
        else Finding(min(listed, wanted) / max(listed, wanted), {"wanted": wanted, "there": listed})
    )


def repeats(c: Case) -> Finding | None:
    """The share of the answer's sentences that are not said again, nearly, by a later one of it."""
    said = [s for s in (normalise(m) for m in ENDS.split(c.answer) if m) if size(s) >= 4]
    if len(said) < 2:
        return None
    again = [s for n, s in enumerate(said) if any(alike(s, other) > 0.9 for other in said[:n])]
    return Finding(1 - len(again) / len(said), {"again": again[0][:80]} if again else {})


def stock(c: Case) -> Finding | None:
    """A phrase that stands in for content."""
    hit = found("stock_phrases", c.answer)
    return FINE if not hit or normalise(hit) in normalise(c.task) else Finding(0.0, {"words": hit})


def answered(c: Case) -> Finding | None:
    """The answer says that there is none: the task cannot be answered."""
    hit = found("cannot_say", c.answer) if size(c.answer) < 200 else None
    return Finding(0.0, {"words": hit}) if hit and not found("cannot_say", c.task) else FINE


def sums(c: Case) -> Finding | None:
    """Equations of numbers that the answer states hold."""
    wrong = false_sum(c.task, c.answer)
    return FINE if wrong is None else Finding(0.0, {k: v for k, v in wrong.items() if k != "view"})


def result(c: Case) -> Finding | None:
    """The answer comes to a number, and not to one among several that contradict it."""
    return (
        FINE
        if final_numbers(c.answer) or re.search(r"[\d=xyπ√½]|[一二三四五六七八九十百]", c.answer)
        else Finding(0.0, {"numbers": 0})
    )


def source(c: Case) -> Finding | None:
    """The passage, sentence or data that the task is about is there."""
    have, told = size(c.source), 36 if c.chinese else 24  # a summary is of more than one sentence
    least = {"translation": 2, "rewrite": 2, "classification": 4, "summarization": told}.get(c.ability, 12)
    return Finding(min(1.0, have / least), {"source": have, "least": least})


def not_told(c: Case) -> Finding | None:
    """The task does not say its own answer, unless it offers it among others, or that is a word or two."""
    said, task = normalise(c.answer), normalise(c.task)
    offers = re.search(r"还是|或者?|、|\bor\b|[A-D][.．、)]|,[^,]+,", c.task, re.I)
    there = said in task if c.chinese else f" {said} " in f" {task} "
    given = len(said) >= (4 if c.chinese else 8) and there and not offers
    return Finding(0.0, {"words": c.answer[:80]}) if given else FINE


def from_source(c: Case) -> Finding | None:
    """The share of what the answer speaks of that stands in the task."""
    if not same_script(c.answer, c.source):
        return None
    return Finding(round(covered(c.answer, c.task), 4), {"source": c.source[:80]})


def spans(c: Case) -> Finding | None:
    """The share of the things listed in the answer that stand in the task word for word, or nearly."""
    if not same_script(c.answer, c.source):
        return None
    listed, whole = [p for p in pieces(c.answer) if units(p)], normalise(c.task)
    strange = [p for p in listed if p not in whole and covered(p, whole) < 0.7]
    return (
        Finding(1 - len(strange) / len(listed), {"not_in_source": strange[:5]} if strange else {}) if listed else FINE
    )


def whole_source(c: Case) -> Finding | None:
    """The answer is not the whole material given back."""
    if size(c.source) < 12:
        return None
    near = alike(c.answer, c.source) if size(c.answer) > 0.8 * size(c.source) else 0.0
    return Finding(0.0, {"similarity": round(near, 3)}) if near >= COPY else FINE


def shorter(c: Case) -> Finding | None:
    """How much shorter a summary is: 1 below half of its source, 0 where it is as long. Nothing is said of tables."""
    have, said = weight(c.source), weight(c.answer)
    if not have or c.source.count("|") > 5 or not same_script(c.answer, c.source):
        return None
    return Finding(round(max(0.0, min(1.0, 2 - 2 * said / have)), 4), {"answer": round(said), "source": round(have)})


def numbers_from(c: Case) -> Finding | None:
    """The share of the answer's numbers that stand in the task."""
    said = [n.replace(",", "") for n in NUMBER.findall(ITEM.sub("", c.answer))]
    there = {n.replace(",", "") for n in NUMBER.findall(c.task)}
    new = [n for n in said if n not in there]
    return Finding(1 - len(new) / len(said), {"new_numbers": new[:5]} if new else {}) if said else FINE


def labels(c: Case) -> Finding | None:
    """The label is one that the task offers; half where it offers none that can be told."""
    offered = offers(c)
    said = normalise(c.answer)
    if not offered:
        return Finding(0.5, {"offered": []})
    chosen = named(said, offered)
    every = len(chosen) == len(offered) > 1 and size(said) <= sum(map(size, chosen)) + 2
    if chosen or any(said and said in o for o in offered):
        return Finding(0.0, {"all_of": sorted(chosen)}) if every else FINE
    return Finding(0.0, {"offered": offered[:8]})


def offers(c: Case) -> list[str]:
    """The labels that a task offers: short things listed in its question, normalised."""
    text = c.ask if c.ask != c.task else c.task
    quoted = [normalise(next(g for g in m.groups() if g)) for m in QUOTED.finditer(text)]
    if len(short := [q for q in quoted if 0 < size(q) <= 8]) > 1:
        return list(dict.fromkeys(short))
    found_: list[str] = []
    for m in re.finditer(r"([^，,。；;：:（(\s]{1,12})(?:还是|或者|或)([^，,。；;？?）)\s]{1,12})", text):
        found_ += [BEFORE_LIST.sub("", m[1]), m[2]]
    for m in LIST.finditer(text):
        found_ += [BEFORE_LIST.sub("", p) for p in OR.split(m[0])]
    for m in re.finditer(r"\b(\w+(?: \w+)?),? or (\w+(?: \w+)?)\b", text):
        found_ += [BEFORE_LIST.sub("", m[1]), m[2]]
    plain = [
        normalise(re.sub(r"(?:中的?|的)?(?:一种|一类|一个|哪一类|哪种|三类|两类|四类|五类|类)$", "", f)) for f in found_
    ]
    return list(dict.fromkeys(p for p in plain if p and size(p) <= 8))


def target_language(c: Case) -> Finding | None:
    """The answer is in the language that the task wants, and the source in another one."""
    from instdata.read.language import detect

    wanted, (said, given) = target(c), detect(pa.array([c.answer, c.source]))[0].to_pylist()
    if wanted is None:
        return None
    facts = {"wanted": wanted, "answer": said, "source": given}
    if given == wanted and size(c.source) >= 4:
        return Finding(0.0, facts)
    return Finding(0.0, facts) if said is not None and said != wanted else FINE


def target(c: Case) -> str | None:
    """The code of the language that a translation is to be in; None where the task does not say."""
    from instdata.steps.quality.form import languages, translation_asked

    got = pc.struct_field(pc.extract_regex(pa.array([c.ask]), translation_asked()), "target")[0].as_py()
    return languages().get(got.lower()) if got else None


def translated(c: Case) -> Finding | None:
    """The answer is not the source again, and neither far longer nor far shorter."""
    have, said = weight(c.source), weight(c.answer)
    if alike(c.answer, c.source) >= 0.8:
        return Finding(0.0, {"similarity": round(alike(c.answer, c.source), 3)})
    ratio = said / have if have else 0.0
    return Finding(round(min(1.0, 3 * min(ratio, 1 / ratio if ratio else 0.0)), 3), {"length_ratio": round(ratio, 3)})


def weight(text: str) -> float:
    """The length of a text in words of English: a character of Chinese is about two thirds of one."""
    words = tokens(text)
    return sum(0.66 if len(w) == 1 and ord(w) > 0x2E80 else 1.0 for w in words)


def changed(c: Case) -> Finding | None:
    """A rewriting says it otherwise, yet speaks of the same, at a like length. Another order of the same words is none,
    unless the form of the sentence was to change."""
    near, ratio = covered(c.answer, c.source), (size(c.answer) + 1) / (size(c.source) + 1)
    same = normalise(c.answer) == normalise(c.source)
    reordered = units(c.answer) == units(c.source) and not found("changes_form", c.ask)
    fits = 0.2 <= ratio <= 4 or size(c.source) < 10
    facts = {"similarity": round(near, 3), "length_ratio": round(ratio, 3)}
    return Finding(0.0, facts) if same or reordered or not fits else Finding(1.0 if near > 0.03 else 0.3, facts)


def manner(c: Case) -> Finding | None:
    """A polite wording has a word of politeness, which the source has not."""
    if not found("wants_polite", c.ask):
        return None
    if re.search(r"(?<![申邀聘宴])请(?![假客])|麻烦您|您|(?<!as you )\bplease\b", c.source, re.I):
        return Finding(0.0, {"source": "polite"})
    return FINE if found("polite_words", c.answer) else Finding(0.0, {"wanted": "polite"})


def numbers_kept(c: Case) -> Finding | None:
    """The share of the source's numbers of two digits or more that are in the answer."""
    there = [n.replace(",", "") for n in NUMBER.findall(c.source) if len(n) > 1]
    said = {n.replace(",", "") for n in NUMBER.findall(c.answer)}
    lost = [n for n in there if n not in said]
    return Finding(1 - len(lost) / len(there), {"lost": lost[:5]} if lost else {}) if there else None


def verse(c: Case) -> Finding | None:
    """Verse of five or seven characters a line has lines of so many, and an acrostic's lines begin as they should."""
    metre, head = METRE.search(c.ask), ACROSTIC.search(c.task)
    lines = [line for line in (normalise(p) for p in re.split(r"[，。！？；\n]", c.answer)) if line]
    if (metre is None and head is None) or not lines:
        return None
    length_ = {"五": 5, "七": 7}[metre[1]] if metre else 0
    fits = sum(size(line) == length_ for line in lines) / len(lines) if metre else 1.0
    begins = "".join(line[0] for line in lines)
    if head and head[1] not in begins and head[1] != "".join(line[0] for line in c.answer.split("\n") if line.strip()):
        return Finding(0.0, {"begins": begins[:20], "wanted": head[1]})
    return Finding(round(fits, 4), {} if fits == 1 else {"characters": length_})


def on_topic(c: Case) -> Finding | None:
    """The answer speaks of something that the task speaks of. Short answers may well do so in other words."""
    if not same_script("的", c.task):
        return None  # words of English have too many forms and neighbours
    share = covered(c.task, c.answer)
    return Finding(1.0 if share > 0 or size(c.answer) < 30 else 0.4, {"shared": round(share, 3)})


def no_copy(c: Case) -> Finding | None:
    """The answer is not the task in other order."""
    near = alike(c.answer, c.task)
    return Finding(0.0, {"similarity": round(near, 3)}) if near >= COPY else FINE


def reasoned(c: Case) -> Finding | None:
    """A chain of thought is more than its conclusion, and comes to one."""
    if c.answer.endswith((":", "：")):
        return Finding(0.0, {"conclusion": ""})
    return FINE if size(c.answer) >= 12 else Finding(0.3, {"words": size(c.answer)})


def found(name: str, text: str) -> str | None:
    """The first phrase of a list in a text."""
    hit = _compiled(name).search(text)
    return hit[0] if hit else None


@cache
def _compiled(name: str) -> re.Pattern[str]:
    return re.compile(pattern(name).replace(r"\pP", r"\W"), re.I)
