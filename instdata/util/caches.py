"""What the caches hold, and cleaning them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from instdata.util.paths import cache_folder, home

STEPS = ("sources", "shards", "scores", "embeddings")


def size() -> dict[str, Any]:
    """Bytes and place of each cache."""
    cache = cache_folder()
    return {
        "steps": _sized(cache, *(cache / name for name in STEPS)),
        "requests": _sized(cache, *cache.glob("requests.sqlite*")),
        "models": _sized(home() / "models", home() / "models"),
        "kernels": _sized(home() / "kernels", home() / "kernels"),
    }


def clean() -> dict[str, Any]:
    """Remove shards and scores, which a build makes again; returns what is left."""
    for name in STEPS:
        shutil.rmtree(cache_folder() / name, ignore_errors=True)
    return size()


def _sized(shown: Path, *paths: Path) -> dict[str, Any]:
    files = [f for p in paths for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return {"bytes": sum(f.stat().st_size for f in files), "path": str(shown)}
