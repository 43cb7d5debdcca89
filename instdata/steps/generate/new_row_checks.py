"""What a generated row must be before it counts: told apart from quality rules in that failing means "write
another"."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.rows import OPTIONAL, SPAN, TURNS
from instdata.steps.generate.right_ability import Other, anything

# The shortest instruction that can be a task, in characters: unspaced scripts say more in each.
SHORTEST = {"zh": 5, "ja": 5, "ko": 5, "th": 8}

# A task that speaks of material ("the given passage", “以下文章”, "according to the contract") must hold it …
LONG_EN = "passage|text|paragraph|article|conversation|dialogue|story|poem|information|description|email|exchange|review|advertisement|document"  # noqa: E501
LONG_ZH = "文|段|诗|对话|内容|信息|描述|记录|歌词|计划|总结|评论|邮件|序列|视频|图片|照片|曲谱"
PAPERS_EN = "contract|invitation|map|table|chart|graph|image|picture|report|email|log|menu|bill|invoice|list|record|notice|schedule|data|recipe|receipt"  # noqa: E501
PAPERS_ZH = "合同|邀请函|地图|表格|图表|图片|报告|邮件|日志|菜单|账单|清单|记录|通知|广告|说明书|条款|信息|数据"
SPEAKS_OF = re.compile(
    rf"\b(?:(?<!\ba\s)given|following|provided|above)\s+(?:\w+\s+){{0,2}}(?:(?P<long>{LONG_EN})|sentence|statement|list|data|table|equation|code)s?\b"
    rf"|\b(?:the|this) (?P<long2>passage|text|paragraph|article|conversation)\b|\bthis (?:\w+ )?(?P<long3>{LONG_EN})\b"
    rf"|\b(?:according to|based on) (?:the|this|these|a given) (?:\w+ ){{0,3}}(?:{PAPERS_EN})s?\b"
    rf"|(?:(?:给定|以下|下面|下列|上述|这个|这段|这篇|这首|这封)的?|(?:所给|提供)的)[^，。？！：\n]{{0,5}}?(?:(?P<long4>{LONG_ZH})|句|数据|清单|问题)"
    rf"|\b(?:translate|summari[sz]e|rewrite|paraphrase|proofread) an? (?:\w+ ){{0,3}}(?P<long5>{LONG_EN}|sentence)\b"
    rf"|(?:翻译|改写|总结|概括|润色|缩写)一(?P<long6>段|篇|句|首|封)"
    rf"|根据[^，。？！：\n]{{0,10}}(?:{PAPERS_ZH})[^，。？！：\n]{{0,6}}[，,]",
    re.I,
)
# … on another line, after a colon or the first sentence, or in quotes: some words of it, where a whole text is meant.
QUOTED = re.compile(r"[\"“「《]([^\"”」》\n]{2,})|(?<!\w)[‘']([^’'\n]{4,})")
AFTER = re.compile(r"(?:[:：。？！]\s*|[.?!]\s+)(?=\S)(.*)")
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
ENOUGH, SHORT = 8, 3  # words, or characters of an unspaced script: of a text, of a sentence or list
# “描述中提到的型号是哪种？” after the colon is the question, not the description.
STILL_ASKS = re.compile(r"[^，。\n]{0,8}(?:描述|信息|文章|文本|文|内容|合同)(?:中|里)|(?:\w+ ){0,5}mentioned in")
# A program may well speak of "the given text": it comes when the program runs.
MAKES_CODE = re.compile(
    r"\b(?:write|implement|create|define|build)\s+(?:\w+\s+){0,4}(?:function|program|script|class|method|query|regex)\b"
    r"|(?:写|编写|实现|设计|定义)[^，。\n]{0,12}(?:函数|程序|脚本|代码|方法|类|查询|正则)",
    re.I,
)

# A short answer that asks for what the task lacks.
ASKS_BACK = re.compile(r"^.{0,30}?(?:请您?(?:提供|告诉我|给出)|please (?:provide|tell me|share))", re.I)
OVER_TARGET = "over_target"  # the reason of a row that may be good, but is beyond what was asked for


@dataclass
class NewRow:
    """A parsed item: its conversation and what became of it (`reason` None: accepted). `turns`: all that stands ahead
    of the response, whole, where that is more than the instruction; `columns`: its optional columns (corpus/rows.py)
    and asked_span; `brought`: what else its meta holds."""

    instruction: str
    response: str
    ability: str | None
    origin: str
    meta: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    turns: tuple[dict[str, Any], ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    brought: dict[str, Any] = field(default_factory=dict)
    thought: str = ""  # what the model thought before it answered


@dataclass(frozen=True)
class Broken:
    """An answer that could not be parsed: one quarantined record with its raw text."""

    raw: str
    why: str
    meta: dict[str, Any]


def plain_faults(item: NewRow, language: str) -> str | None:
    """Why the item is no row, judged by itself without its language; None where nothing is wrong."""
    if len(item.instruction) < SHORTEST.get(language, 10):
        return "too_short"
    if not item.response.strip(" .…[]{}"):  # dots are what the prompt shows in place of an answer
        return "no_response"
    task, answer = _letters(item.instruction), _letters(item.response)
    if _lacks_material(item.instruction):
        return "missing_material"
    if len(item.response) < 120 and ASKS_BACK.match(item.response):
        return "asks_back"
    if re.match(r'\{\s*"instruction"', item.response):
        return "echo"
    material = _letters(item.instruction.partition("\n")[2])
    return "echo" if (material and answer == material) or (answer in task and 2 * len(answer) >= len(task)) else None


def _lacks_material(task: str) -> bool:
    """Whether the task speaks of a text, a list, a contract … that it does not hold."""
    spoken = SPEAKS_OF.search(task)
    if spoken is None or re.search(r"\S\s*\n\s*\S|①", task) or MAKES_CODE.search(task):
        return False
    parts = [m.group(1) for m in AFTER.finditer(task) if not STILL_ASKS.match(m.group(1))]
    parts += [m.group(1) or m.group(2) for m in QUOTED.finditer(task)]
    least = ENOUGH if spoken.lastgroup else SHORT
    return all(len(WORD.findall(p)) < least for p in parts)


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum()).casefold()


def wrong_language(texts: Sequence[str], language: str) -> np.ndarray:
    """Which texts are surely in another language; those that cannot be told are let through, as are those whose first
    line is right (what follows may be material to translate)."""
    if not texts:
        return np.empty(0, bool)
    return _surely_other(texts, language) & _surely_other([t.split("\n", 1)[0] for t in texts], language)


def _surely_other(texts: Sequence[str], language: str) -> np.ndarray:
    from instdata.read.language import detect

    found, sure = detect(pa.array(texts, pa.string()))
    return np.array([lang is not None and lang != language for lang in found.to_pylist()], bool) & (
        np.asarray(sure) >= 0.6
    )


class Novelty:
    """Instructions seen so far: the rows given, then every accepted item (the dedup step's index and its meaning of
    similar)."""

    def __init__(self, given: Sequence[str], threshold: float = 0.7):
        from instdata.steps.dedup import Index

        # Variety is what counts here: one word's difference makes no new instruction.
        self.index, self.given = Index(threshold, words=False), len(given)
        if given:
            self.index.add(pa.array(given, pa.string()))

    def nearest(self, text: str) -> tuple[int, float]:
        """(position of the most similar text, similarity); (-1, 0) where none is near. Positions count the rows given
        first, then the accepted items."""
        at, similarity = self.index.query([text])
        return int(at[0]), float(similarity[0])

    def add(self, text: str) -> None:
        self.index.add([text])


def pure_faults(items: Sequence[NewRow], language: str, other: Other = anything) -> None:
    """Give items the reasons that they have by themselves, whatever else was accepted. `other` tells that an item is of
    another ability than the one asked for."""
    faults = [plain_faults(i, language) for i in items]
    wrong = wrong_language([i.instruction for i in items], language)
    for item, fault, foreign in zip(items, faults, wrong, strict=True):
        item.reason = fault or ("wrong_language" if foreign else None)
        is_of = None if item.reason else other(item.instruction, item.response, item.ability)
        if is_of is not None:
            item.reason, item.evidence = "other_ability", is_of


def settle(item: NewRow, seen: Novelty, rids: Sequence[str]) -> None:
    """Accept an item that has no reason yet, or give it that of a copy: it is compared with those accepted before
    it."""
    if item.reason is not None:
        return
    at, similarity = seen.nearest(item.instruction)
    if at >= 0:
        of = {"rid": rids[at]} if at < seen.given else {"accepted": at - seen.given}
        item.reason, item.evidence = "near_duplicate", {**of, "similarity": round(similarity, 4)}
    else:
        seen.add(item.instruction)


def judge(items: list[NewRow], seen: Novelty, rids: Sequence[str], language: str, other: Other = anything) -> None:
    """Give every item its reason, in order: an item is also compared with the ones accepted before it."""
    pure_faults(items, language, other)
    for item in items:
        settle(item, seen, rids)


def schema() -> pa.Schema:
    """The columns of step.Produced's table."""
    return pa.schema(
        [
            ("messages", TURNS), ("ability", pa.string()), ("origin", pa.string()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()), ("meta", pa.string()), *OPTIONAL, ("asked_span", SPAN),
            ("reason", pa.string()), ("evidence", pa.string()),
            ("error", pa.string()), ("raw", pa.string()),
        ]
    )  # fmt: skip


def row_of(number: int, record: NewRow | Broken, method: str) -> dict[str, Any]:
    """A record as one row of that table."""
    held = record.brought if isinstance(record, NewRow) else {}
    meta = json.dumps({**held, "generate": record.meta}, ensure_ascii=False, sort_keys=True)
    where = {"source_file": method, "source_row": number, "meta": meta}
    if isinstance(record, Broken):
        return {**where, "error": f"unusable answer: {record.why}", "raw": record.raw}
    turns = record.turns or ({"role": "user", "content": record.instruction},)
    said = {"role": "assistant", "content": record.response}
    said |= {"reasoning_content": record.thought} if record.thought else {}
    evidence = json.dumps(record.evidence, sort_keys=True, ensure_ascii=False, default=str) if record.evidence else None
    return {
        **record.columns,
        **where,
        "messages": [*turns, said],
        "ability": record.ability,
        "origin": record.origin,
        "reason": record.reason,
        "evidence": evidence,
    }
