"""Where instdata keeps things on this machine, and what the machine has."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """$INSTDATA_HOME, by default ~/.cache/instdata: models, compiled kernels."""
    return Path(os.environ.get("INSTDATA_HOME") or "~/.cache/instdata").expanduser()


def cache_folder() -> Path:
    """$INSTDATA_CACHE, by default ~/.cache/instdata/builds: shards, scores, requests."""
    return Path(os.environ.get("INSTDATA_CACHE") or "~/.cache/instdata/builds").expanduser()


def beside(build: Path, name: str) -> Path:
    """What is called `name` beside the builds/ folder of a build; relative where `build` is, as messages show it."""
    home = build.resolve().parent.parent
    return (home if build.is_absolute() else Path(os.path.relpath(home))) / name


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
