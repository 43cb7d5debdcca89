"""Acceptance as BELLE's scale needs it, in small: overlapping requests, records on disk, the same rows whatever comes
first."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import pyarrow.compute as pc
import pytest

from instdata.llm.ordered_jobs import flow
from instdata.llm.request import Answer
from instdata.steps.dedup import Index
from instdata.steps.generate import written_records
from instdata.steps.generate.self_instruct import MOST, produce
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context
from tests.generate.conftest import seeds, taxonomy
from tests.llm.server import han
from tests.llm.test_flow import Loop


class Fast:
    """A session that answers from a request's number, after a sleep that the seed draws."""

    origin = "stub"

    def __init__(self, seed: int):
        self.draw, self.most = random.Random(seed), 0

    async def ask(self, request, read):
        await asyncio.sleep(self.draw.random() ** 12 / 20)
        tasks = [
            {"instruction": f"请解释{han(14, request.seed, n)}", "response": han(9, request.seed, n, "a")}
            for n in range(4)
        ]
        if request.seed % 5 == 0:
            tasks[1] = tasks[0]
        text = json.dumps({"tasks": tasks}, ensure_ascii=False)
        return Answer(read(text), text, str(request.seed))

    def flow(self, plan, work, take, beat):
        def watched(under_way):
            new = plan(under_way)
            self.most = max(self.most, under_way + len(new))
            return new

        flow(Loop(), watched, lambda job: work(job, self.ask), take, beat)


def made(seed: int, target: int):
    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]))
    session = Fast(seed)
    found, _ = produce(Generate(target=target, model="m", batch=4, examples=2), seeds(context), context, session)
    return found, session


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(written_records, "AT_ONCE", 64)


def test_the_same_rows_whatever_answer_comes_first():
    (one, session), (other, _) = made(1, 400), made(2, 400)
    table = one.table()
    assert table.equals(other.table())
    assert one.counts["accepted"] == 400 and one.counts["near_duplicate"] > 10
    assert table["source_row"].to_pylist() == list(range(one.count))
    assert 8 < session.most <= MOST


def test_no_accepted_row_is_near_another():
    table = made(3, 300)[0].table()
    kept = table.filter(pc.is_null(table["reason"]))["messages"].to_pylist()
    index = Index(0.7, words=False)
    index.add([m[0]["content"] for m in kept])
    pairs = index.query_all([m[0]["content"] for m in kept])
    assert set(zip(pairs.query.tolist(), pairs.indexed.tolist())) == {(n, n) for n in range(300)}


def test_the_goals_share_the_target_exactly():
    table = made(4, 403)[0].table()
    kept = table.filter(pc.is_null(table["reason"]))
    counts = Counter(kept["ability"].to_pylist())
    assert sum(counts.values()) == 403 and max(counts.values()) - min(counts.values()) <= 1
