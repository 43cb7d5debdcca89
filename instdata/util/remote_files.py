"""Files at addresses (s3://, gs://, https:// …) by fsspec: sources are fetched into the cache, a finished build is
sent, its manifest last. Credentials come from where the protocol's own client looks for them, and are never written
down."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from instdata.util.atomic import alone, whole
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.redaction import redact
from instdata.util.sealed import seal, sound

T = TypeVar("T")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # as pathlib leaves it: s3://b becomes s3:/b. A drive has one letter.
TRIES = 5  # of one transfer, with pauses of 1, 2, 4 … tenths of a second on top of the client's own
MARK = ".instdata.lock"  # what a build's folder holds before its manifest
CLIENTS = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "hf": "huggingface_hub",
           "sftp": "paramiko", "ssh": "paramiko", "oss": "ossfs", "oci": "ocifs"}  # fmt: skip
PATIENCE = 40.0  # seconds after which no try follows: some clients (Azure's) have tried for a minute by themselves
OTHER = (
    "NoCredentials|credentials|Forbidden|AccessDenied|InvalidAccessKey|SignatureDoesNotMatch|does not "
    "exist|NoSuchBucket|AuthenticationFailed|AuthorizationFailure|failed to authenticate"
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
        with alone(copy.parent / ".lock"):  # of several ranks one fetches
            if not stamp or not sound(copy):
                say(f"fetching {redact(place)}")
                _safely(url, partial(_fetch, system, place, copy, info.get("size")), math.inf)
                seal(copy)
        copies.append(copy)
    return copies


class Place:
    """An address where a build is to go. Opening it tells whether one may write there, before anything is built."""

    def __init__(self, url: str):
        self.url = redact(url)
        if url.startswith("http"):
            raise InputError(
                f"{self.url}: http(s) is read only: send builds to s3://, gs://, az:// … or a folder (--out)"
            )
        self._system, self._root = _system(url)
        there = _safely(url, lambda: self._names())
        if there and "manifest.json" not in there and MARK not in there:
            raise InputError(
                f"{self.url}: something is there that instdata did not write; choose an empty place (--out)"
            )
        _safely(url, lambda: self._system.pipe_file(self._at(MARK), b"instdata\n"))

    def send(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> int:
        """Make the place hold a build: its old manifest goes first and the new one comes last, so that a place with a
        manifest is whole. Files of an older build that this one lacks go; what others put there stays. Files that are
        there already are not sent again. Returns how many were sent."""
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        files = [f for f in files if not any(part.startswith(".") for part in f.split("/"))]
        wanted = [f for f in files if not self._same(folder / f, f)]
        there = _safely(self.url, self._names)
        gone = sorted(f for f in there & self._written(there) if f not in files)
        if not wanted and not gone:
            return 0
        # What goes, goes first: run.json, which names it, is there until then.
        for name in [*(["manifest.json"] if "manifest.json" in there else []), *gone]:
            _safely(self.url, lambda name=name: self._system.rm_file(self._at(name)))  # type: ignore[misc]
        for name in [f for f in wanted if f != "manifest.json"]:
            say(f"sending {name}")
            _safely(self.url, lambda name=name: self._system.put_file(str(folder / name), self._at(name)), math.inf)  # type: ignore[misc]
        _safely(self.url, lambda: self._system.put_file(str(folder / "manifest.json"), self._at("manifest.json")))
        return len(wanted)

    def _written(self, there: set[str]) -> set[str]:
        """What the build that is there wrote, by its run.json, and what builds write now and then."""
        known = {f for f in there if f.startswith("data/")} | {"dropped.parquet", "report.html"}
        sizes = self.facts("run.json").get("sizes")
        return known | set(sizes) if isinstance(sizes, dict) else known

    def facts(self, name: str) -> dict[str, Any]:
        """What a JSON file of the build that is there holds; nothing where there is none."""
        if name not in _safely(self.url, self._names):
            return {}
        try:
            found = json.loads(_safely(self.url, lambda: self._system.cat_file(self._at(name))))
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
            info = _safely(self.url, lambda: self._system.info(self._at(name)))
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


def _system(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it) of an address."""
    try:
        import fsspec
    except ImportError as e:
        raise MissingExtra(f"reading and writing {url.partition(':')[0]}://", "remote") from e
    options = {"skip_instance_cache": True, "use_listings_cache": False}
    kind = url.partition(":")[0]
    try:
        system, inside = fsspec.core.url_to_fs(url, **options)
    except ImportError as e:
        if kind in ("s3", "s3a", "http", "https"):
            raise MissingExtra(f"reading and writing {kind}://", "remote") from e
        needed = f"pip install {CLIENTS[kind]}" if kind in CLIENTS else _line(e)
        raise InputError(f"{redact(url)}: {kind}:// needs a package that is not here: {needed}") from e
    except ValueError as e:
        raise InputError(f"{redact(url)}: {_line(e)}") from e
    except OSError as e:
        if kind in ("hdfs", "webhdfs", "viewfs"):
            raise InputError(
                f"{redact(url)}: {kind}:// needs Java and Hadoop on this machine (JAVA_HOME, HADOOP_HOME, CLASSPATH): "
                f"{_line(e)}"
            ) from e
        raise InputError(f"{redact(url)}: {_line(e)}") from e
    return system, inside


