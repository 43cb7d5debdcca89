"""Holdout: evaluation items, taken out before any subset, and no near copy of them left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.record import UNKNOWN, Rows
from instdata.step import Context, Scope, Scores, Step, Verdicts, drop
from instdata.subset import priority


class Holdout(Step):
    """Set rows of each ability aside for evaluation (config `holdout`), and drop near copies of them ("near_holdout").

    Rows are chosen by a pseudo-random priority of (seed, id), answered rows only, never a seed task that generation
    may have shown. An ability gives at most half of its rows, with a warning. Two chosen rows are never near copies.
    """

    kind: ClassVar[str] = "holdout"
    scope: ClassVar[Scope] = "corpus"
    reads_labels: ClassVar[bool] = True
    reads_shown: ClassVar[bool] = True

    per_ability: int = Field(20, ge=1, description="Rows of each ability to hold out.")
    threshold: float = Field(
        0.7, gt=0, le=1, description="Jaccard similarity of prompts from which a row is a near copy."
    )

    def scoring(self, context: Context) -> dict[str, Any]:
        return {**super().scoring(context), "seed": context.seed}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """`_held`: chosen. `_near`: position of the chosen row that this one copies, -1 for none. `similarity`: theirs."""
        from instdata.dedup import near

        labels = pc.fill_null(rows.ability, UNKNOWN).dictionary_encode()
        names, codes = labels.dictionary.to_pylist(), np.asarray(labels.indices)
        prompts = pa.chunked_array([b.prompt for b in rows.batches()], pa.string())
        answered = np.concatenate([np.asarray(b.response.is_valid()) for b in rows.batches()])
        first = np.argsort(priority(rows.id, rows.context.seed, "holdout"), kind="stable")
        free = answered & ~rows.shown
        wanted = np.minimum(self.per_ability, np.bincount(codes[answered], minlength=len(names)) // 2)

        held = np.zeros(len(rows), bool)
        copy_of, similarity = np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan, np.float32)
        # Rows are chosen in rounds: near copies of the chosen ones stop being free, and the next in line fill up.
        while True:
            chosen = _next(
                codes, first, free & ~held & (copy_of < 0), wanted - np.bincount(codes[held], minlength=len(names))
            )
            if not len(chosen):
                break
            for query, other, value in zip(*near(prompts.take(pa.array(chosen)), prompts, self.threshold)):
                row, other = chosen[query], int(other)
                # Of two chosen rows that are near, the one that comes first stays.
                if (
                    other != row
                    and copy_of[row] < 0
                    and not held[other]
                    and not value <= np.nan_to_num(similarity[other])
                ):
                    copy_of[other], similarity[other] = row, value
            held[chosen[copy_of[chosen] < 0]] = True
        return {
            "_held": held,
            "_near": copy_of,
            "similarity": similarity,
            "_short": _short(names, codes, held, answered, self.per_ability),
        }

    def decide(self, scores: Scores) -> Verdicts:
        near = scores._near
        verdicts = drop(near >= 0, "near_holdout", other=near)
        share = [f'{{"similarity": {s:.4f}}}' if n >= 0 else None for n, s in zip(near, scores.similarity)]
        verdicts.evidence = pa.array(share, pa.string())
        verdicts.config = pc.if_else(
            scores.column("_held").combine_chunks(), pa.scalar("holdout"), pa.scalar(None, pa.string())
        )
        short = [s for s in scores.column("_short").unique().to_pylist() if s]
        verdicts.warnings = [f"holdout: {s}" for s in short]
        return verdicts


def _next(codes: np.ndarray, first: np.ndarray, free: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The next rows in line: of each ability as many as are wanted, in order of priority."""
    line = first[free[first]]
    by = line[np.argsort(codes[line], kind="stable")]
    starts = np.searchsorted(codes[by], np.arange(len(wanted)))
    rank = np.arange(len(by)) - starts[codes[by]]
    chosen = by[rank < wanted[codes[by]]]
    return chosen[np.argsort(np.argsort(first)[chosen], kind="stable")]


def _short(names: list[str], codes: np.ndarray, held: np.ndarray, answered: np.ndarray, wanted: int) -> pa.Array:
    """A line on the first row of each ability that gave fewer rows than wanted, null elsewhere."""
    lines = np.full(len(codes), None, object)
    have, gave = np.bincount(codes[answered], minlength=len(names)), np.bincount(codes[held], minlength=len(names))
    for code, name in enumerate(names):
        if gave[code] < wanted:
            why = (
                "at most half of it may go"
                if gave[code] == have[code] // 2
                else "the others are seeds, unanswered or near copies"
            )
            lines[np.argmax(codes == code)] = f"{name} gives {gave[code]} of {wanted} rows: it has {have[code]}, {why}"
    return pa.array(lines, pa.string())
