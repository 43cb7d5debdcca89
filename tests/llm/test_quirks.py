"""What vendors' endpoints do: each costs what it must, and no more. The modes are in quirks.py."""

from __future__ import annotations

import time

import pytest

from instdata.llm.budget import Budget, Price, price_of
from instdata.llm.client import Client, Request
from instdata.llm.endpoint import endpoint, resolve_model
from instdata.llm.endpoint_errors import fault, hidden
from instdata.llm.request_cache import Store
from instdata.llm.response_fields import tokens
from instdata.util.errors import BudgetReached, BuildError, InputError
from tests.llm.quirks import CHOICES, CONTENT, PARAMETERS, SILENT
from tests.llm.server import running
from tests.llm.vendor_errors import SENT, VENDORS


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.BACKOFF", 0.02)
    opened = []

    def make(url, limits=None, **more):
        store = Store(tmp_path)
        more.setdefault("say", [].append)
        opened.append(Client(endpoint("m", url), store, Budget(store, "s", Price(input=1, output=2), limits), **more))
        return opened[-1]

    yield make
    for one in opened:
        one.__exit__()
        one.store.close()


def asks(*texts: str, **more) -> list[Request]:
    return [Request((("system", "s"), ("user", t)), 50, seed=1, **more) for t in texts]


@pytest.mark.parametrize("quirk", CONTENT)
def test_a_refused_content_costs_its_row_only(client, quirk):
    with running(quirk=quirk) as server:
        good, bad, other = client(server.url).ask_all(asks("good", "bad", "other"))
    assert (good.value, bad.value, other.value) == ("yes", None, "yes")
    assert "refused with 4" in bad.failures[0].why and len(bad.failures) == 1


@pytest.mark.parametrize("quirk", PARAMETERS)
def test_a_parameter_that_is_refused_is_left_out_and_remembered(client, quirk):
    said: list[str] = []
    with running(quirk=quirk) as server:
        schema = {"type": "object", "properties": {"x": {"type": "string"}}}
        for text in ("one", "two"):
            (answer,) = client(server.url, say=said.append).ask_all(asks(text, schema=schema))
            assert answer.value == "yes"
        assert server.stats()["requests"] == 3, "the second client knows it"
    assert len(said) == 1 and PARAMETERS[quirk][0] in said[0]


@pytest.mark.parametrize("quirk", SILENT)
def test_what_an_endpoint_does_not_take_and_does_not_name_is_found(client, quirk):
    said: list[str] = []
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    with running(quirk=quirk) as server:
        for text in ("one", "two"):
            (answer,) = client(server.url, say=said.append).ask_all(asks(text, schema=schema))
            assert answer.value == "yes"
        assert server.stats()["requests"] <= 5, "the second client knows it"
    assert any(SILENT[quirk][0] in line for line in said)


def test_a_refusal_of_everything_ends_the_run_however_late(client):
    with running(quirk="spent") as server, pytest.raises(BuildError, match="refuses everything.*credit balance"):
        one = client(server.url)
        assert [a.value for a in one.ask_all(asks("a", "b", "c"))] == ["yes"] * 3
        one.ask_all(asks(*map(str, range(20))))


