"""Near copies: dedup (within a set), near and Index (against another), decontaminate (against what a model is judged by).

Nothing here is imported before it is used: the kernels need numba, which takes a second.
"""

from __future__ import annotations

from typing import Any

API = {"dedup": "api", "near": "api", "Index": "api", "Near": "api", "Deduped": "result", "signatures": "minhash", "to_datasketch": "minhash"}
__all__ = [*API, "warm"]


def __getattr__(name: str) -> Any:
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"instdata.dedup.{API[name]}"), name)


def warm() -> None:
    """Compile every kernel by running each once."""
    from instdata.dedup.api import dedup, near
    from instdata.dedup.minhash import signatures

    words = ["alpha", "bravo", "carbon", "delta", "echoes", "foxtrot"]
    long = " ".join(words * 8)
    texts = [f"Tell me in some detail about {a} and {b}, e\u0301 {long if i % 2 else ''}" for i, a in enumerate(words) for b in words] * 2
    dedup(texts, 0.5).kept  # noqa: B018 - computed on access
    near(texts[:2], texts[:9], 0.5)
    signatures(texts[:2])
