"""Which server answers for a model name: an OpenAI-compatible endpoint from the environment, or a local GGUF."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from instdata.llm.embedded_server import SLOTS, serve
from instdata.llm.local_models import AUTO, MODELS, find, pull
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.file_digests import file_digest
from instdata.util.paths import expanded
from instdata.util.redaction import REDACTED, redact
from instdata.util.secrets import cleaned, secret_value

OPENAI = "https://api.openai.com/v1"
OPENAI_MODEL = "gpt-4.1-mini"  # what `auto` means for a bare OPENAI_API_KEY
LOCAL = "local:"
RED = REDACTED
CONNECT = 5.0  # seconds for one attempt to reach a server
ADDRESS = "Is the address right (it mostly ends in /v1), the server up, the proxy (HTTPS_PROXY) right"
# Models that an endpoint lists beside those that write: `auto` never takes one.
NO_WRITER = re.compile(
    r"(?i)embed|(?:^|[/_-])(?:bge|gte|e5|m3e|jina|nomic)(?:[_-]|$)|rerank|whisper|tts|speech|audio|voice|transcri|asr|dall-?e|image|"
    r"diffusion|flux|sdxl|imagen|sora|video|veo|moderation|guard|realtime|ocr|clip|cosyvoice|paraformer|wanx|cogview|colbert|reward"
)


@dataclass(frozen=True)
class Endpoint:
    """A model somewhere. `base` names the server in cache keys: its address without credentials, or a local model's
    sha256 (its port changes every time). `open` gives the address to call; a local server starts there and ends with
    the stack."""

    base: str
    model: str
    origin: str
    concurrency: int
    timeout: float
    open: Callable[[ExitStack], str] = field(repr=False)
    key: str = field(default="none", repr=False)

    @property
    def where(self) -> str:
        """What a user knows it by: the address, or the local model's name."""
        return f"{LOCAL}{self.model}" if self.base.startswith("sha256:") else self.base

    def clean(self, text: str) -> str:
        """The text without the API key and other secrets, for errors and logs."""
        return redact(text if self.key == "none" else text.replace(self.key, RED))


def configured() -> bool:
    """Whether the environment names an endpoint."""
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


def resolve_model(model: str, base_url: str | None = None) -> str:
    """The concrete name of a model: `auto` is the environment's endpoint (its first model), else the embedded one.

    Only an endpoint that must be asked for its models is reached. Raises InputError, BuildError."""
    if model.startswith(LOCAL):
        name = model.removeprefix(LOCAL)
        if not name.endswith(".gguf"):
            find(name)
        return model
    if model != "auto":
        return model
    if base_url or os.environ.get("OPENAI_BASE_URL"):
        return _first_model(base_url)
    return OPENAI_MODEL if configured() else LOCAL + AUTO


