"""A cheap judge on everything and a strong one on a few: one estimate that is as unbiased as the strong judge alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instdata.util.errors import MissingExtra


def powered(strong: Sequence[float | None], cheap: Sequence[float | None]) -> dict[str, Any]:
    """The mean of the strong judge's scores over all items, from its scores of some and the cheap judge's of all (both
    in the items' order, None where there is none): {value, low, high, se, tuning, strong, cheap, saving, saved, said}.

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
