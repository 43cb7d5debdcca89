"""Near copies: dedup (within a set), near and Index (against another), decontaminate (against what a model is judged
by).

Nothing here is imported before it is used: the kernels need numba, which takes a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

API = {
    "dedup": "api",
    "near": "api",
    "Index": "api",
    "Near": "api",
    "Deduped": "result",
    "signatures": "minhash",
    "to_datasketch": "minhash",
}
__all__ = [*API, "warm"]


def __getattr__(name: str) -> Any:
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"instdata.steps.dedup.{API[name]}"), name)


WORDS = ["alpha", "bravo", "carbon", "delta", "echoes", "foxtrot"]
LONG = " ".join(WORDS * 8)
LEAK = "Name the two rivers that meet where the oldest bridge of that valley stood before the flood took it."


def _texts() -> list[str]:
    """Texts of which some are near each other, some long."""
    return [
        f"Tell me in some detail about {a} and {b}, e\u0301 {LONG if i % 2 else ''}"
        for i, a in enumerate(WORDS)
        for b in WORDS
    ] + [
        *(f"{LONG}: {i}" for i in range(40)),  # one large group
        *(f"Which {word} grow best in a small garden behind the house?" for word in ("flowers", "flowrs")),  # a slip
    ]


def warm() -> None:
    """Compile the kernels of near duplicates by running each once."""
    from instdata.steps.dedup.api import near

    _warm(memory=1 << 30)
    near(_texts()[:2], _texts()[:9], 0.5)


def warm_rare() -> None:
    """Compile what larger sets, other methods and other callers need: numba compiles arrays in temporary files anew."""
    from instdata.steps.dedup.minhash import signatures

    _warm(memory=1)
    _warm(memory=1 << 30, semantic=True)
    signatures(_texts()[:2])


def _warm(memory: int, semantic: bool = False) -> None:
    import numpy as np

    from instdata.steps.dedup.api import find_in, sketch_all
    from instdata.steps.dedup.kept_verdicts import KeptVerdicts, text_hashes
    from instdata.steps.dedup.minhash import scheme, slices

    texts = _texts()
    s, order = scheme(0.5), np.arange(len(texts) + 1)
    sketched = sketch_all(slices([*texts, texts[0]]), len(order), s, memory)
    hashes = np.empty((len(order), 2), np.uint64)
    text_hashes(*sketched.texts.fetch(order), hashes)
    KeptVerdicts(Path("nowhere"), hashes, True, print).find(order.astype(np.int32), np.empty(0, np.uint64))
    vectors = np.eye(len(order), 8, dtype=np.float32) if semantic else None
    method, least = ("semantic", 0.9) if semantic else ("minhash", 0.5)
    find_in(sketched, s, order, least, least, method, vectors=vectors).kept  # noqa: B018 - computed on access


def warm_leaks() -> None:
    """Compile every kernel of contamination by running each once."""
    import numpy as np
    import pyarrow as pa

    from instdata.steps.dedup.leaks import Items, leaks
    from instdata.steps.dedup.token_codes import matches_in, packed

    texts = pa.array([*_texts(), LEAK])
    parts = pa.array([LONG, *_texts()[:2], LEAK])
    leaks(texts, texts, parts)
    matches_in(
        Items(parts, threshold=None),
        [packed(texts)],
        np.ones(len(texts), bool),
        lambda at: [(at, texts.take(pa.array(at)))],
    )
