"""Records into conversations: one record of any known shape (formats.py) becomes one row, or several.

Nothing of a record is lost: what its fields hold is in the row's turns and columns, what feeds no field is in `meta`,
and how the source spelled it all is in `form` (source_form.py), so that `export --format source` gives the record back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from instdata.read.chat_template_text import rendered_prompt
from instdata.read.column_names import Record, normalise_keys
from instdata.read.content_parts import ITEMS, plain_text
from instdata.read.field_text import BadRow, is_nan, json_text, kind
from instdata.read.formats import COMMON, INSTRUCTIONS, MAIN, Fields
from instdata.read.preference_pairs import TIE
from instdata.read.question_sets import nested
from instdata.read.record_fields import Got, material, no_media
from instdata.read.thoughts import put_back, unclosed
from instdata.read.tool_calls import calls_of
from instdata.read.turns import CONFLICT, Turn, answer_of, dialogue, read_turns, speakers

INPUTS = ("input", "输入", "輸入")  # feed a question where nothing else does
UNFOLDED = 256 << 20  # characters of the rows of one record
SWITCHES = ("", "on", "off", "true", "false", "yes", "no")  # a column `reasoning` that says whether, not what


@dataclass(slots=True)
class Conversation:
    """One row, read: its turns, what else it came with, how many characters at the end of the last user turn were the
    separate input (so that writing alpaca gives them back), and which characters of that turn are what is asked, where
    the rest is given. `used`: the columns that went into it. `notes`: what was done that one may want to know."""

    turns: list[Turn]
    ability: str | None = None
    origin: str | None = None
    input_chars: int = 0
    asked: tuple[int, int] | None = None
    columns: dict[str, Any] = field(default_factory=dict)  # of rows.OPTIONAL
    used: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    beside: dict[str, Any] = field(default_factory=dict)  # for meta, where the record has no such column

    @property
    def messages(self) -> list[tuple[str, str]]:
        """(role, content) of each turn."""
        return [(t["role"], t["content"]) for t in self.turns]


def adapt(record: dict[str, Any], format: str, fields: Fields) -> list[Conversation]:
    """The conversations of one record with normalised keys: one, but for seeds with several instances.

    Raises BadRow naming the field that is missing or of the wrong type.
    """
    several = nested(record)
    if several:
        return _several(record, *several, format, fields)
    got = Got(record, fields)
    no_media(record)
    roles = speakers(fields)
    if format in ("messages", "sharegpt"):
        rows, common = [_messages(got, format, roles)], got.columns()
    else:
        _leave_to_chosen(got)
        common = got.columns()
        rows = _seeds(got) if format == "seeds" else [_alpaca(got) if format == "alpaca" else _question(got, roles)]
        common |= got.scores()
    pair = _preference(got, roles, common, rows[0].turns)
    system = plain_text(got["system"], "system").removeprefix("SYSTEM: ") if "system" in got else ""  # Glaive's prefix
    origin = got.text("origin").strip()
    used = frozenset(c for columns in got.used.values() for c in columns)
    for row in rows:
        before = _last_asked(row.turns)
        row.turns = _finish(_answered(row.turns, pair, got, roles), system)
        row.asked = row.asked if _last_asked(row.turns) == before else None
        row.columns, row.used, row.notes = common, used, tuple(sorted({*got.notes, *_noted(row.turns)}))
        row.ability, row.origin = got.label(), origin or row.origin
    return rows


def _several(
    record: dict[str, Any], columns: frozenset[str], questions: list[Record], format: str, fields: Fields
) -> list[Conversation]:
    """The conversations of a record that holds several questions; what belongs to one alone is `beside` it. Raises
    BadRow where they would take more than UNFOLDED bytes: each repeats its passage, and the record's other columns."""
    others = sum(_size(v) for k, v in record.items() if k not in columns)
    size = sum(others + _size(q) for q in questions)
    if size > UNFOLDED:
        raise BadRow(f"{len(questions):,} questions unfold to {size >> 20:,} MB: cut the record into several")
    rows = []
    for question in questions:
        for row in adapt(question, format, fields):
            row.beside |= {k: v for k, v in question.items() if k not in row.used and k not in record}
            row.used = columns
            if TIE in question:  # the first answers; neither is the better one
                row.columns = {k: v for k, v in row.columns.items() if k not in ("chosen", "rejected")}
                row.notes = tuple(sorted({*row.notes, TIE}))
            rows.append(row)
    return rows


