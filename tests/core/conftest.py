"""Fixtures of the core tests: a loopback S3."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.loopback import serving


class Store:
    """A loopback S3; `fails` says which requests get 500 or a reset."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.inner = DomainDispatcherApplication(create_backend_app)
        self.fails: Callable[[str, str, int], str] = lambda method, path, count: ""
        self.asked: list[str] = []
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = ""

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.asked.append(f"{method} {path}")
        how = self.fails(method, path, len(self.asked))
        if how == "reset":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return [b""]
        if how:
            start("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"no"]
        return self.inner(environ, start)

    def client(self) -> Any:
        import fsspec

        return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store with a bucket, found as clients find theirs: by the environment."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-very-secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "2"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)  # ours are tried, and soon
    found = Store()
    with serving(found.server) as found.url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        urllib.request.urlopen(urllib.request.Request(f"{found.url}/moto-api/reset", method="POST")).close()
        found.client().mkdir("bench")
        yield found