def server(model: str, base_url: str | None = None, base: Path = Path()) -> str:
    """What names the server of a concrete model in cache keys (see Endpoint.base): other servers answer otherwise under
    the same name. Nothing is reached, and no key needed. Raises InputError for a local model that is none."""
    if not model.startswith(LOCAL):
        return public(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
    name = model.removeprefix(LOCAL)
    return f"sha256:{MODELS[name].sha256 if name in MODELS else file_digest(_file(name, base))}"


def _file(name: str, base: Path) -> Path:
    path = (base / expanded(name)).resolve()
    if not path.is_file():
        raise InputError(f"{name}: no such model file")
    return path


def endpoint(
    model: str, base_url: str | None = None, base: Path = Path(), say: Callable[[str], None] = print
) -> Endpoint:
    """The endpoint of a concrete model name; a registered local model is downloaded by `open`
    where it is missing.

    Raises InputError where nothing is configured for it."""
    where = server(model, base_url, base)
    if model.startswith(LOCAL):
        name = model.removeprefix(LOCAL)
        known = name in MODELS
        label = name if known else _file(name, base).stem

        def open_(stack: ExitStack) -> str:
            return str(stack.enter_context(serve(pull(name, say) if known else _file(name, base))))

        return Endpoint(where, label, label, SLOTS, 600.0, open_)
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    key = os.environ.get("OPENAI_API_KEY", "")
    if url == OPENAI and not key:
        raise InputError(
            f'model "{model}" needs an endpoint: set OPENAI_API_KEY or OPENAI_BASE_URL, or use model: local:{AUTO}'
        )
    return Endpoint(where, model, model, 64, 120.0, lambda stack: url, key or "none")


def public(url: str) -> str:
    """An address without user, password and query, and without parts of its path that look like a key: those may be
    secrets."""
    parts = urlsplit(cleaned(url))
    host = parts.netloc.rpartition("@")[2].lower()
    path = "/".join(RED if secret_value(part) else part for part in parts.path.rstrip("/").split("/"))
    return redact(f"{parts.scheme}://{host}{path}")


def api_client(url: str, key: str, timeout: float, asynchronous: bool = True, retries: int = 0) -> Any:
    """A client of the API at an address. This machine is reached without a proxy, whatever the environment says; an
    `api-version` in the address makes it one of Azure's classic ones.

    Raises InputError where the environment's proxy cannot be used."""
    import openai

    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    key = parts.password or key
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    more: dict[str, Any] = {"default_query": query} if query else {}
    if "api-version" in query:
        more["default_headers"] = {"api-key": key}
    here = (parts.hostname or "") == "localhost" or (parts.hostname or "").startswith("127.") or parts.hostname == "::1"
    kind, http = (
        (openai.AsyncOpenAI, openai.DefaultAsyncHttpxClient)
        if asynchronous
        else (openai.OpenAI, openai.DefaultHttpxClient)
    )
    try:
        return kind(
            base_url=urlunsplit(plain),
            api_key=key,
            max_retries=retries,
            timeout=timeouts(timeout),
            http_client=http(trust_env=not here, timeout=timeouts(timeout)),
            **more,
        )
    except (ImportError, ValueError) as e:  # a SOCKS proxy without its package, or a proxy's address that is none
        raise InputError(f"the proxy of the environment (ALL_PROXY, HTTPS_PROXY) cannot be used: {e}") from None


def timeouts(seconds: float) -> Any:
    """So long for an answer; a server that cannot even be reached is told much sooner."""
    from openai import Timeout

    return Timeout(seconds, connect=min(CONNECT, seconds))


def unconnected(e: BaseException) -> bool:
    """Whether a time-out is one of the way to the server: nobody was there to ask."""
    return type(e.__cause__).__name__ == "ConnectTimeout"  # of whichever library the client speaks HTTP with


def cause(e: BaseException) -> str:
    """What lies under an error of the libraries between us and a server: `ConnectionRefusedError: …`."""
    if unconnected(e):
        return f"nothing answers at that address (no connection within {CONNECT:.0f} s)"
    while (deeper := e.__cause__ or e.__context__) is not None:
        e = deeper
    number = e.errno if isinstance(e, OSError) and e.errno else 0
    said = os.strerror(number) if number > 0 else " ".join(str(e).split())[:200]
    return f"{type(e).__name__}: {said}" if said else type(e).__name__


def models_at(url: str) -> list[str]:
    """The names that an endpoint lists. Raises BuildError."""
    try:
        from openai import APIConnectionError, APITimeoutError, OpenAIError
    except ImportError as e:
        raise MissingExtra("a language model", "generate") from e
    try:
        with api_client(url, os.environ.get("OPENAI_API_KEY") or "none", 8, asynchronous=False, retries=1) as client:
            return [m.id for m in client.models.list()]
    except APIConnectionError as e:
        late = isinstance(e, APITimeoutError) and not unconnected(e)
        why = "it does not answer within 8 s" if late else redact(cause(e))
        raise BuildError(f"{public(url)} cannot be reached: {why}. {ADDRESS}?") from None
    except (OpenAIError, ValueError, AttributeError, TypeError) as e:
        raise BuildError(
            f"{public(url)} does not list its models ({type(e).__name__}): name one with model: …"
        ) from None


def writers(names: Sequence[str]) -> list[str]:
    """The models that write texts: not embeddings, speech, images."""
    return [n for n in names if not NO_WRITER.search(n)]


def _first_model(base_url: str | None) -> str:
    url = base_url or os.environ["OPENAI_BASE_URL"]
    names = writers(models_at(url))
    if not names:
        raise BuildError(f"{public(url)} lists no model that writes texts: name one with model: …")
    return names[0]