def _size(value: Any) -> int:
    """About how many characters a value takes."""
    if isinstance(value, (list, dict)):
        return sum(map(_size, value.values() if isinstance(value, dict) else value))
    return len(value) if isinstance(value, str) else 8


def _noted(turns: list[Turn]) -> Iterator[str]:
    """What is worth a word about some turns."""
    for turn in turns:
        if turn["role"] == "assistant" and not turn.get("reasoning_content") and unclosed(turn["content"]):
            yield "unclosed"
        if CONFLICT in turn.get("extra", ""):
            yield "weights"


# ---------------------------------------------------------------- formats


def _messages(got: Got, format: str, roles: dict[str, str]) -> Conversation:
    turns = read_turns(got.get(MAIN[format]), MAIN[format], roles)
    if turns and turns[-1]["role"] in ("user", "tool") and isinstance(got.get("completion"), str):
        return Conversation([*turns, _said(got, got["completion"])])
    answer, column = got.get("completion"), got.used.get("completion")
    got.drop("completion")
    got.drop("reasoning")
    if column == ("answer",):  # beside a conversation that has its own: what it can be verified against
        got.setdefault("reference", answer)
        got.used.setdefault("reference", column)
    return Conversation(turns)


def _alpaca(got: Got) -> Conversation:
    instruction, given, output = got.text("instruction"), material(got.get("input"), "input"), got.output()
    turns = _history(got)
    told = (
        dialogue(instruction)
        if not given.strip() and re.match(r"\s*(Human|User|人类|人類|用户|用戶)", instruction)
        else None
    )
    if told and len(told) > 1 and (told[-1]["role"] == "user" or not told[-1]["content"]):
        turns += (
            told if told[-1]["role"] == "user" else told[:-1]
        )  # BELLE's multi-turn sets: the dialogue is the instruction
        return Conversation([*turns, _said(got, output)])
    if not instruction.strip() and not given.strip():
        raise BadRow("the instruction is missing or empty")
    two = bool(instruction.strip() and given.strip())
    options = got.options()
    first = "\n".join(t for t in (instruction, options) if t.strip()) if options else instruction
    user = f"{first}\n\n{given}" if two else first if first.strip() else given
    turns += [{"role": "user", "content": user}, _said(got, output)]
    return Conversation(turns, input_chars=len(given) if two else 0, asked=(0, len(first)) if two else None)


def _seeds(got: Got) -> list[Conversation]:
    instances, rows = got.get("instances"), []
    if not isinstance(instances, list):
        raise BadRow(f"instances is {kind(instances)}, expected a list")
    for instance in instances:
        if not isinstance(instance, dict):
            raise BadRow("instances holds something else than {input, output}")
        fields = Fields({k: (k,) for k in ("instruction", "input", "output")})
        one = Got({**normalise_keys(instance), "instruction": got.get("instruction", "")}, fields)
        row = _alpaca(one)
        row.turns, row.origin = _finish(row.turns, ""), "human"
        rows.append(row)
    if not rows:
        raise BadRow("instances is empty")
    return rows


