"""Files that a user names to be written, of which none is overwritten that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instdata.util.atomic import alone, digest, whole
from instdata.util.errors import InputError
from instdata.util.paths import cache_folder
from instdata.util.remote_address import no_url
from instdata.util.sealed import read_sealed_json, write_sealed_json


@contextmanager
def claimed(out: Path) -> Iterator[Any]:
    """A file to write whole. Raises InputError where one is there that no export wrote, or that was changed since."""
    no_url(out)
    book = cache_folder() / "exports.json"
    ours = read_sealed_json(book) or {}
    name = str(out.resolve())
    if out.exists() and ours.get(name) != (None if out.is_dir() else digest(out)):
        raise InputError(
            f"{out}: this file is there, and `instdata export` did not write it so: move it, or choose another name"
        )
    with whole(out) as file:
        yield file
    with alone(book.with_suffix(".lock")):
        write_sealed_json(book, {**(read_sealed_json(book) or {}), name: digest(out)})
