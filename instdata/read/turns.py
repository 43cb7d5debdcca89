"""Conversations in any of their spellings, read into turns.

A turn is a dict: role, content and, where it has them, the optional fields of corpus/rows.py (TURN).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import orjson

from instdata.corpus.rows import ROLES
from instdata.read.chat_template_text import rendered
from instdata.read.column_names import normalise_key, normalise_keys
from instdata.read.content_parts import RESULTS, item_turns, returned, sort_of, turns_of
from instdata.read.field_text import BadRow, as_text, is_nan, json_text, kind
from instdata.read.formats import ROLE_FIELD, Fields
from instdata.read.harmony import is_harmony
from instdata.read.harmony import turns as harmony
from instdata.read.json_numbers import dumps
from instdata.read.roles import CALL, PAIRS, SPEAKER, SPEAKERS, TEXT, role_of
from instdata.read.thoughts import may_hold, take_out
from instdata.read.tool_calls import calls as read_calls

Turn = dict[str, Any]
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts")
CONFLICT = "weights that differ"  # the key in `extra` for a turn that says two things of whether it is learned
WEIGHTS = ("weight", "loss", "train", "training", "output_with_loss")
DIALOGUE = re.compile(
    r"(?:(?:\A|\n)\s*(?:###\s*)?|###\s*)"
    r"(Human|Assistant|User|Function Response|人类|人類|用户|用戶|助手)\s*[:：][ \t]*",
    re.I,
)
LED = (re.compile(r"\A(?:问|問|用户|患者|Human|User|Q)[:：]\s*"), re.compile(r"\A(?:答|助手|医生|Assistant|A)[:：]\s*"))
ENDS = "<|endoftext|>"  # what some write behind an answer
MARKED = re.compile(r"\A\s*<s>|</s>\s*\Z")
MOSS = re.compile(r"\[(Human|MOSS)\]:\s*(.*?)\s*<eo[a-z]>", re.S)
MOSS_MARKS = re.compile(r"\A\s*<\|[^|]*\|>:\s*|<eo[a-z]>\s*\Z")


def speakers(fields: Fields) -> dict[str, str]:
    """Word -> role: the usual ones, and those that a source names."""
    named = [(role, fields[ROLE_FIELD + role]) for role in ROLES if ROLE_FIELD + role in fields]
    return {**SPEAKERS, **{word: role for role, words in named for word in words}} if named else SPEAKERS


def read_turns(value: Any, field: str, roles: Mapping[str, str] = SPEAKERS) -> list[Turn]:
    """The turns of a conversation: OpenAI messages ({role, content, …}), ShareGPT ({from, value}), exchanges ({human,
    assistant}), texts that take turns, JSON text of those, a struct of lists, MOSS's turns. Raises BadRow."""
    if isinstance(value, str):
        value = _told_turns(value, field)
    if isinstance(value, Mapping):
        value = _of_mapping(value, field)
    if not isinstance(value, list):
        raise BadRow(f"{field} is {kind(value)}, expected a list")
    if value and all(isinstance(v, str) for v in value):
        if all(LED[i % 2].match(v) for i, v in enumerate(value)):  # Huatuo: 问：…, 答：…
            value = [LED[i % 2].sub("", v) for i, v in enumerate(value)]
        return [answer_of({"role": ROLES[1 + i % 2], "content": v}) for i, v in enumerate(value)]
    if value and all(isinstance(v, Mapping) and v.keys() == {"label", "text"} for v in value):
        value = _segments(value)
    turns: list[Turn] = []
    thought = False  # whether the item before was a thought alone, which the next one goes on with
    for i, item in enumerate(value):
        where = f"{field}[{i}]"
        if not isinstance(item, Mapping):
            raise BadRow(f"{where} is not an object with a role and a content")
        item = normalise_keys(dict(item))
        named = any(k in item for k in SPEAKER)
        pair = None if named else next((p for p in PAIRS if p[0] in item and p[1] in item), None)
        if pair:
            turns += _exchange(item, pair, where)
        elif not named and (found := item_turns(item, where)):
            turns = _going_on(turns, found)
        else:
            made = _turn(item, where, roles)
            turns = _going_on(turns, made) if thought else [*turns, *made]
        thought = not named and item.get("type") == "reasoning"
    return _answering(turns)


