"""What the caches hold, and cleaning them."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from instdata.util import kernels
from instdata.util.paths import cache_address, cache_folder, home
from instdata.util.redaction import redact
from instdata.util.sealed import SEAL

USERS = ".users"  # the file that builds hold a lock of
STEPS = ("sources", "shards", "scores", "kept", "embeddings", "learned", "digests", "array")


def size() -> dict[str, Any]:
    """Bytes and place of each cache."""
    cache, url = cache_folder(), cache_address()
    steps = _sized(cache, *(cache / name for name in (*STEPS, "remote")))
    return {
        "steps": steps | ({"address": redact(url)} if url else {}),
        "requests": _sized(cache, *cache.glob("requests.sqlite*")),
        "models": _sized(home() / "models", home() / "models"),
        "kernels": _sized(home() / "kernels", home() / "kernels"),
    }


def clean(say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Remove shards and scores, which a build makes again; returns what is left. Waits for builds that use them."""
    if url := cache_address():
        say(f"{redact(url)}: what lies there stays, other machines may use it; its copy here goes")
    with _alone(say):
        for name in (*STEPS, "remote"):
            shutil.rmtree(cache_folder() / name, ignore_errors=True)
    return size()


def prune(days: float = 30, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Remove what nobody is likely to use again: temporary files that killed processes left, shards and scores that
    were not read for `days` (those of older versions among them, which never are), and so kernels of other versions,
    which all caches share. Returns what is left, and in bytes `removed` and `removed_kernels`. Waits for builds."""
    oldest, gone, kernels_gone = time.time() - days * 86400, 0, 0
    with _alone(say):
        for name in (*STEPS, "remote"):
            for path in sorted((cache_folder() / name).rglob("*")):
                if path.is_file() and (".tmp-" in str(path) or _used(path) < oldest):
                    gone += path.stat().st_size
                    path.unlink()
        used = {kernels.folder(room) for room in kernels.ROOMS}
        for place in kernels.home().glob("*"):
            if place.is_dir() and place not in used and all(_used(p) < oldest for p in place.rglob("*")):
                kernels_gone += _sized(place, place)["bytes"]
                shutil.rmtree(place, ignore_errors=True)
    return {
        **size(),
        "removed": {"bytes": gone, "path": str(cache_folder())},
        "removed_kernels": {"bytes": kernels_gone, "path": str(kernels.home())},
    }


def _used(path: Path) -> float:
    """When a file, or the one whose seal it is, was last read or written."""
    own = path.with_name(path.name.removesuffix(SEAL))
    status = (own if own.exists() else path).stat()
    return max(status.st_atime, status.st_mtime)


@contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """A build uses the cache: cleaning waits until it is done. Any number of builds at once; the system frees what a
    dead one held. Where no lock can be written, there is none."""
    with ExitStack() as stack:
        with suppress(OSError):
            fcntl.flock(stack.enter_context(open(cache / USERS, "a")), fcntl.LOCK_SH)
        yield


@contextmanager
def _alone(say: Callable[[str], None]) -> Iterator[None]:
    """No build uses the cache."""
    with open(cache_folder() / USERS, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("a build uses the cache: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sized(shown: Path, *paths: Path) -> dict[str, Any]:
    files = [f for p in paths for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return {"bytes": sum(f.stat().st_size for f in files), "path": str(shown)}
