"""What every method works with: a function that asks, with the step's endpoint, cache, budget, pace and usage."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from instdata.generate.prompt import read_items
from instdata.llm.batch import fill
from instdata.llm.budget import Budget, Price, price_of
from instdata.llm.cache import PICO, Store, digest
from instdata.llm.client import Answer, Client, Request
from instdata.llm.endpoint import LOCAL, endpoint
from instdata.llm.models import AUTO
from instdata.llm.pace import Pace
from instdata.places import cache_folder
from instdata.record import Rows
from instdata.step import Context

if TYPE_CHECKING:
    from instdata.generate.step import Generate

# What the embedded 1.5B model does on two cores, and a remote one per request at usual concurrency, for estimates.
LOCAL_TOKENS_PER_SECOND, REMOTE_SECONDS, REMOTE_CONCURRENCY = 40, 6, 32


class Asking(Protocol):
    """What a method may do: ask the model, ask the judge, and know the name that rows give as their writer."""

    origin: str

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = ...) -> list[Answer]: ...

    def judge(self, requests: Sequence[Request], read: Callable[[str], Any]) -> list[Answer]: ...


class Session:
    """Call it with requests for answers in the same order. `origin` is what rows name as their writer."""

    def __init__(self, step: Generate, context: Context, client: Client, label: str):
        self.step, self.context, self.client, self.label = step, context, client, label
        self.origin = client.at.origin
        self.accepted: int | None = None
        self.judging: Client | None = None  # where the judge is another model

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = read_items) -> list[Answer]:
        if self.step.batch_api:
            fill(self.client, requests, self.context.say)
        with _bar(self.label, len(requests)) as advance:
            return self.client.ask_all(requests, read, on_answer=advance)

    def judge(self, requests: Sequence[Request], read: Callable[[str], Any]) -> list[Answer]:
        """Answers of the step's judge, under the same budget."""
        return self.judging.ask_all(requests, read) if self.judging else self(requests, read)

    def account(self, accepted: int | None = None) -> None:
        """Write what was used into the build's usage."""
        found = self.client.usage.as_dict(priced=self.client.budget.known)
        spent = self.client.store.spent(self.client.budget.scope)[0]
        found["usd_since_first_run"] = spent / PICO if self.client.budget.known else None
        if self.judging:
            found["judge"] = {"model": self.step.judge, **self.judging.usage.as_dict(priced=self.judging.budget.known)}
        self.accepted = self.accepted if accepted is None else accepted
        if self.accepted is not None:
            found["rows_accepted"] = self.accepted
            found["rows_per_usd"] = round(self.accepted * PICO / spent, 2) if spent else None
        self.context.usage[self.label] = {"model": self.step.model, **found}


@contextmanager
def open_session(step: Generate, context: Context) -> Iterator[Session]:
    """A session; what was used is accounted for however it ends."""
    store = Store(context.cache or cache_folder())
    label = step.name or step.kind
    # A budget belongs to the step as configured; a higher limit goes on with the same one.
    scope = digest([label, step.scoring(context)])
    limits = {n: getattr(step, n) for n in ("max_usd", "max_requests", "max_tokens")}

    def client(model: str, own_price: Price | None) -> Client:
        at, price = endpoint(model, step.base_url, context.base, context.say), price_of(model, own_price)
        budget = Budget(store, scope, price.halved() if price and step.batch_api else price, limits)
        return Client(
            at, store, budget, Pace(step.concurrency or at.concurrency, step.rpm, step.tpm), timeout=step.timeout
        )

    if step.model == LOCAL + AUTO:
        context.say(
            f"{label}: {AUTO} writes, served on this machine. It is small (1.5B): expect simple tasks and some wrong "
            "answers;\nset OPENAI_BASE_URL or OPENAI_API_KEY for a larger one"
        )
    with ExitStack() as stack:
        stack.callback(store.close)
        session = Session(step, context, stack.enter_context(client(step.model, step.price)), label)
        if step.judge and step.judge != step.model:
            session.judging = stack.enter_context(client(step.judge, None))
        stack.callback(session.account)
        yield session


class Counting:
    """Stands in for a session to see what would be asked: it keeps the requests and raises Enough."""

    origin = ""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, requests: Sequence[Request], read: Callable[[str], Any] = read_items) -> list[Answer]:
        self.requests += requests
        raise Enough

    judge = __call__


class Enough(Exception):
    """The first round's requests are known."""


def estimate(step: Generate, rows: Rows, context: Context, method: Callable) -> dict[str, Any]:
    """See Generate.estimate: the first round is rendered, and taken as typical."""
    counting = Counting()
    with suppress(Enough):
        method(step, rows, context, counting)
    sample = counting.requests
    if not sample:
        return {"requests": 0, "tokens": 0, "usd": 0.0, "minutes": 0.0}
    requests = step.requests(len(sample))
    # A token is about four bytes of UTF-8 in either language; answers use half of what they may.
    prompt = sum(sum(len(c.encode()) for _, c in r.messages) // 4 for r in sample) / len(sample)
    completion = sum(r.max_tokens for r in sample) / len(sample) / 2
    price = price_of(step.model, step.price)
    usd = (
        None
        if price is None
        else requests * price.picousd(int(prompt), 0, int(completion)) / PICO / (2 if step.batch_api else 1)
    )
    local = step.model.startswith(LOCAL)
    seconds = (
        requests * (prompt / 3 + completion) / LOCAL_TOKENS_PER_SECOND
        if local
        else requests * REMOTE_SECONDS / REMOTE_CONCURRENCY
    )
    return {
        "requests": requests,
        "tokens": int(requests * (prompt + completion)),
        "usd": usd,
        "minutes": round(seconds / 60, 1),
    }


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal, nothing elsewhere (rounds are told in lines)."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)
