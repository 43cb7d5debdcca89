"""The embedding method: a linear head and class prototypes over sentence embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.steps.ability.calibration import Calibration, calibrate
from instdata.steps.ability.training_examples import Examples
from instdata.util.errors import MissingExtra

WORDLLAMA = "wordllama"  # static embeddings that lie in their wheel: no download, English mostly
RIDGE = 1.0
SHOWN = 1000  # characters


@dataclass(frozen=True)
class Embedded:
    """A trained classifier; see linear.Linear for the names."""

    encoder: str
    classes: list[str]
    weights: np.ndarray  # float64[dimensions, classes]
    bias: np.ndarray
    prototypes: np.ndarray  # float64[dimensions, classes], unit length
    calibration: Calibration
    held_out: np.ndarray

    def scores(self, prompts: pa.Array, responses: pa.Array) -> np.ndarray:
        found = encode(self.encoder, prompts)
        return (found @ self.weights + self.bias + found @ self.prototypes) / 2


def train(examples: Examples, encoder: str) -> Embedded:
    """Fit both; every example's held-out scores come in closed form, as in linear.train."""
    found = encode(encoder, examples.prompts)
    wanted = np.eye(len(examples.classes))[examples.labels]
    inverse = np.linalg.inv(found @ found.T + 1.0 + RIDGE * np.eye(len(found)))
    dual = inverse @ wanted
    total = found.T @ wanted
    # A prototype is the class's mean direction; for a row's own class, the mean of the others.
    without = total[None] - found[:, :, None] * wanted[:, None, :] if len(found) * total.size < 2e7 else total[None]
    near = np.einsum("nd,ndk->nk", found, _unit(np.broadcast_to(without, (len(found), *total.shape))))
    held_out = (wanted - dual / np.diag(inverse)[:, None] + near) / 2
    curve = calibrate(held_out, examples.labels)
    return Embedded(encoder, examples.classes, found.T @ dual, dual.sum(0), _unit(total), curve, held_out)


def encode(encoder: str, texts: pa.Array) -> np.ndarray:
    """Unit vectors, float64[rows, dimensions]. `encoder` is wordllama, or a sentence-transformers model by name or
    path. Raises MissingExtra."""
    shown = [(t or "")[:SHOWN] or " " for t in texts.to_pylist()]
    try:
        if encoder == WORDLLAMA:
            import wordllama

            model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
            found = np.concatenate([model.embed(shown[i : i + 4096]) for i in range(0, len(shown), 4096)] or [[[0.0]]])
        else:
            from sentence_transformers import SentenceTransformer

            found = SentenceTransformer(encoder).encode(shown, batch_size=64, show_progress_bar=False)
    except ImportError as e:
        raise MissingExtra("categorize: method: embedding", "embed") from e
    return _unit(np.nan_to_num(np.asarray(found, np.float64)), axis=1)


def _unit(x: np.ndarray, axis: int = -2) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=axis, keepdims=True), 1e-9)
