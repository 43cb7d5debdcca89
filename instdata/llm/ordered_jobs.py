"""Work that keeps an endpoint busy without a barrier: jobs run at once, and their results are taken in the jobs' order.

New jobs are planned each time a result was taken, from what was taken so far. So what is asked depends on the answers
alone, never on which of them came first, and no slot waits for the slowest answer of a round.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from instdata.llm.client import Client
from instdata.util.errors import InstdataError

Job = TypeVar("Job")
Result = TypeVar("Result")


def flow(
    client: Client,
    plan: Callable[[int], Iterable[Job] | None],
    work: Callable[[Job], Coroutine[Any, Any, Result]],
    take: Callable[[Job, Result], None],
    beat: Callable[[int], None] | None = None,
    seconds: float = 8.0,
) -> None:
    """Take the result of every job that `plan` gives, in order. `plan` is told how many jobs are under way and gives
    the next ones; it is asked at first, and after each result. None of it: nothing is wanted any more, and those under
    way are given up, neither waited for nor taken. `beat` is called with the jobs under way whenever so many `seconds`
    went by without a result.

    Where one job must stop the run, those under way are still waited for and kept, then its error is raised."""

    async def guarded(job: Job) -> Result:
        try:
            return await work(job)
        except InstdataError as e:
            client.stop = client.stop or e
            raise

    async def every() -> None:
        under_way: deque[tuple[Job, asyncio.Task[Result]]] = deque()

        def more() -> None:
            if (jobs := plan(len(under_way))) is not None:
                under_way.extend((job, asyncio.ensure_future(guarded(job))) for job in jobs)
                return
            while under_way:
                under_way.pop()[1].cancel()

        more()
        try:
            while under_way:
                job, task = under_way.popleft()
                while beat is not None and not task.done():
                    await asyncio.wait((task,), timeout=seconds)
                    if not task.done():
                        beat(len(under_way) + 1)
                result = await task
                if client.stop is not None:
                    raise client.stop
                take(job, result)
                more()
        finally:
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)

    client.stop = None
    client.run(every())
    client.check_refused()
