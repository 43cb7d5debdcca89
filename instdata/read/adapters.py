"""Records into conversations: one record of any known shape (shapes.py) becomes one row, or several.

Nothing of a record is lost: what its fields hold is in the row's turns and columns, what feeds no field is in `meta`, and
how the source spelled it all is in `form` (form.py), so that `export --format source` gives the record back.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from instdata.read.plain import BadRow, as_text, is_nan, json_text, kind
from instdata.read.shapes import MAIN, MEDIA, ROLE_FIELD, Fields, Record, normalise_keys, placeholders
from instdata.read.thoughts import put_back
from instdata.read.turns import Turn, calls_of, dialogue, read_turns, speakers

INPUT = "_input_chars"  # the key in meta that says how long the separate input of an alpaca row was
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SWITCHES = ("", "on", "off", "true", "false", "yes", "no")  # a column `reasoning` that says whether, not what
PLACEHOLDER_MEDIA = re.compile(r"<(image|video|audio)>")


@dataclass(frozen=True)
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

    @property
    def messages(self) -> list[tuple[str, str]]:
        """(role, content) of each turn."""
        return [(t["role"], t["content"]) for t in self.turns]


class _Got(dict):
    """What a record has for each of our fields; `used` maps a field to the columns that fed it."""

    def __init__(self, record: dict[str, Any], fields: Fields):
        super().__init__()
        self.record, self.used, self.notes = record, {}, set()
        taken: set[str] = set()
        for name, keys in fields.items():
            for key in () if name.startswith(ROLE_FIELD) else keys:
                columns = placeholders(key)
                value = self._filled(key, columns) if columns else record.get(key)
                if is_nan(value):
                    self.notes.add("nan")
                elif value is not None and value != "" and (columns or key not in taken):
                    self[name], self.used[name] = value, columns or [key]
                    taken.update(columns or [key])
                    break

    def _filled(self, template: str, columns: list[str]) -> str:
        """A template with its columns' values; a line whose columns are all empty is left out."""
        values = {c: _material(self.record.get(c), c) for c in columns}
        lines = []
        for line in template.replace("\\n", "\n").split("\n"):
            names = placeholders(line)
            if not names or any(values[n] for n in names):
                lines.append(re.sub(r"\{([^{}]+)\}", lambda m: values[placeholders(m[0])[0]], line))
        return "\n".join(lines)

    def text(self, name: str) -> str:
        return as_text(self.get(name), name)

    def drop(self, name: str) -> None:
        """Leave a field to meta: what its column holds is something else."""
        self.pop(name, None)
        self.used.pop(name, None)


def adapt(record: dict[str, Any], format: str, fields: Fields) -> list[Conversation]:
    """The conversations of one record with normalised keys: one, but for seeds with several instances.

    Raises BadRow naming the field that is missing or of the wrong type.
    """
    got = _Got(record, fields)
    _no_media(record)
    roles = speakers(fields)
    common = _columns(got)
    if format == "seeds":
        rows = _seeds(got)
    elif format == "alpaca":
        rows = [_alpaca(got)]
    else:
        rows = [
            _prompt_completion(got, roles)
            if format in ("prompt_completion", "preference")
            else _messages(got, format, roles)
        ]
    pair = _preference(got, roles, common)
    made = []
    for row in rows:
        turns = _finish(_answered(row.turns, pair, got, roles), got.text("system"))
        used = frozenset(c for columns in got.used.values() for c in columns)
        asked = row.asked if _last_asked(turns) == _last_asked(row.turns) else None
        made.append(replace(row, turns=turns, columns=common, used=used, notes=tuple(sorted(got.notes)), asked=asked,
                            ability=_label(got), origin=got.text("origin").strip() or row.origin))  # fmt: skip
    return made


def _columns(got: _Got) -> dict[str, Any]:
    """The optional columns of a row, but for preferences. A column that holds something else is left to meta."""
    out: dict[str, Any] = {}
    for name in ("reference", "license", "generator", "category"):
        value = got.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            out[name] = as_text(value, name)
        elif value is not None:
            got.drop(name)
    for name in ("chosen_score", "rejected_score"):
        value = got.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            out[name] = float(value)
        elif value is not None:
            got.drop(name)
    tools = got.get("tools")
    if tools is not None:
        found = json_text(tools) if isinstance(tools, str) else tools
        if isinstance(found, (list, dict)) and (
            not found or isinstance(found, dict) or isinstance(found[0], (dict, str))
        ):
            if found:
                out["tools"] = tools if isinstance(tools, str) else orjson.dumps(found, default=str).decode()
        else:
            got.drop("tools")
    return out


def _label(got: _Got) -> str | None:
    """The label as text: a number, a class's name, or JSON of what else it is."""
    value = got.get("ability")
    if isinstance(value, (list, dict)):
        return orjson.dumps(value, default=str).decode()
    return as_text(value, "ability").strip() or None


