"""Content in parts, as the vendors' interfaces write it, into turns: OpenAI's chat and Responses, Anthropic's blocks,
Gemini's parts, Bedrock's Converse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instdata.read.field_text import BadRow, as_text, kind
from instdata.read.json_numbers import dumps
from instdata.read.tool_calls import call

TEXTS = ("text", "input_text", "output_text", "summary_text", "reasoning_text")
THOUGHTS = ("thinking", "reasoning", "redacted_thinking")
MEDIA = (
    "image",
    "audio",
    "video",
    "file",
    "document",
    "inlinedata",
    "filedata",
    "media",
)  # how such types begin or end
# A call, by where it stands: the key or type, then the keys of its name, arguments and id.
CALLS = {
    "tool_use": ("name", "input", "id"),  # Anthropic
    "server_tool_use": ("name", "input", "id"),
    "toolUse": ("name", "input", "toolUseId"),  # Bedrock
    "functionCall": ("name", "args", "id"),  # Gemini
    "function_call": ("name", "arguments", "call_id"),  # Responses; Gemini in its Python spelling has `args`
    "custom_tool_call": ("name", "input", "call_id"),
}
# A result: the keys of what came back, of the call's id and of the tool's name.
RESULTS = {
    "tool_result": ("content", "tool_use_id", "name"),
    "toolResult": ("content", "toolUseId", "name"),
    "functionResponse": ("response", "id", "name"),
    "function_response": ("response", "id", "name"),
    "function_call_output": ("output", "call_id", "name"),
    "custom_tool_call_output": ("output", "call_id", "name"),
}
ITEMS = (*CALLS, *RESULTS, "reasoning")  # of the Responses interface: what stands among messages without a role


def turns_of(parts: list[Any], role: str, where: str) -> list[dict[str, Any]]:
    """The turns that a message of content parts stands for: text parts joined by a line break, thoughts and calls in
    their fields, each tool's result a turn of its own. Raises BadRow for pictures, sound and what nobody knows."""
    turns: list[dict[str, Any]] = []
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []

    def end() -> None:
        if texts or thoughts or calls or not turns:
            turn: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
            turn |= {"reasoning_content": "\n".join(thoughts)} if any(thoughts) else {}
            turns.append(turn | ({"tool_calls": list(calls)} if calls else {}))
        for held in (texts, thoughts, calls):
            held.clear()

    for part in parts:
        sort, held = sort_of(part)
        if sort in RESULTS:
            if texts or thoughts or calls:
                end()
            turns.append(_result(sort, held, where))
        elif sort in CALLS:
            calls.append(_call(sort, held, where))
        elif sort == "thought":
            thoughts.append(_thought(held))
        else:
            texts.append(_text(part, where))
    end()
    return turns


def plain_text(value: Any, where: str) -> str:
    """Text of a system prompt or the like: a text, text parts, or an object that holds either. Raises BadRow."""
    if isinstance(value, Mapping):
        value = next((value[k] for k in ("parts", "content", "text") if k in value), value)
    if isinstance(value, list):
        return "\n".join(_text(part, where) for part in value)
    return as_text(value, where)


def sort_of(part: Any) -> tuple[str, Any]:
    """(what a part is: a key of CALLS or RESULTS, "thought", or else a text; where its fields are)"""
    if not isinstance(part, Mapping):
        return "", part
    sort = part.get("type")
    if isinstance(sort, str):
        if sort in CALLS or sort in RESULTS:
            return sort, part
        if sort.endswith("tool_result"):
            return "tool_result", part
        return ("thought" if sort in THOUGHTS else "", part)
    key = next((k for k in (*CALLS, *RESULTS) if isinstance(part.get(k), Mapping)), None)
    if key:
        return key, part[key]
    return ("thought" if part.get("thought") is True or "reasoningContent" in part else "", part)


def _call(sort: str, held: Mapping[str, Any], where: str) -> dict[str, Any]:
    name, arguments, id = CALLS[sort]
    if not isinstance(held.get(name), str):
        raise BadRow(f"{where}: a {sort} without a name")
    return call(held[name], held.get(arguments, held.get("args")), held.get(id, held.get("id")))


def _result(sort: str, held: Mapping[str, Any], where: str) -> dict[str, Any]:
    content, id, name = (held.get(k) for k in RESULTS[sort])
    turn = {"role": "tool", "content": returned(content, where)}
    turn |= {"tool_call_id": str(id)} if id is not None else {}
    return turn | ({"name": name} if isinstance(name, str) else {})


def returned(value: Any, where: str) -> str:
    """What a tool gave back, as text: JSON where it is neither text nor text parts."""
    if isinstance(value, list) and all(isinstance(p, Mapping) and ("text" in p or _is_media(p)) for p in value):
        return "\n".join(_text(p, where) for p in value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping) and list(value[0]) == ["json"]:
        value = value[0]["json"]
    return dumps(value).decode() if isinstance(value, (list, dict)) else as_text(value, where)


def _thought(part: Mapping[str, Any]) -> str:
    held = part.get("reasoningContent", part)
    held = held.get("reasoningText", held) if isinstance(held, Mapping) else held
    keys = ("thinking", "reasoning", "text", "content", "summary")
    said = next((held[k] for k in keys if held.get(k)), "") if isinstance(held, Mapping) else ""
    held = said if isinstance(said, list) else []
    texts = [t["text"] for t in held if isinstance(t, Mapping) and isinstance(t.get("text"), str)]
    return said if isinstance(said, str) else "\n".join(texts)


def _text(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    sort = part.get("type") if isinstance(part, Mapping) else None
    text = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else None
    if isinstance(text, str) and (sort in (*TEXTS, None, "refusal")):
        return text
    if not isinstance(part, Mapping) or _is_media(part) or not sort:
        raise BadRow(f"{where}: multi-modal ({sort or kind(part)}): only text parts are read")
    raise BadRow(
        f"{where}: a part of the type {sort!r}: text, thoughts, calls of tools and their results are read"[:200]
    )


def _is_media(part: Mapping[str, Any]) -> bool:
    words = (str(part.get("type", "")).lower(), *(str(k).lower() for k in part))
    return any(word.startswith(m) or word.endswith(m) for word in words for m in MEDIA)


def item_turns(item: Mapping[str, Any], where: str) -> list[dict[str, Any]] | None:
    """The turns of an item that stands among messages and has no role; None where it is none of ITEMS."""
    return turns_of([item], "assistant", where) if item.get("type") in ITEMS else None
