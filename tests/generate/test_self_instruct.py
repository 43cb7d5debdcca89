"""Exactly as many rows as asked for, whatever the endpoint does, and nothing paid twice."""

from __future__ import annotations

from collections import Counter

import pytest

from instdata.util.errors import BudgetReached, BuildError, InputError
from tests.generate.conftest import PRICE, accepted, reasons
from tests.llm.server import running

FAST = {"concurrency": 32}


def test_500_of_500_at_30_percent_faults(produce):
    with running(faults=0.3, stall=5) as server:
        made, usage = produce(server, target=500, batch=2, timeout=1.0, **FAST)
        stats = server.stats()
    assert len(accepted(made)) == 500
    assert Counter(r["ability"] for r in accepted(made)) == dict.fromkeys(("math", "code", "chat", "story"), 125)
    assert stats["repeated"] == 0, "a request that got an answer was sent again"
    cents = (stats["prompt"] * PRICE["input"] + stats["completion"] * PRICE["output"]) / 1e6
    assert usage["usd"] == pytest.approx(cents, abs=1e-12)
    assert {"near_duplicate", "wrong_language", "unusable"} <= set(reasons(made))
    for fault in ("429", "500", "503", "reset", "stall", "cut_body", "invalid_json", "empty_choices"):
        assert stats["faulty"].get(fault), f"the server never showed {fault}"


def test_same_rows_whatever_the_concurrency_and_faults_of_transport(produce, tmp_path):
    with running(faults=0.3, latency=0.002, kinds=["500", "reset", "cut_body"]) as server:
        one = produce(server, target=60, concurrency=1, cache=tmp_path / "a")[0]
        many = produce(server, target=60, concurrency=64, cache=tmp_path / "b")[0]
    with running() as server:
        clean = produce(server, target=60, cache=tmp_path / "c")[0]
    wording = [r["messages"] for r in one.table.to_pylist()]
    assert one.table.drop(["meta"]).equals(many.table.drop(["meta"]))
    assert wording == [r["messages"] for r in clean.table.to_pylist()]


def test_a_second_run_asks_nothing_and_a_higher_target_only_the_rest(produce):
    with running() as server:
        first, _ = produce(server, target=40)
        asked = server.stats()["requests"]
        again, usage = produce(server, target=40)
        assert server.stats()["requests"] == asked
        assert usage["requests"] == 0 and usage["cache_hits"] == asked
        assert again.table.equals(first.table)
        more, _ = produce(server, target=80)
        assert server.stats()["repeated"] == 0
    assert len(accepted(more)) == 80


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.1}, {"model": "other"}, {"seed": 1}, {"batch": 2}, {"prompt": "own.txt"}, {"language": "en"}],
)
def test_a_changed_request_never_gets_an_old_answer(produce, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text("new system prompt\n---\n$label $count", encoding="utf-8")
    with running(kinds=[]) as server:
        produce(server, target=8)
        try:
            _, usage = produce(server, target=8, **change)
        except BuildError:
            assert "language" in change  # the server only writes Chinese: all rows are refused, none is an old one
            return
    assert usage["cache_hits"] == 0 and usage["requests"] > 0


def test_another_server_never_gets_an_old_answer(produce):
    with running() as one, running() as two:
        produce(one, target=8)
        _, usage = produce(two, target=8)
    assert usage["cache_hits"] == 0


@pytest.mark.parametrize("concurrency", [1, 16, 256])
def test_never_more_than_a_dollar(produce, concurrency):
    price = {"input": 20.0, "output": 50.0}
    with running(faults=0.2, latency=0.01, stall=2) as server:
        with pytest.raises(BudgetReached, match="run again with a higher limit"):
            produce(server, target=5000, max_usd=1.0, price=price, concurrency=concurrency, timeout=0.5)
        stats = server.stats()
    billed = (stats["all_prompt"] * price["input"] + stats["all_completion"] * price["output"]) / 1e6
    assert 0.2 < billed <= 1.0, "billed counts answers that were lost on the way as well"


def test_a_reached_budget_resumes_with_a_higher_one(produce):
    with running() as server:
        with pytest.raises(BudgetReached):
            produce(server, target=100, max_requests=10)
        assert server.stats()["requests"] == 10
        made, _ = produce(server, target=100, max_requests=100)
        assert server.stats()["repeated"] == 0
    assert len(accepted(made)) == 100


def test_max_usd_needs_a_price(produce):
    with running() as server, pytest.raises(InputError, match="price"):
        produce(server, target=4, max_usd=1.0, price=None)


def test_weights_and_counts_per_ability(produce):
    with running() as server:
        weighted, _ = produce(server, target=10, per_ability={"math": 3, "code": 1})
        counted, _ = produce(server, per_ability={"math": 2, "story": 3})
        each, _ = produce(server, per_ability=2)
    assert Counter(r["ability"] for r in accepted(weighted)) == {"math": 8, "code": 2}
    assert Counter(r["ability"] for r in accepted(counted)) == {"math": 2, "story": 3}
    assert set(Counter(r["ability"] for r in accepted(each)).values()) == {2}


def test_a_model_that_cannot_is_told_apart_from_one_that_can(produce):
    with running(
        fixed='{"tasks": [{"instruction": "请解释什么是月食", "response": "地球挡住了太阳照向月球的光"}]}'
    ) as server:
        with pytest.raises(BuildError, match="no acceptable row in 5 requests"):
            produce(server, target=40)
        assert server.stats()["requests"] < 60


def test_unusable_answers_are_quarantined_with_their_text(produce):
    with running(fixed="对不起，我不能这样做。") as server, pytest.raises(BuildError):
        produce(server, target=4)
    with running(faults=0.3, kinds=["invalid_json"]) as server:
        made, usage = produce(server, target=100)
    broken = [r for r in made.table.to_pylist() if r["error"]]
    assert broken and all(r["raw"].startswith('{"tasks"') and r["messages"] is None for r in broken)
    assert usage["unusable"] == len(broken)


def test_shown_rows_are_seeds(produce):
    with running() as server:
        made, _ = produce(server, target=20)
    assert len(made.shown) and set(made.shown) <= set(range(12))


def test_no_key_in_any_file_or_error(produce, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    with running() as server:
        produce(server, target=8)
    with running(status=401) as server, pytest.raises(InputError, match="check OPENAI_API_KEY") as refused:
        produce(server, target=8, model="x")
    assert "very-secret" not in str(refused.value)
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"very-secret" not in path.read_bytes()
