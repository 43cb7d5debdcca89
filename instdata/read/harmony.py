"""gpt-oss's harmony: a text of messages, each with a role and a channel, into turns.

`<|start|>assistant<|channel|>analysis<|message|>…<|end|>` thinks, `commentary to=functions.f` calls a tool, `final`
answers (https://cookbook.openai.com/articles/openai-harmony).
"""

from __future__ import annotations

import re
from typing import Any

MESSAGE = re.compile(
    r"\s*(?:<\|start\|>(?P<who>[^<]*))?(?:<\|channel\|>(?P<channel>[^<]*))?(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<said>.*?)(?:<\|(?:end|call|return)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.S,
)
BEGINS = re.compile(r"\s*<\|(?:channel|start)\|>")
RECIPIENT = re.compile(r"\bto=(\S+)")
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "": "assistant"}


def is_harmony(text: str) -> bool:
    """Whether a text begins as harmony does: a quick look."""
    return BEGINS.match(text) is not None


def turns(text: str) -> list[dict[str, Any]] | None:
    """The turns of a text in harmony; None where any of it is something else. What the assistant says in one go is one
    turn: its thoughts (and what it says about its calls, where an answer follows), its calls, its answer."""
    found: list[dict[str, Any]] = []
    at = 0
    while text[at:].strip():
        message = MESSAGE.match(text, at)
        if message is None:
            return None
        at = message.end()
        head = f"{message['who'] or ''} {message['channel'] or ''}"
        who = (message["who"] or "").partition("to=")[0].strip()
        role, said = ROLES.get(who, "tool"), message["said"].strip()
        if role != "assistant":
            name = {"name": who.removeprefix("functions.")} if role == "tool" else {}
            found.append({"role": role, "content": said, **name})
            continue
        if not found or found[-1]["role"] != "assistant":
            found.append({"role": "assistant", "content": ""})
        _say(found[-1], (message["channel"] or "final").strip(), RECIPIENT.search(head), said)
    return found or None


def _say(turn: dict[str, Any], channel: str, recipient: re.Match[str] | None, said: str) -> None:
    """Put one of the assistant's messages into its turn."""
    if recipient:
        call = {"name": recipient[1].removeprefix("functions."), "arguments": said}
        turn.setdefault("tool_calls", []).append({"id": None, "type": "function", "function": call})
    elif channel.startswith("analysis") or (turn["content"] and channel.startswith("final")):
        before = said if channel.startswith("analysis") else turn["content"]
        turn["reasoning_content"] = "\n\n".join(t for t in (turn.get("reasoning_content"), before) if t)
        turn["content"] = turn["content"] if channel.startswith("analysis") else said
    else:
        turn["content"] = "\n\n".join(t for t in (turn["content"], said) if t)
