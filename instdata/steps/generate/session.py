"""What every method works with: a function that asks, with the step's endpoint, cache, budget, pace and usage."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from instdata.corpus.rows import Rows
from instdata.llm.batch_api import PARTS, fill
from instdata.llm.budget import Price, scope_of
from instdata.llm.client import Answer, Client, Request
from instdata.llm.endpoint import LOCAL
from instdata.llm.local_models import AUTO
from instdata.llm.ordered_jobs import flow
from instdata.llm.reply import read_items
from instdata.llm.request_cache import PICO, Store
from instdata.llm.structured_asks import Options, client_for, cost, typical
from instdata.steps.generate.options import YIELD, YIELD_VERIFIED
from instdata.steps.verify.model_checks import ALONE, answered_alone
from instdata.util.build_context import Context
from instdata.util.paths import cache_folder
from instdata.util.progress import counter

if TYPE_CHECKING:
    from instdata.steps.generate.options import GenerateOptions

CHECK_TOKENS = (150, 80)  # of a draw that verifies a row: prompt, completion

# Of jobs that have a `request` each: plan(jobs under way) gives the next ones, work(job, ask one) does one.
Plan = Callable[[int], Sequence[Any] | None]
Work = Callable[[Any, Callable[..., Coroutine[Any, Any, Answer]]], Coroutine[Any, Any, Any]]


class Asking(Protocol):
    """What a method may do: ask the model, ask the judge, and know the name that rows give as their writer."""

    origin: str

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = ...) -> list[Answer]: ...

    def judge(self, requests: Sequence[Request], read: Callable[[str], Any]) -> list[Answer]: ...

    def flow(self, plan: Plan, work: Work, take: Callable[[Any, Any], None], beat: Callable[[int], None]) -> None: ...


class Session:
    """Call it with requests for answers in the same order. `origin` is what rows name as their writer."""

    def __init__(self, step: GenerateOptions, context: Context, client: Client, label: str):
        self.step, self.context, self.client, self.label = step, context, client, label
        self.origin = client.at.origin
        self.accepted: int | None = None
        self.given_up: Mapping[str, int] = {}
        self.judging: Client | None = None  # where the judge is another model

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = read_items) -> list[Answer]:
        if self.step.batch_api:
            fill(self.client, requests, self.context.say)
        return self.client.ask_all(requests, read, on_answer=counter(len(requests), "requests"))

    def judge(self, requests: Sequence[Request], read: Callable[[str], Any]) -> list[Answer]:
        """Answers of the step's judge, under the same budget. One call a round: by the batch API each is a batch."""
        return self.judging.ask_all(requests, read) if self.judging else self(requests, read)

    def flow(self, plan: Plan, work: Work, take: Callable[[Any, Any], None], beat: Callable[[int], None]) -> None:
        """Jobs with overlap, their results taken in order (llm/ordered_jobs.py). By the batch API what is planned
        goes in as one file, and the next is planned when all of it was taken."""

        if not self.step.batch_api:
            return flow(self.client, plan, lambda job: work(job, self.client.ask), take, beat)
        while jobs := plan(0):
            fill(self.client, [job.request for job in jobs], self.context.say)
            waiting = [jobs]
            flow(self.client, partial(_once, waiting), lambda job: work(job, self.client.ask), take, beat)

    def account(self, accepted: int | None = None, given_up: Mapping[str, int] | None = None) -> None:
        """Write what was used into the build's usage, and the rows that abilities left to others, by ability."""
        found = self.client.usage.as_dict(priced=self.client.budget.known)
        spent = self.client.store.spent(self.client.budget.scope)[0]
        found["usd_since_first_run"] = spent / PICO if self.client.budget.known else None
        if self.judging:
            found["judge"] = {"model": self.step.judge, **self.judging.usage.as_dict(priced=self.judging.budget.known)}
        self.accepted = self.accepted if accepted is None else accepted
        self.given_up = given_up or self.given_up
        found |= {"given_up": dict(self.given_up)} if self.given_up else {}
        if self.accepted is not None:
            found["rows_accepted"] = self.accepted
            found["rows_per_usd"] = round(self.accepted * PICO / spent, 2) if spent else None
        self.context.usage[self.label] = {"model": self.step.model, **found}


