"""Where instdata keeps things on this machine, and what the machine has."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from instdata.util.errors import InputError

MOST = 256 << 20  # bytes of a file that is read as one text


def home() -> Path:
    """$INSTDATA_HOME, by default ~/.cache/instdata: models, compiled kernels."""
    return _private(os.environ.get("INSTDATA_HOME") or "~/.cache/instdata")


def cache_folder() -> Path:
    """$INSTDATA_CACHE, by default ~/.cache/instdata/builds: shards, scores, requests. Of an address the folder that is
    its copy here ($INSTDATA_CACHE_COPY, by default one in home), see mirrored_cache.py."""
    if url := cache_address():
        name = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
        return _private(os.environ.get("INSTDATA_CACHE_COPY") or str(home() / "caches" / name))
    return _private(os.environ.get("INSTDATA_CACHE") or "~/.cache/instdata/builds")


def cache_address() -> str | None:
    """$INSTDATA_CACHE where it is an address (s3://bucket/prefix)."""
    name = os.environ.get("INSTDATA_CACHE", "")
    return name if "://" in name else None


def _private(name: str) -> Path:
    """A folder for this user alone (0700), made where it is not there; one that is there stays as it is. What cannot be
    made is told by whoever writes there."""
    path = expanded(name)
    if not path.exists():
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
    return path


def expanded(name: str | Path) -> Path:
    """A path with its ~ resolved. Raises InputError for the home of a user that there is not, for NUL, a line end at
    the end, for characters that no file name has, and for what is too long for one."""
    text = str(name)
    if "\0" in text or text != text.rstrip("\r\n") or any("\ud800" <= c <= "\udfff" for c in text):
        raise InputError(f"{text!r} is no file name: it holds a character that none has")
    if len(text) > 4000 or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in text.split("/")):
        raise InputError(f"{text[:60]}… is no file name: it is too long")
    try:
        return Path(text).expanduser()
    except RuntimeError as e:
        raise InputError(f"{text}: there is no such user") from e


def file_text(path: Path) -> str:
    """The text of a file that a person may name, and that is no data set (a taxonomy, decisions, a card). Raises
    InputError for a pipe or a device, which might never end, and for what is too large; OSError, UnicodeDecodeError."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError(f"{path}: this is no file (a pipe or a device): name one")
    if status.st_size > MOST:
        raise InputError(
            f"{path}: {status.st_size >> 20:,} MB, which is no file of this kind: they have {MOST >> 20} MB at most"
        )
    return path.read_text("utf-8-sig")


def beside(build: Path, name: str) -> Path:
    """What is called `name` beside the builds/ folder of a build; relative where `build` is, as messages show it."""
    home = build.resolve().parent.parent
    return (home if build.is_absolute() else Path(os.path.relpath(home))) / name


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
