"""Sentence embeddings, computed once: a sidecar in the cache, under the texts and the model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.dedup.sizes import EMBEDDING
from instdata.errors import InputError, MissingExtra

BATCH = 4096


def unavailable(model: str) -> list[str]:
    """What is missing to use this model, one line each; nothing is loaded."""
    package = "wordllama" if model == EMBEDDING else "sentence_transformers"
    return [] if find_spec(package) else [str(MissingExtra(f"method: semantic with model {model}", "embed"))]


def embeddings(texts: list[pa.Array], model: str, cache: Path | None) -> np.ndarray:
    """Unit vectors, float32[texts, dimensions], a zero vector for a text that has none. Read from `cache` where they are there.
    Raises MissingExtra, or InputError where the model cannot be loaded."""
    digest = hashlib.sha256(model.encode())
    for part in texts:
        for at in range(0, len(part), BATCH):
            digest.update("\0".join("\1" if t is None else t for t in part.slice(at, BATCH).to_pylist()).encode())
    path = cache / "embeddings" / f"{digest.hexdigest()[:40]}.npy" if cache else None
    if path and path.exists():
        return np.load(path, allow_pickle=False).astype(np.float32)
    encode = _encoder(model)
    parts = [
        encode(["" if t is None else t for t in part.slice(at, BATCH).to_pylist()])
        for part in texts
        for at in range(0, len(part), BATCH)
    ]
    vectors = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    norm = np.linalg.norm(np.nan_to_num(vectors), axis=1, keepdims=True)
    vectors = (np.nan_to_num(vectors) / np.where(norm > 0, norm, 1)).astype(np.float16)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.npy")
        np.save(temporary, vectors, allow_pickle=False)
        temporary.replace(path)
    return vectors.astype(np.float32)


def _encoder(model: str) -> Callable[[list[str]], np.ndarray]:
    if model == EMBEDDING:
        try:
            import wordllama
        except ImportError as e:
            raise MissingExtra("method: semantic", "embed") from e
        # The weights lie in the package; with downloads off nothing touches the network.
        loaded = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
        return lambda batch: loaded.embed([t or " " for t in batch])
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as e:
        raise MissingExtra(f"model: {model}", "embed") from e
    try:
        loaded = SentenceTransformer(model, trust_remote_code=False)
    except Exception as e:  # the hub client raises many kinds
        raise InputError(
            f"dedup: model {model} cannot be loaded: {str(e).splitlines()[0]}. Give a folder, or model: auto, which needs no hub"
        ) from e
    return lambda batch: loaded.encode(batch, batch_size=64, show_progress_bar=False)
