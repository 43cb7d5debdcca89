"""Which server answers for a model name: an OpenAI-compatible endpoint from the environment, or a local GGUF."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from instdata.llm.embedded import SLOTS, serve
from instdata.llm.models import AUTO, MODELS, find, pull, sha256_of
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.paths import expanded

OPENAI = "https://api.openai.com/v1"
OPENAI_MODEL = "gpt-4.1-mini"  # what `auto` means for a bare OPENAI_API_KEY
LOCAL = "local:"
RED = "***"


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
        """The text without the API key, for errors and logs."""
        return text if self.key == "none" else text.replace(self.key, RED)


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


def endpoint(
    model: str, base_url: str | None = None, base: Path = Path(), say: Callable[[str], None] = print
) -> Endpoint:
    """The endpoint of a concrete model name; a registered local model is downloaded by `open`
    where it is missing.

    Raises InputError where nothing is configured for it."""
    if model.startswith(LOCAL):
        name = model.removeprefix(LOCAL)
        if name in MODELS:
            return Endpoint(
                f"sha256:{MODELS[name].sha256}",
                name,
                name,
                SLOTS,
                600.0,
                lambda stack: stack.enter_context(serve(pull(name, say))),
            )
        path = (base / expanded(name)).resolve()
        if not path.is_file():
            raise InputError(f"{name}: no such model file")
        return Endpoint(
            f"sha256:{sha256_of(path)}",
            path.stem,
            path.stem,
            SLOTS,
            600.0,
            lambda stack: stack.enter_context(serve(path)),
        )
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    key = os.environ.get("OPENAI_API_KEY", "")
    if url == OPENAI and not key:
        raise InputError(
            f'model "{model}" needs an endpoint: set OPENAI_API_KEY or OPENAI_BASE_URL, or use model: local:{AUTO}'
        )
    return Endpoint(public(url), model, model, 64, 120.0, lambda stack: url, key or "none")


def public(url: str) -> str:
    """An address without user, password and query: those may be secrets."""
    parts = urlsplit(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _first_model(base_url: str | None) -> str:
    try:
        from openai import OpenAI, OpenAIError
    except ImportError as e:
        raise MissingExtra("a language model", "generate") from e
    url = base_url or os.environ["OPENAI_BASE_URL"]
    try:
        with OpenAI(
            base_url=url, api_key=os.environ.get("OPENAI_API_KEY") or "none", timeout=10, max_retries=1
        ) as client:
            return next(iter(client.models.list())).id
    except (OpenAIError, StopIteration) as e:
        raise BuildError(
            f"{public(url)} does not list its models ({type(e).__name__}): name one with model: …"
        ) from None
