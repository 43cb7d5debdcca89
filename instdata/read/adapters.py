"""The formats that instruction data comes in, read into conversations and written back.

Reading: `detect` tells a file's format from its keys, `columns` says which key feeds which of our fields, and `adapt`
turns one record into conversations. Writing: `write_record` is the inverse, one record a row.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

Messages = list[tuple[str, str]]  # (role, content)
INPUT = "_input_chars"  # the key in meta that says how long the separate input of an alpaca row was

# Our field -> the keys that feed it where `map` names none, per format.
KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "alpaca": {
        "instruction": ("instruction",),
        "input": ("input", "context"),
        "output": ("output", "response"),
        "system": ("system",),
        "history": ("history",),
    },
    "prompt_completion": {
        "prompt": ("prompt", "question"),
        "completion": ("completion", "answer", "response"),
        "system": ("system",),
    },
    "messages": {"messages": ("messages", "conversations", "conversation")},
    "sharegpt": {"conversations": ("conversations", "conversation"), "system": ("system",)},
    "seeds": {"instruction": ("instruction",), "instances": ("instances",)},
}
LABELS = {"ability": ("ability",), "origin": ("origin",)}
# Which of our fields says what format a `map` means, and what a record cannot do without.
MAIN = {
    "alpaca": "instruction",
    "prompt_completion": "prompt",
    "messages": "messages",
    "sharegpt": "conversations",
    "seeds": "instances",
}

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool",
}  # fmt: skip


class BadRow(ValueError):
    """Why one record cannot be read. It costs that record only."""


@dataclass(frozen=True)
class Conversation:
    """One row, read: its messages, the label and origin it came with, and how many characters at the end of the
    first user turn were the separate input (so that writing alpaca gives them back)."""

    messages: Messages
    ability: str | None = None
    origin: str | None = None
    input_chars: int = 0


@lru_cache(maxsize=4096)
def normalise_key(key: str) -> str:
    """One spelling for a column name: NFKC (so no-break spaces are spaces), trimmed, case-folded, no BOM."""
    return unicodedata.normalize("NFKC", key.lstrip("\ufeff")).strip().casefold()


def normalise_keys(record: dict[str, Any]) -> dict[str, Any]:
    """The record under normalised keys. Raises BadRow where two keys become one."""
    out = {normalise_key(k): v for k, v in record.items()}
    if len(out) < len(record):
        raise BadRow("two keys differ only in case or spacing")
    return out


def detect(records: Iterable[dict[str, Any]]) -> str | None:
    """The format of a file, from the keys of its first records (normalised); None where nothing is known."""
    for record in records:
        conversation = record.get("conversations") or record.get("conversation") or []
        first = conversation[0] if isinstance(conversation, list) and conversation else None
        if isinstance(record.get("messages"), list) or (isinstance(first, dict) and "role" in first):
            return "messages"
        if isinstance(first, dict) and "from" in first:
            return "sharegpt"
        for format in ("seeds", "alpaca", "prompt_completion"):
            fields = KEYS[format]
            if any(k in record for k in fields[MAIN[format]]):
                return format
    return None


def mapped_formats(mapping: dict[str, str]) -> list[str]:
    """The formats that have all fields of a `map`."""
    return [format for format, fields in KEYS.items() if set(mapping) <= set(fields) | set(LABELS)]


def columns(format: str, mapping: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Our field -> the normalised keys that may feed it, in order of preference. A mapped field has one key, and that
    key feeds nothing else."""
    ours = {ours: normalise_key(theirs) for ours, theirs in mapping.items()}
    taken = set(ours.values())
    fields = {**KEYS[format], **LABELS}
    free = {field: tuple(k for k in keys if k not in taken) for field, keys in fields.items() if field not in ours}
    return {**free, **{field: (key,) for field, key in ours.items()}}


def adapt(record: dict[str, Any], format: str, fields: dict[str, tuple[str, ...]]) -> list[Conversation]:
    """The conversations of one record with normalised keys: one, but for seeds with several instances.

    Raises BadRow naming the field that is missing or of the wrong type.
    """
    got: dict[str, Any] = {}
    for field, keys in fields.items():
        for key in keys:
            if record.get(key) is not None:
                got[field] = record[key]
                break
    ability, origin = _text(got, "ability").strip() or None, _text(got, "origin").strip() or None
    if format == "seeds":
        return _seeds(got, ability, origin)
    if format in ("messages", "sharegpt"):
        messages = _turns(got.get(MAIN[format]), MAIN[format])
        return [Conversation(_finish(messages, _text(got, "system")), ability, origin)]
    if format == "alpaca":
        return [_alpaca(got, ability, origin)]
    return [Conversation(_finish(_prompt_completion(got), _text(got, "system")), ability, origin)]


def _alpaca(got: dict[str, Any], ability: str | None, origin: str | None) -> Conversation:
    instruction, given, output = _text(got, "instruction"), _text(got, "input"), _text(got, "output")
    messages: Messages = []
    for turn in _list(got.get("history") or [], "history"):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(t, str) for t in turn):
            raise BadRow("history holds something else than [instruction, response] pairs of text")
        messages += [("user", turn[0]), ("assistant", turn[1])]
    if not instruction.strip() and not given.strip():
        raise BadRow("the instruction is missing or empty")
    two = bool(instruction.strip() and given.strip())
    user = f"{instruction}\n\n{given}" if two else instruction if instruction.strip() else given
    messages += [("user", user), ("assistant", output)]
    return Conversation(_finish(messages, _text(got, "system")), ability, origin, len(given) if two else 0)


