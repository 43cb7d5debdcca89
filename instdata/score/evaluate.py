"""Scores of a model: for every item its prompt, its answer, its score and why. Everything shown is a query over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.score.items import LETTERS, Item
from instdata.score.scorers import chance, score_answer
from instdata.score.table import SCHEMA
from instdata.train.generation import answers
from instdata.train.likelihood import answer_losses
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

CELL = {"cell": "", "model": "", "arm": "all", "config": "base", "rows": 0, "tokens": 0, "seed": 0}
METRICS = ("bits", "distractors", "answers")  # kinds of scoring; judging is apart, since it costs money
GENERATED = ("exact", "number", "choice", "label", "contains", "json", "unit_tests", "f1")


def metrics(wanted: str | None, default: Sequence[str] = METRICS) -> list[str]:
    """The kinds of scoring that `a,b` names. Raises InputError."""
    named = [w.strip() for w in (wanted or "").split(",") if w.strip()] or list(default)
    for word in named:
        if word not in METRICS:
            raise InputError(f'unknown metric "{word}".{did_you_mean(word, METRICS)} One of {", ".join(METRICS)}')
    return [m for m in METRICS if m in named]


def score(
    net: Any, tokenizer: Any, items: Sequence[Item], kinds: Sequence[str], context: int, cell: dict[str, Any],
    judged: bool = False,
) -> pa.Table:  # fmt: skip
    """Every item's scores as rows of SCHEMA; `cell` says of which model (keys of CELL). Items should have their
    distractors already (distractors.make). `judged`: also write the answers that a judge will score, metric "judge" without a value."""
    found: list[dict[str, Any]] = []
    if "bits" in kinds or "distractors" in kinds:
        found += _by_likelihood(net, tokenizer, items, kinds, context)
    asked = [i for i in items if (i.scorer in GENERATED and "answers" in kinds) or (i.scorer == "judge" and judged)]
    if asked:
        found += _by_answer(net, tokenizer, asked, context)
    shared = CELL | cell
    return pa.Table.from_pylist([shared | row for row in found], schema=SCHEMA)


def _row(item: Item, metric: str, value: float | None, reason: str, **more: Any) -> dict[str, Any]:
    value = None if value is None or not math.isfinite(value) else float(value)
    return {
        "suite": item.suite, "item": item.id, "ability": item.ability, "metric": metric, "value": value, "weight": 1.0,
        "chance": None if metric == "bits" else chance(item, metric), "prompt": item.question, "answer": None, "reason": reason,
    } | more  # fmt: skip


def _by_likelihood(
    net: Any, tokenizer: Any, items: Sequence[Item], kinds: Sequence[str], context: int
) -> list[dict[str, Any]]:
    """bits: bits per byte of the reference. distractors (Song et al. 2023, DoIT): 1 where the perplexity of the reference is
    strictly lower than that of every distractor; beside it, each distractor by itself."""
    asked = [
        (i, kind, text)
        for i, item in enumerate(items)
        for kind, text in (("own", item.reference), ("fine", item.fine), ("coarse", item.coarse))
        if text and (kind == "own" or "distractors" in kinds) and item.reference
    ]
    talks = [[*items[i].messages, {"role": "assistant", "content": text}] for i, _, text in asked]
    losses = answer_losses(net, tokenizer, talks, context)
    of = {(i, kind): pair for (i, kind, _), pair in zip(asked, losses)}
    found = []
    for i, item in enumerate(items):
        nats, tokens = of.get((i, "own"), (math.nan, math.nan))
        missing = "no reference" if not item.reference else "longer than the model's context"
        mean = nats / tokens
        if "bits" in kinds:
            size = len((item.reference or "").encode())
            bits = nats / math.log(2) / max(size, 1)
            why = missing if math.isnan(nats) else f"{nats / math.log(2):.1f} bits over {size} bytes"
            found.append(_row(item, "bits", bits, why, weight=float(size), answer=item.reference))
        if "distractors" in kinds and item.reference:
            wins = {}
            for kind, text in (("fine", item.fine), ("coarse", item.coarse)):
                if text is None:
                    found.append(_row(item, f"distractor_{kind}", None, "no distractor could be made"))
                    continue
                other = of[i, kind][0] / of[i, kind][1]
                known = not (math.isnan(mean) or math.isnan(other))
                wins[kind] = float(mean < other) if known else None
                what = f"{item.fine_kind or 'given'}: " if kind == "fine" else ""
                why = f"{what}perplexity {math.exp(mean):.2f} against {math.exp(other):.2f}" if known else missing
                found.append(_row(item, f"distractor_{kind}", wins[kind], why, answer=text))
            both = None if len(wins) < 2 or None in wins.values() else min(wins.values())
            beaten = " and ".join(f"{k} {'beaten' if w else 'not beaten'}" for k, w in wins.items())
            why = beaten if both is not None else "lacks a distractor" if len(wins) < 2 else missing
            found.append(_row(item, "distractors", both, why, answer=item.reference))
    return found


def _by_answer(net: Any, tokenizer: Any, items: Sequence[Item], context: int) -> list[dict[str, Any]]:
    """What the model writes, scored by the item's scorer. A choice whose letter cannot be read is made by likelihood."""
    found: list[dict[str, Any]] = []
    unread = []
    for item, (text, ended) in zip(items, answers(net, tokenizer, [i.messages for i in items], context)):
        if text is None:
            found.append(_row(item, item.scorer, None, "the prompt is longer than the model's context"))
            continue
        if item.scorer == "judge":
            found.append(_row(item, "judge", None, "not judged yet", answer=text))
            continue
        scored = score_answer(item, text)
        why = scored.reason if ended else f"{scored.reason} (cut off)"
        found.append(_row(item, item.scorer, scored.value, why, answer=text))
        if item.scorer == "choice" and scored.value is None and item.choices:
            unread.append((len(found) - 1, item))
    for (place, _), (letter, value) in zip(unread, _likeliest(net, tokenizer, [i for _, i in unread], context)):
        if letter is not None:
            found[place] |= {"value": value, "reason": f"no letter in the answer; {letter} is the likeliest option"}
    return found


def _likeliest(net: Any, tokenizer: Any, items: Sequence[Item], context: int) -> list[tuple[str | None, float | None]]:
    """(the option that the model finds likeliest, its score) of each item: the letter with the lowest mean loss."""
    talks = [
        [*item.messages, {"role": "assistant", "content": letter}]
        for item in items
        for letter in LETTERS[: len(item.choices or [])]
    ]
    losses = answer_losses(net, tokenizer, talks, context) if talks else np.empty((0, 2))
    found: list[tuple[str | None, float | None]] = []
    at = 0
    for item in items:
        n = len(item.choices or [])
        mean = losses[at : at + n, 0] / losses[at : at + n, 1]
        at += n
        letter = None if np.isnan(mean).all() else LETTERS[int(np.nanargmin(mean))]
        found.append((letter, None if letter is None else score_answer(item, letter).value))
    return found
