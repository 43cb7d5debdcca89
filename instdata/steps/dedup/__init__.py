"""Near copies: dedup (within a set), near and Index (against another), decontaminate (against what a model is judged by).

Nothing here is imported before it is used: the kernels need numba, which takes a second.
"""

from __future__ import annotations

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


def warm() -> None:
    """Compile every kernel by running each once."""
    import numpy as np
    import pyarrow as pa

    from instdata.steps.dedup.api import find_in, near, sketch_all
    from instdata.steps.dedup.leaks import leaks
    from instdata.steps.dedup.minhash import scheme, signatures, slices

    words = ["alpha", "bravo", "carbon", "delta", "echoes", "foxtrot"]
    long = " ".join(words * 8)
    texts = [
        f"Tell me in some detail about {a} and {b}, e\u0301 {long if i % 2 else ''}"
        for i, a in enumerate(words)
        for b in words
    ]
    texts += [f"{long}: {i}" for i in range(40)]  # one large group
    s, order = scheme(0.5), np.arange(len(texts) + 1)
    for memory in (1 << 30, 1):  # in memory, and from temporary files: numba compiles both
        sketched = sketch_all(slices([*texts, texts[0]]), len(order), s, memory)
        find_in(sketched, s, order, 0.5, 0.5, "minhash").kept  # noqa: B018 - computed on access
    find_in(sketched, s, order, 0.9, 0.9, "semantic", vectors=np.eye(len(order), 8, dtype=np.float32)).kept  # noqa: B018
    near(texts[:2], texts[:9], 0.5)
    signatures(texts[:2])
    leaks(pa.array(texts), pa.array(texts), pa.array([long, *texts[:2]]))