def _seeds(got: dict[str, Any], ability: str | None, origin: str | None) -> list[Conversation]:
    rows = []
    for instance in _list(got.get("instances"), "instances"):
        if not isinstance(instance, dict):
            raise BadRow("instances holds something else than {input, output}")
        fields = {k: v for k, v in normalise_keys(instance).items() if k in ("input", "output") and v is not None}
        rows.append(_alpaca({**fields, "instruction": got.get("instruction", "")}, ability, origin or "human"))
    if not rows:
        raise BadRow("instances is empty")
    return rows


def _prompt_completion(got: dict[str, Any]) -> Messages:
    prompt, completion = got.get("prompt"), got.get("completion")
    messages = _turns(prompt, "prompt") if isinstance(prompt, list) else [("user", _text(got, "prompt"))]
    answer = (
        _turns(completion, "completion") if isinstance(completion, list) else [("assistant", _text(got, "completion"))]
    )
    return messages + answer


def _turns(value: Any, field: str) -> Messages:
    """[(role, content)] from OpenAI messages ({role, content}) or ShareGPT turns ({from, value})."""
    turns = []
    for i, item in enumerate(_list(value, field)):
        if not isinstance(item, dict):
            raise BadRow(f"{field}[{i}] is not an object with a role and a content")
        item = normalise_keys(item)
        word = item.get("role", item.get("from"))
        if not isinstance(word, str) or normalise_key(word) not in ROLES:
            raise BadRow(f"{field}[{i}]: unknown role {word!r}"[:200])
        if item.get("tool_calls") or item.get("function_call"):
            raise BadRow(f"{field}[{i}]: tool calls are not supported")
        content = item.get("content", item.get("value"))
        if isinstance(content, list):
            content = _parts(content, f"{field}[{i}]")
        if content is not None and not isinstance(content, str):
            raise BadRow(f"{field}[{i}]: the content is {_kind(content)}, expected text")
        turns.append((ROLES[normalise_key(word)], content or ""))
    return turns


def _parts(parts: list[Any], where: str) -> str:
    if not all(isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in parts):
        raise BadRow(f"{where}: only text parts are supported")
    return "\n".join(p["text"] for p in parts)


def _finish(messages: Messages, system: str) -> Messages:
    """A whole conversation: a system turn first, an empty last answer left out, at least one user turn, no NUL."""
    if system.strip() and not (messages and messages[0][0] == "system"):
        messages = [("system", system), *messages]
    while messages and messages[-1][0] == "assistant" and not messages[-1][1].strip():
        messages = messages[:-1]
    if not any(role == "user" and content.strip() for role, content in messages):
        raise BadRow("there is no user turn with text")
    if any("\0" in content for _, content in messages):
        raise BadRow("the text contains a NUL character")
    return messages


def _text(got: dict[str, Any], field: str) -> str:
    value = got.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRow(f"{field} is {_kind(value)}, expected text")
    return value


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRow(f"{field} is {_kind(value)}, expected a list")
    return value


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
        str: "text",
        type(None): "missing",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def write_record(
    format: str, messages: list[dict[str, str]], input_chars: int = 0, plain: bool = True
) -> dict[str, Any]:
    """One row as a record of a format; reading it back gives the same messages. `plain`: prompt_completion holds texts
    where there is a single turn, else always messages.

    Raises ValueError where the format cannot hold the conversation.
    """
    if format == "messages":
        return {"messages": messages}
    if format == "sharegpt":
        names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
        return {"conversations": [{"from": names[m["role"]], "value": m["content"]} for m in messages]}
    answered = bool(messages) and messages[-1]["role"] == "assistant"
    if format == "prompt_completion":
        turns, answer = (messages[:-1], messages[-1:]) if answered else (messages, [])
        if plain and len(turns) == 1 and turns[0]["role"] == "user":
            return {"prompt": turns[0]["content"], "completion": answer[0]["content"] if answer else ""}
        return {"prompt": turns, "completion": answer}
    if format != "alpaca":
        raise ValueError(f"{format} is a format to read, not to write")
    return _write_alpaca(messages, answered, input_chars)


def _write_alpaca(messages: list[dict[str, str]], answered: bool, input_chars: int) -> dict[str, Any]:
    turns = messages[:-1] if answered else messages
    record: dict[str, Any] = {"system": turns[0]["content"]} if turns[0]["role"] == "system" else {}
    turns = turns[len(record) :]
    roles = [m["role"] for m in turns]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise ValueError("alpaca holds alternating user and assistant turns only")
    user = turns[-1]["content"]
    cut = len(user) - input_chars
    apart = input_chars > 0 and user[max(0, cut - 2) : cut] == "\n\n"
    record["instruction"], record["input"] = (user[: cut - 2], user[cut:]) if apart else (user, "")
    record["output"] = messages[-1]["content"] if answered else ""
    if len(turns) > 1:
        record["history"] = [[turns[i]["content"], turns[i + 1]["content"]] for i in range(0, len(turns) - 1, 2)]
    return record


def used_keys(fields: dict[str, tuple[str, ...]]) -> set[str]:
    """The keys that feed a field."""
    return {key for keys in fields.values() for key in keys}


def meta(record: dict[str, Any], used: set[str], extra: dict[str, Any]) -> str | None:
    """JSON of the columns that feed no field, plus `extra`; None where there are none."""
    rest = {k: v for k, v in record.items() if k not in used} | extra
    return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS, default=str).decode() if rest else None