@pytest.mark.parametrize("quirk", ["breaks", "firewall"])
def test_what_fails_for_one_content_alone_costs_its_row(client, quirk, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.TRIES", 3)
    with running(quirk=quirk) as server:
        one = client(server.url)
        assert one.ask_all(asks("good"))[0].value == "yes"
        answers = one.ask_all(asks("bad", *map(str, range(20))))
    assert [a.value for a in answers] == [None] + ["yes"] * 20


def test_an_error_in_every_200_is_no_endpoint(client, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.ARRIVAL", 0.1)
    with running(quirk="elsewhere") as server, pytest.raises(BuildError, match="Unexpected endpoint"):
        client(server.url).ask_all(asks("one"))


def test_a_quota_of_a_minute_is_waited_for(client):
    with running(quirk="minute") as server:
        assert [a.value for a in client(server.url).ask_all(asks("a"))] == ["yes"]
        one = client(server.url)
        one.ask_all(asks("b"))
        assert [a.value for a in one.ask_all(asks("c", "d", "e"))] == ["yes"] * 3


def test_a_limit_too_large_leaves_less_to_think_with(client, tmp_path):
    with running(quirk="small") as server:
        one = client(server.url)
        one.thinking = 8192
        assert one.ask_all(asks("a"))[0].value == "yes" and one.thinking < 2000


def test_params_reach_the_endpoint_and_are_in_the_key(client):
    with running(quirk="gpt-5") as server:
        client(server.url, params={"temperature": 1, "enable_thinking": False}).ask_all(asks("one"))
        client(server.url, params={"enable_thinking": True}).ask_all(asks("one"))
        assert server.stats()["answered"] == 2


@pytest.mark.parametrize("quirk", [q for q in CHOICES if q not in ("surrogate", "nul")])
def test_thoughts_are_kept_apart(client, quirk):
    with running(quirk=quirk) as server:
        (answer,) = client(server.url).ask_all(asks("one"))
    assert (answer.value, answer.thought) == ("yes", "hm")


@pytest.mark.parametrize(("quirk", "why"), [("surrogate", "surrogate"), ("nul", "NUL"), ("filtered", "content_filter")])
def test_a_broken_answer_costs_itself(client, quirk, why):
    with running(quirk=quirk) as server:
        good, bad = client(server.url).ask_all(asks("good", "bad"))
    assert good.value == "yes" and bad.value is None and why in bad.failures[0].why


def test_thinking_has_a_budget_of_its_own(client):
    said: list[str] = []
    with running(quirk="used_up") as server:
        (answer,) = client(server.url, say=said.append).ask_all(asks("one"))
    assert answer.value == "yes" and answer.failures[0].why == "used up by thinking"
    assert any("used up by thinking" in line for line in said)


def test_an_error_inside_a_200_is_sent_again_and_never_billed(client):
    with running(quirk="hidden") as server:
        one = client(server.url)
        (answer,) = one.ask_all(asks("one"))
    assert answer.value == "yes" and one.usage.requests == 1 and one.usage.retries == 1
    assert one.store.spent("s")[1:] == (1, 15)


@pytest.mark.parametrize(("quirk", "said"), [("quota", "quota"), ("hours", "until 20")])
def test_what_takes_too_long_stops_at_once(client, quirk, said):
    start = time.monotonic()
    with running(quirk=quirk) as server, pytest.raises(BudgetReached, match=said):
        client(server.url).ask_all(asks("one"))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(("quirk", "said"), [("page", "Sign in"), ("sse", "event stream")])
def test_what_is_no_endpoint_is_told(client, quirk, said, monkeypatch):
    monkeypatch.setattr("instdata.llm.client.ARRIVAL", 0.2)
    with running(quirk=quirk) as server, pytest.raises(BuildError, match=said):
        client(server.url).ask_all(asks("one"))


def test_loopback_ignores_proxies(client, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with running(quirk="plain") as server:
        assert client(server.url).ask_all(asks("one"))[0].value == "yes"


def test_a_socks_proxy_without_its_package_is_one_line(client, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    try:
        import socksio  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="proxy"):
            client("http://192.0.2.1/v1").ask_all(asks("one"))


def test_auto_takes_a_model_that_writes(monkeypatch):
    with running(quirk="plain") as server:
        assert resolve_model("auto", server.url) == "writer"


def test_the_limit_holds_against_the_servers_count(client):
    with running(quirk="silent") as server, pytest.raises(BudgetReached):
        client(server.url, {"max_tokens": 2000}).ask_all(asks(*map(str, range(100))))


def test_a_changed_answer_is_asked_again_and_said_once(client):
    said: list[str] = []
    with running(quirk="plain") as server:
        one = client(server.url)
        one.ask_all(asks("a", "b"))
        one.store.db.execute("update requests set response = replace(response, 'yes', 'no')")
        answers = client(server.url, say=said.append).ask_all(asks("a", "b"))
    assert [a.value for a in answers] == ["yes", "yes"] and len(said) == 1 and "changed" in said[0]


@pytest.mark.parametrize(
    ("usage", "want"),
    [
        ('{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 95}', (10, 0, 85)),
        ('{"prompt_tokens": 10, "prompt_cache_hit_tokens": 8, "completion_tokens": 5}', (10, 8, 5)),
        ('{"prompt_tokens": 10, "cached_tokens": 3, "completion_tokens": 5}', (10, 3, 5)),
        ('{"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens": 5}', (10, 4, 5)),
        ('{"input_tokens": 2, "cache_read_input_tokens": 8, "output_tokens": 5}', (10, 8, 5)),
        ("null", (0, 0, 0)),
    ],
)
def test_tokens_in_every_dialect(usage, want):
    assert tokens(f'{{"usage": {usage}}}') == want


@pytest.mark.parametrize(("who", "status", "body", "kind", "more"), VENDORS, ids=[v[0] for v in VENDORS])
def test_refusals_are_told_apart_by_fields(who, status, body, kind, more):
    f = fault(status, body, SENT)
    assert (f.kind, f.without) == (kind, frozenset(more if isinstance(more, set) else ()))
    assert f.after == (more if isinstance(more, float) else None)
    assert status != 200 or hidden(body)


def test_an_unknown_model_has_no_price():
    assert price_of("gpt-4o-2024-11-20") and price_of("gpt-4o-2024") is None and price_of("gpt-4o-2077-pro") is None
