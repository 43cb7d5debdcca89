"""What the Hub of tests/hub_server.py holds: repos of commits, commits of files, in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Blob:
    """A file's bytes; `lfs` files are known by sha256, others by git's sha1."""

    data: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        lfs = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
        return {
            "type": "file",
            "path": path,
            "size": len(self.data),
            "oid": self.oid,
            **({"lfs": lfs} if self.lfs else {}),
        }


@dataclass
class Commit:
    sha: str
    title: str
    message: str
    files: dict[str, Blob]


@dataclass
class Repo:
    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, title: str, files: dict[str, Blob], message: str = "") -> Commit:
        parent = self.commits[-1].sha if self.commits else ""
        names = sorted((p, b.oid) for p, b in files.items())
        sha = hashlib.sha1(json.dumps([parent, title, names]).encode()).hexdigest()
        self.commits.append(Commit(sha, title, message, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        sha = (
            self.commits[-1].sha
            if revision in ("main", "refs/heads/main")
            else self.tags.get(revision.removeprefix("refs/tags/"), revision)
        )
        return next((c for c in self.commits if c.sha == sha), None)
