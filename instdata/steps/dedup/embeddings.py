"""Sentence embeddings, computed once: a sidecar in the cache, under the texts and the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.corpus.corpus import versions
from instdata.llm.hub_revisions import pinned
from instdata.steps.dedup.option_values import EMBEDDING
from instdata.util.atomic import whole
from instdata.util.errors import InputError, MissingExtra
from instdata.util.file_digests import file_digest
from instdata.util.paths import expanded
from instdata.util.progress import part
from instdata.util.sealed import seal, sound

BATCH = 4096
OWNER = "sentence-transformers"  # of a model whose name on the Hub is given without one


def located(model: str, base: Path) -> str:
    """A model's folder where it is one (relative to the recipe), else its name on the hub."""
    folder = base / expanded(model)
    return str(folder) if model != EMBEDDING and folder.is_dir() else model


def fixed(model: str, base: Path) -> str:
    """A model as a resolved recipe names it: one of the Hub with its commit, any other as it is."""
    return model if model == EMBEDDING or Path(located(model, base)).is_dir() else identity(model)


def identity(model: str) -> str:
    """What tells a located model apart: of a folder what is in it, of one of the Hub its commit."""
    if model == EMBEDDING:
        return model
    if not Path(model).is_dir():
        return model if model.count("/") > 1 else pinned(model if "/" in model else f"{OWNER}/{model}")
    files = sorted(p for p in Path(model).rglob("*") if p.is_file())
    return "\n".join(f"{p.relative_to(model).as_posix()} {file_digest(p)}" for p in files)


def _encoder_version(model: str) -> str:
    """The version of the package that embeds: wordllama's weights lie in it."""
    try:
        return version("wordllama" if model == EMBEDDING else "sentence-transformers")
    except PackageNotFoundError:
        return ""


def unavailable(model: str) -> list[str]:
    """What is missing to use this located model, one line each; nothing is loaded."""
    package = "wordllama" if model == EMBEDDING else "sentence_transformers"
    if not find_spec(package):
        return [str(MissingExtra(f"method: semantic with model {model}", "embed"))]
    if model.startswith((".", "/", "~")) and not Path(model).is_dir():
        return [f"model: {model}: no such folder"]
    return []


def embeddings(
    texts: list[pa.Array], model: str, cache: Path | None, say: Callable[[str], None] = lambda line: None
) -> np.ndarray:
    """Unit vectors, float32[texts, dimensions], a zero vector for a text that has none. Read from `cache` where they
    are there and what was sealed (that they are not is said). Raises MissingExtra, or InputError where the located
    model cannot be loaded."""
    key = hashlib.sha256(repr((sorted(versions().items()), _encoder_version(model), identity(model))).encode())
    for piece in texts:
        key.update(f"{len(piece)} texts".encode())
        for at in range(0, len(piece), BATCH):
            key.update(json.dumps(piece.slice(at, BATCH).to_pylist()).encode())
    path = cache / "embeddings" / f"{key.hexdigest()[:40]}.npy" if cache else None
    if path and sound(path):
        return np.load(path, allow_pickle=False).astype(np.float32)
    if path and path.exists():
        say("cached embeddings are damaged; they are computed again")
    encode = _encoder(model)
    parts: list[np.ndarray] = []
    n, seen = sum(map(len, texts)), 0
    for piece in texts:
        for at in range(0, len(piece), BATCH):
            batch = piece.slice(at, BATCH)
            parts.append(encode(["" if t is None else t for t in batch.to_pylist()]))
            seen += len(batch)
            part(seen, n, "texts")
    vectors = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    norm = np.linalg.norm(np.nan_to_num(vectors), axis=1, keepdims=True)
    vectors = (np.nan_to_num(vectors) / np.where(norm > 0, norm, 1)).astype(np.float16)
    if path:
        with whole(path) as file:
            np.save(file, vectors, allow_pickle=False)
        seal(path)
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
        place, revision = model, None
        if not Path(model).is_dir():
            place, _, revision = identity(model).partition("@")
        loaded = SentenceTransformer(place, trust_remote_code=False, revision=revision or None)
    except Exception as e:  # the hub client raises many kinds
        raise InputError(
            f"dedup: model {model} cannot be loaded: {str(e).splitlines()[0]}. Give a folder, or model: auto, which "
            f"needs no hub"
        ) from e
    return lambda batch: loaded.encode(batch, batch_size=64, show_progress_bar=False)
