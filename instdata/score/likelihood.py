"""Scores by likelihood: low noise, no generation, no judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from instdata.score.item import LETTERS, Item
from instdata.score.model import Model
from instdata.score.score_table import score_row
from instdata.score.scorers import score_answer


def by_likelihood(model: Model, items: Sequence[Item], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """bits: bits per byte of the reference. distractors (Song et al. 2023, DoIT): 1 where the perplexity of the
    reference is strictly lower than that of every distractor; beside it, each distractor by itself."""
    asked = [
        (i, kind, text)
        for i, item in enumerate(items)
        for kind, text in (("own", item.reference), ("fine", item.fine), ("coarse", item.coarse))
        if text and (kind == "own" or "distractors" in kinds) and item.reference
    ]
    talks = [[*items[i].messages, {"role": "assistant", "content": text}] for i, _, text in asked]
    losses = model.losses(talks)
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
            found.append(score_row(item, "bits", bits, why, weight=float(size), answer=item.reference))
        if "distractors" in kinds and item.reference:
            wins = {}
            for kind, text in (("fine", item.fine), ("coarse", item.coarse)):
                if text is None:
                    found.append(score_row(item, f"distractor_{kind}", None, "no distractor could be made"))
                    continue
                other = of[i, kind][0] / of[i, kind][1]
                known = not (math.isnan(mean) or math.isnan(other))
                wins[kind] = float(mean < other) if known else None
                what = f"{item.fine_kind or 'given'}: " if kind == "fine" else ""
                why = f"{what}perplexity {math.exp(mean):.2f} against {math.exp(other):.2f}" if known else missing
                found.append(score_row(item, f"distractor_{kind}", wins[kind], why, answer=text))
            sure = [w for w in wins.values() if w is not None]
            both = min(sure) if len(sure) == 2 else None
            beaten = " and ".join(f"{k} {'beaten' if w else 'not beaten'}" for k, w in wins.items())
            why = beaten if both is not None else "lacks a distractor" if len(wins) < 2 else missing
            found.append(score_row(item, "distractors", both, why, answer=item.reference))
    return found


def likeliest(model: Model, items: Sequence[Item]) -> list[tuple[str | None, float | None]]:
    """(the option that the model finds likeliest, its score) of each item: the letter with the lowest mean loss."""
    talks = [
        [*item.messages, {"role": "assistant", "content": letter}]
        for item in items
        for letter in LETTERS[: len(item.choices or [])]
    ]
    losses = model.losses(talks) if talks else np.empty((0, 2))
    found: list[tuple[str | None, float | None]] = []
    at = 0
    for item in items:
        n = len(item.choices or [])
        mean = losses[at : at + n, 0] / losses[at : at + n, 1]
        at += n
        letter = None if np.isnan(mean).all() else LETTERS[int(np.nanargmin(mean))]
        found.append((letter, None if letter is None else score_answer(item, letter).value))
    return found