def _segments(parts: list[Mapping[str, Any]]) -> list[Turn]:
    """The turns of axolotl's texts that are learned (label true) or not, one after the other: those that a chat
    template's marks in them say; else what is not learned is the user's."""
    told = rendered("".join(str(p["text"]) for p in parts))
    if told:
        return told
    runs = [
        (learned, "".join(str(p["text"]) for p in run)) for learned, run in groupby(parts, lambda p: bool(p["label"]))
    ]
    texts = [(learned, MARKED.sub("", text).strip()) for learned, text in runs]
    return [{"role": "assistant" if learned else "user", "content": text} for learned, text in texts if text]


def _going_on(turns: list[Turn], more: list[Turn]) -> list[Turn]:
    """The turns with more behind them: what an assistant goes on with after its thoughts or words is one turn."""
    if not (turns and turns[-1]["role"] == more[0]["role"] == "assistant"):
        return [*turns, *more]
    before, after = turns[-1], more[0]
    joined = {**before, **after}
    for key in ("content", "reasoning_content"):
        joined[key] = "\n".join(t for t in (before.get(key), after.get(key)) if t)
    if not joined["reasoning_content"]:
        del joined["reasoning_content"]
    calls = [*before.get("tool_calls", ()), *after.get("tool_calls", ())]
    return [*turns[:-1], joined | ({"tool_calls": calls} if calls else {}), *more[1:]]


def _answering(turns: list[Turn]) -> list[Turn]:
    """The turns; where nobody but a user and "the system" speak, the user first, the system is who answers
    (MultiWOZ)."""
    roles = [t["role"] for t in turns]
    if len(roles) > 1 and all(r == ("system" if i % 2 else "user") for i, r in enumerate(roles)):
        return [answer_of({**t, "role": "assistant"}) if t["role"] == "system" else t for t in turns]
    return turns


