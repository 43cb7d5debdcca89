"""Rows as records of a format that trainers read: the inverse of adapters.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from instdata.corpus.rows import Messages, told
from instdata.read.json_numbers import dumps, loads
from instdata.read.thoughts import put_back

SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
ALPACA_KEYS = ("system", "history")  # all records have them where one has them


def write_record(
    format: str, messages: Messages, input_chars: int = 0, plain: bool = True, tools: str | None = None,
    keys: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """One row as a record of a format; reading it back gives the same messages. `plain`: prompt_completion holds texts
    where there is a single turn, else always messages. `keys`: of ALPACA_KEYS, those that every record has. Reasoning
    stands in `reasoning_content` where the record holds messages, inside the answer where it holds texts.

    Raises ValueError where the format cannot hold the conversation.
    """
    given = {"tools": tools} if tools else {}
    if format == "messages":
        return {"messages": [told(m) for m in messages], **given}
    if format == "sharegpt":
        return {"conversations": [turn for m in messages for turn in _sharegpt(m)], **given}
    answered = bool(messages) and messages[-1]["role"] == "assistant"
    unlearned = any(m.get("weight") == 0 for m in messages if m["role"] == "assistant")  # only turns can say that
    if format == "prompt_completion":
        turns, answer = (messages[:-1], messages[-1:]) if answered else (messages, [])
        if plain and len(turns) == 1 and turns[0]["role"] == "user" and not (_calls(messages) or unlearned):
            return {"prompt": turns[0]["content"], "completion": _inline(answer[0]) if answer else "", **given}
        return {"prompt": [told(m) for m in turns], "completion": [told(m) for m in answer], **given}
    if format != "alpaca":
        raise ValueError(f"{format} is a format to read, not to write")
    if unlearned:
        raise ValueError("alpaca cannot say that an answer is not learned")
    record = _alpaca(messages, answered, input_chars)
    return record | {k: [] if k == "history" else "" for k in ALPACA_KEYS if k in keys and k not in record}


def _inline(turn: Mapping[str, Any]) -> str:
    return put_back(turn.get("reasoning_content"), turn["content"])


def _calls(messages: Messages) -> bool:
    return any(m.get("tool_calls") or m["role"] == "tool" for m in messages)


def _sharegpt(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A turn as ShareGPT has it, its calls as turns of their own (LLaMA-Factory's function_call)."""
    calls = [
        {"name": c["function"]["name"], "arguments": _parsed(c["function"]["arguments"])}
        for c in turn.get("tool_calls") or ()
    ]
    text = _inline(turn)
    weight = {"weight": told(turn)["weight"]} if turn.get("weight") is not None else {}
    said = [{"from": SHAREGPT[turn["role"]], "value": text, **weight}] if text or not calls else []
    if not calls:
        return said
    return [*said, {"from": "function_call", "value": dumps(calls[0] if len(calls) == 1 else calls).decode()}]


def _parsed(arguments: str) -> Any:
    try:
        return loads(arguments)
    except ValueError:
        return arguments


def _alpaca(messages: Messages, answered: bool, input_chars: int) -> dict[str, Any]:
    turns = messages[:-1] if answered else messages
    record: dict[str, Any] = {"system": turns[0]["content"]} if turns and turns[0]["role"] == "system" else {}
    turns = turns[len(record) :]
    roles = [m["role"] for m in turns]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"] or _calls(messages):
        raise ValueError("alpaca holds alternating user and assistant turns only")
    user = turns[-1]["content"]
    cut = len(user) - input_chars
    apart = input_chars > 0 and user[max(0, cut - 2) : cut] == "\n\n"
    record["instruction"], record["input"] = (user[: cut - 2], user[cut:]) if apart else (user, "")
    record["output"] = _inline(messages[-1]) if answered else ""
    if len(turns) > 1:
        record["history"] = [[turns[i]["content"], _inline(turns[i + 1])] for i in range(0, len(turns) - 1, 2)]
    return record
