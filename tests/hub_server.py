"""A Hugging Face Hub on loopback for tests: enough of its HTTP API for the real huggingface_hub and datasets clients.

Repos live in memory: commits are {path: Blob}, tags and the branch main name commits. `fail` makes the next matching
requests go wrong. Start it with `Hub()`, point HF_ENDPOINT at `hub.url`, set HF_HUB_DISABLE_XET=1, and `close()` it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_repos import Blob, Commit, Repo
from tests.loopback import serving

DATE = "2026-01-01T00:00:00.000Z"
USER = "me"


@dataclass
class Failure:
    method: str
    path: str
    how: int | str | Callable[[], None]
    times: int
    after: int


class Hub:
    """The server. `tokens` maps a token to its role; `requests` lists (method, path) of all that came."""

    def __init__(self) -> None:
        self.tokens = {"hf_writer": "write", "hf_reader": "read"}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.store: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.failures: list[Failure] = []
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.running = ExitStack()
        self.url = self.running.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)))

    def close(self) -> None:
        self.running.close()

    def fail(self, method: str, path: str, how: int | str | Callable[[], None], times: int = 1, after: int = 0) -> None:
        """Answer the next `times` requests whose path matches the regex, after `after` that may pass, with a status,
        "reset" the connection, or call a function first and go on."""
        self.failures.append(Failure(method, path, how, times, after))

    def repo(self, name: str, kind: str = "datasets") -> Repo:
        return self.repos[kind, name]

    def add(self, name: str, files: dict[str, bytes], kind: str = "datasets", private: bool = False) -> Repo:
        """A repo with one commit, as if it had always been there."""
        repo = self.repos[kind, name] = Repo(private)
        repo.commit("initial commit", {p: Blob(d, _is_lfs(p, len(d))) for p, d in files.items()})
        return repo


def _is_lfs(path: str, size: int) -> bool:
    return path.endswith((".parquet", ".png", ".safetensors")) or size > 5_000_000


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        body = (
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.headers.get("Transfer-Encoding")
            else self._chunks()
        )
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
            how = self._planned(path)
        if callable(how):
            how = how()
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        try:
            if how is not None:
                raise _Refused(int(how), "", f"refused with {how}, as the test asked")
            with self.hub.lock:
                self._route(path, parse_qs(url.query), body, url.path)
        except _Refused as e:
            self._send(
                e.status,
                json.dumps({"error": e.message}).encode(),
                {"X-Error-Code": e.code, "X-Error-Message": e.message},
            )

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _planned(self, path: str) -> int | str | Callable[[], None] | None:
        for plan in self.hub.failures:
            if plan.times and plan.method == self.command and re.search(plan.path, path):
                if plan.after:
                    plan.after -= 1
                    continue
                plan.times -= 1
                return plan.how
        return None

    def _send(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode())

    def _role(self, needed: str = "read") -> str | None:
        """The role of the request's token; refuses where it may not do what is needed."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        role = self.hub.tokens.get(token) if token else None
        if (token and not role) or (needed == "write" and not token):
            raise _Refused(401, "", "Invalid username or password.")
        if needed == "write" and role != "write":
            raise _Refused(403, "", "this token has no write permission")
        return role

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.repos.get((kind, name))
        role = self._role()
        if repo is None or (repo.private and role is None):
            raise _Refused(401 if role is None else 404, "RepoNotFound", "Repository not found")
        return repo

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _route(self, path: str, query: dict[str, list[str]], body: bytes, quoted: str) -> None:
        if path == "/api/whoami-v2":
            if not (role := self._role()):
                raise _Refused(401, "", "Invalid username or password.")
            self._json(
                {"type": "user", "name": USER, "orgs": [], "auth": {"accessToken": {"displayName": "t", "role": role}}}
            )
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif m := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif m := re.fullmatch(r"/lfs/([0-9a-f]{64})(/verify)?", path):
            if not m[2]:
                if hashlib.sha256(body).hexdigest() != m[1]:
                    raise _Refused(400, "", "the bytes are not those of the oid")
                self.hub.store[m[1]] = body
            self._json({})
        elif m := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(\w[\w-]*)(?:/(.*))?)?", quoted):
            self._api(m[1], unquote(m[2]), m[3] or "revision", m[4], query, body)
        elif m := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", quoted):
            self._resolve("datasets" if m[1] else "models", unquote(m[2]), unquote(m[3]), unquote(m[4]))
        else:
            raise _Refused(404, "", f"the test hub has no {self.command} {path}")

    def _create(self, asked: dict[str, Any]) -> None:
        self._role("write")
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        kind = {"dataset": "datasets"}.get(asked.get("type"), "models")
        url = f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{name}"
        if (kind, name) in self.hub.repos:
            self._send(409, json.dumps({"url": url, "error": "You already created this repo"}).encode())
            return
        repo = self.hub.repos[kind, name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
        repo.commit(
            "initial commit", {".gitattributes": Blob(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", False)}
        )
        self._json({"url": url, "name": name, "id": name})

    def _batch(self, asked: dict[str, Any]) -> None:
        self._role("write")
        objects = []
        for item in asked["objects"]:
            url = f"{self.hub.url}/lfs/{item['oid']}"
            actions = {"upload": {"href": url}, "verify": {"href": f"{url}/verify"}}
            objects.append({**item, **({} if item["oid"] in self.hub.store else {"actions": actions})})
        self._json({"transfer": "basic", "objects": objects})

    def _api(self, kind: str, name: str, what: str, rest: str | None, query: dict[str, list[str]], body: bytes) -> None:
        writes = what in ("preupload", "commit", "tag")
        if writes:
            self._role("write")
        repo = self._repo(kind, name)
        rest = rest or "main"
        if what == "refs":
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commits[-1].sha}]
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in repo.tags.items()]
            return self._json({"branches": branches, "tags": tags, "converts": []})
        revision, _, folder = rest.partition("/")
        revision, folder = unquote(revision), unquote(folder)
        if what == "tag" and self.command == "DELETE":
            if repo.tags.pop(revision, None) is None:
                raise _Refused(404, "RevisionNotFound", "no such tag")
            return self._json({})
        commit = self._commit(repo, revision)
        if what == "revision":
            siblings = [{"rfilename": p,
                **({"size": len(b.data), "blobId": b.oid,
                **({"lfs": {"sha256": b.sha256, "size": len(b.data),
                "pointerSize": 134}} if b.lfs else {})} if "blobs" in query else {})} for p,
                b in sorted(commit.files.items())]  # fmt: skip
            self._json(
                {
                    "id": name,
                    "sha": commit.sha,
                    "private": repo.private,
                    "siblings": siblings,
                    "tags": [],
                    "lastModified": DATE,
                    "disabled": False,
                    "gated": False,
                    "downloads": 0,
                    "likes": 0,
                }
            )
        elif what == "tree":
            self._tree(commit, folder, "recursive" in query and query["recursive"] != ["False"])
        elif what == "paths-info":
            asked = json.loads(body) if body.startswith(b"{") else {"paths": parse_qs(body.decode()).get("paths", [])}
            folders = [
                {"type": "directory", "path": p, "oid": "0" * 40, "size": 0}
                for p in asked["paths"]
                if any(f.startswith(f"{p}/") for f in commit.files)
            ]
            self._json([commit.files[p].entry(p) for p in asked["paths"] if p in commit.files] + folders)
        elif what == "commits":
            history = repo.commits[: repo.commits.index(commit) + 1][::-1]
            self._json(
                [
                    {"id": c.sha, "title": c.title, "message": c.message, "date": DATE, "authors": [{"user": USER}]}
                    for c in history
                ]
            )
        elif what == "preupload":
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if _is_lfs(f["path"], f["size"]) else "regular",
                    "shouldIgnore": False,
                    "oid": self._known(commit, f["path"]),
                }
                for f in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif what == "commit":
            self._write(repo, name, kind, body)
        elif what == "tag":
            tag = json.loads(body)["tag"]
            if tag in repo.tags:
                raise _Refused(409, "", "Tag reference exists already")
            repo.tags[tag] = commit.sha
            self._json({})
        else:
            raise _Refused(404, "", f"the test hub has no {what}")

    def _known(self, commit: Commit, path: str) -> str | None:
        blob = commit.files.get(path)
        return None if blob is None else blob.sha256 if blob.lfs else blob.oid

    def _tree(self, commit: Commit, folder: str, recursive: bool) -> None:
        prefix = f"{folder}/" if folder else ""
        inside = [p for p in sorted(commit.files) if p.startswith(prefix)]
        if folder and not inside:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist")
        parts = [p[len(prefix) :].split("/") for p in inside]
        depths = [range(1, len(p)) if recursive else range(1, min(2, len(p))) for p in parts]
        folders = dict.fromkeys(prefix + "/".join(p[:d]) for p, ds in zip(parts, depths) for d in ds)
        files = [p for p in inside if recursive or "/" not in p[len(prefix) :]]
        self._json(
            [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in folders]
            + [commit.files[p].entry(p) for p in files]
        )

    def _write(self, repo: Repo, name: str, kind: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = lines[0]["value"]
        if header.get("parentCommit") and header["parentCommit"] != repo.commits[-1].sha:
            raise _Refused(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[-1].files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.store:
                    raise _Refused(400, "", f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = Blob(self.hub.store[value["oid"]], True)
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
            elif line["key"] == "deletedFolder":
                files = {p: b for p, b in files.items() if not p.startswith(value["path"].rstrip("/") + "/")}
        made = repo.commit(header["summary"], files, header.get("description", ""))
        url = f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{name}/commit/{made.sha}"
        self._json({"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        commit = self._commit(self._repo(kind, name), revision)
        blob = commit.files.get(path)
        if blob is None:
            raise _Refused(404, "EntryNotFound", f"{path} does not exist")
        etag = blob.sha256 if blob.lfs else blob.oid
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{etag}"', "X-Linked-ETag": f'"{etag}"',
            "X-Linked-Size": str(len(blob.data)), "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream"}  # fmt: skip
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not span:
            return self._send(200, blob.data, headers)
        start, end = int(span[1]), min(int(span[2] or len(blob.data)), len(blob.data) - 1)
        self._send(
            206, blob.data[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(blob.data)}"}
        )


if __name__ == "__main__":  # python tests/hub_server.py > hub.env & … source hub.env
    hub = Hub()
    print(f"export HF_ENDPOINT={hub.url} HF_HUB_DISABLE_XET=1 HF_TOKEN=hf_writer", flush=True)
    threading.Event().wait()
