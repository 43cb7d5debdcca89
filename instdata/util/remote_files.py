"""Files at addresses (s3://, gs://, https:// …) by fsspec: sources are fetched into the cache, a finished build is
sent, its manifest last."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from instdata.util.atomic import alone
from instdata.util.errors import InputError
from instdata.util.redaction import redact
from instdata.util.remote_address import fetch_into, open_address, safely
from instdata.util.sealed import seal, sound

MARK = ".instdata.lock"  # what a build's folder holds before its manifest


def fetched(url: str, cache: Path, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Copies in the cache of the files at an address (a file, a glob, a folder); fetched again where they changed.
    Raises InputError where there is none, BuildError where they cannot be fetched."""
    system, inside = open_address(url)
    places = safely(url, lambda: _files(system, inside))
    if not places:
        raise InputError(f"{redact(url)}: no such file or bucket")
    copies = []
    for place in places:
        info = safely(url, lambda place=place: system.info(place))  # type: ignore[misc]
        stamp = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("mtime")
        key = hashlib.sha256(json.dumps([url, place, info.get("size"), str(stamp)]).encode()).hexdigest()[:32]
        copy = cache / "remote" / key / PurePosixPath(place.split("?")[0]).name
        with alone(copy.parent / ".lock"):  # of several ranks one fetches
            if not stamp or not sound(copy):
                say(f"fetching {redact(place)}")
                safely(url, partial(fetch_into, system, place, copy, info.get("size")), math.inf)
                seal(copy)
        copies.append(copy)
    return copies


def may_be_sent_to(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it) of an address that takes builds; nobody is asked. Raises InputError."""
    if url.startswith("http"):
        raise InputError(
            f"{redact(url)}: http(s) is read only: send builds to s3://, gs://, az:// … or a folder (--out)"
        )
    return open_address(url)


class Place:
    """An address where a build is to go. Opening it tells whether one may write there, before anything is built."""

    def __init__(self, url: str):
        self.url = redact(url)
        self._system, self._root = may_be_sent_to(url)
        there = safely(url, lambda: self._names())
        if there and "manifest.json" not in there and MARK not in there:
            raise InputError(
                f"{self.url}: something is there that instdata did not write; choose an empty place (--out)"
            )
        safely(url, lambda: self._system.pipe_file(self._at(MARK), b"instdata\n"))

    def send(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> int:
        """Make the place hold a build: its old manifest goes first and the new one comes last, so that a place with a
        manifest is whole. Files of an older build that this one lacks go; what others put there stays. Files that are
        there already are not sent again. Returns how many were sent."""
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        files = [f for f in files if not any(part.startswith(".") for part in f.split("/"))]
        wanted = [f for f in files if not self._same(folder / f, f)]
        there = safely(self.url, self._names)
        gone = sorted(f for f in there & self._written(there) if f not in files)
        if not wanted and not gone:
            return 0
        # What goes, goes first: run.json, which names it, is there until then.
        for name in [*(["manifest.json"] if "manifest.json" in there else []), *gone]:
            safely(self.url, lambda name=name: self._system.rm_file(self._at(name)))  # type: ignore[misc]
        for name in [f for f in wanted if f != "manifest.json"]:
            say(f"sending {name}")
            safely(self.url, lambda name=name: self._system.put_file(str(folder / name), self._at(name)), math.inf)  # type: ignore[misc]
        safely(self.url, lambda: self._system.put_file(str(folder / "manifest.json"), self._at("manifest.json")))
        return len(wanted)

    def _written(self, there: set[str]) -> set[str]:
        """What the build that is there wrote, by its run.json, and what builds write now and then."""
        known = {f for f in there if f.startswith("data/")} | {"dropped.parquet", "report.html"}
        sizes = self.facts("run.json").get("sizes")
        return known | set(sizes) if isinstance(sizes, dict) else known

    def facts(self, name: str) -> dict[str, Any]:
        """What a JSON file of the build that is there holds; nothing where there is none."""
        if name not in safely(self.url, self._names):
            return {}
        try:
            found = json.loads(safely(self.url, lambda: self._system.cat_file(self._at(name))))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

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
            info = safely(self.url, lambda: self._system.info(self._at(name)))
        except InputError:
            return False
        there = _md5_there(info) if info.get("size") == path.stat().st_size else ""
        return there == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if there else False


def _md5_there(info: dict[str, Any]) -> str:
    """The MD5, as hex, that a store names for a file: S3 as its ETag, Google's in base64, Azure's as bytes; "" where it
    names none."""
    azure = (info.get("content_settings") or {}).get("content_md5")
    google = info.get("md5Hash")
    raw = bytes(azure) if azure else base64.b64decode(google) if google else None
    return raw.hex() if raw else str(info.get("ETag") or "").strip('"')


def _files(system: Any, inside: str) -> list[str]:
    if "http" in system.protocol and not set("*?[") & set(inside.partition("?")[0]):
        return [inside]  # whether it is there, its header tells; isfile would ask for all of it
    if set("*?[") & set(inside):
        return sorted(p for p in system.glob(inside) if system.isfile(p))
    if system.isfile(inside):
        return [inside]
    return sorted(p for p in system.find(inside) if not PurePosixPath(p).name.startswith("."))