def _line(e: Exception) -> str:
    """The first line of what an error says, or its name."""
    return redact((str(e).strip().splitlines() or [""])[0])[:200] or type(e).__name__


def _files(system: Any, inside: str) -> list[str]:
    if "http" in system.protocol and not set("*?[") & set(inside.partition("?")[0]):
        return [inside]  # whether it is there, its header tells; isfile would ask for all of it
    if set("*?[") & set(inside):
        return sorted(p for p in system.glob(inside) if system.isfile(p))
    if system.isfile(inside):
        return [inside]
    return sorted(p for p in system.find(inside) if not PurePosixPath(p).name.startswith("."))


def _behind(e: FileNotFoundError) -> Exception | None:
    """What fsspec's http client calls a missing file and is none: a server that fails, or is not reached."""
    cause = e.__cause__
    if not isinstance(cause, Exception) or not type(cause).__module__.startswith("aiohttp"):
        return None
    return None if getattr(cause, "status", 0) in (404, 410) else cause


def _fetch(system: Any, place: str, copy: Path, size: int | None) -> None:
    with whole(copy) as file:
        with system.open(place, "rb") as source:
            while data := source.read(1 << 22):
                file.write(data)
        if size is not None and file.tell() != size:
            raise ConnectionError(f"{file.tell():,} of {size:,} bytes came")


def _safely(url: str, work: Callable[[], T], patience: float = PATIENCE) -> T:
    """The work's result, tried again where the other side or the way there fails; not after so many seconds, but for a
    transfer, which may break off late."""
    begun = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except (InputError, BuildError):
            raise
        except Exception as e:  # the clients raise dozens of kinds
            if isinstance(e, FileNotFoundError) and not (e := _behind(e)):  # type: ignore[assignment]
                raise InputError(f"{redact(url)}: no such file or bucket") from None
            said = _line(e)
            if isinstance(e, PermissionError) or re.search(OTHER, f"{type(e).__name__} {e}"):
                raise InputError(f"{redact(url)}: {said}. Credentials come from the usual places of its client (environment, ~/.aws …)") from e  # fmt: skip  # noqa: E501
            if attempt == TRIES or time.monotonic() - begun > patience:
                raise BuildError(f"{redact(url)}: {said} ({attempt} {'try' if attempt == 1 else 'tries'}). What was done is kept: run the same command again to go on") from e  # fmt: skip  # noqa: E501
            time.sleep(0.05 * 2**attempt)
    raise AssertionError
