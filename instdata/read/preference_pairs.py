"""Two answers and a verdict, as preference sets publish them, into a record with `prompt`, `chosen` and `rejected`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instdata.read.field_text import json_text

# The two answers' columns; what says which is better: a column, and its values for the first and for the second.
# HelpSteer 3 and the like: a number below 0 is for the first, above 0 for the second.
VERDICTS = (
    ("response_0", "response_1", "better_response_id", (0,), (1,)),  # PKU-SafeRLHF
    ("human_ref_a", "human_ref_b", "labels", (1,), (0,)),  # SHP
    ("conversation_a", "conversation_b", "winner", ("model_a",), ("model_b",)),  # LMSYS's arena
    ("response_a", "response_b", "winner_model_a", (1,), (0,)),  # its Kaggle edition
    ("response_a", "response_b", "winner", ("model_a", "a", "A"), ("model_b", "b", "B")),
    ("response1", "response2", "overall_preference", None, None),  # HelpSteer 3
    ("response_1", "response_2", "preference_strength", None, None),  # HelpSteer 2
)
TIE = "tie"
OTHERS = frozenset(["messages", "conversations", "chosen", "completion", "response", "output"])  # of another shape
TIES = ("winner_tie",)
ASKED = ("prompt", "question", "context", "history", "instruction", "input")


def preferred(record: Mapping[str, Any]) -> tuple[frozenset[str], dict[str, Any]] | None:
    """(the columns that were used, the record that a pair is) of a record with normalised keys; None where it is no
    pair. Of two equals the first is `chosen` and TIE is true."""
    if not OTHERS.isdisjoint(record):
        return None
    for first, second, verdict, one, two in VERDICTS:
        if not {first, second, verdict} <= record.keys():
            continue
        better = _better(record, record[verdict], one, two)
        a, b = (json_text(record[k]) if isinstance(record[k], str) else record[k] for k in (first, second))
        asked = next((k for k in ASKED if k in record), None)
        flat = {"prompt": _said(record[asked])} if asked and asked not in (first, second) else {}
        chosen, rejected = (b, a) if better == 1 else (a, b)
        flat |= {"chosen": _said(chosen), "rejected": _said(rejected), **({TIE: True} if better is None else {})}
        return frozenset(k for k in (first, second, asked, verdict) if k), flat
    return None


def _better(record: Mapping[str, Any], verdict: Any, one: tuple | None, two: tuple | None) -> int | None:
    if any(record.get(k) in (1, True) for k in TIES):
        return None
    if one is None or two is None:
        found = verdict if isinstance(verdict, (int, float)) else 0
        return 0 if found < 0 else 1 if found > 0 else None
    return 0 if verdict in one else 1 if verdict in two else None


def _said(value: Any) -> Any:
    """What was asked or answered: a text, turns, the text of a list that holds one (the arena's)."""
    value = json_text(value) if isinstance(value, str) else value
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value
