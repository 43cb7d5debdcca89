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
from instdata.llm.endpoint import Endpoint, api_client, cause, timeouts, unconnected
from instdata.llm.endpoint_errors import LIMITS, Fault, fault, hidden, wait
from instdata.llm.endpoint_messages import SAVED, gone, page, refusal, turned, unreachable
from instdata.llm.rate_limit import Pace, wait_unless
from instdata.llm.reply import Unusable
from instdata.llm.request import Answer, Failure, Request, trials_of
from instdata.llm.request_cache import Store, Stored
from instdata.llm.response_fields import USED_UP, content, thinks, tokens
from instdata.util.errors import BuildError, InstdataError, MissingExtra

TRIES = 10  # times one request is sent while the server fails (5xx, resets, time-outs); a 429 does not count
PATIENCE = 600.0  # seconds without any answer after which the endpoint counts as gone, if no request may take so long
BACKOFF = 0.5  # seconds before the first retry; twice as long before each one after it
ARRIVAL = 10.0  # seconds in which an endpoint that has never answered may refuse connections or send no JSON
LATE = "no answer in time"
TOLD = 10.0  # seconds; a longer wait that a server asks for is told
MAX_WAIT = 600.0  # seconds; a longer one ends the run, to be gone on with
REFUSALS = 8  # refusals without one answer that mean: not the content is wrong
DOUBT = 8.0  # seconds after an answer in which a quota that is said to be gone may be one of tokens a minute
MOST_THINKING = 32_768  # tokens

