"""Files that appear whole or not at all, and what a file's bytes are called."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def digest(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256()
        while data := file.read(1 << 20):
            total.update(data)
        return total.hexdigest()


@contextmanager
def whole(path: Path, mode: str = "wb") -> Iterator[Any]:
    """Write a file so that it appears complete or not at all: a temporary beside it, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": "\n"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole(path, "w") as file:
        file.write(text)
