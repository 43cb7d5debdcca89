"""The client on its own: what it retries, what it refuses, what it learns, and that a kill costs nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from instdata.llm.budget import Budget, Price, price_of
from instdata.llm.client import Client, Request, Unusable
from instdata.llm.endpoint import endpoint, public, resolve_model
from instdata.llm.request_cache import Store, show
from instdata.util.errors import BudgetReached, BuildError, InputError
from tests.llm.server import running

PRICE = Price(input=1, output=2)


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.BACKOFF", 0.02)
    opened = []

    def make(url, limits=None, scope="s", price=PRICE, **more):
        store = Store(tmp_path)
        opened.append(Client(endpoint("served", url), store, Budget(store, scope, price, limits), **more))
        return opened[-1]

    yield make
    for one in opened:
        one.__exit__()
        one.store.close()


def asks(n: int, **more) -> list[Request]:
    return [Request((("user", f"question {i}"),), 50, seed=1, **more) for i in range(n)]


def test_answers_come_in_order_and_are_remembered(client, tmp_path):
    with running(latency=0.01, faults=0.2, kinds=["500", "reset"]) as server:
        first = client(server.url).ask_all(asks(40))
        second = client(server.url).ask_all(asks(40))
        assert server.stats()["answered"] == 40
    assert [a.text for a in first] == [a.text for a in second]
    told = show(first[7].key, tmp_path)
    assert told["request"]["messages"][0]["content"] == "question 7" and told["usd"] > 0
    assert show("no such request", tmp_path) is None and show("x", tmp_path / "nowhere") is None


def test_the_same_question_at_the_same_time_is_sent_once_but_draws_are_apart(client):
    with running(latency=0.02) as server:
        same = client(server.url).ask_all(asks(1) * 10)
        assert server.stats()["answered"] == 1 and len({a.text for a in same}) == 1
        drawn = client(server.url).ask_all([Request((("user", "question 0"),), 50, seed=1, draw=d) for d in range(5)])
        assert server.stats()["answered"] == 5 and len({a.text for a in drawn}) == 5


def test_an_unusable_answer_is_kept_as_billed_and_never_used(client):
    def never(text):
        raise Unusable("not what I asked for")

    with running() as server:
        one = client(server.url)
        (answer,) = one.ask_all(asks(1), never, attempts=3)
        assert answer.value is None and [f.why for f in answer.failures] == ["not what I asked for"] * 3
        assert len({f.text for f in answer.failures}) == 3, "each attempt is a request of its own"
        (again,) = client(server.url).ask_all(asks(1), str, attempts=3)
        assert again.value is None, "an answer once found unusable is never one later"
        assert server.stats()["answered"] == 3 and one.usage.picousd > 0


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InputError), (401, InputError), (403, InputError), (404, InputError), (422, BuildError)]
)
def test_a_refusal_is_one_clear_error_at_once(client, status, kind, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "/v1/chat")  # the server repeats it in its message
    with running(status=status) as server:
        start = time.monotonic()
        with pytest.raises(kind, match=f"refused the request with {status}") as refused:
            client(server.url).ask_all(asks(3))
    assert time.monotonic() - start < 20  # on a busy machine; retries would take minutes
    assert "/v1/chat" not in str(refused.value) and "[redacted]" in str(refused.value)


def test_a_server_without_schemas_is_asked_in_words_only(client):
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    with running(no_schema=True) as server:
        (answer,) = client(server.url).ask_all(asks(1, schema=schema))
    assert answer.value.startswith("答")


def test_a_dead_server_is_told(client, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.TRIES", 3)
    with running() as server:
        pass
    with pytest.raises(BuildError, match="run again to go on"):
        client(server.url).ask_all(asks(1))


def test_a_slow_machine_is_waited_for_and_named(client, monkeypatch, tmp_path):
    """Patience is at least three time-outs; a local model goes by its name, not by its file's sha256."""
    monkeypatch.setattr("instdata.llm.client.PATIENCE", 0.1)
    with running(stall=5, faults=1.0, kinds=["stall"]) as server:
        one = client(server.url, timeout=0.5)
        one.at = replace(one.at, base="sha256:abc")
        start = time.monotonic()
        with pytest.raises(BuildError, match=r"^local:served has answered nothing for 2 s"):
            one.ask_all(asks(1))
    assert 1.4 < time.monotonic() - start < 6


@pytest.mark.parametrize("limits", [{"max_usd": 0.002}, {"max_requests": 9}, {"max_tokens": 900}])
def test_a_limit_holds_for_every_resume_together(client, limits):
    with running() as server:
        for _ in range(3):
            with pytest.raises(BudgetReached):
                client(server.url, limits).ask_all(asks(200))
        stats = server.stats()
    billed = (stats["prompt"] + 2 * stats["completion"]) / 1e6
    assert billed <= limits.get("max_usd", 1)
    assert stats["requests"] <= limits.get("max_requests", 10**6)
    assert stats["prompt"] + stats["completion"] <= limits.get("max_tokens", 10**6)


