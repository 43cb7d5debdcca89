"""A model server on loopback that answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(says: Callable[[str, dict[str, Any]], tuple[int, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(base_url, the bodies it got) of a running server; `says(path, body)` gives status and the JSON to answer."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            status, answer = says(self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield f"{address}/v1", asked


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The address of a server that answers until the block ends."""
    server.daemon_threads = True  # type: ignore[attr-defined]
    # Looked for every 10 ms, the order to shut down costs a test no half second.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def said(content: str, **choice: Any) -> tuple[int, dict[str, Any]]:
    """A chat completion with this content; 100 tokens asked, 10 answered."""
    message = {"role": "assistant", "content": content}
    choices = [{"message": message, "finish_reason": "stop", **choice}]
    return 200, {"choices": choices, "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
