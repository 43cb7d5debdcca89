"""Choosing rows by a score: the best share, overall or of each ability, and not all of them alike."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from instdata.util.errors import MissingExtra

ALIKE = 0.8  # cosine of two prompts from which the better one stands for both
DIMENSIONS = 64  # of the 256 that the embedding has; it is made to be cut
BLOCK = 512


def top(
    score: np.ndarray, share: float, groups: np.ndarray | None, tie: np.ndarray, embedding: np.ndarray | None = None
) -> np.ndarray:
    """A mask of the rows chosen: the best `share` of each group (None: one group), rounded to the nearest row.

    `score` is higher for better rows, NaN last; `tie` orders equal scores. With embeddings (rows x dimensions, unit
    length), best first, a row like one already chosen waits until all others had their turn (the filter of Liu et al.
    2024, DEITA, with the places it leaves filled up).
    """
    chosen = np.zeros(len(score), bool)
    order = np.lexsort((tie, -np.nan_to_num(score, nan=-np.inf)))
    kinds = np.zeros(len(score), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    for kind in range(kinds.max() + 1 if len(kinds) else 0):
        mine = order[kinds[order] == kind]
        places = int(share * len(mine) + 0.5)
        if embedding is not None:
            mine = mine[_unlike_first(embedding[mine], places)]
        chosen[mine[:places]] = True
    return chosen


def _unlike_first(embedding: np.ndarray, places: int) -> np.ndarray:
    """The rows' order with those that are like an earlier chosen one moved behind; looks no further than `places`."""
    picked: list[int] = []
    waiting: list[int] = []
    bank = np.empty((places, embedding.shape[1]), np.float32)
    for start in range(0, len(embedding), BLOCK):
        block = embedding[start : start + BLOCK]
        near = (block @ bank[: len(picked)].T >= ALIKE).any(1) if picked else np.zeros(len(block), bool)
        within = block @ block.T >= ALIKE
        taken: list[int] = []
        for i in range(len(block)):
            if len(picked) == places:
                return np.array(picked, np.int64)
            if near[i] or within[i, taken].any():
                waiting.append(start + i)
            else:
                bank[len(picked)] = block[i]
                picked.append(start + i)
                taken.append(i)
    return np.array(picked + waiting, np.int64)


def embed(texts: pa.Array) -> np.ndarray:
    """Unit vectors of the texts (rows x DIMENSIONS, float32) from WordLlama's static token embeddings, which lie in its
    wheel. Raises MissingExtra."""
    try:
        import wordllama
    except ImportError as e:
        raise MissingExtra("quality: diverse", "embed") from e
    from pathlib import Path

    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, trunc_dim=DIMENSIONS)
    found = np.zeros((len(texts), DIMENSIONS), np.float32)
    for start in range(0, len(texts), 4096):
        found[start : start + 4096] = model.embed(
            [t[:2000] or " " for t in texts[start : start + 4096].to_pylist()], norm=True
        )
    return np.nan_to_num(found)