def _no_media(record: dict[str, Any]) -> None:
    """Raise BadRow for a record of pictures, sound or film."""
    for key in MEDIA:
        value = record.get(key)
        if not value:
            continue
        texts = (str(v) for k, v in record.items() if k != key)
        if not isinstance(value, str) or any(PLACEHOLDER_MEDIA.search(t) for t in texts):
            raise BadRow(f"multi-modal: {key}: only text is read")


# ---------------------------------------------------------------- formats


def _messages(got: _Got, format: str, roles: dict[str, str]) -> Conversation:
    return Conversation(read_turns(got.get(MAIN[format]), MAIN[format], roles))


def _alpaca(got: _Got) -> Conversation:
    instruction, given, output = got.text("instruction"), _material(got.get("input"), "input"), _output(got)
    turns = _history(got)
    told = dialogue(instruction) if not given.strip() and re.match(r"\s*(Human|User|人类|用户)", instruction) else None
    if told and len(told) > 1 and (told[-1]["role"] == "user" or not told[-1]["content"]):
        turns += (
            told if told[-1]["role"] == "user" else told[:-1]
        )  # BELLE's multi-turn sets: the dialogue is the instruction
        return Conversation([*turns, _said(got, output)])
    if not instruction.strip() and not given.strip():
        raise BadRow("the instruction is missing or empty")
    two = bool(instruction.strip() and given.strip())
    options = _options(got)
    first = "\n".join(t for t in (instruction, options) if t.strip()) if options else instruction
    user = f"{first}\n\n{given}" if two else first if first.strip() else given
    turns += [{"role": "user", "content": user}, _said(got, output)]
    return Conversation(turns, input_chars=len(given) if two else 0, asked=(0, len(first)) if two else None)


def _seeds(got: _Got) -> list[Conversation]:
    instances, rows = got.get("instances"), []
    if not isinstance(instances, list):
        raise BadRow(f"instances is {kind(instances)}, expected a list")
    for instance in instances:
        if not isinstance(instance, dict):
            raise BadRow("instances holds something else than {input, output}")
        fields = {k: (k,) for k in ("instruction", "input", "output")}
        one = _Got({**normalise_keys(instance), "instruction": got.get("instruction", "")}, fields)
        rows.append(replace(_finished(_alpaca(one)), origin="human"))
    if not rows:
        raise BadRow("instances is empty")
    return rows


def _prompt_completion(got: _Got, roles: dict[str, str]) -> Conversation:
    prompt, completion = got.get("prompt"), got.get("completion")
    before = read_turns(prompt, "prompt", roles) if isinstance(prompt, list) else None
    if (
        isinstance(completion, list)
        and completion
        and all(isinstance(t, dict) and ({"role", "from"} & set(t)) for t in completion)
    ):
        answer = read_turns(completion, "completion", roles)
    else:
        answer = [_said(got, _completion(got, completion))]
    if before is not None:
        return Conversation([*before, *answer])
    if isinstance(prompt, str) and (told := dialogue(prompt)) and len(told) > 1 and not told[-1]["content"]:
        return Conversation([*_history(got), *told[:-1], *answer])
    passage, question, options = _material(got.get("passage"), "passage"), got.text("prompt"), _options(got)
    asked = f"{question}\n{options}" if options and question.strip() else options or question
    if not passage.strip() or not asked.strip():
        user, span = asked or passage, None
    else:
        user, span = f"{passage}\n\n{asked}", (len(passage) + 2, len(passage) + 2 + len(asked))
    start = [{"role": "user", "content": user}] if user or "chosen" not in got else []
    return Conversation([*_history(got), *start, *answer], asked=span)


def _history(got: _Got) -> list[Turn]:
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


def _said(got: _Got, output: str) -> Turn:
    """The assistant's turn: its text, or the calls that it consists of, and its reasoning from a column of its own."""
    calls = calls_of(output) if "tools" in got else None
    turn: Turn = {"role": "assistant", "content": "" if calls else output}
    if calls:
        return turn | {"tool_calls": calls}
    reasoning = got.get("reasoning")
    if isinstance(reasoning, str) and reasoning.strip().casefold() not in SWITCHES:
        return turn | {"reasoning_content": reasoning} if output.strip() else turn
    got.drop("reasoning")
    return read_turns([turn], "output")[0]


def _output(got: _Got) -> str:
    return got.text("output") if "output" in got else _best_of(got)


def _completion(got: _Got, value: Any) -> str:
    """The answer of a question: text, the first of several, or the letter of an option."""
    options = got.get("options")
    if isinstance(value, dict):  # SQuAD: {text: […], answer_start: […]}
        value = value.get("text", value.get("answer"))
    if isinstance(value, list):
        several = [as_text(v, "answer") for v in value if not isinstance(v, (list, dict))]
        if len(several) < len(value):
            return orjson.dumps(value, default=str).decode()
        letters = all(len(v) == 1 and v in LETTERS for v in several)
        return "".join(several) if letters else several[0] if several else ""
    if type(value) is int and isinstance(options, (list, dict)) and 0 <= value < len(options):
        return LETTERS[value]
    return as_text(value, "completion") if value is not None else _best_of(got)


