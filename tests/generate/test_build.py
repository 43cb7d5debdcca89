"""A build with a generate step, as its user sees it: what `why` tells of a row, what a run cost."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from instdata.build import build, prepare
from instdata.builds import history
from instdata.util.errors import BudgetReached
from tests.generate.conftest import PRICE, recipe
from tests.llm.server import running


@pytest.mark.parametrize("price", [PRICE, None])
def test_why_shows_prompt_seeds_response_and_cost(bench, monkeypatch, price):
    path = recipe(bench, target=12, price=price)
    with running(faults=0.2, kinds=["invalid_json"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = build(prepare(path), bench.folder / "out")
        stats = server.stats()
    step = done.manifest["steps"][0]
    assert step["added"] == 12 + step["dropped"] + step["quarantined"]
    ledger = pq.read_table(done.path / "ledger.parquet").to_pylist()
    (row,) = history(done.path, next(r["rid"] for r in ledger if r["source"] == "generate" and r["verdict"] == "kept"))
    made = row["written_by"]
    assert row["messages"][0]["content"] in made["answer"] and made["model"] == "served"
    assert made["seeds"] and all(s.startswith("seeds/") for s in made["seeds"])
    shown = [history(done.path, s)[0]["messages"][0]["content"] for s in made["seeds"]]
    assert all(text in made["prompt"][1] for text in shown)
    used = done.run["usage"]["generate"]
    if price is None:
        assert made["usd"] is None and used["usd"] is None
    else:
        assert made["usd"] == pytest.approx((made["tokens"][0] + 2 * made["tokens"][1]) / 1e6)
        assert used["usd"] == pytest.approx((stats["prompt"] + 2 * stats["completion"]) / 1e6)
        assert used["rows_per_usd"] == pytest.approx(12 / used["usd"], rel=1e-3)
    assert json.loads((done.path / "run.json").read_text())["usage"]["generate"]["rows_accepted"] == 12


def test_variants_of_a_build_share_its_budget(bench, monkeypatch):
    path = recipe(bench, target=12, max_requests=12)
    with running() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        build(prepare(path), bench.folder / "out")
        first = server.stats()["requests"]
        assert 0 < first <= 12
        with pytest.raises(BudgetReached, match="could pass the limit"):
            build(prepare(path, ["generate.target=200", "generate.temperature=0.5"]), bench.folder / "variant")
        assert server.stats()["requests"] <= 12
        build(prepare(path, ["name=other", "generate.temperature=0.9"]), bench.folder / "other")
        assert server.stats()["requests"] > 12, "another build has its own"
