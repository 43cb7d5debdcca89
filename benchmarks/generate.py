"""What acceptance costs at BELLE's scale, and how busy overlapping requests keep an endpoint.

python benchmarks/generate.py [--rows 200000]     client CPU per accepted row, from a stub in this process
python benchmarks/generate.py --slots 256         utilisation with heavy-tailed latencies, no model and no network
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.rows import CORPUS, Rows, message_id
from instdata.corpus.taxonomy import load_taxonomy
from instdata.llm.ordered_jobs import flow
from instdata.llm.request import Answer
from instdata.steps.generate.new_row_checks import Novelty
from instdata.steps.generate.self_instruct import produce
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context

WORDS = [
    f"{a}{b}"
    for a in "山水云月花鸟鱼虫天地人和春夏秋冬东西南北金木火土日星风雨雷电江河湖海草树石田"
    for b in "高低远近左右前后红黄蓝绿黑白大小多少长短轻重新旧快慢冷热明暗强弱"
]


class NoClient:
    """Enough of a client for flow: a loop, and whether to stop."""

    stop: Exception | None = None

    def run(self, work: Any) -> None:
        asyncio.run(work)

    def check_refused(self) -> None:
        """Nothing is refused here."""


class Stub:
    """Stands in for the session: answers at once, with tasks of random words."""

    origin = "stub"

    def __init__(self, marks: list[tuple[int, float]]):
        self.asked, self.marks, self.start = 0, marks, time.process_time()

    async def ask(self, request: Any, read: Callable[[str], Any]) -> Answer:
        self.asked += 1
        draw = random.Random(self.asked)
        tasks = [
            {
                "instruction": "请解释" + "".join(draw.choices(WORDS, k=12)),
                "response": "".join(draw.choices(WORDS, k=20)),
            }
            for _ in range(4)
        ]
        text = json.dumps({"tasks": tasks}, ensure_ascii=False)
        return Answer(read(text), text, str(self.asked))

    def flow(self, plan: Any, work: Any, take: Any, beat: Any) -> None:
        writer = plan.__self__

        def counted(job: Any, made: Any) -> None:
            take(job, made)
            if writer.accepted >= len(self.marks) * EVERY:
                self.marks.append((writer.accepted, time.process_time() - self.start))

        flow(NoClient(), plan, lambda job: work(job, self.ask), counted)


EVERY = 10_000


def acceptance(rows: int) -> None:
    """Seconds of CPU for each accepted row, from the first to the last."""
    context = Context(seed=0, taxonomy=load_taxonomy("belle"), say=lambda line: None)
    talk = [{"role": "user", "content": "请解释月食"}, {"role": "assistant", "content": "地球挡住了阳光。"}]
    table = pa.Table.from_pylist([{"rid": "seeds/s:0", "id": message_id([(m["role"], m["content"]) for m in talk]),
        "messages": talk,
                                   "ability": "open_qa", "lang": "zh", "origin": "human", "source": "seeds",
                                   "source_file": "s", "source_row": 0}], schema=CORPUS)  # fmt: skip
    warm = Novelty(["请解释月食"])  # kernels are compiled once a machine
    warm.add("请解释日食")
    warm.nearest("请解释日食吧")
    marks: list[tuple[int, float]] = [(0, 0.0)]
    step = Generate(target=rows, model="stub", batch=4, examples=1, threshold=0.7)
    records, _ = produce(step, Rows(table, context), context, Stub(marks))
    made = records.table()
    assert records.counts["accepted"] == rows == made.filter(pa.compute.is_null(made["reason"])).num_rows
    at = np.array(marks)
    each = np.diff(at[:, 1]) / np.diff(at[:, 0])
    for (n, _), seconds in list(zip(marks[1:], each))[:: max(1, len(each) // 10)]:
        print(f"{n:>9,} rows: {1e6 * seconds:7.0f} µs of CPU a row")
    tenth = max(1, len(each) // 10)
    print(f"last tenth / first tenth: {each[-tenth:].mean() / each[:tenth].mean():.2f}; rows a second of CPU: "
          f"{at[-1, 0] / at[-1, 1]:,.0f}; "
          f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")  # fmt: skip


def utilisation(slots: int, requests: int = 40_000) -> None:
    """The share of slot time that is used when latencies are Pareto (shape 1.5, at most 100 times the least): by what
    this build does, and by rounds of 512. Simulated on a virtual clock, so it is the schedule that is measured."""
    draw = np.random.default_rng(0)
    latency = np.minimum(1 + draw.pareto(1.5, requests), 100)
    for name, most in (("rounds of 512", None), ("overlapping", 8192)):
        free = [0.0] * slots
        done = np.empty(requests)
        taken = began = 0.0
        for n in range(requests):
            if most is None:
                began = done[n // 512 * 512 - 512 : n // 512 * 512].max() if n >= 512 else 0.0
            elif n >= most:
                taken = max(taken, done[n - most])  # answers are taken in order
                began = taken
            start = max(heapq.heappop(free), began)
            done[n] = start + latency[n]
            heapq.heappush(free, done[n])
        end = np.sort(done)[: int(0.9 * requests)][-1]  # without the last requests, which nothing can fill
        used = np.clip(np.minimum(done, end) - (done - latency), 0, None).sum()
        print(f"{name:<14} {100 * used / (slots * end):5.1f} % of {slots} slots")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--slots", type=int)
    given = parser.parse_args()
    utilisation(given.slots) if given.slots else acceptance(given.rows)