Wait = tuple[bool, str, float | None]  # (was it a wait and no failure, why it failed, seconds to wait)


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
        self.unclear: Fault | None = None  # the first refusal that said nothing more
        self.refused = 0  # such refusals since the last answer
        self.last: tuple[str, Request, int] | None = None  # the request that was answered last
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
            raise refusal(self.at, self.unclear)

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
            f"{self.at.model}: an answer was used up by thinking; thoughts may take {self.thinking:,} tokens from now "
            "on. params: can tell it to think less (reasoning_effort: low, enable_thinking: false)"
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
        tries, slow, failing = 0, 0, float("inf")
        trial, trials = set[str](), trials_of(request)
        while True:
            got = await self._once_tried(key, request, attempt, trial, slow)
            if isinstance(got, Stored):
                self.last = key, request, attempt
                for name in sorted(trial - self.without):
                    self._learn(name, "nothing said why it refused, and without it it answers")
            if isinstance(got, (Stored, Failure)):
                return got
            if isinstance(got, Fault):
                if trials and not self.usage.requests + self.usage.cache_hits:
                    trial = trials.pop(0)
                    continue
                return await self._unclear(key, got)
            self.usage.retries += 1
            if time.monotonic() - self.answered > self.patience:
                raise BuildError(f"{self.at.where} has answered nothing for {self.patience:.0f} s. {SAVED} to go on")
            limited, reason, after = got
            tries += not limited
            slow += reason == LATE
            failing = min(failing, time.monotonic())
            if tries >= TRIES:
                if self.answered > failing:  # others were answered meanwhile: it is this one
                    return Failure(key, reason, f"failed {TRIES} times ({reason})")
                raise BuildError(f"{self.at.where} failed {TRIES} times on one request ({reason}). {SAVED} to go on")
            pause = BACKOFF * 2 ** min(tries, 6) * (0.5 + self.random.random() / 2)
            if self.faulty and not self.usage.requests:
                pause = min(pause, ARRIVAL / 6)  # the last of these attempts is what tells the user
            await wait_unless(lambda: self.stop, max(after or 0.0, 0.0 if limited and after else pause))

    async def _once_tried(
        self, key: str, request: Request, attempt: int, trial: set[str], slow: int
    ) -> Stored | Failure | Fault | Wait:
        """Send once, when pace and budget let it."""
        extra = self.thinking
        worst = self.budget.worst(request.prompt_bytes(), request.most(self.params) + extra)
        worst = (int(worst[0] * self.excess), 1, int(worst[2] * self.excess))
        await self.pace.admit(int(self.typical or worst[2]))
        try:
            await self._reserve(worst)
            body = request.body(self.at.model, attempt, self.without | trial, self.params, extra)
            return await self._try(key, request, body, worst, slow)
        finally:
            self.pace.release()

    async def _unclear(self, key: str, f: Fault) -> Failure:
        """A refusal that says nothing more costs its row, as long as others are answered: after some in a row what was
        answered before is asked again."""
        self.unclear = self.unclear or f
        self.refused += 1
        if self.refused >= REFUSALS:
            if self.last is None and not self.usage.cache_hits:
                raise refusal(self.at, f)
            self.refused = 0
            if self.last and isinstance(await self._send(*self.last), Failure):
                raise turned(self.at, f)
        said = self.at.clean(f.said)
        return Failure(key, said, f"refused with {f.status}: {said}")

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

    async def _try(
        self, key: str, request: Request, body: dict[str, Any], worst: tuple[int, int, int], slow: int
    ) -> Stored | Failure | Fault | Wait:
        """Send once: the stored answer, why this request is refused, a refusal that says no more, or a wait. After
        `slow` time-outs it may take twice as long for each."""
        actual = worst  # unless we learn better: what was sent may have been billed, so its reservation stays
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
                raise ValueError(page(text, raw.headers))
            if hidden(found := json.loads(text)):
                actual = (0, 0, 0)
                return self._failed(fault(200, found, body), raw.headers, key)
            actual = self.keep(key, body, text, spent, worst)
            self.answered, self.faulty, self.refused = time.monotonic(), None, 0
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
        if not self.usage.requests and now - self.faulty >= ARRIVAL:
            raise unreachable(self.at, e)

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
        self.usage.add(*spent, cost)
        return (cost, 1, spent[0] + spent[2] or unknown[2])

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine on this client's connection comes to."""
        return self.loop.run_until_complete(work)

    def _failed(self, f: Fault, headers: Any, key: str) -> Failure | Fault | Wait:
        """What a refusal means: wait and send again, give up this request, or all at once with one clear line."""
        said = self.at.clean(f.said)
        after = wait(f, headers)
        if f.kind == "parameter":
            return self._drop(f, key, said)
        # Some say that the quota is gone where it is that of a minute: it is where nothing is answered any more.
        minute = f.kind == "quota" and f.status == 429 and time.monotonic() - self.answered < DOUBT
        if f.kind == "quota" and not (minute and self.usage.requests):
            raise gone(self.at, f, after)
        if f.kind in ("wait", "quota"):
            if after and after > self.max_wait:
                raise gone(self.at, f, after)
            self.usage.rate_limited += 1
            self.pace.limited(after)
            if after and after > TOLD:
                at = time.strftime("%H:%M:%S", time.localtime(time.time() + after))
                self._once_said(f"{self.at.where} wants us to wait until {at} ({said})")
            return True, "429", after
        if f.kind == "server":
            if f.status in (502, 503, 504, 529):
                self.pace.overloaded()
            if f.status == 200:  # not even an error as endpoints have them: is it one?
                self._unreachable(ValueError(said))
            return False, f"HTTP {f.status}" if f.status != 200 else f"an error inside an answer: {said}", after
        if f.kind == "content":
            return Failure(key, said, f"refused with {f.status}: {said}")
        if f.kind != "unclear":
            raise refusal(self.at, f)
        return f

    def _drop(self, f: Fault, key: str, said: str) -> Failure | Wait:
        """Leave out what the endpoint does not know, from now on: nobody relies on it (a prompt asks for JSON in words
        as well). Of the two names of the limit the other one is taken, never none: where both are refused, it is the
        number, and less is left to think with."""
        without = self.without | f.without
        if without >= set(LIMITS):
            if not self.thinking:
                return Failure(key, said, f"refused with {f.status}: {said}")
            self.thinking //= 4
            self.without -= set(LIMITS)
            self._once_said(f"{self.at.where}: thoughts may take {self.thinking:,} tokens only ({said})")
            return True, "fewer tokens", 0.001
        for name in sorted(f.without - self.without):
            self._learn(name, said)
        return True, f"no {min(f.without)}", 0.001

    def _learn(self, name: str, why: str) -> None:
        """Leave a parameter out from now on, in later runs, too."""
        self.without |= {name}
        self.store.put_quirk(self.at.base, self.at.model, name)
        self._once_said(f"{self.at.where} does not take {name} for {self.at.model}: left out from now on ({why})")

    def connect(self) -> Any:
        """The connection, made when the first request is sent: a run answered by the cache starts no server."""
        if self.api is None:
            self.api = api_client(self.at.open(self.stack), self.at.key, self.timeout)
            self.answered = time.monotonic()
        return self.api
