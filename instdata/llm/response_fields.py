"""What endpoints call the same things: texts, thoughts and tokens in a response body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from instdata.llm.reply import thoughts, undecodable

# Reasons to end, in lower case, that mean: it is whole; its tokens were used up.
WHOLE = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "", None)
CUT = ("length", "max_tokens", "model_length", "max_length", "max_output_tokens")
USED_UP = "used up by thinking"
# Families that think before they answer, unless told not to.
THINKING = re.compile(
    r"(?:^|[/_-])(?:gpt-5(?!.*chat)|o[134](?:-|$)|.*reasoner|.*-r1\b|qwq|qwen3(?!.*(?:instruct|coder))|magistral|gpt-oss|"
    r"glm-(?:4\.[5-9]|[5-9]|z1)|kimi-k2.*thinking|kimi-k2\.5|gemini-(?:2\.5|[3-9])|deepseek-r1|minimax-m|.*thinking)",
    re.I,
)


@dataclass(frozen=True)
class Content:
    """The text of a response without its thoughts, the thoughts, and why the text cannot be used (None where it can).
    `cut`: it ended because its tokens were used up."""

    text: str
    thought: str = ""
    why: str | None = None
    cut: bool = False


def thinks(model: str) -> bool:
    """Whether a model is of a family that thinks before it answers."""
    return bool(THINKING.search(model))


def content(response: str) -> Content:
    """What a response body says."""
    try:
        choice = json.loads(response)["choices"][0]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}  # of a raw completion
        given = message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError):
        return Content(response, why="no choices")
    raw, thought = _parts(given)
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(name), str) and message[name].strip():
            thought = thought or message[name].strip()
    inside, text = thoughts(raw)
    thought = "\n".join(t for t in dict.fromkeys((thought, inside)) if t)
    finish = choice.get("finish_reason")
    finish = finish.casefold() if isinstance(finish, str) else finish
    cut = finish in CUT
    if not text.strip():
        why: str | None = USED_UP if thought and (cut or inside) else "empty answer"
        if finish not in (*WHOLE, *CUT):
            why = f"ended by {finish}"
        elif cut and not thought:
            why = USED_UP  # vendors that hide thoughts show an empty answer that used all its tokens
        elif isinstance(message.get("refusal"), str) and message["refusal"]:
            why = "refused by the model"
        return Content(response, thought, why, cut)
    why = None if cut or finish in WHOLE else f"ended by {finish}"
    return Content(text, thought, why or undecodable(text), cut)


def _parts(given: Any) -> tuple[str, str]:
    """(text, thoughts) of a message's content: a text, or a list of typed parts (Magistral, Anthropic)."""
    if isinstance(given, str):
        return given, ""
    said: list[str] = []
    thought: list[str] = []
    for part in given if isinstance(given, list) else []:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict):
            kind = thought if part.get("type") in ("thinking", "reasoning") else said
            inner = part.get("thinking", part.get("text", ""))
            kind.append(inner if isinstance(inner, str) else _parts(inner)[0])
    return "".join(said), "".join(thought).strip()


def tokens(response: str) -> tuple[int, int, int] | None:
    """(prompt, cached, completion) tokens as the server counted them: zeros where it does not say, None where the body
    is no JSON object. Where the parts do not add up to the total, the rest is thoughts, billed as completion."""
    try:
        body = json.loads(response)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    details = details if isinstance(details, dict) else {}
    read = _count(usage.get("cache_read_input_tokens"))
    prompt = _count(usage.get("prompt_tokens")) or _count(usage.get("input_tokens"))
    completion = _count(usage.get("completion_tokens")) or _count(usage.get("output_tokens"))
    cached = max(
        _count(details.get("cached_tokens")),
        _count(usage.get("prompt_cache_hit_tokens")),
        _count(usage.get("cached_tokens")),
        read,
    )
    if read > prompt or "prompt_tokens" not in usage:  # Anthropic counts what its cache gave or took beside the rest
        prompt += read + _count(usage.get("cache_creation_input_tokens"))
    completion = max(completion, _count(usage.get("total_tokens")) - prompt)
    return prompt, min(cached, prompt), completion


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value is not True and 0 < value < 1e12 else 0
