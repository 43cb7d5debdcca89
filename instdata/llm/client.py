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
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from instdata.llm.budget import Budget, Usage
from instdata.llm.cache import Store, Stored, digest
from instdata.llm.endpoint import Endpoint
from instdata.llm.pace import Pace, seconds
from instdata.llm.reply import Unusable, undecodable
from instdata.util.errors import BuildError, InputError, InstdataError, MissingExtra

TRIES = 10  # times one request is sent while the server fails (5xx, resets, time-outs); a 429 does not count
PATIENCE = 600.0  # seconds without any answer after which the endpoint counts as gone, if no request may take so long
BACKOFF = 0.5  # seconds before the first retry; twice as long before each one after it
MESSAGE_TOKENS = 64  # what a chat template may add, in the worst case
# What an endpoint may not know and answers do without: parts of a request, and the words of a refusal that mean them.
OPTIONAL = {
    ("response_format",): ("response_format", "json_schema", "guided", "grammar"),
    ("logprobs", "top_logprobs"): ("logprobs",),
}


@dataclass(frozen=True)
class Request:
    """Everything that shapes an answer. `draw` tells samples of the same request apart; `schema` is a JSON schema;
    `whole`: an answer that was cut at max_tokens is unusable."""

    messages: tuple[tuple[str, str], ...]  # (role, content)
    max_tokens: int
    temperature: float = 1.0
    schema: dict[str, Any] | None = None
    seed: int | None = None
    draw: int = 0
    more: dict[str, Any] = field(default_factory=dict)  # further parameters of the API, as they are
    whole: bool = False

    def body(self, model: str, attempt: int, without: Collection[str] = ()) -> dict[str, Any]:
        """The request as the API takes it, `without` some parameters that the endpoint refused."""
        limit = "max_completion_tokens" if model.startswith(("gpt-5", "o1", "o3", "o4")) else "max_tokens"
        body = {
            "model": model,
            "messages": [{"role": r, "content": c} for r, c in self.messages],
            limit: self.max_tokens,
        }
        body |= {"temperature": self.temperature, **self.more}
        if self.seed is not None:
            body["seed"] = (self.seed + 7919 * self.draw + 104_729 * attempt) & 0x7FFFFFFF
        if self.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": self.schema, "strict": True},
            }
        return {k: v for k, v in body.items() if k not in without}

    def key(self, at: Endpoint, attempt: int) -> str:
        """The request's id: 32 hex digits over everything that shapes the answer."""
        return digest([at.base, self.body(at.model, attempt), self.draw, attempt])

    def prompt_bytes(self) -> int:
        """An upper bound of the prompt's tokens: its bytes, the schema's (some servers put it into the prompt), and the template."""
        schema = len(json.dumps(self.schema)) if self.schema else 0
        return sum(len(c.encode()) + MESSAGE_TOKENS for _, c in self.messages) + schema


@dataclass(frozen=True)
class Failure:
    """An answer that could not be used: request id, raw text, why."""

    key: str
    text: str
    why: str


@dataclass(frozen=True)
class Answer:
    """What a request came to. `value` is what its reader made of the text, None where no attempt could be used."""

    value: Any
    text: str
    key: str
    failures: tuple[Failure, ...] = ()


