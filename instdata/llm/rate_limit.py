"""How many requests at once, and how many a second: learned from what the endpoint does.

Concurrency rises by one a round trip and halves on overload (time-outs, 502, 503, 504). The rate is free until the
first 429; then it is what the endpoint was seen to accept, and probes upward by one per cent a second (faster after
seconds without a 429), so that the limit is approached from both sides by small steps instead of a saw.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping

WINDOW = 3.0  # seconds over which accepted requests are counted
SETTLE = 1.0  # seconds between two cuts: answers to what was sent before a cut do not count against it
LATE = 0.05  # seconds
LOOK = 0.25  # seconds between two looks whether a run is to stop
LONGEST = 366 * 86_400.0  # seconds: nobody waits longer, and clocks end


class Pace:
    """The gate that every request passes: `await admit(tokens)`, then `accepted`, `limited` or `failed`, then
    `release`."""

    def __init__(self, concurrency: int = 64, rpm: float | None = None, tpm: float | None = None):
        self.most = concurrency
        self.limit = float(min(8, concurrency))
        self.slow_start = True
        self.active = 0
        self.waiting: deque[asyncio.Future] = deque()
        self.turn = asyncio.Lock()
        self.rate = math.inf  # requests a second, learned
        self.known = 0.0  # the best rate that the endpoint was seen to accept
        self.rpm, self.tpm = rpm or math.inf, tpm or math.inf
        self.next_at = self.next_tokens_at = self.last_cut = self.last_overload = self.grown_at = 0.0
        self.refused = 0  # 429s since the last cut
        self.successes: deque[float] = deque()
        self.started: float | None = None

    async def admit(self, tokens: int) -> None:
        """Wait for a free place and for the rate. `tokens` is what the request is expected to use."""
        while self.active >= int(self.limit):
            place = asyncio.get_running_loop().create_future()
            self.waiting.append(place)
            await place
        self.active += 1
        try:
            async with self.turn:  # one waits for its time, the others for their turn: a changed rate counts at once
                now = time.monotonic()
                self.started = self.started or now
                at = max(self.next_at, self.next_tokens_at)
                if at > now:
                    await asyncio.sleep(at - now)
                    now = time.monotonic()
                    self._grow(now)
                rate = min(self.rate, self.rpm / 60)
                since = now - LATE  # what the sleep overslept is made up for
                self.next_at = max(since, self.next_at) + 1 / rate
                self.next_tokens_at = max(since, self.next_tokens_at) + tokens * 60 / self.tpm
        except asyncio.CancelledError:
            self.release()
            raise

    def release(self) -> None:
        """Give the place back."""
        self.active -= 1
        for _ in range(min(len(self.waiting), int(self.limit) - self.active)):
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)

    def accepted(self, headers: Mapping[str, str]) -> None:
        """An answer came."""
        now = time.monotonic()
        self.successes.append(now)
        while self.successes[0] < now - WINDOW:
            self.successes.popleft()
        self.limit = min(self.most, self.limit + (1 if self.slow_start else 1 / self.limit))
        if "x-ratelimit-limit-requests" in headers or "x-ratelimit-limit-tokens" in headers:
            self._read_headers(headers, now)

    def limited(self, retry_after: float | None) -> None:
        """A 429 came. The whole gate closes for `retry_after` seconds only where nothing at all gets through."""
        now = time.monotonic()
        while self.successes and self.successes[0] < now - WINDOW:
            self.successes.popleft()
        recent = bool(self.successes) and self.successes[-1] > now - 1
        if retry_after and not recent:
            self.next_at = max(self.next_at, now + min(retry_after, 60))
        self.refused += 1
        if now - self.last_cut < SETTLE:
            return
        seen = len(self.successes) / max(0.2, min(WINDOW, now - (self.started or now)))
        if self.rate == math.inf:
            self.rate = 0.98 * seen
        elif self.refused > sum(t > now - SETTLE for t in self.successes):  # far beyond what is allowed
            self.rate = max(0.5 * self.rate, 0.98 * min(seen, self.rate))
        else:
            self.rate = min(0.97 * self.rate, max(1.05 * seen, 0.8 * self.rate))
        self.rate = max(0.5, self.rate)
        self.known = max(seen, 0.8 * self.known)
        self.last_cut, self.grown_at, self.refused = now, now, 0

    def overloaded(self) -> None:
        """A time-out, 502, 503 or 504 came: half as many at once, at most once a second."""
        now = time.monotonic()
        if now - self.last_overload >= SETTLE:
            self.limit = max(1.0, self.limit / 2)
            self.slow_start, self.last_overload = False, now

    def _grow(self, now: float) -> None:
        """Probe upward, only while the rate is what holds requests back."""
        quiet = now - self.last_cut
        per_second = 0.2 if self.rate < 0.9 * self.known or quiet > 6 else 0.05 if quiet > 3 else 0.01
        self.rate *= 1 + per_second * min(1.0, now - self.grown_at)
        self.grown_at = now

    def _read_headers(self, headers: Mapping[str, str], now: float) -> None:
        """Requests and tokens a minute as the endpoint tells them; a spent allowance closes the gate until its
        reset."""
        for what, limit in (("requests", "rpm"), ("tokens", "tpm")):
            told = _number(headers.get(f"x-ratelimit-limit-{what}"))
            if told and told > 0:
                setattr(self, limit, min(getattr(self, limit), told))
            if headers.get(f"x-ratelimit-remaining-{what}") == "0":
                self.next_at = max(
                    self.next_at, now + min(60.0, seconds(headers.get(f"x-ratelimit-reset-{what}")) or 0.0)
                )


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and math.isfinite(found) else None


def seconds(text: str | None) -> float | None:
    """A waiting time as servers write it: "1.5", "20ms", "6m0s", or an HTTP date; a year at most. None where it is
    none."""
    found = _seconds(text) if text else None
    return None if found is None else min(max(0.0, found), LONGEST)


def _seconds(text: str) -> float | None:
    if (plain := _number(text)) is not None:
        return plain
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text[:40])
    if parts:
        return sum(float(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit] for n, unit in parts)
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None


async def wait_unless(stopped: Callable[[], object], seconds: float) -> None:
    """Wait before the next attempt, unless the run is to stop: what stopped it need not wait for that."""
    until = time.monotonic() + seconds
    while not stopped() and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, LOOK))
