"""Options as numbers: bands, bytes, and what `auto` stands for. Needs no numba, so recipes are checked at once."""

from __future__ import annotations

import math
import re

from instdata.util.errors import InputError

NGRAM = 5  # columns: five Latin letters, three Chinese characters
EMBEDDING = "wordllama"  # static word embeddings whose weights lie in the package: any language, no network
THRESHOLD = {"exact": 1.0, "minhash": 0.7, "semantic": 0.9}
FLOOR = {"minhash": 0.7, "semantic": 0.85}  # searched down to here: no higher threshold needs a new search
CERTAIN = 0.9895  # the probability, 0.99 to two decimals, with which a pair at the threshold becomes a candidate


def bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """(bands, rows a band): the longest bands, and then the fewest, with which a pair at the threshold shares at least
    one band with probability 0.99. Raises InputError where num_perm hashes cannot give that."""
    if not 0 < threshold <= 1:
        raise InputError(f"dedup: threshold {threshold} is outside (0, 1]: at 0 every row would equal the first")
    for rows in range(min(num_perm, 16), 0, -1):
        if (count := _needed(threshold**rows)) * rows <= num_perm:
            return count, rows
    raise InputError(
        f"dedup: num_perm {num_perm} cannot find pairs at {threshold} with probability 0.99; use num_perm: "
        f"{_needed(threshold)} or more, or a higher threshold"
    )


def _needed(agree: float) -> int:
    """Bands so that one agrees with probability CERTAIN, where each does with probability `agree`."""
    return (
        1 if agree >= CERTAIN else math.ceil(math.log(1 - CERTAIN) / math.log1p(-agree)) if agree > 1e-12 else 1 << 30
    )


def parse_bytes(text: str | int) -> int:
    """Bytes of "4GB", "500 MB" or a number. Raises InputError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]?)i?b?\s*", str(text).lower())
    if not match or not float(match[1]):
        raise InputError(f'max_memory: {text!r} is not a size; write for example "4GB"')
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))