def dialogue(text: str) -> list[Turn] | None:
    """The turns of one text that holds a dialogue, `Human: …\\n\\nAssistant: …` (HH-RLHF, BELLE's multi-turn sets);
    None where it does not begin with the human or does not take turns."""
    marks = list(DIALOGUE.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return None
    turns: list[Turn] = []
    for mark, after in zip(marks, [*marks[1:], None]):
        role = SPEAKERS[mark[1].casefold().replace(" ", "_")]
        before = turns[-1]["role"] if turns else "assistant"
        if (role == "assistant") == (before == "assistant") or (role == "tool" and not turns):
            return None
        said = text[mark.end() : after.start() if after else None].strip().removesuffix(ENDS)
        turns.append(answer_of({"role": role, "content": said.strip()}))
    return turns


def _told_turns(text: str, field: str) -> Any:
    found = json_text(text)
    if not isinstance(found, str):
        return found
    moss = [{"role": who.casefold(), "content": words} for who, words in MOSS.findall(text)]
    return (moss if text.lstrip().startswith("[Human]:") else None) or dialogue(text) or rendered(text) or text


def _of_mapping(value: Mapping[str, Any], field: str) -> Any:
    """The list that a mapping stands for: a struct of lists, MOSS's turns, a single turn."""
    if "turn_1" in value:
        turns: list[Turn] = []
        numbers = {key: re.fullmatch(r"turn_([0-9]{1,9})", key) for key in value}
        for key, number in sorted(numbers.items(), key=lambda item: int(item[1][1]) if item[1] else 0):
            turn = value[key]
            if turn is None:  # of a table: another conversation has more turns
                continue
            if number is None or not isinstance(turn, Mapping):
                raise BadRow(f"{field}: {key} is no turn of MOSS's: {{turn_1: {{Human, MOSS}}, …}}")
            said = {normalise_key(k): MOSS_MARKS.sub("", v) for k, v in turn.items() if isinstance(v, str)}
            turns.append({"role": "user", "content": said.pop("human", "")})
            told = {"role": "assistant", "content": said.pop("moss", "")}
            thoughts = said.pop("inner thoughts", "None")
            said = {k: v for k, v in said.items() if v != "None"}
            told |= {"reasoning_content": thoughts} if thoughts not in ("None", "") else {}
            turns.append(told | said)
        return turns
    columns = {k: v for k, v in value.items() if isinstance(v, list)}
    if columns and any(k in columns for k in SPEAKER):
        lengths = {len(v) for v in columns.values()}
        if len(lengths) > 1:
            raise BadRow(f"{field} holds lists of different lengths")
        return [dict(zip(columns, turn)) for turn in zip(*columns.values())]
    return [value] if any(k in value for k in SPEAKER) else dict(value)


def _exchange(item: Mapping[str, Any], pair: tuple[str, str], where: str) -> list[Turn]:
    """The turns of an item that holds a question and its answer, and perhaps a system prompt."""
    asked, said = (as_text(item[k], f"{where}.{k}") for k in pair)
    answer = answer_of({"role": "assistant", "content": said})
    system = as_text(item.get("system"), f"{where}.system")
    _optional(answer, {k: v for k, v in item.items() if k not in (*pair, "system")})
    first = [{"role": "system", "content": system}] if system.strip() else []
    return [*first, *([{"role": "user", "content": asked}] if asked.strip() or not said.strip() else []), answer]


def _turn(item: Mapping[str, Any], where: str, roles: Mapping[str, str]) -> list[Turn]:
    """The turn of an item; several where its content's parts hold what tools gave back."""
    key = next((k for k in SPEAKER if k in item), "")
    word = item.get(key)
    word = word.get("role") if isinstance(word, dict) else word
    role = role_of(normalise_key(word), roles) if isinstance(word, str) else None
    if role is None:
        known = f"{where}: unknown role {word!r}"[:200]
        raise BadRow(f"{known}: name it in the source's roles: {{user: […], assistant: […]}}" if word else known)
    at = next((k for k in TEXT if item.get(k) is not None), "")
    content = item.get(at)
    if isinstance(content, dict):
        content = content.get("parts") or ([content] if isinstance(content.get("text"), str) else content)
    rest = {k: v for k, v in item.items() if k not in (key, at) and (k, v) != ("type", "message")}
    if isinstance(content, list) and (role != "tool" or any(sort_of(p)[0] in RESULTS for p in content)):
        turns = turns_of(content, "assistant" if role == CALL else role, where)
    else:
        text = returned(content, where) if role == "tool" else as_text(content, f"{where}: the content")
        calls = read_calls(json_text(text)) if role == CALL else None
        turn: Turn = {"role": "assistant" if role == CALL else role, "content": "" if calls else text}
        turns = [turn | ({"tool_calls": calls} if calls else {})]
    _optional(next((t for t in reversed(turns) if t["role"] == role), turns[-1]), rest)
    return [answer_of(t) for t in turns]


def answer_of(turn: Turn) -> Turn:
    """The turn; an assistant's with the reasoning that its content begins with taken out."""
    if turn["role"] == "assistant" and not turn.get("reasoning_content"):
        if not may_hold(turn["content"]):
            return turn
        said = harmony(turn["content"]) if is_harmony(turn["content"]) else None
        if said and len(said) == 1 and said[0].get("tool_calls") and "tool_calls" not in turn:
            turn |= said[0]
            return turn
        thought, content = take_out(turn["content"])
        if thought is not None:
            turn["content"] = content
            if thought:
                turn["reasoning_content"] = thought
    return turn


def _weight(value: Any) -> float | None:
    """A turn's weight, also where it is written as text: "0", "false"."""
    text = value.strip().casefold() if isinstance(value, str) else value
    if text in ("true", "false"):
        return float(text == "true")
    try:
        return float(text) if isinstance(text, (bool, int, float, str)) else None
    except ValueError:
        return None


def _optional(turn: Turn, rest: Mapping[str, Any]) -> None:
    """Put the optional fields among `rest` into the turn, and what nobody knows into `extra`."""
    extra: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for key, value in rest.items():
        if value is None or is_nan(value) or value == [] or value == {}:
            continue
        if key in THOUGHTS and isinstance(value, str) and "reasoning_content" not in turn:
            if value.strip():
                turn["reasoning_content"] = value
        elif key in WEIGHTS and (weight := _weight(value)) is not None:
            weights[key] = weight
        elif key in ("name", "tool_call_id", "tool_name") and isinstance(value, str):
            if value:
                turn["name" if key == "tool_name" else key] = value
        elif key == "refusal" and isinstance(value, str) and not turn["content"]:
            turn["content"] = value
        elif key in ("tool_calls", "function_call", "function_calls"):
            calls = read_calls(json_text(value) if isinstance(value, str) else value)
            if calls and "tool_calls" not in turn:
                turn["tool_calls"] = calls
            elif isinstance(value, str) and not turn["content"].strip():
                turn["content"] = value  # calls as code: what the assistant says
            elif value != "":
                extra[key] = value
        elif value != "":
            extra[key] = value
    if weights:
        turn["weight"] = float(min(weights.values()))
    if len(set(map(float, weights.values()))) > 1:  # train: false beside loss: true
        extra[CONFLICT] = weights
    if extra:
        turn["extra"] = dumps(extra, orjson.OPT_SORT_KEYS).decode()
