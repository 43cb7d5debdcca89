"""From requests to parsed answers: how every judge and labeller asks a language model.

One call opens the request cache, the budget and the pace, asks the one client, and says what was used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from instdata.llm.budget import Budget, Price, Wait, price_of, scope_of
from instdata.llm.client import MAX_WAIT, Answer, Client, Request
from instdata.llm.endpoint import LOCAL, endpoint, resolve_model
from instdata.llm.rate_limit import Pace
from instdata.llm.request_cache import PICO, Store
from instdata.util.build_context import Context
from instdata.util.paths import cache_folder
from instdata.util.progress import counter

# What the embedded 1.5B model does on two cores, and a remote one per request at usual concurrency, for estimates.
LOCAL_TOKENS_PER_SECOND, REMOTE_SECONDS, REMOTE_CONCURRENCY = 40, 6, 32


@dataclass(frozen=True)
class Options:
    """Who is asked, and at what cost. `price`: USD per million tokens; None limits nothing, or means the built-in
    value."""

    model: str = "auto"
    base_url: str | None = None
    price: Price | None = None
    max_usd: float | None = None
    max_requests: int | None = None
    max_tokens: int | None = None
    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    timeout: float | None = None
    params: dict[str, Any] | None = None  # further parameters of the API, as they are
    max_wait: Wait | None = None

    @classmethod
    def of(cls, step: Any) -> Options:
        """The options that a step or another model of options has under these names."""
        return cls(**{f.name: getattr(step, f.name) for f in fields(cls) if hasattr(step, f.name)})

    def resolved(self) -> Options:
        """With a concrete model in place of `auto`. Raises InputError, BuildError."""
        return replace(self, model=resolve_model(self.model, self.base_url))


def client_for(options: Options, store: Store, scope: str, base: Path, say: Callable[[str], None]) -> Client:
    """A client for a concrete model whose budget goes by `scope`, which stays the same over resumes."""
    at = endpoint(options.model, options.base_url, base, say)
    limits = {n: getattr(options, n) for n in ("max_usd", "max_requests", "max_tokens")}
    budget = Budget(store, scope, price_of(options.model, options.price), limits)
    pace = Pace(options.concurrency or at.concurrency, options.rpm, options.tpm)
    return Client(
        at,
        store,
        budget,
        pace,
        timeout=options.timeout,
        params=options.params,
        max_wait=options.max_wait or MAX_WAIT,
        say=say,
    )


def ask(
    options: Options,
    requests: Sequence[Request],
    read: Callable[[str], Any],
    *,
    name: str,
    shapes: Any,
    context: Context,
    weigh: Callable[[Any, dict[str, Any]], Any] | None = None,
) -> list[Answer]:
    """Answers in the order of the requests, each with the value that `read` makes of its text (it raises Unusable),
    None where no attempt could be used.

    The budget goes by `scope_of`: in a build by its name and `name`, else by `name` and `shapes` (what else shapes the
    answers: a model, a version), so a run that is resumed goes on with the same one; what was used is added to
    `context.usage[name]`. `weigh(value, response body)` may replace a value by one that needs more of the response than
    its text, such as log-probabilities. Raises BudgetReached; what was answered is cached."""
    with closing(Store(context.cache or cache_folder(), context.say)) as store:
        with client_for(options, store, scope_of(context, name, shapes), context.base, context.say) as client:
            try:
                answers = client.ask_all(requests, read, on_answer=counter(len(requests), "requests"))
            finally:
                _account(context.usage, name, options.model, client)
        if weigh is None:
            return answers
        return [_weighed(a, weigh, store) for a in answers]


def _account(usage: dict[str, Any], name: str, model: str, client: Client) -> None:
    used, before = client.usage.as_dict(priced=client.budget.known), usage.get(name, {})
    usage[name] = {"model": model, **{k: None if v is None else v + (before.get(k) or 0) for k, v in used.items()}}


def _weighed(answer: Answer, weigh: Callable[[Any, dict[str, Any]], Any], store: Store) -> Answer:
    stored = store.get(answer.key)
    if answer.value is None or stored is None:
        return answer
    return replace(answer, value=weigh(answer.value, json.loads(stored.response)))


def structured(
    messages: tuple[tuple[str, str], ...], properties: dict[str, Any], max_tokens: int, **more: Any
) -> Request:
    """A request for one JSON object with exactly these properties (name: JSON schema), in that order."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return Request(messages, max_tokens, **{"temperature": 0.0, "seed": 0, **more}, schema=schema)


def estimate(options: Options, sample: Sequence[Request], total: int | None = None) -> dict[str, Any]:
    """What `total` requests like these would come to (see `cost`)."""
    if not sample:
        return cost(options, 0, 0, 0)
    return cost(options, len(sample) if total is None else total, *typical(sample))


def typical(sample: Sequence[Request]) -> tuple[float, float]:
    """(prompt tokens, completion tokens) of a request like these. A token is about four bytes of UTF-8 in either
    language; answers use half of what they may."""
    prompt = sum(sum(len(c.encode()) for _, c in r.messages) // 4 for r in sample) / len(sample)
    return prompt, sum(r.max_tokens for r in sample) / len(sample) / 2


def cost(options: Options, requests: int, prompt: float, completion: float) -> dict[str, Any]:
    """{requests, tokens, usd (None where the price is unknown), minutes} of requests with so many tokens each."""
    price = price_of(options.model, options.price)
    local = options.model.startswith(LOCAL)
    seconds = (prompt / 3 + completion) / LOCAL_TOKENS_PER_SECOND if local else REMOTE_SECONDS / REMOTE_CONCURRENCY
    return {
        "requests": requests,
        "tokens": int(requests * (prompt + completion)),
        "usd": None if price is None else requests * price.picousd(int(prompt), 0, int(completion)) / PICO,
        "minutes": round(requests * seconds / 60, 1),
    }
