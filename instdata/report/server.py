"""One small server for people's pages: on loopback only, with a key in the address, for one folder and one person."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from instdata.report.page import HERE, environment
from instdata.util.errors import InputError, MissingExtra
from instdata.util.redaction import shown

log = logging.getLogger(__name__)  # stderr, where nobody set it up otherwise
HOST = "127.0.0.1"
BODY = 4_000_000  # bytes of a request
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
    "data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
TYPES = {".js": "text/javascript", ".css": "text/css"}
FILES = ("page.css", "served_page.css", "served_page.js", "conversation.js", "review.js", "browse.js")

# What a page's script asks: the name in the address -> a function of what it sent (JSON), which returns JSON.
Answers = Mapping[str, Callable[[dict[str, Any]], Any]]


class Server:
    """A page of a folder with the answers that its script asks for. `address` holds the key: whoever has it is let
    in."""

    def __init__(self, template: str, shown: dict[str, Any], answers: Answers, port: int = 0):
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as e:
            raise MissingExtra("a page that is served", "review") from e
        self.key = secrets.token_urlsafe(18)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((HOST, port))
        except OSError as e:
            self.socket.close()
            raise InputError(f"--port {port}: {e.strerror}; leave it out, and a free one is taken") from e
        self.socket.listen(64)  # so that the address answers as soon as it is told
        self.port = self.socket.getsockname()[1]
        self.page = environment().get_template(template).render(**shown)
        self.answers = answers

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/{self.key}/"

    def run(self) -> None:
        """Serve until interrupted."""
        import uvicorn

        config = uvicorn.Config(
            self.application(), log_level="error", access_log=False, lifespan="off", server_header=False
        )
        uvicorn.Server(config).run(sockets=[self.socket])

    def application(self) -> Any:
        """The ASGI application. Requests from other hosts' pages, or without the key, learn nothing."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[Route("/{key}/", self._page), Route("/{key}/{name}", self._named, methods=["GET", "POST"])]
        )

    def _refused(self, request: Any) -> Any:
        """Why a request is none of ours, as a response; None where it is fine. Another site's page can send requests
        here, or give its own name our address (DNS rebinding): the Host, and the Origin where one is told, must be
        ours."""
        hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        origin = request.headers.get("origin")
        if request.headers.get("host") not in hosts:
            return _text("this server answers to its own name alone", 421)
        if origin is not None and origin.removeprefix("http://") not in hosts:
            return _text("another site's page", 403)
        if not hmac.compare_digest(request.path_params["key"].encode(), self.key.encode()):
            return _text("no such page: the address that `instdata` printed has a key in it", 404)
        return None

    async def _page(self, request: Any) -> Any:
        from starlette.responses import HTMLResponse

        return self._refused(request) or HTMLResponse(self.page, headers=HEADERS)

    async def _named(self, request: Any) -> Any:
        """A file of the page, or an answer to its script."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response

        if (refused := self._refused(request)) is not None:
            return refused
        name = request.path_params["name"]
        if request.method == "GET":
            if name not in FILES:
                return _text("no such file", 404)
            return Response((HERE / name).read_bytes(), media_type=TYPES[Path(name).suffix], headers=HEADERS)
        if name not in self.answers:
            return _text("no such question", 404)
        asked = await _body(request)
        if not isinstance(asked, dict):
            return _json({"error": "JSON is needed: an object"}, 400)
        try:
            return _json(await run_in_threadpool(self.answers[name], asked))
        except (InputError, ValueError) as e:
            return _json({"error": shown(e)}, 400)
        except Exception as e:  # a fault of ours: the page says so, the terminal says where
            log.error("%s could not be answered\n%s", name, shown("".join(traceback.format_exception(e))))
            return _json({"error": shown(f"{name} could not be answered: {type(e).__name__}: {e}")}, 500)


async def _body(request: Any) -> Any:
    """What a request sent, as JSON; None where it is none, or too much."""
    import orjson

    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY:
            return None
        parts.append(part)
    try:
        return orjson.loads(b"".join(parts))
    except ValueError:
        return None


def _json(value: Any, status: int = 200) -> Any:
    import orjson
    from starlette.responses import Response

    try:
        text: Any = orjson.dumps(value, default=str)  # what is not a number is null
    except TypeError:  # half a surrogate pair is no UTF-8
        text = json.dumps(value, default=str)
    return Response(text, status, HEADERS, "application/json")


def _text(line: str, status: int) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(line, status, HEADERS)
