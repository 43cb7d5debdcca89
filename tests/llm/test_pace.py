"""The pace, on a clock of its own: minutes of a rate-limited server pass in a second, however busy this machine is.

benchmarks/client.py --storm measures the same over real HTTP.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from instdata.llm import rate_limit


class Virtual(asyncio.SelectorEventLoop):
    """An event loop in which sleeping costs nothing."""

    now = 1000.0

    def __init__(self):
        super().__init__()
        waits = self._selector.select

        def select(timeout):
            self.now += timeout or 0.0
            return waits(0)

        self._selector.select = select

    def time(self):
        return self.now


@pytest.fixture
def loop(monkeypatch):
    made = Virtual()
    monkeypatch.setattr(rate_limit.time, "monotonic", made.time)
    yield made
    made.close()


class Limited:
    """A server that lets `rate` requests a second through; `rate` may change over time."""

    def __init__(self, loop, rate, window: bool, depth: float = 10):
        self.loop, self.rate, self.window, self.depth = loop, rate, window, depth
        self.left, self.filled, self.passed, self.refused = depth, loop.time(), [], 0

    def admits(self) -> bool:
        now, rate = self.loop.time(), self.rate(self.loop.time() - 1000)
        if self.window:
            if int(now) != int(self.filled):
                self.left, self.filled = rate, now
        else:
            self.left, self.filled = min(self.depth, self.left + (now - self.filled) * rate), now
        if self.left < 1:
            self.refused += 1
            return False
        self.left -= 1
        self.passed.append(now - 1000)
        return True


def storm(loop, rate, window, latency, seconds, retry_after=None) -> Limited:
    gate, server, dice = rate_limit.Pace(64), Limited(loop, rate, window), random.Random(1)

    async def one():
        while True:
            await gate.admit(100)
            await asyncio.sleep(latency * dice.uniform(0.5, 1.5))
            if ok := server.admits():
                gate.accepted({})
            else:
                gate.limited(retry_after)
            gate.release()
            if ok:
                return
            await asyncio.sleep(retry_after or dice.uniform(0.25, 0.5))

    async def forever():
        await asyncio.gather(*(one() for _ in range(100 * seconds)))

    task = loop.create_task(forever())
    loop.run_until_complete(asyncio.wait([task], timeout=seconds))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    return server


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize(("latency", "retry_after"), [(0.02, None), (0.5, None), (0.02, 1.0)])
def test_a_storm_of_429_reaches_the_allowed_rate(loop, window, latency, retry_after):
    server = storm(loop, lambda _: 50, window, latency, 90, retry_after)
    reached = sum(30 <= t < 90 for t in server.passed) / 60
    assert reached >= 0.85 * 50
    assert server.refused < 0.1 * len(server.passed), "learned, not sawn"


def test_it_follows_a_limit_that_moves(loop):
    server = storm(loop, lambda t: 50 if t < 30 or t >= 60 else 10, False, 0.02, 90)
    assert sum(45 <= t < 60 for t in server.passed) / 15 >= 8
    assert sum(75 <= t < 90 for t in server.passed) / 15 >= 40


def test_limits_told_are_kept(loop):
    gate = rate_limit.Pace(64, rpm=600, tpm=60_000)

    async def take(n, tokens):
        start = loop.time()
        for _ in range(n):
            await gate.admit(tokens)
            gate.release()
        return loop.time() - start

    assert loop.run_until_complete(take(50, 1)) == pytest.approx(5, abs=0.3)
    assert loop.run_until_complete(take(20, 1000)) == pytest.approx(20, abs=1.2)
    gate.accepted({"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "60000"})
    assert gate.rpm == 60
    gate.accepted(
        {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}
    )
    assert loop.run_until_complete(take(2, 1)) >= 29


def test_overload_halves_what_runs_at_once(loop):
    gate = rate_limit.Pace(64)
    for _ in range(100):
        gate.accepted({})
    assert gate.limit == 64
    gate.overloaded()
    gate.overloaded()
    assert gate.limit == 32, "answers to what was sent before do not count again"


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1.5), ("20ms", 0.02), ("6m0s", 360), ("1h2m", 3720), (None, None), ("soon", None),
    ("1e20", 366 * 86_400), ("99999999999h", 366 * 86_400), ("inf", None), ("nan", None), ("-1", 0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86_400)],
)  # fmt: skip
def test_waiting_times(text, value):
    assert rate_limit.seconds(text) == value


def test_limits_that_are_none_change_nothing(loop):
    gate = rate_limit.Pace(4)
    for told in ("nan", "inf", "-5", "0", "x"):
        gate.accepted({"x-ratelimit-limit-requests": told, "x-ratelimit-limit-tokens": told})
    assert gate.rpm == gate.tpm == float("inf")