AT_ONCE = 8
KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from instdata.llm.budget import Budget, Price
from instdata.llm.request_cache import Store
from instdata.llm.client import Client, Request
from instdata.llm.endpoint import endpoint
from instdata.llm.rate_limit import Pace
store = Store(Path({folder!r}))
with Client(endpoint("served", {url!r}), store, Budget(store, "k", Price(input=1, output=2)), Pace({at_once})) as client:
    asks = [Request((("user", f"question {{i}}"),), 50, seed=1) for i in range(400)]
    print(*(a.text for a in client.ask_all(asks)), sep="\\n")
"""


def test_killed_twenty_times_it_ends_with_the_same_answers(tmp_path):
    root, dice = str(Path(__file__).parents[2]), random.Random(4)

    def start(url, folder):
        code = KILLED.format(root=root, folder=str(folder), url=url, at_once=AT_ONCE)
        return subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )

    with running(latency=0.05, faults=0.1, kinds=["500", "reset"]) as server:
        undisturbed = start(server.url, tmp_path / "a").communicate()[0]
        before = server.stats()
        for _ in range(20):
            process = start(server.url, tmp_path / "b")
            time.sleep(dice.uniform(0.1, 1.2))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        disturbed = start(server.url, tmp_path / "b").communicate()[0]
        after = server.stats()
    assert undisturbed.count("\n") == 400 and disturbed == undisturbed
    again = after["answered"] - before["answered"] - 400
    assert again <= 20 * AT_ONCE, "at most what was in flight is repeated"


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (("system", "other"), ("user", "q"))}, {"messages": (("system", "s"), ("user", "other"))},
        {"temperature": 0.5}, {"schema": {"type": "object"}}, {"max_tokens": 6}, {"seed": 2}, {"draw": 1},
        {"more": {"top_p": 0.5}},
    ],
)  # fmt: skip
def test_everything_that_shapes_an_answer_is_in_its_key(change):
    plain = {"messages": (("system", "s"), ("user", "q")), "max_tokens": 5, "temperature": 1.0, "seed": 1}
    here = endpoint("served", "http://127.0.0.1:1/v1")
    keys = [Request(**plain).key(at, n) for n in (0, 1) for at in (here, endpoint("served", "http://127.0.0.1:2/v1"))]
    keys += [
        Request(**plain).key(endpoint("other", "http://127.0.0.1:1/v1"), 0),
        Request(**{**plain, **change}).key(here, 0),
    ]
    assert len(set(keys)) == len(keys) == 6


def test_prices(monkeypatch):
    assert price_of("gpt-4o-mini-2024-07-18").input == 0.15
    assert price_of("who-knows") is None and price_of("local:x.gguf").output == 0
    assert Price(input=1, output=2, cached=0.5).picousd(100, 40, 10) == 60 * 10**6 + 40 * 500_000 + 20 * 10**6


def test_addresses_lose_their_secrets():
    assert public("https://me:secret@host:8000/v1/?key=abc") == "https://host:8000/v1"


def test_auto_is_the_endpoint_or_the_embedded_model(monkeypatch):
    assert resolve_model("auto") == "local:qwen2.5-coder-1.5b-instruct"
    with running() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert resolve_model("auto") == "served"
    assert resolve_model("gpt-x") == "gpt-x"
    with pytest.raises(InputError, match="unknown local model"):
        resolve_model("local:nothing")
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        endpoint("gpt-x")


def test_batches_are_half_the_work_and_survive_a_kill(client, monkeypatch, tmp_path):
    from instdata.llm import batch_api

    def killed(*_):
        raise KeyboardInterrupt

    with running() as server:
        one = client(server.url)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(batch_api, "_await", killed)
            batch_api.fill(one, asks(30), print)
        two = client(server.url)
        batch_api.fill(two, asks(30), print, wait=0.01)
        batched = server.stats()
        assert batched["batches"] == 1, "the batch of the killed run is polled, not handed in again"
        assert batched["answered"] == 26, "every seventh line failed"
        answers = two.ask_all(asks(30))
        stats = server.stats()
    assert all(a.value for a in answers) and two.usage.requests == 30
    assert stats["answered"] == 30 and stats["repeated"] == 0

    def picousd(bill):
        return bill["prompt"] * 10**6 + bill["completion"] * 2 * 10**6

    full = picousd(stats) - picousd(batched)  # what the batch failed on was asked directly, at the full price
    assert full > 0 and two.usage.picousd == picousd(batched) // 2 + full
    assert two.store.spent("s") == (two.usage.picousd, 30, stats["prompt"] + stats["completion"])


def test_a_batch_that_could_pass_the_budget_is_not_handed_in(client):
    from instdata.llm import batch_api

    with running() as server, pytest.raises(BudgetReached):
        batch_api.fill(client(server.url, {"max_requests": 10}), asks(30), print)
        assert server.stats()["batches"] == 0


@pytest.mark.parametrize("how", ["expired", "completed", "completed empty", "gone"])
def test_a_batch_that_gave_nothing_is_handed_in_anew(client, how):
    from instdata.llm import batch_api

    with running(quirk=how) as server:
        with pytest.raises(BuildError, match="again to hand it in anew"):
            batch_api.fill(client(server.url), asks(3), print, wait=0.01)
        two = client(server.url)
        batch_api.fill(two, asks(3), print, wait=0.01)
        assert server.stats()["batches"] == 2 and two.usage.requests == 3
