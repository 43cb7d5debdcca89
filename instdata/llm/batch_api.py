"""The batch API: requests handed in as files, at half the price, answered within a day.

What is handed in is written down at once, so a killed build polls its batches instead of paying for new ones. Answers
go into the same cache as any other; what a batch failed on is asked directly afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from instdata.llm.client import Client, Request
from instdata.llm.endpoint_errors import hidden
from instdata.llm.request_cache import digest
from instdata.llm.response_fields import tokens
from instdata.util.errors import BuildError, InputError

PARTS = 2  # a batch costs half; what it failed on is asked directly, at the full price
LARGEST = 20_000  # requests in one file; OpenAI takes 50,000 and 200 MB
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between looks at a batch
TAG = "instdata"  # metadata that names the requests of a batch
GAVE_NOTHING = "gave nothing:"  # before a batch's number, in the store: not to be found again
OVER = ("completed", "failed", "expired", "cancelled")


def fill(client: Client, requests: Sequence[Request], say: Callable[[str], None], wait: float = FIRST_WAIT) -> None:
    """Put the answers of these requests (their first attempts) into the client's cache, by batches.

    Raises BudgetReached before a batch that could pass the limit, InputError where the endpoint takes no batches."""
    missing: dict[str, Request] = {}
    for request in requests:
        if request.raw is not None:
            continue  # batches are of conversations
        key = request.key(client.at, 0, client.params)
        if client.store.get(key) is None:
            missing.setdefault(key, request)
    keys = sorted(missing)
    for start in range(0, len(keys), LARGEST):
        _one(client, {k: missing[k] for k in keys[start : start + LARGEST]}, say, wait)


def _one(client: Client, requests: dict[str, Request], say: Callable[[str], None], wait: float) -> None:
    name = digest(sorted(requests))
    worst = _worst(client, requests)
    number = client.store.batch_of(name)
    if number is None:
        if not client.budget.reserve(worst):
            raise client.budget.reached()
        number = client.run(_found(client, name)) or client.run(_hand_in(client, name, requests))
        client.store.put_batch(name, number)
        say(f"batch {number}: {len(requests)} requests handed in")
    batch = _await(client, number, say, wait)
    if batch is None:
        client.store.forget_batch(name)
        raise BuildError(
            f"{client.at.where} knows nothing of batch {number} any more. What it may have cost stays reserved; run "
            f"again to hand it in anew"
        )
    lines = (
        [] if batch.output_file_id is None else client.run(_content(client, batch.output_file_id)).split("\n")
    )  # U+2028 is no end of a line
    spent = (0, 0, 0)
    with client.store.at_once():
        for line in lines:
            if not line.strip():
                continue
            billed = _keep(client, json.loads(line), requests)
            spent = (spent[0] + billed[0], spent[1] + billed[1], spent[2] + billed[2])
        client.budget.settle(worst, spent)
        client.store.forget_batch(name)
    if not spent[1]:
        client.store.put_batch(GAVE_NOTHING + number, number)
        errors = getattr(batch.errors, "data", None) or []
        said = client.at.clean("; ".join(str(e.message) for e in errors[:3]) or "no reason given")
        raise BuildError(
            f"batch {number} {batch.status} without an answer ({said}). Nothing was asked at the full price; run "
            f"again to hand "
            "it in anew, or leave out batch_api"
        )
    say(
        f"batch {number} {batch.status}: {spent[1]} of {len(requests)} answered; the rest is asked directly, at the "
        f"full price"
    )


def _worst(client: Client, requests: dict[str, Request]) -> tuple[int, int, int]:
    each = [client.budget.worst(r.prompt_bytes(), r.max_tokens + client.thinking) for r in requests.values()]
    return (sum(e[0] for e in each) // PARTS, sum(e[1] for e in each), sum(e[2] for e in each))


def _await(client: Client, number: str, say: Callable[[str], None], wait: float) -> Any:
    told = ""
    while True:
        batch = client.run(_look(client, number))
        if batch is None or batch.status in OVER:
            return batch
        if batch.status != told:
            told = batch.status
            say(f"batch {number}: {told}; a build stopped now goes on waiting when it is run again")
        time.sleep(wait)
        wait = min(LONGEST_WAIT, 2 * wait)


def _keep(client: Client, line: dict[str, Any], requests: dict[str, Request]) -> tuple[int, int, int]:
    """Cache one answered line; returns the (picodollars, requests, tokens) billed for it."""
    key, response = line.get("custom_id"), line.get("response") or {}
    if key not in requests or response.get("status_code") != 200:
        return (0, 0, 0)
    if hidden(response.get("body")):
        return (0, 0, 0)
    text = json.dumps(response["body"], ensure_ascii=False)
    return client.keep(
        key,
        requests[key].body(client.at.model, 0, client.without, client.params, client.thinking),
        text,
        tokens(text) or (0, 0, 0),
        parts=PARTS,
    )


async def _hand_in(client: Client, name: str, requests: dict[str, Request]) -> str:
    lines = [
        json.dumps(
            {
                "custom_id": k,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": r.body(client.at.model, 0, client.without, client.params, client.thinking),
            },
            ensure_ascii=False,
        )
        for k, r in requests.items()
    ]
    api = client.connect()
    try:
        file = await api.files.create(file=("requests.jsonl", "\n".join(lines).encode()), purpose="batch")
        batch = await api.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={TAG: name}
        )
    except client.openai.APIStatusError as e:
        raise InputError(f"{client.at.where} takes no batches ({e.status_code}): leave out batch_api") from None
    return batch.id


async def _found(client: Client, name: str) -> str | None:
    """The batch of these requests where an earlier run handed it in but died, or lost the answer, before writing it
    down: it carries their digest."""
    try:
        listed = await client.connect().batches.list(limit=100)
    except client.openai.OpenAIError:
        return None  # an endpoint without a list of batches
    mine = [b for b in listed.data or [] if (b.metadata or {}).get(TAG) == name and not _dead(client, b)]
    return mine[0].id if mine else None


def _dead(client: Client, batch: Any) -> bool:
    """Whether nothing can come of a batch: it is over (failed, cancelled, expired, even completed) without a file of
    answers, or its file was seen to hold none."""
    useless = client.store.batch_of(GAVE_NOTHING + batch.id) is not None
    return useless or (batch.status in OVER and not batch.output_file_id)


async def _look(client: Client, number: str) -> Any:
    """The batch as the endpoint tells it; None where it has none of that name (any more)."""
    return await _got(client, number, client.connect().with_options(max_retries=8).batches.retrieve(number))


async def _content(client: Client, file: str) -> str:
    """A file of answers; "" where the endpoint has kept it no longer."""
    found = await _got(client, file, client.connect().with_options(max_retries=8).files.content(file))
    return "" if found is None else found.content.decode("utf-8", "replace")


async def _got(client: Client, name: str, asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except client.openai.NotFoundError:
        return None
    except client.openai.OpenAIError as e:
        said = client.at.clean(" ".join(str(e).split()))[:200]
        raise BuildError(
            f"{client.at.where} does not give {name} ({said}). Run again to go on waiting for it"
        ) from None
