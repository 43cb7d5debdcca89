"""Records that hold several questions, as question sets publish them, into one flat record for each question.

SQuAD and CMRC (paragraphs and their qas), DROP (qa_pairs), RACE (lists beside each other), CoQA (a dialogue about a
story), C3 and DREAM ([dialogue, questions, id]), and a document of records by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from instdata.read.keys import Record, normalise_keys

Flat = dict[str, Any]
# What a record in a document of records by their ids has one of.
RECORDS = frozenset(
    (
        "instruction",
        "prompt",
        "question",
        "query",
        "problem",
        "messages",
        "conversations",
        "qas",
        "qa_pairs",
        "问题",
        "指令",
    )
)
PASSAGES = ("context", "context_text", "passage", "article", "story", "text")


class Listed(dict):
    """A record that came in as a list; `original` is that list."""

    original: list[Any]


def listed(value: Any) -> Listed | None:
    """The record that a list is: C3's and DREAM's [dialogue, questions, id]; None where it is something else."""
    if not (isinstance(value, list) and 2 <= len(value) <= 3 and isinstance(value[0], list)):
        return None
    asked = value[1]
    if not (isinstance(asked, list) and asked and all(isinstance(q, dict) and "question" in q for q in asked)):
        return None
    if not all(isinstance(line, str) for line in value[0]):
        return None
    out = Listed(dict(zip(("context", "qas", "id"), value)))
    out.original = value
    return out


def nested(record: Mapping[str, Any]) -> tuple[frozenset[str], list[Record]] | None:
    """(the columns that hold the questions, a flat record for each of them) of a record with normalised keys; None
    where it is one record."""
    for columns, read in NESTS:
        if columns <= record.keys():
            found = read(record)
            if found:
                return frozenset(k for k in record if k in columns or k in PASSAGES), [normalise_keys(f) for f in found]
    values = list(record.values())
    if values and all(isinstance(v, dict) for v in values):  # {"id 1": {…}, "id 2": {…}}
        found = [normalise_keys(v) for v in values]
        if all(not RECORDS.isdisjoint(f) for f in found):
            return frozenset(record), found
    return None


def _articles(record: Mapping[str, Any]) -> list[Flat]:
    paragraphs = record["paragraphs"]
    if not isinstance(paragraphs, list) or not all(isinstance(p, dict) and "qas" in p for p in paragraphs):
        return []
    return [flat for p in paragraphs for flat in _asked_of(p, p["qas"])]


def _paragraph(record: Mapping[str, Any]) -> list[Flat]:
    return _asked_of(record, record["qas"])


def _pairs(record: Mapping[str, Any]) -> list[Flat]:
    return _asked_of(record, record["qa_pairs"])


def _asked_of(holder: Mapping[str, Any], questions: Any) -> list[Flat]:
    """The questions about one passage."""
    if not isinstance(questions, list) or not all(isinstance(q, dict) for q in questions):
        return []
    passage = next((holder[k] for k in PASSAGES if holder.get(k)), "")
    return [{"context": passage, **{NAMES.get(k, k): v for k, v in q.items()}} for q in questions]


NAMES = {"query_text": "question", "query_id": "id", "input_text": "question"}


def _beside(record: Mapping[str, Any]) -> list[Flat]:
    """RACE: questions, options and answers in lists of one length."""
    lists = [record[k] for k in ("questions", "options", "answers")]
    if not all(isinstance(v, list) for v in lists) or len({len(v) for v in lists}) > 1:
        return []
    passage = next((record[k] for k in PASSAGES if record.get(k)), "")
    return [{"context": passage, "question": q, "options": o, "answer": a} for q, o, a in zip(*lists)]


def _story(record: Mapping[str, Any]) -> list[Flat]:
    """CoQA: one conversation, the story before its first question."""
    asked, said = (_texts(record[k]) for k in ("questions", "answers"))
    if not asked or len(asked) != len(said):
        return []
    if len(asked) == 1:
        return [{"context": record["story"], "question": asked[0], "answer": said[0]}]
    history = [[q, a] for q, a in zip(asked, said)][:-1]
    history[0][0] = f"{record['story']}\n\n{asked[0]}"
    return [{"history": history, "question": asked[-1], "answer": said[-1]}]


def _texts(value: Any) -> list[str]:
    """Texts of a list of texts or of {input_text}, or of a struct of lists of them."""
    held = value.get("input_text") if isinstance(value, dict) else value
    found = [v.get("input_text") if isinstance(v, dict) else v for v in held] if isinstance(held, list) else []
    return found if all(isinstance(v, str) for v in found) else []


NESTS: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], list[Flat]]], ...] = (
    (frozenset(["paragraphs"]), _articles),
    (frozenset(["qas"]), _paragraph),
    (frozenset(["qa_pairs"]), _pairs),
    (frozenset(["questions", "options", "answers"]), _beside),
    (frozenset(["story", "questions", "answers"]), _story),
)
