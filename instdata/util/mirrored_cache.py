"""A cache at an address (INSTDATA_CACHE=s3://bucket/prefix): what machines share that have no disk in common.

All else knows a folder of this machine alone, the address's copy (paths.cache_folder). A sealed file that the copy
lacks is fetched from the address; one that is made is sent there, its seal last, so that a file which came half way is
none. Nothing is removed there, but what is known to be wrong.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from instdata.util import paths
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.redaction import redact

SHARED = ("sources", "shards", "scores", "embeddings", "learned")  # of the cache's folders: what other machines may use


def mirror() -> Mirror | None:
    """The mirror of this process's cache; None where that is a folder. Opening it raises InputError where one may not
    write there."""
    url = paths.cache_address()
    return _opened(url, paths.cache_folder(), os.getpid()) if url else None


@cache
def _opened(url: str, copy: Path, process: int) -> Mirror:
    return Mirror(url, copy)  # a client's connections do not outlive a fork


class Mirror:
    """The address of a cache and the folder that is its copy."""

    def __init__(self, url: str, copy: Path):
        from instdata.util.remote_address import open_address, safely

        if url.startswith(("http", "file:")):
            raise InputError(f"INSTDATA_CACHE: {redact(url)}: name a folder, or an address that can be written to")
        self._copy = copy
        self._safely = partial(safely, url)
        self._listed: dict[str, set[str]] = {}
        self._asked: set[str] = set()
        try:
            self._system, self._root = open_address(url)
            self._safely(partial(self._system.pipe_file, f"{self._root.rstrip('/')}/.instdata-cache", b"instdata\n"))
        except InputError as e:
            raise InputError(f"INSTDATA_CACHE: {e}") from e

    def bring(self, path: Path, seal: Path | None = None) -> bool:
        """Fetch a file of the copy and its seal, where it has one, which comes first; False where they are not at the
        address. A folder there is listed once; what was not in the list is asked for by name the next time: another
        machine may have made it."""
        from instdata.util.remote_address import NotThere, fetch_into

        if not self._ours(path) or not self._there(seal or path):
            return False
        try:
            told = self._safely(partial(self._system.cat_file, self._at(seal))) if seal else b""
            self._safely(partial(fetch_into, self._system, self._at(path), path, None), math.inf)
        except NotThere:  # whoever sends it was ended before
            return False
        if seal:
            write_text(seal, told.decode("utf-8", "replace"))
        return True

    def send(self, *files: Path) -> None:
        """Send files of the copy in this order."""
        for path in files:
            if self._ours(path):
                put = partial(self._system.put_file, str(path), self._at(path))
                self._safely(put, math.inf)
                folder, _, name = self._at(path).rpartition("/")
                self._listed.get(folder, set()).add(name)

    def forget(self, *files: Path) -> None:
        """Remove files at the address."""
        for path in files:
            if self._ours(path):
                self._safely(partial(self._gone, self._at(path)))

    def _there(self, path: Path) -> bool:
        folder, _, name = self._at(path).rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = self._safely(partial(self._names, folder))
        known = name in self._listed[folder]
        if not known and f"{folder}/{name}" in self._asked:
            known = self._safely(partial(self._exists, f"{folder}/{name}"))
        self._asked.add(f"{folder}/{name}")
        return known

    def _names(self, folder: str) -> set[str]:
        try:
            return {str(entry).rpartition("/")[2] for entry in self._system.ls(folder, detail=False)}
        except FileNotFoundError:
            return set()

    def _gone(self, place: str) -> None:
        with suppress(FileNotFoundError):
            self._system.rm_file(place)
        folder, _, name = place.rpartition("/")
        self._listed.get(folder, set()).discard(name)

    def _exists(self, place: str) -> bool:
        try:
            self._system.info(place)
        except FileNotFoundError:
            return False
        return True

    def _ours(self, path: Path) -> bool:
        return path.is_relative_to(self._copy) and path.relative_to(self._copy).parts[0] in SHARED

    def _at(self, path: Path) -> str:
        return f"{self._root.rstrip('/')}/{path.relative_to(self._copy).as_posix()}"