class Client:
    """An endpoint with its cache, budget and pace. A context manager; used from one thread."""

    def __init__(
        self, at: Endpoint, store: Store, budget: Budget, pace: Pace | None = None, timeout: float | None = None
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
        self.without: set[str] = set()  # optional parameters that the endpoint said it does not know
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
        """Answers in the order of the requests. Where one request must stop the build (a refused key, a budget reached),
        those in flight are still waited for and kept, then its error is raised."""

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
        return answers

    async def ask(self, request: Request, read: Callable[[str], Any] = str, attempts: int = 3) -> Answer:
        """One answer, from the cache or the endpoint. `read` turns its text into a value, or raises Unusable."""
        failures: list[Failure] = []
        for attempt in range(attempts):
            key = request.key(self.at, attempt)
            stored = self.store.get(key)
            if stored is not None:
                self.usage.cache_hits += 1
            else:
                stored = await self._once(key, request, attempt)
            text, why = content(stored.response)
            why = (
                stored.unusable
                or why
                or (f"cut at {request.max_tokens} tokens" if request.whole and cut(stored.response) else None)
            )
            if why is None:
                try:
                    return Answer(read(text), text, key, tuple(failures))
                except Unusable as e:
                    why = str(e)
            if stored.unusable is None:
                self.usage.unusable += 1
                self.store.mark_unusable(key, why)
            failures.append(Failure(key, text, why))
        return Answer(None, failures[-1].text, failures[-1].key, tuple(failures))

    async def _once(self, key: str, request: Request, attempt: int) -> Stored:
        """The same request asked twice at the same time is sent once."""
        if key not in self.pending:
            self.pending[key] = asyncio.ensure_future(self._send(key, request, attempt))
            self.pending[key].add_done_callback(lambda _: self.pending.pop(key))
        return await asyncio.shield(self.pending[key])

    async def _send(self, key: str, request: Request, attempt: int) -> Stored:
        tries = 0
        while True:
            worst = self.budget.worst(request.prompt_bytes(), request.max_tokens)
            await self.pace.admit(int(self.typical or worst[2]))
            try:
                await self._reserve(worst)
                wait = await self._try(key, request, attempt, worst)
            finally:
                self.pace.release()
            if isinstance(wait, Stored):
                return wait
            self.usage.retries += 1
            if time.monotonic() - self.answered > self.patience:
                raise BuildError(
                    f"{self.at.where} has answered nothing for {self.patience:.0f} s. Everything so far is saved; run again to go on"
                )
            limited, reason, after = wait
            tries += not limited
            if tries >= TRIES:
                raise BuildError(
                    f"{self.at.where} failed {TRIES} times on one request ({reason}). Everything so far is saved; run again to go on"
                )
            pause = BACKOFF * 2 ** min(tries, 6) * (0.5 + self.random.random() / 2)
            await asyncio.sleep(max(after or 0.0, 0.0 if limited and after else pause))

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
        self, key: str, request: Request, attempt: int, worst: tuple[int, int, int]
    ) -> Stored | tuple[bool, str, float | None]:
        """Send once: the stored answer, or (was it a 429, why it failed, seconds to wait)."""
        actual = worst  # unless we learn better: what was sent may have been billed, so its reservation stays
        try:
            body = request.body(self.at.model, attempt, self.without)
            raw = await self.connect().chat.completions.with_raw_response.create(**body)
            text = raw.http_response.text
            spent = tokens(text)
            if spent is None:
                raise ValueError("no JSON")
            actual = self.keep(key, body, text, spent, worst[0])
            self.answered = time.monotonic()
            total = actual[2]
            self.typical = 0.9 * self.typical + 0.1 * total if self.typical else total
            self.pace.accepted(raw.headers)
            return Stored(text, None, actual[0])
        except self.openai.APIStatusError as e:
            actual = (0, 0, 0)
            if e.status_code in (400, 403) and (refused := _refused(str(e), body)):
                self.without |= refused  # nobody relies on them: a prompt asks for JSON in words as well
                return True, f"no {min(refused)}", 0.001
            return self._failed(e)
        except (self.openai.APIConnectionError, ValueError, OSError) as e:  # a ValueError is a body that is no JSON
            self.usage.lost += 1
            if isinstance(e, self.openai.APITimeoutError):
                self.pace.overloaded()
            return False, type(e).__name__, None
        finally:
            self.budget.settle(worst, actual)
            self.unsettled -= 1
            self.settled.set()

    def keep(
        self, key: str, body: dict[str, Any], text: str, spent: tuple[int, int, int], unknown: int = 0, parts: int = 1
    ) -> tuple[int, int, int]:
        """Write an answer into the cache and count it; returns the (picodollars, requests, tokens) billed: one of `parts`
        of the price. Where the server did not count tokens, `unknown` picodollars are taken as its price."""
        cost = self.budget.price.picousd(*spent) // parts if spent != (0, 0, 0) else unknown
        asked, told = json.dumps(body, ensure_ascii=False), cost if self.budget.known else None
        self.store.put(key, self.at.base, self.at.model, asked, text, spent, told)
        u = self.usage
        u.requests += 1
        u.prompt_tokens += spent[0]
        u.cached_tokens += spent[1]
        u.completion_tokens += spent[2]
        u.picousd += cost
        return (cost, 1, spent[0] + spent[2])

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine on this client's connection comes to."""
        return self.loop.run_until_complete(work)

    def _failed(self, e: Any) -> tuple[bool, str, float | None]:
        """What a refusal means: wait and send again, or give up at once with one clear line."""
        status, headers = e.status_code, e.response.headers
        after = seconds(headers.get("retry-after-ms", "") and headers["retry-after-ms"] + "ms") or seconds(
            headers.get("retry-after")
        )
        if status == 429 and "insufficient_quota" not in str(e):
            self.usage.rate_limited += 1
            self.pace.limited(after)
            return True, "429", after
        if status in (408, 409) or status >= 500:
            if status in (502, 503, 504, 529):
                self.pace.overloaded()
            return False, f"HTTP {status}", after
        hint = {
            401: ": check OPENAI_API_KEY",
            403: ": check OPENAI_API_KEY and its rights",
            404: f": is there a model {self.at.model}?",
        }.get(status, "")
        said = self.at.clean(" ".join(str(getattr(e, "message", e)).split()))[:300]
        kind = InputError if status in (400, 401, 403, 404) else BuildError
        raise kind(f"{self.at.where} refused the request with {status}{hint} ({said})")

    def connect(self) -> Any:
        """The connection, made when the first request is sent: a run answered by the cache starts no server."""
        if self.api is None:
            url = self.at.open(self.stack)
            self.api = self.openai.AsyncOpenAI(base_url=url, api_key=self.at.key, max_retries=0, timeout=self.timeout)
            self.answered = time.monotonic()
        return self.api


def content(response: str) -> tuple[str, str | None]:
    """(the text of a response body, why there is none)."""
    try:
        text = json.loads(response)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return response, "no choices"
    return (text, None) if isinstance(text, str) and text.strip() else (response, "empty answer")


def cut(response: str) -> bool:
    """Whether an answer with a text ends because its tokens were used up."""
    return json.loads(response)["choices"][0].get("finish_reason") == "length"


def tokens(response: str) -> tuple[int, int, int] | None:
    """(prompt, cached, completion) tokens as the server counted them: zeros where it does not say, None where the body is no JSON object."""
    try:
        body = json.loads(response)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    usage = body.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    counts = (usage.get("prompt_tokens"), details.get("cached_tokens"), usage.get("completion_tokens"))
    prompt, cached, completion = (c if isinstance(c, int) and c >= 0 else 0 for c in counts)
    return prompt, cached, completion


def _refused(message: str, body: dict[str, Any]) -> set[str]:
    """The optional parameters of a request that a refusal speaks of."""
    said = message.lower()
    return {p for parts, words in OPTIONAL.items() if any(w in said for w in words) for p in parts if p in body}
