"""Files at addresses (s3://, gs://, https:// …) by fsspec: sources are fetched into the cache, a finished build is
sent, its manifest last. Credentials come from where the protocol's own client looks for them, and are never written
down."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from instdata.util.atomic import whole
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.sealed import seal, sound
from instdata.util.secrets import redact

T = TypeVar("T")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # as pathlib leaves it: s3://b becomes s3:/b. A drive has one letter.
TRIES = 5  # of one transfer, with pauses of 1, 2, 4 … tenths of a second on top of the client's own
MARK = ".instdata.lock"  # what a build's folder holds before its manifest
OTHER = (
    "NoCredentials|credentials|Forbidden|AccessDenied|InvalidAccessKey|SignatureDoesNotMatch|does not "
    "exist|NoSuchBucket"
)


def is_url(text: str | Path) -> bool:
    """Whether a path is an address of another machine."""
    return URL.match(str(text)) is not None


def no_url(path: Path) -> Path:
    """The path. Raises InputError for an address: what writes there writes to this machine's disk alone."""
    if is_url(path):
        raise InputError(f"{path}: this is written to a folder of this machine only; `build --out` takes addresses")
    return path


def fetched(url: str, cache: Path, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Copies in the cache of the files at an address (a file, a glob, a folder); fetched again where they changed.
    Raises InputError where there is none, BuildError where they cannot be fetched."""
    system, inside = _system(url)
    places = _safely(url, lambda: _files(system, inside))
    if not places:
        raise InputError(f"{redact(url)}: no such file")
    copies = []
    for place in places:
        info = _safely(url, lambda place=place: system.info(place))  # type: ignore[misc]
        stamp = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("mtime")
        key = hashlib.sha256(json.dumps([url, place, info.get("size"), str(stamp)]).encode()).hexdigest()[:32]
        copy = cache / "remote" / key / PurePosixPath(place.split("?")[0]).name
        if not stamp or not sound(copy):
            say(f"fetching {redact(place)}")
            _safely(url, lambda place=place, copy=copy, info=info: _fetch(system, place, copy, info.get("size")))  # type: ignore[misc]
            seal(copy)
        copies.append(copy)
    return copies


class Place:
    """An address where a build is to go. Opening it tells whether one may write there, before anything is built."""

    def __init__(self, url: str):
        self.url = redact(url)
        self._system, self._root = _system(url)
        there = _safely(url, lambda: self._names())
        if there and "manifest.json" not in there and MARK not in there:
            raise InputError(
                f"{self.url}: something is there that instdata did not write; choose an empty place (--out)"
            )
        _safely(url, lambda: self._system.pipe_file(self._at(MARK), b"instdata\n"))

    def send(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> int:
        """Make the place hold a build: its old manifest goes first and the new one comes last, so that a place with a
        manifest is whole. Files that are there already are not sent again. Returns how many were sent."""
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        files = [f for f in files if not any(part.startswith(".") for part in f.split("/"))]
        wanted = [f for f in files if not self._same(folder / f, f)]
        gone = [f for f in _safely(self.url, self._names) if f.startswith("data/") and f not in files]
        if not wanted and not gone:
            return 0
        if "manifest.json" in _safely(self.url, self._names):
            _safely(self.url, lambda: self._system.rm_file(self._at("manifest.json")))
        for name in [f for f in wanted if f != "manifest.json"]:
            say(f"sending {name}")
            _safely(self.url, lambda name=name: self._system.put_file(str(folder / name), self._at(name)))  # type: ignore[misc]
        for name in gone:
            _safely(self.url, lambda name=name: self._system.rm_file(self._at(name)))  # type: ignore[misc]
        _safely(self.url, lambda: self._system.put_file(str(folder / "manifest.json"), self._at("manifest.json")))
        return len(wanted)

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _names(self) -> set[str]:
        self._system.invalidate_cache()
        try:
            found = self._system.find(self._root)
        except FileNotFoundError:
            return set()
        return {f.removeprefix(self._root.rstrip("/") + "/") for f in found}

    def _same(self, path: Path, name: str) -> bool:
        """Whether a file is there with these bytes: told by size and MD5, where the store knows it."""
        try:
            info = _safely(self.url, lambda: self._system.info(self._at(name)))
        except InputError:
            return False
        tag = str(info.get("ETag") or "").strip('"')
        return info.get("size") == path.stat().st_size and tag == hashlib.md5(path.read_bytes(),
            usedforsecurity=False).hexdigest()  # fmt: skip


def _system(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it) of an address."""
    try:
        import fsspec
    except ImportError as e:
        raise MissingExtra(f"reading and writing {url.partition(':')[0]}://", "remote") from e
    options = {"skip_instance_cache": True, "use_listings_cache": False}
    try:
        system, inside = fsspec.core.url_to_fs(url, **options)
    except ImportError as e:
        if url.startswith(("s3:", "http")):
            raise MissingExtra(f"reading and writing {url.partition(':')[0]}://", "remote") from e
        raise InputError(f"{redact(url)}: {e}") from e
    except ValueError as e:
        raise InputError(f"{redact(url)}: {e}") from e
    return system, inside


def _files(system: Any, inside: str) -> list[str]:
    if set("*?[") & set(inside):
        return sorted(p for p in system.glob(inside) if system.isfile(p))
    if system.isfile(inside):
        return [inside]
    return sorted(p for p in system.find(inside) if not PurePosixPath(p).name.startswith("."))


def _fetch(system: Any, place: str, copy: Path, size: int | None) -> None:
    with whole(copy) as file:
        with system.open(place, "rb") as source:
            while data := source.read(1 << 22):
                file.write(data)
        if size is not None and file.tell() != size:
            raise ConnectionError(f"{file.tell():,} of {size:,} bytes came")


def _safely(url: str, work: Callable[[], T]) -> T:
    """The work's result, tried again where the other side or the way there fails."""
    for attempt in range(TRIES):
        try:
            return work()
        except (InputError, BuildError):
            raise
        except FileNotFoundError as e:
            raise InputError(f"{redact(url)}: no such file or bucket") from e
        except Exception as e:  # the clients raise dozens of kinds
            said = redact((str(e).strip().splitlines() or [""])[0])[:200] or type(e).__name__
            if isinstance(e, PermissionError) or re.search(OTHER, f"{type(e).__name__} {e}"):
                raise InputError(f"{redact(url)}: {said}. Credentials come from the usual places of its client (environment, ~/.aws …)") from e  # fmt: skip  # noqa: E501
            if attempt == TRIES - 1:
                raise BuildError(f"{redact(url)}: {said} ({TRIES} tries). What was done is kept: run the same command again to go on") from e  # fmt: skip  # noqa: E501
            time.sleep(0.1 * 2**attempt)
    raise AssertionError