def _best_of(got: _Got) -> str:
    """The first of several generations, or the one that was scored best."""
    several = got.get("generations")
    several = json_text(several) if isinstance(several, str) else several
    if not isinstance(several, list) or not several:
        got.drop("generations")
        return ""
    if all(isinstance(s, str) or s is None for s in several):
        return next((s for s in several if s), "")
    if not all(isinstance(s, dict) for s in several):
        got.drop("generations")
        return ""

    def score(one: dict[str, Any]) -> float:
        value = next((one[k] for k in ("overall_score", "score", "rating") if k in one), 0)
        return value if isinstance(value, (int, float)) else 0

    best = max(several, key=score)
    return as_text(next((best[k] for k in ("response", "text", "content", "output") if k in best), ""), "completions")


def _material(value: Any, where: str) -> str:
    """Text of a passage: a text, texts one after the other, or what a list or an object holds as JSON."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "\n".join(value)
    if isinstance(value, dict) and isinstance(value.get("contexts"), list):  # PubMedQA
        return "\n".join(map(str, value["contexts"]))
    return as_text(value, where)


def _options(got: _Got) -> str:
    """The options of a question, a line each, lettered where they are not; from the columns A, B, C … too."""
    value = got.get("options")
    value = json_text(value) if isinstance(value, str) else value
    if value is None:
        letters = [c for c in LETTERS.lower() if isinstance(got.record.get(c), (str, int, float))]
        if len(letters) < 2 or letters != list(LETTERS.lower()[: len(letters)]):
            return ""
        value = {c.upper(): got.record[c] for c in letters}
        got["options"], got.used["options"] = value, letters
    if isinstance(value, dict) and isinstance(value.get("text"), list):  # ARC: {label: [A, B], text: […]}
        value = dict(zip(map(str, value.get("label") or LETTERS), value["text"]))
    if isinstance(value, dict):
        return "\n".join(f"{k}. {as_text(v, 'options')}" for k, v in value.items() if v is not None)
    if not isinstance(value, list):
        return as_text(value, "options")
    texts = [as_text(v, "options") for v in value]
    lettered = all(re.match(rf"\s*[(（]?{c}\s*[.．、:：)）]", t) for c, t in zip(LETTERS, texts))
    return "\n".join(texts if lettered else [f"{c}. {t}" for c, t in zip(LETTERS, texts)])


# ---------------------------------------------------------------- preferences


def _preference(got: _Got, roles: dict[str, str], columns: dict[str, Any]) -> list[Turn]:
    """The chosen conversation, where there is one; `columns` gets the two answers."""
    found: list[Turn] = []
    for name in ("chosen", "rejected"):
        value = got.get(name)
        value = json_text(value) if isinstance(value, str) else value
        if isinstance(value, str):
            turns = dialogue(value) or [{"role": "assistant", "content": value}]
        elif isinstance(value, (list, dict)) and value:
            turns = read_turns(value, name, roles)
        else:
            if value is not None and value != []:
                got.drop(name)
            continue
        found = turns if name == "chosen" else found
        last = max((i for i, t in enumerate(turns) if t["role"] != "assistant"), default=-1)
        if turns[last + 1 :]:
            said = [{**t, "content": put_back(t.get("reasoning_content"), t["content"])} for t in turns[last + 1 :]]
            columns[name] = [{"role": t["role"], "content": t["content"]} for t in said]
    return found


def _answered(turns: list[Turn], chosen: list[Turn], got: _Got, roles: dict[str, str]) -> list[Turn]:
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


def _finished(row: Conversation) -> Conversation:
    return replace(row, turns=_finish(row.turns, ""))


def _finish(turns: list[Turn], system: str) -> list[Turn]:
    """A whole conversation: the system prompt first (a column's before the conversation's own), an empty last answer left
    out, at least one user turn, no NUL."""
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
    answers = [i for i, t in enumerate(row.turns) if t["role"] == "assistant" and _says(t)]
    if not answers or answers[-1] == len(row.turns) - 1:
        return row
    return replace(row, turns=row.turns[: answers[-1] + 1], notes=tuple(sorted({*row.notes, "cut_back"})))


def meta(record: Record, fed: Collection[str], row: Conversation) -> dict[str, Any]:
    """The columns that went into no field of the row; empty ones only where nothing might ever read them (`fed`: the
    columns that may feed a field)."""
    return {
        k: v
        for k, v in record.items()
        if k not in row.used and (k not in fed or (v not in (None, "", []) and not is_nan(v)))
    }
