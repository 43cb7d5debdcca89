"""A request, everything that shapes an answer, and what it came to."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from instdata.llm.endpoint import Endpoint
from instdata.llm.endpoint_errors import LIMITS
from instdata.llm.request_cache import digest

NEWER = re.compile(r"(?:^|/)(?:gpt-5|o[134](?:-|$))")  # models that take max_completion_tokens
MESSAGE_TOKENS = 64  # what a chat template may add, in the worst case


@dataclass(frozen=True)
class Request:
    """Everything that shapes an answer. `draw` tells samples of the same request apart; `schema` is a JSON schema;
    `whole`: an answer that was cut at max_tokens is unusable; `beside`: what turns say besides role and content
    (tool_calls, tool_call_id, name), by their place. `raw`: no turns of a conversation, but one text, with the chat
    template's marks in it where those are wanted, that the model goes on with (the completions endpoint)."""

    messages: tuple[tuple[str, str], ...]  # (role, content)
    max_tokens: int
    temperature: float = 1.0
    schema: dict[str, Any] | None = None
    seed: int | None = None
    draw: int = 0
    more: dict[str, Any] = field(default_factory=dict)  # further parameters of the API, as they are
    whole: bool = False
    beside: dict[int, dict[str, Any]] = field(default_factory=dict)
    raw: str | None = None

    def body(
        self,
        model: str,
        attempt: int,
        without: Collection[str] = (),
        params: dict[str, Any] | None = None,
        extra: int = 0,
    ) -> dict[str, Any]:
        """The request as the API takes it, `without` some parameters that the endpoint refused, with `params` of the
        user's, and `extra` tokens to think with."""
        newer = bool(NEWER.search(model))
        limit = LIMITS[newer if not newer and LIMITS[0] not in without else LIMITS[1] not in without]
        turns = [{"role": r, "content": c, **self.beside.get(n, {})} for n, (r, c) in enumerate(self.messages)]
        if "system" in without and turns and turns[0]["role"] == "system" and len(turns) > 1:
            turns[:2] = [{**turns[1], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}]
        body: dict[str, Any] = {"model": model}
        if self.raw is None:
            body["messages"] = turns
        else:
            body["prompt"], limit, extra = self.raw, LIMITS[0], 0
        body |= {limit: self.max_tokens + extra, "temperature": self.temperature, **self.more}
        if self.seed is not None:
            body["seed"] = (self.seed + 7919 * self.draw + 104_729 * attempt) & 0x7FFFFFFF
        if self.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": self.schema, "strict": True},
            }
        body |= params or {}
        return {k: v for k, v in body.items() if k not in without}

    def key(self, at: Endpoint, attempt: int, params: dict[str, Any] | None = None) -> str:
        """The request's id: 32 hex digits over everything that shapes the answer."""
        return digest([at.base, self.body(at.model, attempt, params=params), self.draw, attempt])

    def most(self, params: dict[str, Any]) -> int:
        """The tokens that an answer may have: the request's, or the user's own limit."""
        return max([self.max_tokens, *(v for n in LIMITS if isinstance(v := params.get(n), int))])

    def prompt_bytes(self) -> int:
        """An upper bound of the prompt's tokens: its bytes, the schema's (some servers put it into the prompt), those
        of tools and their calls, and the template."""
        told = (self.schema, self.more.get("tools"), self.beside)  # what a template may write out
        schema = sum(len(json.dumps(part)) for part in told if part)
        raw = len(self.raw.encode()) if self.raw else 0
        return sum(len(c.encode()) + MESSAGE_TOKENS for _, c in self.messages) + schema + raw


def trials_of(request: Request) -> list[set[str]]:
    """What an endpoint may be unable to take and not name: left out in turn where a request is refused, nothing says
    why, and none was answered yet."""
    parts = ({"system"}, {"response_format"}, {"seed", "temperature", *(n for n in request.more if n != "tools")})
    body = request.body("", 0)
    return [part for part in parts if request.body("", 0, part) != body]


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
    thought: str = ""  # what a model that shows its thoughts thought

    @property
    def why(self) -> str | None:
        """Why there is no value; None where there is one."""
        if self.value is not None:
            return None
        return self.failures[-1].why if self.failures else "no usable answer"
