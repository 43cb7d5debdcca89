"""What requests cost, and the limit that is never passed: the worst case is reserved on disk before a request is
sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from instdata.llm.rate_limit import seconds
from instdata.llm.request_cache import PICO, Store, digest
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError

Cost = tuple[int, int, int]  # picodollars, requests, tokens


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(
        default=None, ge=0, description="Prompt tokens the server had cached; default: as input."
    )

    def picousd(self, prompt: int, cached: int, completion: int) -> int:
        """What tokens cost, in picodollars. `cached` tokens are part of `prompt`."""
        of_cached = self.input if self.cached is None else self.cached
        return (prompt - cached) * _pico(self.input) + cached * _pico(of_cached) + completion * _pico(self.output)


def _or_none(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _pico(usd_per_million: float) -> int:
    return round(usd_per_million * PICO / 10**6)


def _wait(value: Any) -> Any:
    if isinstance(value, str) and (found := seconds(value)) is not None:
        return found
    return value


Wait = Annotated[float, BeforeValidator(_wait), Field(gt=0)]  # seconds, written as 600 or 10m
FREE = Price(input=0, output=0, cached=0)
_LIST = json.loads((Path(__file__).parent / "prices.json").read_text(encoding="utf-8"))
PRICES = {name: Price(**price) for name, price in _LIST["prices"].items()}
DATE = re.compile(r"-20\d\d-\d\d-\d\d$")


def price_of(model: str, override: Price | None = None) -> Price | None:
    """A model's price: the recipe's, else the list's (gpt-4o-2024-11-20 counts as gpt-4o, of which it is a dated
    version; no other part of a name is cut off), free for a local model; None where unknown."""
    if override is not None:
        return override
    if model.startswith("local:"):
        return FREE
    return PRICES.get(model) or PRICES.get(DATE.sub("", model))


@dataclass
class Usage:
    """What one client used. Requests are those answered; lost ones may have been billed though no answer came."""

    requests: int = 0
    cache_hits: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    picousd: int = 0
    retries: int = 0
    rate_limited: int = 0
    lost: int = 0
    unusable: int = 0

    def add(self, prompt: int, cached: int, completion: int, picousd: int) -> None:
        """Count one answered request."""
        self.requests += 1
        self.prompt_tokens += prompt
        self.cached_tokens += cached
        self.completion_tokens += completion
        self.picousd += picousd

    def as_dict(self, priced: bool) -> dict[str, Any]:
        """For run.json; `usd` is null where the model's price is unknown."""
        found = dict(vars(self))
        picousd = found.pop("picousd")
        return {**found, "usd": picousd / PICO if priced else None}


def scope_of(context: Context, name: str, shapes: Any) -> str:
    """What a budget goes by: of a build, its name and the step's, so that variants of it (other options, a filter left
    out, a trial of some rows) cannot spend it twice; elsewhere the name and `shapes`, what else shapes the answers."""
    return digest([context.build, name] if context.build else [name, shapes])


class Budget:
    """The limits of one step, by a name (`scope`) that stays the same over resumes. Amounts are (picodollars, requests,
    tokens); whatever dies between reserving and settling stays reserved, because it may have been billed."""

    def __init__(self, store: Store, scope: str, price: Price | None, limits: Mapping[str, float | None] | None = None):
        limits = limits or {}
        if limits.get("max_usd") is not None and price is None:
            raise InputError(
                "max_usd needs the model's price: add price: {input: …, output: …} in USD per million tokens"
            )
        self.store, self.scope, self.price, self.named = store, scope, price or FREE, limits
        self.known = price is not None  # else USD cannot be told
        usd, requests, tokens = (limits.get(n) for n in ("max_usd", "max_requests", "max_tokens"))
        self.limit = (_or_none(None if usd is None else round(usd * PICO)), _or_none(requests), _or_none(tokens))

    def worst(self, prompt_bytes: int, max_completion: int) -> Cost:
        """No tokenizer makes more tokens than bytes; every completion stops at its limit."""
        return (self.price.picousd(prompt_bytes, 0, max_completion), 1, prompt_bytes + max_completion)

    def reserve(self, cost: Cost) -> bool:
        """True where the worst case fits, and then it is on disk."""
        return self.store.reserve(self.scope, cost, self.limit)

    def settle(self, reserved: Cost, actual: Cost) -> None:
        """Replace a reservation by what was billed."""
        by = (actual[0] - reserved[0], actual[1] - reserved[1], actual[2] - reserved[2])
        self.store.correct(self.scope, by)

    def reached(self) -> BudgetReached:
        """The error of a budget that has no room for another request."""
        usd, requests, tokens = self.store.spent(self.scope)
        limits = ", ".join(f"{k}: {v:g}" for k, v in self.named.items() if v is not None)
        return BudgetReached(
            f"the next request could pass the limit ({limits}): {usd / PICO:.4f} USD, {requests} requests and "
            f"{tokens} tokens are spent or "
            "reserved. Everything so far is saved; run again with a higher limit to go on"
        )
