"""A model on loopback that says what a function of the prompt says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with model(says) as asked:` serves says(prompt, body); `asked` lists the bodies."""
    pytest.importorskip("openai")

    @contextmanager
    def serve(says: Callable[[str, dict], str]) -> Iterator[list[dict]]:
        asked: list[dict] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                asked.append(body)
                raw = self.path.endswith("/v1/completions")  # a text to go on with, not a conversation
                said = says(body["prompt"] if raw else body["messages"][-1]["content"], body)
                choice = {"text": said} if raw else {"message": {"role": "assistant", "content": said}}
                choice["finish_reason"] = "stop"
                reply = {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
                data = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        try:
            yield asked
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    return serve
