"""What a generated row must be before it counts: told apart from quality rules in that failing means "write another"."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

# The shortest instruction that can be a task, in characters: unspaced scripts say more in each.
SHORTEST = {"zh": 5, "ja": 5, "ko": 5, "th": 8}

# A task that speaks of material ("the given passage", “以下文章”) …
SPEAKS_OF = re.compile(
    r"\b(?:(?<!\ba\s)given|following|provided|above)\s+(?:\w+\s+){0,2}(?:passage|sentence|statement|text|paragraph|article|conversation|dialogue"
    r"|list|data|table|equation|code|poem|story)s?\b|\b(?:the|this) (?:passage|text|paragraph|article|conversation)\b"
    r"|(?:给定|以下|下面|下列|上述|所给|提供|这个|这段|这篇|这首)的?[^，。？！：\n]{0,8}(?:文|句|段|诗|对话|内容|信息|数据|清单|记录|描述|问题|歌词|计划|总结)",
    re.I,
)
# … must hold it: another line, or something after a colon or in quotes.
HOLDS = re.compile(r"\S\s*\n\s*\S|[:：]\s*\S{2}|[\"“'‘「《].{2}|```|①")

# A short answer that asks for what the task lacks.
ASKS_BACK = re.compile(r"^.{0,30}?(?:请您?(?:提供|告诉我|给出)|please (?:provide|tell me|share))", re.I)


@dataclass
class Item:
    """A parsed item: its conversation and what became of it (`reason` None: accepted)."""

    instruction: str
    response: str
    ability: str | None
    origin: str
    meta: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """An answer that could not be parsed: one quarantined record with its raw text."""

    raw: str
    why: str
    meta: dict[str, Any]


def plain_faults(item: Item, language: str) -> str | None:
    """Why the item is no row, judged by itself without its language; None where nothing is wrong."""
    if len(item.instruction) < SHORTEST.get(language, 10):
        return "too_short"
    if not item.response:
        return "no_response"
    task, answer = _letters(item.instruction), _letters(item.response)
    if SPEAKS_OF.search(item.instruction) and not HOLDS.search(item.instruction):
        return "missing_material"
    if len(item.response) < 120 and ASKS_BACK.match(item.response):
        return "asks_back"
    return "echo" if answer in task and 2 * len(answer) >= len(task) else None


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum()).casefold()


def wrong_language(texts: Sequence[str], language: str) -> np.ndarray:
    """Which texts are surely in another language; those that cannot be told are let through, as are those whose first
    line is right (what follows may be material to translate)."""
    if not texts:
        return np.empty(0, bool)
    return _surely_other(texts, language) & _surely_other([t.split("\n", 1)[0] for t in texts], language)


def _surely_other(texts: Sequence[str], language: str) -> np.ndarray:
    from instdata.lang import detect

    found, sure = detect(pa.array(texts, pa.string()))
    return np.array([lang is not None and lang != language for lang in found.to_pylist()], bool) & (
        np.asarray(sure) >= 0.6
    )


class Novelty:
    """Instructions seen so far: the rows given, then every accepted item (the dedup step's index and its meaning of similar)."""

    def __init__(self, given: Sequence[str], threshold: float = 0.7):
        from instdata.dedup import Index

        self.index, self.given = Index(threshold), len(given)
        if given:
            self.index.add(pa.array(given, pa.string()))

    def nearest(self, text: str) -> tuple[int, float]:
        """(position of the most similar text, similarity); (-1, 0) where none is near. Positions count the rows given
        first, then the accepted items."""
        at, similarity = self.index.query([text])
        return int(at[0]), float(similarity[0])

    def add(self, text: str) -> None:
        self.index.add([text])


def judge(items: list[Item], seen: Novelty, rids: Sequence[str], language: str) -> None:
    """Give every item its reason, in order: an item is also compared with the ones accepted before it."""
    faults = [plain_faults(i, language) for i in items]
    foreign = wrong_language([i.instruction for i in items], language)
    for item, fault, other in zip(items, faults, foreign, strict=True):
        item.reason = fault or ("wrong_language" if other else None)
        if item.reason is None:
            at, similarity = seen.nearest(item.instruction)
            if at >= 0:
                of = {"rid": rids[at]} if at < seen.given else {"accepted": at - seen.given}
                item.reason, item.evidence = "near_duplicate", {**of, "similarity": round(similarity, 4)}
            else:
                seen.add(item.instruction)


def table_of(records: Sequence[Item | Broken], method: str) -> pa.Table:
    """The records as step.Produced wants them, in this order."""
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    rows = [_row(n, r, method) for n, r in enumerate(records)]
    schema = pa.schema(
        [
            ("messages", pa.list_(turn)), ("ability", pa.string()), ("origin", pa.string()), ("source_file", pa.string()),
            ("source_row", pa.int64()), ("meta", pa.string()), ("reason", pa.string()), ("evidence", pa.string()),
            ("error", pa.string()), ("raw", pa.string()),
        ]
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def _row(number: int, record: Item | Broken, method: str) -> dict[str, Any]:
    meta = json.dumps({"generate": record.meta}, ensure_ascii=False, sort_keys=True)
    where = {"source_file": method, "source_row": number, "meta": meta}
    if isinstance(record, Broken):
        return {**where, "error": f"unusable answer: {record.why}", "raw": record.raw}
    messages = [{"role": "user", "content": record.instruction}, {"role": "assistant", "content": record.response}]
    evidence = json.dumps(record.evidence, sort_keys=True) if record.evidence else None
    return {
        **where,
        "messages": messages,
        "ability": record.ability,
        "origin": record.origin,
        "reason": record.reason,
        "evidence": evidence,
    }
