"""Addresses of other machines (s3://, gs://, https:// …) by fsspec: opened, asked again where they fail. Credentials
come from where the protocol's own client looks for them, and are never written down."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from instdata.util.atomic import whole
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.progress import phase
from instdata.util.redaction import redact

T = TypeVar("T")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # as pathlib leaves it: s3://b becomes s3:/b. A drive has one letter.
TRIES = 5  # of one transfer, with pauses of 1, 2, 4 … tenths of a second on top of the client's own
CLIENTS = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "hf": "huggingface_hub",
           "sftp": "paramiko", "ssh": "paramiko", "oss": "ossfs", "oci": "ocifs"}  # fmt: skip
PATIENCE = 40.0  # seconds after which no try follows: some clients (Azure's) have tried for a minute by themselves
OTHER = (
    "NoCredentials|credentials|Forbidden|AccessDenied|InvalidAccessKey|SignatureDoesNotMatch|does not "
    "exist|NoSuchBucket|AuthenticationFailed|AuthorizationFailure|failed to authenticate"
)
WRONG = "Cannot traverse all of|Invalid bucket name|ParamValidation"  # of an address that names nothing


class NotThere(InputError):
    """Nothing is at an address."""


def is_url(text: str | Path) -> bool:
    """Whether a path is an address of another machine."""
    return URL.match(str(text)) is not None


def no_url(path: Path) -> Path:
    """The path. Raises InputError for an address: what writes there writes to this machine's disk alone."""
    if is_url(path):
        raise InputError(f"{path}: this is written to a folder of this machine only; `build --out` takes addresses")
    return path


def open_address(url: str) -> tuple[Any, str]:
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
    return redact((str(e).strip().splitlines() or [""])[0])[:200].rstrip(".") or type(e).__name__


def _behind(e: FileNotFoundError) -> Exception | None:
    """What fsspec's http client calls a missing file and is none: a server that fails, or is not reached."""
    cause = e.__cause__
    if not isinstance(cause, Exception) or not type(cause).__module__.startswith("aiohttp"):
        return None
    return None if getattr(cause, "status", 0) in (404, 410) else cause


def fetch_into(system: Any, place: str, copy: Path, size: int | None) -> None:
    with whole(copy) as file:
        with system.open(place, "rb") as source:
            while data := source.read(1 << 22):
                file.write(data)
        if size is not None and file.tell() != size:
            raise ConnectionError(f"{file.tell():,} of {size:,} bytes came")


def safely(url: str, work: Callable[[], T], patience: float = PATIENCE) -> T:
    """The work's result, tried again where the other side or the way there fails; not after so many seconds, but for a
    transfer, which may break off late."""
    begun = time.monotonic()
    with ExitStack() as told:
        for attempt in range(1, TRIES + 1):
            try:
                return work()
            except (InputError, BuildError):
                raise
            except Exception as e:  # the clients raise dozens of kinds
                if isinstance(e, FileNotFoundError) and not (e := _behind(e)):  # type: ignore[assignment]
                    raise NotThere(f"{redact(url)}: no such file or bucket") from None
                said = _line(e)
                if isinstance(e, PermissionError) or re.search(OTHER, f"{type(e).__name__} {e}"):
                    raise InputError(f"{redact(url)}: {said}. Credentials come from the usual places of its client (environment, ~/.aws …)") from e  # fmt: skip  # noqa: E501
                if re.search(WRONG, str(e)):
                    raise InputError(f"{redact(url)}: {said}. Name a bucket, and a path in it") from e
                if attempt == TRIES or time.monotonic() - begun > patience:
                    raise BuildError(f"{redact(url)}: {said} ({attempt} {'try' if attempt == 1 else 'tries'}). What was done is kept: run the same command again to go on") from e  # fmt: skip  # noqa: E501
            if attempt == 1:
                told.enter_context(phase(f"{redact(url)}: {said}; asking again"))
            time.sleep(0.05 * 2**attempt)
    raise AssertionError
