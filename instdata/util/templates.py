"""Pages and cards from templates, which Jinja compiles once a machine: in each process that took a seventh of the CPU
of a build of 100 rows."""

from __future__ import annotations

import hashlib
import marshal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from instdata.util import kernels
from instdata.util.atomic import whole


def environment(folder: Path, code: Path, autoescape: bool, finalize: Callable[[Any], Any] | None = None) -> Any:
    """Jinja for the templates in a folder; `code` is the room whose functions they call. What is not there is an
    error."""
    place = kernels.folder()  # None where another user could write there: what lies there is run
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=autoescape,  # noqa: S701 (the cards' Markdown escapes by a filter)
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=Compiled(place / "templates", code) if place else None,
    )


class Compiled(BytecodeCache):
    """Templates as Python's bytecode, each in a file named after everything that it is made of: its text, Python,
    Jinja, and the code it may call, as what is constant in a template is worked out while compiling. Jinja's own cache
    of files ends the build where the disk is full."""

    def __init__(self, folder: Path, code: Path) -> None:
        self.folder = folder
        self.code = code

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):  # not there: compiled again, as where it is damaged
            kept = self._path(bucket).read_bytes()
            if hashlib.sha256(kept[32:]).digest() == kept[:32]:
                bucket.code = marshal.loads(kept[32:])  # noqa: S302 (this user's folder alone)

    def dump_bytecode(self, bucket: Bucket) -> None:
        code = marshal.dumps(bucket.code)
        with suppress(OSError), whole(self._path(bucket)) as file:
            file.write(hashlib.sha256(code).digest() + code)

    def _path(self, bucket: Bucket) -> Path:
        made_of = [bucket.key, bucket.checksum, sys.version, jinja2.__version__, _digest(self.code)]
        return self.folder / hashlib.sha256("\n".join(made_of).encode()).hexdigest()


@cache
def _digest(code: Path) -> str:
    """sha256 of the modules that templates call: those of a room and of util."""
    files = [*sorted(code.glob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()
