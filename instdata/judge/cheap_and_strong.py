"""A cheap judge on everything and a strong one on a few: one estimate that is as unbiased as the strong judge alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from instdata.llm.ask import Options
from instdata.util.context import Context
from instdata.util.errors import MissingExtra

if TYPE_CHECKING:
    from instdata.corpus.taxonomy import Taxonomy
    from instdata.score.items import Item

SHARE = 0.2  # of the items go to the strong judge too


def judge_together(
    items: Sequence[Item],
    answers: Sequence[str | None],
    taxonomy: Taxonomy | None,
    cheap: Options,
    strong: Options,
    *,
    share: float = SHARE,
    runs: int = 1,
    context: Context = Context(),  # noqa: B008 (frozen)
    name: str = "judge",
) -> dict[str, dict[str, Any]]:
    """{ability: what `powered` says of its answers' mean score}: the cheap judge scores every answer, the strong one a
    `share` of each ability's, at least two, chosen by a hash of the item. Raises as judge_items."""
    from instdata.judge.ask import judge_items

    by_all = judge_items(items, answers, taxonomy, cheap, runs=runs, context=context, name=name)
    at = few(items, share)
    by_few = judge_items(
        [items[i] for i in at],
        [answers[i] for i in at],
        taxonomy,
        strong,
        runs=runs,
        context=context,
        name=f"{name} strong",
    )
    labels: list[float | None] = [None] * len(items)
    for i, judged in zip(at, by_few, strict=True):
        labels[i] = judged.value
    found = {}
    for ability in dict.fromkeys(item.ability for item in items):
        of = [i for i, item in enumerate(items) if item.ability == ability]
        found[ability] = powered([labels[i] for i in of], [by_all[i].value for i in of])
    return found


def few(items: Sequence[Item], share: float) -> list[int]:
    """The positions of a `share` of each ability's items, at least two, chosen by a hash of the item's id."""
    by_ability: dict[str, list[int]] = {}
    for i in sorted(range(len(items)), key=lambda i: hashlib.blake2b(f"strong {items[i].id}".encode()).digest()):
        by_ability.setdefault(items[i].ability, []).append(i)
    return sorted(i for at in by_ability.values() for i in at[: max(2, round(share * len(at)))])


def powered(strong: Sequence[float | None], cheap: Sequence[float | None]) -> dict[str, Any]:
    """The mean of the strong judge's scores over all items, from its scores of some and the cheap judge's of all (both in
    the items' order, None where there is none): {value, low, high, se, tuning, strong, cheap, saving, saved, said}.

    `saving`: strong scores that plain averaging needs for the same error, per one that was used; `saved`: how many
    that is. None in place of the figures where fewer than two items have both scores, or only one."""
    try:
        from instdata.util.stats import prediction_powered

        y, f, g = _parts(strong, cheap)
        counts = {"strong": len(y), "cheap": len(f) + len(g)}
        if len(y) < 2 or len(g) < 2:
            names = ("value", "low", "high", "se", "tuning", "saving", "saved")
            return {**dict.fromkeys(names), **counts, "said": "too few scores for an estimate"}
        e = prediction_powered(y, f, g)
    except ImportError as x:
        raise MissingExtra("a prediction-powered estimate", "train") from x
    saved = round((e.saving - 1) * len(y))
    said = (
        f"{len(y):,} strong scores did the work of {len(y) + saved:,}: {saved:,} saved ({1 - 1 / e.saving:.0%})"
        if saved > 0
        else "the cheap judge told too little to save strong scores"
    )
    return {
        "value": e.value, "low": e.low, "high": e.high, "se": e.se, "tuning": e.tuning, **counts,
        "saving": e.saving, "saved": max(0, saved), "said": said,
    }  # fmt: skip


def _parts(strong: Sequence[float | None], cheap: Sequence[float | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(strong scores of items with both, cheap scores of those, cheap scores of the others)."""
    both = [(s, c) for s, c in zip(strong, cheap, strict=True) if s is not None and c is not None]
    alone = [c for s, c in zip(strong, cheap, strict=True) if s is None and c is not None]
    return np.array([s for s, _ in both]), np.array([c for _, c in both]), np.array(alone)
