"""The servers of docs/endpoints.md: each, imitated, is asked, lists its models, refuses one content, and is billed right."""

from __future__ import annotations

import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from instdata.llm.budget import Budget, Price
from instdata.llm.client import Client, Request
from instdata.llm.endpoint import endpoint, resolve_model
from instdata.llm.request_cache import Store
from instdata.util.errors import BudgetReached, BuildError, InputError
from tests.llm.server import running
from tests.llm.servers import SERVERS

DOCS = Path(__file__).parents[2] / "docs" / "endpoints.md"
NAMED = {"vllm": "vLLM", "sglang": "SGLang", "llama.cpp": "llama.cpp", "lmstudio": "LM Studio", "ollama": "Ollama",
    "openrouter.ai": "OpenRouter", "litellm": "LiteLLM", "azure-classic": "Azure, classic"}  # fmt: skip


def address(server, mode: str) -> str:
    """The address as the docs write it, on this machine."""
    if mode != "azure-classic":
        return server.url
    return server.url.removesuffix("/v1") + "/openai/deployments/writer?api-version=2024-10-21"


def asked(url: str, tmp_path: Path, *texts: str, **more):
    store = Store(tmp_path)
    client = Client(endpoint("writer", url), store, Budget(store, "s", Price(input=1, output=2)), say=[].append, **more)
    try:
        with client:
            return client.ask_all([Request((("system", "s"), ("user", t)), 50, seed=1) for t in texts]), client.usage
    finally:
        store.close()


@pytest.mark.parametrize("mode", SERVERS)
def test_each_server_is_asked_and_its_refusal_costs_one_row(mode, tmp_path, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.BACKOFF", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with running(quirk=mode) as server:
        (good, bad, other), usage = asked(address(server, mode), tmp_path, "good", "bad", "other")
        bill = server.stats()
        if mode != "azure-classic":
            assert resolve_model("auto", server.url) == "writer"
    assert (good.value, bad.value, other.value) == ("yes", None, "yes")
    assert "refused with 4" in bad.failures[0].why and len(bad.failures) == 1
    assert good.thought == ("hm" if mode == "ollama" else "")
    assert (usage.requests, bill["answered"], bill["prompt"], bill["completion"]) == (2, 2, 20, 10)
    assert usage.retries == ("first" in SERVERS[mode])


def test_azure_wants_its_own_header_and_path(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    with running(quirk="azure-classic") as server:
        with pytest.raises(InputError, match="401"):
            asked(address(server, "azure-classic"), tmp_path / "a", "good")
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        with pytest.raises(InputError, match="40[14]"):
            asked(server.url + "?api-version=2024-10-21", tmp_path / "b", "good")
    assert not any(b"secret" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


def test_a_server_without_tls_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.ARRIVAL", 0.1)
    monkeypatch.setattr("instdata.llm.client.BACKOFF", 0.02)
    with running(quirk="vllm") as server, pytest.raises(BuildError, match="(?i)ssl|tls"):
        asked(server.url.replace("http:", "https:"), tmp_path, "good")


@pytest.mark.parametrize(("waiting", "said"), [(None, "Connection refused"), (0, "nothing answers at that address")])
def test_a_server_that_is_not_there_is_told_with_the_cause(tmp_path, monkeypatch, waiting, said):
    """Refused, or silent (its queue of connections is full); with the back-off of every day, and several requests."""
    monkeypatch.setattr("instdata.llm.client.ARRIVAL", 0.6)
    monkeypatch.setattr("instdata.llm.endpoint.CONNECT", 0.3)
    with ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        if waiting is not None:
            listening.listen(waiting)
            for _ in range(2):
                other = held.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        start = time.monotonic()
        with pytest.raises(BuildError, match=said) as told:
            asked(url, tmp_path, *"abcdefg")
        with pytest.raises(BuildError, match=said):
            resolve_model("auto", url)
    assert told.value.exit_code == 1 and time.monotonic() - start < 10


@pytest.mark.parametrize(("wait", "ends"), [(7300.0, False), (7100.0, True)])
def test_max_wait_decides_whether_a_long_wait_ends_the_run(tmp_path, monkeypatch, wait, ends):
    waited: list[float] = []

    async def no_pause(stopped: object, seconds: float) -> None:
        waited.append(seconds)
        raise BuildError("waits")

    monkeypatch.setattr("instdata.llm.client.wait_unless", no_pause)
    with running(quirk="hours") as server, pytest.raises(BudgetReached if ends else BuildError) as told:
        asked(server.url, tmp_path, "good", max_wait=wait)
    assert ("until 20" in str(told.value)) == ends and waited == ([] if ends else [7200.0])


def test_every_server_of_the_docs_has_a_mode():
    listed = set(re.findall(r"^\| ([^|]+?) \| `", DOCS.read_text("utf-8"), re.M))
    vendors = {"Azure, v1", "DeepSeek", "DashScope"}  # quirks.py
    assert listed - vendors == set(NAMED.values()) and set(NAMED) == set(SERVERS)