def _question(got: Got, roles: dict[str, str]) -> Conversation:
    prompt, completion = got.get("prompt"), got.get("completion")
    fed = got.used.get("prompt", ("",))[0]
    more = next((k for k in INSTRUCTIONS if got.record.get(k)), "") if fed in INPUTS else ""
    if more:
        raise BadRow(f'"{more}" beside "{fed}" in a file of questions: split the file by shape')
    before = read_turns(prompt, "prompt", roles) if isinstance(prompt, list) else None
    if (
        isinstance(completion, list)
        and completion
        and all(isinstance(t, dict) and ({"role", "from"} & set(t) or t.get("type") in ITEMS) for t in completion)
    ):
        answer = read_turns(completion, "completion", roles)
    else:
        answer = [_said(got, got.completion())]
    if before is not None:
        return Conversation([*before, *answer])
    told = (dialogue(prompt) or rendered_prompt(prompt)) if isinstance(prompt, str) else None
    if told and len(told) > 1 and not told[-1]["content"]:
        return Conversation([*_history(got), *told[:-1], *answer])
    passage, question, options = material(got.get("passage"), "passage"), got.text("prompt"), got.options()
    if options and "passage" not in got and isinstance(got.record.get("text"), str):  # LogiQA 2.0
        passage, got.used["passage"] = got.record["text"], ("text",)
    asked = f"{question}\n{options}" if options and question.strip() else options or question
    if not passage.strip() or not asked.strip():
        user, span = asked or passage, None
    else:
        user, span = f"{passage}\n\n{asked}", (len(passage) + 2, len(passage) + 2 + len(asked))
    start = [{"role": "user", "content": user}] if user or "chosen" not in got else []
    return Conversation([*_history(got), *start, *answer], asked=span)


def _history(got: Got) -> list[Turn]:
    """Earlier exchanges: a list of [question, answer]."""
    history = got.get("history")
    history = json_text(history) if isinstance(history, str) else history
    if not history:
        return []
    if not isinstance(history, list):
        raise BadRow(f"history is {kind(history)}, expected a list")
    if all(isinstance(turn, dict) for turn in history):
        return read_turns(history, "history")
    turns: list[Turn] = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise BadRow("history holds something else than [instruction, response] pairs of text")
        turns += read_turns(pair, "history")
    return turns


def _said(got: Got, output: str) -> Turn:
    """The assistant's turn: its text, or the calls that it consists of, and its reasoning from a column of its own."""
    calls = calls_of(output) if "tools" in got else None
    turn: Turn = {"role": "assistant", "content": "" if calls else output}
    if calls:
        return turn | {"tool_calls": calls}
    reasoning = got.get("reasoning")
    if isinstance(reasoning, list) and reasoning and all(isinstance(t, str) for t in reasoning):  # s1K
        reasoning = "\n\n".join(reasoning)
    if isinstance(reasoning, str) and reasoning.strip().casefold() not in SWITCHES:
        return turn | {"reasoning_content": reasoning} if output.strip() else turn
    got.drop("reasoning")
    return answer_of(turn)


# ---------------------------------------------------------------- preferences


def _preference(got: Got, roles: dict[str, str], columns: dict[str, Any], own: list[Turn]) -> list[Turn]:
    """The chosen conversation, where there is one; `columns` gets the two answers. Beside one that is rejected alone
    (ms-swift) the row's own is the chosen one."""
    found: list[Turn] = []
    for name in ("chosen", "rejected"):
        value = got.get(name)
        value = json_text(value) if isinstance(value, str) else value
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value) and "prompt" in got:
            # Several answers, the best one first, unless the first is the prompt again.
            value = value if value[0].strip() == str(got["prompt"]).strip() else value[0]
        if isinstance(value, str):
            turns = dialogue(value) or [{"role": "assistant", "content": value}]
        elif isinstance(value, (list, dict)) and value:
            turns = read_turns(value, name, roles)
        else:
            if value is not None and value != []:
                got.drop(name)
            continue
        found = turns if name == "chosen" else found
        if said := _last_said(turns):
            columns[name] = said
    if "rejected" in columns and "chosen" not in columns and (said := _last_said(own)):
        columns["chosen"] = said
    return found


