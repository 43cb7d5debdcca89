"""Records as most sets have them, an exchange or a conversation in plain texts, one by one: read straight into columns.

They become what the long way (adapters.py, source_form.py) makes of them, without its detours; a test holds the two
together. A record that has anything else about it is left to the long way. plain_columns.py does the same for many at
once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from instdata.read.chat_template_text import may_be_rendered
from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow
from instdata.read.formats import INSTRUCTIONS, MAIN, MEDIA, Fields, used_keys
from instdata.read.json_numbers import dumps
from instdata.read.plain_rows import PlainRows
from instdata.read.question_sets import may_nest
from instdata.read.record_fields import BEFORE_LETTER
from instdata.read.roles import CALL, SPEAKER, TEXT
from instdata.read.thoughts import may_hold
from instdata.read.turns import speakers

INPUT = "_input_chars"  # the key in meta that says how long the separate input of an alpaca row was
# Format -> the fields of a plain record: what is asked, what it is asked of, what is answered; or the conversation alone.  # noqa: E501
EXCHANGE = {"alpaca": ("instruction", "input", "output"), "prompt_completion": ("prompt", None, "completion")}
TALK = ("messages", "sharegpt")
PLAIN = (*EXCHANGE, *TALK)
SPEAKING = "human|assistant|user|function response|人类|人類|用户|用戶|助手"  # what a text of a dialogue begins with
DIALOGUE = re.compile(rf"\s*(?:###\s*)?(?:{SPEAKING})", re.I)
SCALAR = frozenset([str, int, bool, type(None)])
Template = tuple[str, ...]  # text, the name of what stands between, text, …


@dataclass(frozen=True)
class Way:
    """How records with certain keys are read: the keys of what is asked, given and said, or of the conversation; those
    that go to meta, with their normalised names; and their forms: with a separate input, and where that is empty or
    null."""

    asked: str = ""
    given: str | None = None
    said: str = ""
    talk: str = ""
    rest: tuple[tuple[str, str], ...] = ()
    both: Template = ()
    alone: Mapping[Any, str] = field(default_factory=dict)


@dataclass
class Usual:
    """Rows of plain records, as columns: the number of each row's record and of its turns, all turns one after the
    other, meta, forms, and how many bytes of the last user turn are what is asked where the rest is given (-1: all of
    it)."""

    format: str
    fields: Fields
    numbers: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    meta: list[str | None] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plans: dict[tuple[str, ...], Way | None] = {}
        self.used, self.speakers = used_keys(self.fields), speakers(self.fields)

    def take(self, number: int, record: dict[str, Any], parsed: bool) -> bool:
        """Whether a record, as it came in, was plain; then its row is added. `parsed`: it came from JSON text."""
        if type(record) is not dict:  # what JSON does not quite allow
            return False
        plan = self.way(record)
        if plan is None:
            return False
        rest = {name: record[key] for key, name in plan.rest}
        if not parsed and not all(type(v) in SCALAR for v in rest.values()):
            return False
        try:
            return self._talk(number, record, plan, rest) if plan.talk else self._exchange(number, record, plan, rest)
        except (TypeError, ValueError):  # what JSON cannot hold: the long way says so
            return False

    def way(self, record: dict[str, Any]) -> Way | None:
        """The way of records with these keys; None where they are not plain."""
        keys = tuple(record)
        if keys not in self.plans:
            if len(self.plans) > 256:  # a file of which no two records have the same keys
                self.plans.clear()
            self.plans[keys] = self._plan(record)
        return self.plans[keys]

    def _plan(self, record: dict[str, Any]) -> Way | None:
        try:
            named = normalise_keys(record)
            orjson.dumps(list(record))
        except (BadRow, TypeError):  # two keys in one; a name that is not UTF-8
            return None
        if (
            any(f"{b}a" in named and f"{b}b" in named for b in BEFORE_LETTER)
            or INPUT in named
            or "$" in record
            or any(k in named for k in MEDIA)
            or may_nest(tuple(named))
            or (not named.keys().isdisjoint(INSTRUCTIONS) and self.format == "prompt_completion")
        ):
            return None
        feeds: dict[str, str] = {}
        for name, key, columns in self.fields.feeding(named):
            if columns:
                return None
            if name not in feeds and key not in feeds.values():
                feeds[name] = key
        spelled = dict(zip(named, record))
        rest = tuple((spelled[k], k) for k in named if k not in feeds.values())
        if any(k in self.used for _, k in rest):
            return None
        keys = {name: spelled[key] for name, key in feeds.items()}
        form: dict[str, Template] = {key: (f'{{"$":{_json(name)}}}',) for key, name in rest}
        if self.format in TALK:
            if keys.keys() != {MAIN[self.format]}:
                return None
            (talk,) = keys.values()
            return Way(talk=talk, rest=rest, both=_template(record, {**form, talk: ("[", "turns", "]")}))
        asked, given, said = EXCHANGE[self.format]
        if not {asked, said} <= keys.keys() <= {asked, given, said}:
            return None
        form |= {keys[asked]: ('{"$":[0]}',), keys[said]: ('{"$":[1]}',)}
        of = keys.get(given) if given else None
        if of is None:
            return Way(keys[asked], None, keys[said], rest=rest, alone={None: _template(record, form)[0]})
        parts = {keys[asked]: ('{"$":[[0,0,', "asked", "]]}"), of: ('{"$":[[0,', "start", ",", "end", "]]}")}
        alone = {empty: _template(record, {**form, of: (_json(empty),)})[0] for empty in ("", None)}
        return Way(keys[asked], of, keys[said], rest=rest, both=_template(record, {**form, **parts}), alone=alone)

    def _exchange(self, number: int, record: dict[str, Any], plan: Way, rest: dict[str, Any]) -> bool:
        asked, said = record[plan.asked], record[plan.said]
        if type(asked) is not str or type(said) is not str or "\0" in asked or "\0" in said:
            return False
        if not asked.strip() or not said.strip() or may_hold(said) or DIALOGUE.match(asked) or may_be_rendered(asked):
            return False
        given = record[plan.given] if plan.given else None
        span = -1
        if given in plan.alone:
            form = plan.alone[given]
        elif type(given) is str and given.strip() and "\0" not in given:
            rest[INPUT], span, start = len(given), len(asked.encode()), len(asked) + 2
            form = _filled(plan.both, {"asked": len(asked), "start": start, "end": start + len(given)})
            asked = f"{asked}\n\n{given}"
        else:
            return False
        meta = dumps(rest, orjson.OPT_SORT_KEYS).decode() if rest else None
        self._add(number, ("user", "assistant"), (asked, said), meta, form, span)
        return True

    def _talk(self, number: int, record: dict[str, Any], plan: Way, rest: dict[str, Any]) -> bool:
        roles: list[str] = []
        contents: list[str] = []
        forms: list[str] = []
        turns, texts, asked = record[plan.talk], 0, False
        if type(turns) is not list:
            return False
        for turn in turns:
            keys = turn_keys(tuple(turn)) if type(turn) is dict else None
            if keys is None:
                return False
            word, text = turn[keys[0]], turn[keys[1]]
            if type(text) is not str or type(word) is not str or "\0" in text:
                return False
            role = self.speakers.get(word)
            if role is None or role == CALL or (role == "system" and roles) or (role == "assistant" and may_hold(text)):
                return False
            asked = asked or (role == "user" and not text.isspace() and text != "")
            roles.append(role)
            contents.append(text)
            forms.append(turn_form(tuple(turn), word, texts if text else None))
            texts += text != ""
        if not asked or roles[-1] != "assistant" or not contents[-1].strip():
            return False
        meta = dumps(rest, orjson.OPT_SORT_KEYS).decode() if rest else None
        self._add(number, roles, contents, meta, _filled(plan.both, {"turns": ",".join(forms)}), -1)
        return True

    def _add(self, number: int, roles: Any, contents: Any, meta: str | None, form: str, asked: int) -> None:
        self.numbers.append(number)
        self.counts.append(len(roles))
        self.roles += roles
        self.contents += contents
        self.meta.append(meta)
        self.forms.append(form)
        self.asked.append(asked)

    def columns(self) -> PlainRows:
        """The rows that were added."""
        return PlainRows(
            np.array(self.numbers, np.int64),
            np.array(self.counts, np.int32),
            pa.array(self.roles, pa.string()),
            pa.array(self.contents, pa.string()),
            pa.array(self.meta, pa.string()),
            pa.array(self.forms, pa.string()),
            np.array(self.asked, np.int32),
        )


def turn_keys(keys: tuple[str, ...]) -> tuple[str, str] | None:
    """(the key of who speaks, that of what is said) of a turn with these keys; None where it has others."""
    if len(keys) != 2:
        return None
    who, what = keys if keys[0] in SPEAKER else keys[::-1]
    return (who, what) if who in SPEAKER and what in TEXT else None


def turn_form(keys: tuple[str, ...], word: str, place: int | None) -> str:
    """The form of a turn with these two keys: the speaker `word` says the row's text number `place`, or nothing."""
    told = '""' if place is None else f'{{"$":[{place}]}}'
    return f"{{{','.join(f'{_json(key)}:{_json(word) if key in SPEAKER else told}' for key in keys)}}}"


def _template(record: Mapping[str, Any], form: Mapping[str, Template]) -> Template:
    """The form of records with these keys."""
    parts = ['{"=":{']
    for n, key in enumerate(record):
        first, *more = form[key]
        parts[-1] += f"{',' if n else ''}{_json(key)}:{first}"
        parts += more
    parts[-1] += "}}"
    return tuple(parts)


def _filled(template: Template, values: Mapping[str, Any]) -> str:
    return "".join(str(values[part]) if i % 2 else part for i, part in enumerate(template))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
