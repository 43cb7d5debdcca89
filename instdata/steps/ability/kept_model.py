"""A model learned from a taxonomy's own examples alone is the same for every set: it is kept beside the kernels of this
version, where the next build finds it. One that rows of the set taught is theirs, and is made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from instdata.corpus.corpus import versions
from instdata.steps.ability.calibration import Calibration
from instdata.steps.ability.linear import Linear, Space
from instdata.steps.ability.training_examples import Examples
from instdata.util.atomic import whole
from instdata.util.kernels import folder
from instdata.util.sealed import seal, sound

PARTS = {"prompt": Space, "response": Space, "calibration": Calibration}


def kept(key: str, examples: Examples, train: Callable[[], Linear], fresh: bool = False) -> Linear:
    """The model of this key: what was kept of it (not with `fresh`), else what `train` makes, which is kept where the
    examples are the taxonomy's own."""
    own = examples.sources.get("examples of the taxonomy") == len(examples.labels)
    path = _path(key) if own else None
    if path is None:
        return train()
    if sound(path) and not fresh:
        return read_model(path)
    model = train()
    _write(path, _bytes_of(model))
    return model


def read_model(path: Path) -> Linear:
    """The model in a file that was written here."""
    with np.load(path, allow_pickle=False) as found:
        return _of_arrays(dict(found))


def write_model(model: Linear, place: Path) -> Path:
    """Write a model into a folder, under a name made of its content; returns its file."""
    data = _bytes_of(model)
    path = place / f"{hashlib.sha256(data).hexdigest()[:40]}.npz"
    if not sound(path):
        _write(path, data)
    return path


def _bytes_of(model: Linear) -> bytes:
    np.savez(file := BytesIO(), **_arrays(model))  # type: ignore[arg-type]
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    with whole(path) as file:
        file.write(data)
    seal(path)


def _path(key: str) -> Path | None:
    place = folder("steps/ability")
    name = hashlib.sha256(repr((sorted(versions().items()), key)).encode()).hexdigest()[:40]
    return None if place is None else place / "models" / f"{name}.npz"


def _arrays(value: Any, prefix: str = "") -> dict[str, Any]:
    """The arrays of a model, under the dotted names of its fields."""
    out: dict[str, Any] = {}
    for field in fields(value):
        found = getattr(value, field.name)
        name = prefix + field.name
        out |= _arrays(found, f"{name}.") if field.name in PARTS else {name: np.asarray(found)}
    return out


def _of_arrays(arrays: dict[str, np.ndarray]) -> Linear:
    parts = {
        name: kind(**{f.name: arrays[f"{name}.{f.name}"] for f in fields(kind)})  # type: ignore[arg-type]
        for name, kind in PARTS.items()
    }
    rest = {f.name: arrays[f.name] for f in fields(Linear) if f.name not in parts}
    parts["calibration"] = replace(parts["calibration"], slope=float(arrays["calibration.slope"]))
    return Linear(**{**rest, "classes": rest["classes"].tolist()}, **parts)  # type: ignore[arg-type]
