"""Scores of what a model writes, by each item's scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instdata.score.extract.thoughts import without_thoughts
from instdata.score.item import Item
from instdata.score.likelihood import likeliest
from instdata.score.model import Model
from instdata.score.score_table import score_row
from instdata.score.scorers import score_answer


def by_answer(model: Model, items: Sequence[Item]) -> list[dict[str, Any]]:
    """What the model writes, scored by the item's scorer. A choice whose letter cannot be read is made by
    likelihood."""
    found: list[dict[str, Any]] = []
    unread = []
    answers = model.answers([i.messages for i in items], [i.reference for i in items])
    for item, (text, ended) in zip(items, answers):
        if text is None:
            found.append(score_row(item, item.scorer, None, "the prompt is longer than the model's context"))
            continue
        if item.scorer == "judge":  # a judge reads the answer, not the thoughts
            said = without_thoughts(text)
            why = "not judged yet" if said is not None else "the answer ends within its thoughts"
            found.append(score_row(item, "judge", None, why, answer=said))
            continue
        scored = score_answer(item, text)
        why = scored.reason if ended else f"{scored.reason} (cut off)"
        found.append(score_row(item, item.scorer, scored.value, why, answer=text))
        if item.scorer == "choice" and scored.value is None and item.choices:
            unread.append((len(found) - 1, item))
    for (place, _), (letter, value) in zip(unread, likeliest(model, [i for _, i in unread])):
        if letter is not None:
            found[place] |= {"value": value, "reason": f"no letter in the answer; {letter} is the likeliest option"}
    return found
