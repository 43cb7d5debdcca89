"""Abilities that the model can hardly write for: asked for sooner and more often, given up in time and told, and
nothing is waited for once the last row is there."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from instdata.llm.ordered_jobs import flow
from instdata.llm.request import Answer, Request
from instdata.steps.generate.goals import Goal
from instdata.steps.generate.self_instruct import HERE, STUCK_VERIFIED, Ordered, Writer, Writing, produce
from instdata.steps.generate.step import Generate
from instdata.steps.generate.written_records import Records
from instdata.util.build_context import Context
from tests.generate.conftest import accepted, seeds, taxonomy
from tests.llm.server import han
from tests.llm.test_flow import Loop
from tests.verify.conftest import model as model  # a fixture


def written(seed: int, n: int = 1) -> str:
    tasks = [{"instruction": f"请解释{han(14, seed, k)}的意思", "response": han(9, seed, k, "a")} for k in range(n)]
    return json.dumps({"tasks": tasks}, ensure_ascii=False)


def planned(goals: list[Goal], small: bool = False) -> list[Ordered]:
    """The next requests of a run with 64 answers."""
    writer = Writer(
        Writing("", "zh", "m", 2, 0, 60, 0.7, 0, small=small), goals, Records("self-instruct"), None, None, [], print,
        True, lambda *_: (Request((), 1), []), None, answered=64, written=26,
    )  # fmt: skip
    return writer.plan(0) or []


def test_an_ability_of_low_yield_is_asked_for_more_often():
    goals = [Goal(name, name, "", 10, [], accepted=5, written=n) for name, n in (("quick", 6), ("slow", 20))]
    asked = Counter()
    for job in planned(goals):
        asked[job.goal.name] += job.count
    assert asked["slow"] >= 2 * asked["quick"]


def test_a_model_on_this_machine_has_as_many_requests_as_it_works_on():
    """More would wait for each other: the first rows late, and more given up at the end."""
    many = [len(planned([Goal("a", "a", "", 100, [])], small)) for small in (True, False)]
    assert many[0] == HERE < many[1]


@pytest.mark.parametrize("verify", [False, {"draws": 2}])
def test_an_ability_that_gives_nothing_is_counted_and_its_rows_go_to_the_others(model, tmp_path, verify):
    asked_of: Counter[str] = Counter()
    said: list[str] = []

    def says(prompt: str, body: dict) -> str:
        if not (ability := re.search("能力：(.+)", prompt)):
            return json.dumps({"right": "是"}, ensure_ascii=False) if "response_format" in body else "好"
        asked_of[ability[1]] += 1
        return (
            written(body["seed"], 2) if ability[1] == "chat" else '{"tasks": [{"instruction": "唱", "response": ""}]}'
        )

    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path, say=said.append)
    options = {"model": "m", "target": 8, "per_ability": {"chat": 1, "story": 1}, "verify": verify}
    with model(says):
        made = Generate(name="generate", **options).resolve(context).produce(seeds(context))
    assert Counter(r["ability"] for r in accepted(made)) == {"chat": 8}
    assert context.usage["generate"]["given_up"] == {"story": 4}
    assert asked_of["story"] <= STUCK_VERIFIED + 8
    assert any("story: nothing acceptable" in line and "its last 4 rows" in line for line in said)


class Hanging:
    """A session whose story fails once, then answers once, and then takes its time."""

    origin = "stub"

    def __init__(self):
        self.stories = self.hung = self.waited_for = 0

    async def ask(self, request, read):
        text = written(request.seed)
        if "能力：story" in request.messages[-1][1]:
            self.stories += 1
            if self.stories > 2:
                self.hung += 1
                await asyncio.sleep(5)
                self.waited_for += 1
            text = '{"tasks": [{"instruction": "唱", "response": ""}]}' if self.stories == 1 else text
        return Answer(read(text), text, str(request.seed))

    def flow(self, plan, work, take, beat):
        flow(Loop(), plan, lambda job: work(job, self.ask), take, beat)


def test_a_local_run_ends_with_its_last_row(tmp_path: Path):
    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
    session, step = Hanging(), Generate(target=4, model="local:m.gguf", batch=1, examples=1)
    records, _ = produce(step, seeds(context), context, session)
    assert session.hung >= 1 and not session.waited_for
    assert records.counts["accepted"] == 4 and records.counts["too_short"] == 1