def _leave_to_chosen(got: Got) -> None:
    """Of a preference the chosen answer is the row's: another is what it can be verified against, or left to meta."""
    if not all(isinstance(got.get(name), (str, list, dict)) for name in ("chosen", "rejected")):
        return
    for name in ("completion", "output"):
        value, column = got.get(name), got.used.get(name, ())
        got.drop(name)
        if set(column) & set(COMMON["reference"]) and "reference" not in got:
            got["reference"], got.used["reference"] = value, column


def _last_said(turns: list[Turn]) -> list[Turn]:
    """What the assistant says last, thoughts inline."""
    last = max((i for i, t in enumerate(turns) if t["role"] != "assistant"), default=-1)
    texts = [put_back(t.get("reasoning_content"), t["content"]) for t in turns[last + 1 :]]
    return [{"role": "assistant", "content": text} for text in texts]


def _answered(turns: list[Turn], chosen: list[Turn], got: Got, roles: dict[str, str]) -> list[Turn]:
    """The turns, answered by the chosen answer where they have none."""
    if not chosen or any(t["role"] == "assistant" and _says(t) for t in turns[-1:]):
        return turns
    last = max((i for i, t in enumerate(chosen) if t["role"] != "assistant"), default=-1)
    asked = [t for t in turns if t["role"] != "assistant" or _says(t)]
    before = chosen[: last + 1] if last >= 0 and len(chosen[: last + 1]) >= len(asked) else asked
    return [*before, *read_turns(chosen[last + 1 :], "chosen", roles)]


# ---------------------------------------------------------------- whole conversations


def _last_asked(turns: list[Turn]) -> str | None:
    return next((t["content"] for t in reversed(turns) if t["role"] == "user"), None)


def _says(turn: Turn) -> bool:
    """Whether a turn has anything in it."""
    return bool(turn["content"].strip() or turn.get("tool_calls") or turn.get("reasoning_content"))


def _finish(turns: list[Turn], system: str) -> list[Turn]:
    """A whole conversation: the system prompt first (a column's before the conversation's own), an empty last answer
    left out, at least one user turn, no NUL."""
    if system.strip():
        own = turns[0]["content"] if turns and turns[0]["role"] == "system" else ""
        if not own.strip() or own.strip() == system.strip():
            turns = [{"role": "system", "content": own or system}, *turns[bool(own) :]]
        else:
            turns = [{**turns[0], "content": f"{system}\n\n{own}"}, *turns[1:]]
    while turns and turns[-1]["role"] == "assistant" and not _says(turns[-1]):
        turns = turns[:-1]
    if not any(t["role"] == "user" and t["content"].strip() for t in turns):
        raise BadRow("there is no user turn with text")
    if any("\0" in t["content"] or "\0" in t.get("reasoning_content", "") for t in turns):
        raise BadRow("the text contains a NUL character")
    return turns


def cut_back(row: Conversation) -> Conversation:
    """The conversation up to its last answer, where turns without an answer follow one: a "thanks", a tool's result."""
    if row.turns[-1]["role"] == "assistant":
        return row
    asked = next((i for i, t in enumerate(row.turns) if t["role"] == "user"), len(row.turns))
    answers = [i for i, t in enumerate(row.turns) if t["role"] == "assistant" and _says(t) and i > asked]
    if not answers:  # what is said before anybody asked is no answer
        return row
    row.turns, row.notes = row.turns[: answers[-1] + 1], tuple(sorted({*row.notes, "cut_back"}))
    return row


def meta(record: Record, fed: Collection[str], row: Conversation) -> dict[str, Any]:
    """The columns that went into no field of the row; empty ones only where nothing might ever read them (`fed`: the
    columns that may feed a field)."""
    return {
        k: v
        for k, v in record.items()
        if k not in row.used and (k not in fed or (v not in (None, "", []) and not is_nan(v)))
    }
