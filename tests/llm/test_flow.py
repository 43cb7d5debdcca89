"""Work that overlaps: planned and taken in order, whatever comes first; nothing waits for the slowest."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.llm.ordered_jobs import flow
from instdata.util.errors import BuildError


class Loop:
    """Enough of a client for flow."""

    stop: Exception | None = None

    def run(self, work):
        asyncio.run(work)

    def check_refused(self):
        pass


def played(jobs: int, window: int, seed: int, slots: int = 1000):
    """(the order in which jobs were planned and taken, the most at once), with sleeps drawn by the seed."""
    draw, log, left = random.Random(seed), [], iter(range(jobs))
    at_once = [0, 0]

    async def work(job: int) -> int:
        async with free[0]:
            at_once[0] += 1
            at_once[1] = max(at_once)
            await asyncio.sleep(draw.random() ** 8 / 200)
            at_once[0] -= 1
        return job * job

    free = []

    def plan(under_way: int):
        free or free.append(asyncio.Semaphore(slots))
        new = [job for _, job in zip(range(window - under_way), left)]
        log.append(("plan", under_way, new))
        return new

    flow(Loop(), plan, work, lambda job, made: log.append(("take", job, made)))
    return log, at_once[1]


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_what_is_planned_does_not_depend_on_which_answer_comes_first(jobs, window, one, other):
    log, most = played(jobs, window, one)
    assert log == played(jobs, window, other, slots=2)[0]
    assert [job for what, job, _ in log if what == "take"] == list(range(jobs))
    assert most <= window


def test_the_slowest_answer_holds_nobody_up():
    began, taken = [], []
    gate = []

    async def work(job: int) -> int:
        gate or gate.append(asyncio.Event())
        began.append(job)
        if job == 0:
            await gate[0].wait()
        elif job == 9:
            gate[0].set()
        return job

    jobs = iter(range(10))
    flow(Loop(), lambda n: [j for _, j in zip(range(10 - n), jobs)], work, lambda job, _: taken.append(job))
    assert began == taken == list(range(10))


def test_an_error_waits_for_what_is_under_way_then_is_raised():
    ended, taken = [], []

    async def work(job: int) -> int:
        await asyncio.sleep(0.01 * (5 - job))
        ended.append(job)
        if job == 4:
            raise BuildError("no more")
        return job

    jobs = iter([list(range(5))])
    with pytest.raises(BuildError, match="no more"):
        flow(Loop(), lambda _: next(jobs, []), work, lambda job, _: taken.append(job))
    assert sorted(ended) == list(range(5)) and taken == []


def test_what_is_under_way_is_given_up_where_nothing_is_wanted_any_more():
    ended, taken, plans = [], [], iter([range(5), None])

    async def work(job: int) -> int:
        await asyncio.sleep(0 if job == 0 else 5)
        ended.append(job)
        return job

    flow(Loop(), lambda _: next(plans), work, lambda job, _: taken.append(job))
    assert ended == taken == [0]


def test_a_beat_while_nothing_comes():
    beats = []

    async def work(job: int) -> int:
        await asyncio.sleep(0.05)
        return job

    jobs = iter([[1, 2, 3]])
    flow(Loop(), lambda _: next(jobs, []), work, lambda *_: None, beats.append, seconds=0.02)
    assert beats and set(beats) <= {1, 2, 3}