@contextmanager
def open_session(step: GenerateOptions, context: Context) -> Iterator[Session]:
    """A session; what was used is accounted for however it ends."""
    store = Store(context.cache or cache_folder(), context.say)
    label = step.name or step.kind
    scope = scope_of(context, label, step.scoring(context))
    options = Options.of(step)

    def client(model: str, price: Price | None, params: dict[str, Any] | None) -> Client:
        asked = replace(options, model=model, price=price, params=params)
        return client_for(asked, store, scope, context.base, context.say)

    if step.model == LOCAL + AUTO:
        context.say(
            f"{label}: {AUTO} writes, served on this machine. It is small (1.5B): expect simple tasks and some wrong "
            "answers;\nset OPENAI_BASE_URL or OPENAI_API_KEY for a larger one"
        )
    with ExitStack() as stack:
        stack.callback(store.close)
        session = Session(step, context, stack.enter_context(client(step.model, step.price, step.params)), label)
        if step.judge and step.judge != step.model:
            session.judging = stack.enter_context(client(step.judge, step.judge_price, step.judge_params))
        stack.callback(session.account)
        yield session


class Counting:
    """Stands in for a session to see what would be asked: it keeps the requests. With `most`, it raises Enough once it
    has so many; else it answers nothing, and the method goes on to the last row."""

    origin = ""

    def __init__(self, most: int | None) -> None:
        self.most, self.requests = most, list[Request]()

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = read_items) -> list[Answer]:
        self.requests += requests
        if self.most is not None and len(self.requests) >= self.most:
            raise Enough
        return [Answer(None, "", "")] * len(requests)

    judge = __call__

    def flow(self, plan: Plan, *_: Any) -> None:
        self.requests += [job.request for job in plan(0) or ()]
        raise Enough


class Enough(Exception):
    """Requests to go by are known."""


def estimate(
    step: GenerateOptions, rows: Rows, context: Context, method: Callable, wanted: int | None
) -> dict[str, Any]:
    """{rows, requests, tokens, usd (None: no price is known), minutes}. Where so many rows are `wanted`, the first
    round is rendered and taken as typical, and three quarters of what is written (two fifths where it is verified) as
    kept; else every row is rendered."""
    counting = Counting(None if wanted is None else 1)
    with suppress(Enough):
        method(step, rows, context.silent, counting)
    sample = counting.requests
    if not sample:
        return {"rows": 0, "requests": 0, "tokens": 0, "usd": 0.0, "minutes": 0.0}
    draws = step.best_of if step.method == "respond" else 1
    each = step.batch if step.method == "self-instruct" else 1
    written = 0 if wanted is None else math.ceil(wanted / (YIELD_VERIFIED if step.checking else YIELD))
    requests = len(sample) if wanted is None else math.ceil(written / (each or 1)) * draws
    prompt, completion = typical(sample)
    of_batch = 1 / PARTS if step.batch_api else 1.0  # draws that verify, and another judge, are asked directly
    found = [(of_batch, cost(Options.of(step), requests, prompt, completion))]
    if step.checking and step.checking.draws:
        known = context.taxonomy.names if context.taxonomy else []
        names = list(step.per_ability) if isinstance(step.per_ability, dict) else known
        anew = math.ceil(written * sum(map(answered_alone, names)) / max(len(names), 1))
        found.append((1.0, cost(Options.of(step), written * step.checking.draws, *CHECK_TOKENS)))
        found.append((1.0, cost(Options.of(step), anew, CHECK_TOKENS[0], ALONE)))
    if step.judge and draws > 1:  # it reads every draw and names one
        own = step.judge == step.model
        judging = replace(Options.of(step), model=step.judge, price=step.price if own else step.judge_price)
        each_read = cost(judging, requests // draws, prompt + draws * completion, 10)
        found.append((of_batch if own else 1.0, each_read))
    usd = [None if f["usd"] is None else share * f["usd"] for share, f in found]
    return {
        "rows": len(sample) // draws if wanted is None else wanted,
        "requests": sum(f["requests"] for _, f in found),
        "tokens": sum(f["tokens"] for _, f in found),
        "usd": None if None in usd else sum(usd),
        "minutes": round(sum(f["minutes"] for _, f in found), 1),
    }


def _once(waiting: list[Any], room: int) -> Any:
    """What waits, the first time."""
    return waiting.pop() if waiting else []
