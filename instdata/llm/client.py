"""The one client: asks an OpenAI-compatible endpoint, and never the same thing twice.

A request is looked up in the cache first. If it must be sent, it passes the pace (rate and concurrency), reserves its
worst case in the budget, and its answer is on disk before anybody sees it. An answer that its reader cannot use stays
billed and the next attempt, another request, is made.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any

from instdata.llm.budget import Budget, Usage
from instdata.llm.endpoint import ADDRESS, Endpoint, api_client, cause, timeouts, unconnected
from instdata.llm.endpoint_errors import LIMITS, Fault, fault, hidden
from instdata.llm.rate_limit import Pace, seconds
from instdata.llm.reply import Unusable
from instdata.llm.request import Answer, Failure, Request
from instdata.llm.request_cache import Store, Stored
from instdata.llm.response_fields import USED_UP, content, thinks, tokens
from instdata.util.errors import BudgetReached, BuildError, InputError, InstdataError, MissingExtra
from instdata.util.redaction import redact

TRIES = 10  # times one request is sent while the server fails (5xx, resets, time-outs); a 429 does not count
PATIENCE = 600.0  # seconds without any answer after which the endpoint counts as gone, if no request may take so long
BACKOFF = 0.5  # seconds before the first retry; twice as long before each one after it
ARRIVAL = 10.0  # seconds in which an endpoint that has never answered may refuse connections or send no JSON
LATE = "no answer in time"
LOOK = 0.25  # seconds between two looks whether the run is to stop
TOLD = 10.0  # seconds; a longer wait that a server asks for is told
MAX_WAIT = 600.0  # seconds; a longer one ends the run, to be gone on with
REFUSALS = 8  # refusals without one answer that mean: not the content is wrong
MOST_THINKING = 32_768  # tokens


class Client:
    """An endpoint with its cache, budget and pace. A context manager; used from one thread."""

    def __init__(
        self,
        at: Endpoint,
        store: Store,
        budget: Budget,
        pace: Pace | None = None,
        timeout: float | None = None,
        *,
        params: dict[str, Any] | None = None,
        max_wait: float = MAX_WAIT,
        say: Callable[[str], None] = print,
    ):
        try:
            import openai
        except ImportError as e:
            raise MissingExtra("a language model", "generate") from e
        self.openai, self.at, self.store, self.budget = openai, at, store, budget
        self.pace = pace or Pace(at.concurrency)
        self.usage = Usage()
        self.timeout = timeout or at.timeout
        self.patience = max(PATIENCE, 3 * self.timeout)
        self.stop: Exception | None = None
        self.params, self.max_wait, self.say = params or {}, max_wait, say
        known = store.quirks(at.base, at.model)
        self.without = {q for q in known if not q.isdigit()}  # parameters that the endpoint said it does not know
        learned = max((int(q) for q in known if q.isdigit()), default=0)
        self.thinking = max(learned, 4096 if thinks(at.model) and not at.base.startswith("sha256:") else 0)
        self.unclear: Fault | None = None
        self.refused = 0  # requests, while none was answered
        self.faulty: float | None = None  # when an endpoint that has not answered yet first failed
        self.excess = 1.0  # how far a bill went beyond the worst case: some count otherwise
        self.told: set[str] = set()
        self.pending: dict[str, asyncio.Task] = {}
        self.unsettled = 0
        self.settled = asyncio.Event()
        self.answered = time.monotonic()
        self.typical = 0.0  # tokens of a request, learned
        self.random = random.Random(0)  # jitter only
        self.stack = ExitStack()
        self.api: Any = None
        self.loop = asyncio.new_event_loop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        if self.api is not None:
            self.loop.run_until_complete(self.api.close())
        self.loop.close()
        self.stack.close()

    def ask_all(
        self,
        requests: Sequence[Request],
        read: Callable[[str], Any] = str,
        attempts: int = 3,
        on_answer: Callable[[], None] = lambda: None,
    ) -> list[Answer]:
        """Answers in the order of the requests. Where one request must stop the build (a refused key, a budget
        reached), those in flight are still waited for and kept, then its error is raised."""

        async def one(request: Request) -> Answer | Exception:
            try:
                answer = await self.ask(request, read, attempts)
                on_answer()
                return answer
            except InstdataError as e:
                self.stop = self.stop or e
                return e

        async def every() -> list[Answer | Exception]:
            return await asyncio.gather(*map(one, requests))

        self.stop = None
        answers = self.run(every())
        if self.stop is not None:
            raise self.stop
        self.check_refused()
        return answers

    def check_refused(self) -> None:
        """Raise where everything asked was refused."""
        if self.unclear and not self.usage.requests + self.usage.cache_hits:
            raise self._refusal(self.unclear)

    async def ask(self, request: Request, read: Callable[[str], Any] = str, attempts: int = 3) -> Answer:
        """One answer, from the cache or the endpoint. `read` turns its text into a value, or raises Unusable."""
        failures: list[Failure] = []
        for attempt in range(attempts):
            key = request.key(self.at, attempt, self.params)
            stored: Stored | Failure | None = self.store.get(key, self._once_said)
            if stored is not None:
                self.usage.cache_hits += 1
            else:
                stored = await self._once(key, request, attempt)
            if isinstance(stored, Failure):
                failures.append(stored)
                break  # the same content would be refused again
            said = content(stored.response)
            why = said.why if said.why == USED_UP else stored.unusable or said.why
            if why is None and said.cut and request.whole:
                why = f"cut at {request.max_tokens} tokens"
            if why is None:
                try:
                    return Answer(read(said.text), said.text, key, tuple(failures), said.thought)
                except Unusable as e:
                    why = str(e)
            if why == USED_UP:
                self._think_longer(attempt)
            if stored.unusable is None:
                self.usage.unusable += 1
                self.store.mark_unusable(key, why)
            failures.append(Failure(key, said.text, why))
        return Answer(None, failures[-1].text, failures[-1].key, tuple(failures))

    def _think_longer(self, attempt: int) -> None:
        """More tokens for thoughts, four times as many at each attempt: those of an answer were used up by them."""
        if self.at.base.startswith("sha256:"):
            return  # a slot of the embedded server has no room
        self.thinking = min(MOST_THINKING, max(self.thinking, 8192 * 4**attempt))
        self.store.put_quirk(self.at.base, self.at.model, str(self.thinking))
        self._once_said(
            f"{self.at.model}: an answer was used up by thinking; thoughts may take {self.thinking:,} tokens from "
            f"now on. "
            "params: can tell it to think less (reasoning_effort: low, enable_thinking: false)"
        )

    def _once_said(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            self.say(line)

    async def _once(self, key: str, request: Request, attempt: int) -> Stored | Failure:
        """The same request asked twice at the same time is sent once."""
        if key not in self.pending:
            self.pending[key] = asyncio.ensure_future(self._send(key, request, attempt))
            self.pending[key].add_done_callback(lambda _: self.pending.pop(key))
        return await asyncio.shield(self.pending[key])

    async def _send(self, key: str, request: Request, attempt: int) -> Stored | Failure:
        tries = slow = 0
        while True:
            extra = self.thinking
            worst = self.budget.worst(request.prompt_bytes(), self._most(request) + extra)
            worst = (int(worst[0] * self.excess), 1, int(worst[2] * self.excess))
            await self.pace.admit(int(self.typical or worst[2]))
            try:
                await self._reserve(worst)
                wait = await self._try(key, request, attempt, worst, extra, slow)
            finally:
                self.pace.release()
            if isinstance(wait, (Stored, Failure)):
                return wait
            self.usage.retries += 1
            if time.monotonic() - self.answered > self.patience:
                raise BuildError(
                    f"{self.at.where} has answered nothing for {self.patience:.0f} s. Everything so far is saved; "
                    f"run again to go on"
                )
            limited, reason, after = wait
            tries += not limited
            slow += reason == LATE
            if tries >= TRIES:
                raise BuildError(
                    f"{self.at.where} failed {TRIES} times on one request ({reason}). Everything so far is saved; "
                    f"run again to go on"
                )
            pause = BACKOFF * 2 ** min(tries, 6) * (0.5 + self.random.random() / 2)
            if self.faulty and not self.usage.requests:
                pause = min(pause, ARRIVAL / 6)  # the last of these attempts is what tells the user
            await self._pause(max(after or 0.0, 0.0 if limited and after else pause))

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt, unless the run is to stop: what stopped it need not wait for that."""
        until = time.monotonic() + seconds
        while not self.stop and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK))

    async def _reserve(self, worst: tuple[int, int, int]) -> None:
        """Wait until the worst case fits; it never will once nothing is under way that could be cheaper than feared."""
        while not self.stop and not self.budget.reserve(worst):
            if not self.unsettled:
                raise self.budget.reached()
            self.settled.clear()
            await self.settled.wait()
        if self.stop:
            raise self.stop
        self.unsettled += 1

    def _most(self, request: Request) -> int:
        """The tokens that an answer may have: the request's, or the user's own limit."""
        return max([request.max_tokens, *(v for n in LIMITS if isinstance(v := self.params.get(n), int))])

    async def _try(
        self, key: str, request: Request, attempt: int, worst: tuple[int, int, int], extra: int, slow: int
    ) -> Stored | Failure | tuple[bool, str, float | None]:
        """Send once: the stored answer, why this request is refused, or (was it a wait, why it failed, seconds to
        wait). After `slow` time-outs it may take twice as long for each."""
        actual = worst  # unless we learn better: what was sent may have been billed, so its reservation stays
        body = request.body(self.at.model, attempt, self.without, self.params, extra)
        try:
            timeout = min(self.timeout * 2**slow, self.patience)
            name = "messages" if request.raw is None else "prompt"
            api = self.connect()
            raw = await (api.chat if request.raw is None else api).completions.with_raw_response.create(
                model=body["model"],
                extra_body={k: v for k, v in body.items() if k not in ("model", name)},
                timeout=timeouts(timeout),
                **{name: body[name]},
            )
            text = raw.http_response.text
            spent = tokens(text)
            if spent is None:
                raise ValueError(_page(text, raw.headers))
            if hidden(found := json.loads(text)):
                actual = (0, 0, 0)
                return self._failed(fault(200, found, body), raw.headers, key)
            actual = self.keep(key, body, text, spent, worst)
            self.answered, self.faulty = time.monotonic(), None
            total = actual[2]
            if total > worst[2]:
                self.excess *= total / worst[2]
            self.typical = 0.9 * self.typical + 0.1 * total if self.typical else total
            self.pace.accepted(raw.headers)
            return Stored(text, None, actual[0])
        except self.openai.APIStatusError as e:
            actual = (0, 0, 0)
            try:
                said = json.loads(e.response.text)
            except ValueError:
                said = e.response.text
            return self._failed(fault(e.status_code, said, body), e.response.headers, key)
        except (self.openai.APIConnectionError, ValueError, OSError) as e:  # a ValueError is a body that is no JSON
            self.usage.lost += 1
            if late := isinstance(e, self.openai.APITimeoutError) and not unconnected(e):
                self.pace.overloaded()
            else:
                self._unreachable(e)
            return False, LATE if late else self.at.clean(cause(e)), None
        finally:
            self.budget.settle(worst, actual)
            self.unsettled -= 1
            self.settled.set()

    def _unreachable(self, e: BaseException) -> None:
        """Raise where an endpoint that has never answered goes on failing to: it is not there, or no such endpoint."""
        now = time.monotonic()
        self.faulty = self.faulty or now
        if self.usage.requests or now - self.faulty < ARRIVAL:
            return
        raise BuildError(
            f"{self.at.where} cannot be used: {self.at.clean(cause(e))}. {ADDRESS}? Everything so far is saved; run "
            "again to go on"
        )

    def keep(
        self,
        key: str,
        body: dict[str, Any],
        text: str,
        spent: tuple[int, int, int],
        unknown: tuple[int, int, int] = (0, 0, 0),
        parts: int = 1,
    ) -> tuple[int, int, int]:
        """Write an answer into the cache and count it; returns the (picodollars, requests, tokens) billed: one of
        `parts` of the price. Where the server did not count tokens, the worst case `unknown` is taken as its bill."""
        cost = self.budget.price.picousd(*spent) // parts if spent != (0, 0, 0) else unknown[0]
        asked, told = json.dumps(body, ensure_ascii=False), cost if self.budget.known else None
        self.store.put(key, self.at.base, self.at.model, asked, text, spent, told)
        u = self.usage
        u.requests += 1
        u.prompt_tokens += spent[0]
        u.cached_tokens += spent[1]
        u.completion_tokens += spent[2]
        u.picousd += cost
        return (cost, 1, spent[0] + spent[2] or unknown[2])

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine on this client's connection comes to."""
        return self.loop.run_until_complete(work)

    def _failed(self, f: Fault, headers: Any, key: str) -> Failure | tuple[bool, str, float | None]:
        """What a refusal means: wait and send again, give up this request, or all at once with one clear line."""
        said = self.at.clean(f.said)
        after = seconds(headers.get("retry-after-ms", "") and headers["retry-after-ms"] + "ms") or seconds(
            headers.get("retry-after")
        )
        if f.kind == "parameter":
            return self._drop(f, key, said)
        if f.kind == "quota" or (f.kind == "wait" and after and after > self.max_wait):
            until = f" until {time.strftime('%Y-%m-%d %H:%M', time.localtime(time.time() + after))}" if after else ""
            raise BudgetReached(f"{self.at.where} answers nothing more{until} ({f.status}: {said}). Everything so far is saved; run again then")  # fmt: skip  # noqa: E501
        if f.kind == "wait":
            self.usage.rate_limited += 1
            self.pace.limited(after)
            if after and after > TOLD:
                until = time.strftime("%H:%M:%S", time.localtime(time.time() + after))
                self._once_said(f"{self.at.where} wants us to wait until {until} ({said})")
            return True, "429", after
        if f.kind == "server":
            if f.status in (502, 503, 504, 529):
                self.pace.overloaded()
            return False, f"HTTP {f.status}" if f.status != 200 else f"an error inside an answer: {said}", after
        if f.kind == "content":
            return Failure(key, said, f"refused with {f.status}: {said}")
        if f.kind == "unclear":
            self.refused += 1
            if self.usage.requests + self.usage.cache_hits or self.refused < REFUSALS:
                self.unclear = self.unclear or f
                return Failure(key, said, f"refused with {f.status}: {said}")
        raise self._refusal(f)

    def _refusal(self, f: Fault) -> InstdataError:
        hint = {
            401: ": check OPENAI_API_KEY",
            403: ": check OPENAI_API_KEY and its rights",
            404: f": is there a model {self.at.model}, and does the address end as it should (mostly in /v1)?",
        }.get(f.status, "")
        kind = BuildError if f.status == 422 else InputError
        return kind(f"{self.at.where} refused the request with {f.status}{hint} ({self.at.clean(f.said)})")

    def _drop(self, f: Fault, key: str, said: str) -> Failure | tuple[bool, str, float | None]:
        """Leave out what the endpoint does not know, from now on: nobody relies on it (a prompt asks for JSON in words
        as well). Of the two names of the limit the other one is taken, never none."""
        without = self.without | f.without
        if without >= set(LIMITS):
            return Failure(key, said, f"refused with {f.status}: {said}")
        for name in sorted(f.without - self.without):
            self.store.put_quirk(self.at.base, self.at.model, name)
            self._once_said(f"{self.at.where} does not take {name} for {self.at.model}: left out from now on ({said})")
        self.without = without
        return True, f"no {min(f.without)}", 0.001

    def connect(self) -> Any:
        """The connection, made when the first request is sent: a run answered by the cache starts no server."""
        if self.api is None:
            self.api = api_client(self.at.open(self.stack), self.at.key, self.timeout)
            self.answered = time.monotonic()
        return self.api


def _page(text: str, headers: Any) -> str:
    """What came instead of JSON."""
    kind = headers.get("content-type", "").split(";")[0]
    if "event-stream" in kind or text.startswith("data:"):
        return "it answers as an event stream (SSE) only, where one JSON body was asked for"
    return f"a page ({kind or 'no content type'}) came instead of JSON: {redact(text[:2000])[:80]!r}"
