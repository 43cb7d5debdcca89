"""What a record has for each of our fields, and the texts that those stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from instdata.read.field_text import BadRow, as_text, is_nan, json_text
from instdata.read.formats import CHOSEN_OPTION, MEDIA, Fields, placeholders
from instdata.read.json_numbers import dumps

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SCORES = (
    "overall_score",
    "fine-grained_score",
    "score",
    "rating",
    "pm_score",
    "selected",
)  # of one of several answers; else its `rank`
RATINGS = ("ratings", "rating", "scores")  # of answers that stand in a list beside them
ANSWERS = ("response", "text", "content", "output", "answer", "completion")
BEFORE_LETTER = ("", "op", "option_", "option ")
PIECES = ("text", "paragraph_text", "content", "passage", "context")
PLACEHOLDER_MEDIA = re.compile(r"<(image|video|audio)>")


class Got(dict):
    """What a record has for each of our fields; `used` maps a field to the columns that fed it."""

    def __init__(self, record: dict[str, Any], fields: Fields):
        super().__init__()
        self.record, self.used, self.notes = record, {}, set()
        taken: set[str] = set()
        for name, key, columns in fields.feeding(record):
            if name in self or key in taken:
                continue
            value = self._filled(key, columns) if columns else record[key]
            if value is None or value == "":
                continue
            if is_nan(value):
                self.notes.add("nan")
                continue
            self[name], self.used[name] = value, columns or (key,)
            taken.update(self.used[name])

    def _filled(self, template: str, columns: tuple[str, ...]) -> str:
        """A template with its columns' values; a line whose columns are all empty is left out."""
        values = {c: material(self.record.get(c), c) for c in columns}
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

    def columns(self) -> dict[str, Any]:
        """The optional columns of a row, but for preferences. A column that holds something else is left to meta."""
        out: dict[str, Any] = {}
        for name in ("reference", "license", "generator", "category"):
            value = self.get(name)
            value = value.get("ground_truth") if isinstance(value, dict) and name == "reference" else value  # verl
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                out[name] = as_text(value, name)
            elif value is not None:
                self.drop(name)
        out |= self.scores()
        tools = self.get("tools")
        if tools is not None:
            found = json_text(tools) if isinstance(tools, str) else tools
            if isinstance(found, (list, dict)) and (
                not found or isinstance(found, dict) or isinstance(found[0], (dict, str))
            ):
                if found:
                    out["tools"] = tools if isinstance(tools, str) else dumps(found).decode()
            else:
                self.drop("tools")
        return out

    def scores(self) -> dict[str, float]:
        """The scores of the two answers of a preference."""
        out = {}
        for name in ("chosen_score", "rejected_score"):
            value = self.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                out[name] = float(value)
            elif value is not None:
                self.drop(name)
        return out

    def label(self) -> str | None:
        """The label as text: a number, a class's name, or JSON of what else it is."""
        value = self.get("ability")
        if isinstance(value, (list, dict)):
            return dumps(value).decode()
        return as_text(value, "ability").strip() or None

    def output(self) -> str:
        value = self.get("output")
        if (
            isinstance(value, list) and value and all(isinstance(v, str) for v in value)
        ):  # several: the best comes first
            return value[0]
        return self.text("output") if "output" in self else self._best()

    def completion(self) -> str:
        """The answer of a question: text, the first of several, or the letter of an option."""
        value, options = self.get("completion"), self.get("options")
        if value is None and (options is not None or self.options()):
            at = next((k for k in CHOSEN_OPTION if isinstance(self.record.get(k), (str, int))), None)
            value, self.used["completion"] = self.record.get(at) if at else None, (at,) if at else ()
            options = self.get("options")
        if isinstance(value, dict):  # SQuAD: {text: […], answer_start: […]}
            value = _stated(value)
        if isinstance(value, str) and self.used.get("completion") == ("solutions",):  # APPS: JSON text of several
            value = json_text(value)
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):  # of a forum, of models
            value = self._preferred(value) or value
        if isinstance(value, list):
            several = [as_text(v, "answer") for v in value if not isinstance(v, (list, dict))]
            if len(several) < len(value):
                return dumps(value).decode()
            letters = all(len(v) == 1 and v in LETTERS for v in several)
            return "".join(several) if letters else several[0] if several else ""
        if value is None:
            return self._best()
        if isinstance(options, (list, dict)) and (number := _number(value, options)) is not None:
            return LETTERS[number] if 0 <= number < len(options) else ""  # -1: the answers are held back
        return as_text(value, "completion")

    def _best(self) -> str:
        """The first of several generations, or the one that was scored best."""
        several = self.get("generations")
        several = json_text(several) if isinstance(several, str) else several
        if not isinstance(several, list) or not several:
            self.drop("generations")
            return ""
        if all(isinstance(s, str) or s is None for s in several):
            ratings = next((self.record[k] for k in RATINGS if isinstance(self.record.get(k), list)), ())
            if len(ratings) != len(several):
                return next((s for s in several if s), "")
            several = [{"text": s, "score": r} for s, r in zip(several, ratings) if s]
        found = self._preferred(several) if several and all(isinstance(s, dict) for s in several) else None
        if found is None:
            self.drop("generations")
        return found or ""

    def _preferred(self, several: list[dict[str, Any]]) -> str | None:
        """The text of the answer that was scored best, the first of equals; None where it has none. Where another was
        scored worst, both are a preference."""
        best, worst = max(several, key=_score), min(several, key=_score)
        chosen, rejected = _text_of(best), _text_of(worst)
        if chosen and rejected and _score(best) > _score(worst) and self.keys().isdisjoint(("chosen", "rejected")):
            self["chosen"], self["rejected"] = chosen, rejected
            for name, one in (("chosen_score", best), ("rejected_score", worst)):
                scored = next((one[k] for k in SCORES if k in one), None)
                self[name] = scored if not isinstance(scored, bool) else None
        return chosen

    def options(self) -> str:
        """The options of a question, a line each, lettered where they are not; from the columns A, B, C … too."""
        value = self.get("options")
        value = json_text(value) if isinstance(value, str) else value
        if value is None:
            columns = lettered(self.record)
            if not columns:
                return ""
            value = {c[-1].upper(): self.record[c] for c in columns}
            self["options"], self.used["options"] = value, columns
        if isinstance(value, dict) and isinstance(value.get("text"), list):  # ARC: {label: [A, B], text: […]}
            value = dict(zip(map(str, value.get("label") or LETTERS), value["text"]))
        if isinstance(value, dict):
            return "\n".join(f"{k}. {as_text(v, 'options')}" for k, v in value.items() if v is not None)
        if not isinstance(value, list):
            return as_text(value, "options")
        texts = [as_text(v, "options") for v in value]
        already = all(re.match(rf"\s*[(（]?{c}\s*[.．、:：)）]", t) for c, t in zip(LETTERS, texts))
        return "\n".join(texts if already else [f"{c}. {t}" for c, t in zip(LETTERS, texts)])


def _number(value: Any, options: list[Any] | dict[str, Any]) -> int | None:
    """The number of an option, from 0, that an answer is: a number that is no option's text or letter itself."""
    if type(value) is not int and not (isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,3}\s*", value)):
        return None
    number = int(value)
    if type(value) is int and 0 <= number < len(options):
        return number
    texts = _flat(options if isinstance(options, list) else [*options, *options.values()])
    return None if any(str(t).strip() == str(value).strip() for t in texts) else number


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _text_of(one: dict[str, Any]) -> str | None:
    found = next((one[k] for k in ANSWERS if isinstance(one.get(k), (str, int, float))), None)
    return None if found is None else as_text(found, "answers")


def _score(one: dict[str, Any]) -> float:
    value = next((one[k] for k in SCORES if k in one), None)
    if isinstance(value, (int, float)):
        return float(value)
    rank = one.get("rank")
    return -float(rank) if isinstance(rank, (int, float)) else 0.0


def _stated(value: dict[str, Any]) -> Any:
    """The answer that an object states: its text, the first of several; DROP's number, spans or date."""
    found = next((value[k] for k in ("text", "answer", "value", "number", "spans") if value.get(k)), None)
    date = value.get("date")
    if found is None and isinstance(date, dict):
        found = " ".join(str(date[k]) for k in ("day", "month", "year") if date.get(k))
    several = isinstance(found, list) and found is value.get("spans") and "number" in value
    return ", ".join(map(str, found)) if several and found else found


def lettered(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns A, B, C … (or opa, opb, … of MedMCQA, option_a, …) that hold a question's options."""
    for before in BEFORE_LETTER:
        if f"{before}a" in record and f"{before}b" in record:
            there = takewhile(lambda c: c in record, (f"{before}{c}" for c in LETTERS.lower()))
            some = tuple(c for c in there if isinstance(record[c], (str, int, float)) and record[c] != "")
            return some if len(some) > 1 else ()  # one that is empty leaves its letter out
    return ()


def no_media(record: dict[str, Any]) -> None:
    """Raise BadRow for a record of pictures, sound or film."""
    for key in MEDIA:
        value = record.get(key)
        if not value:
            continue
        texts = (str(v) for k, v in record.items() if k != key)
        if not isinstance(value, str) or any(PLACEHOLDER_MEDIA.search(t) for t in texts):
            raise BadRow(f"multi-modal: {key}: only text is read")


def material(value: Any, where: str) -> str:
    """Text of a passage: a text, texts one after the other, or what a list or an object holds as JSON."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "\n".join(value)
    if isinstance(value, dict):
        if isinstance(value.get("contexts"), list):  # PubMedQA
            return "\n".join(map(str, value["contexts"]))
        if isinstance(value.get("title"), list) and isinstance(value.get("sentences"), list):  # HotpotQA's table
            value = list(zip(value["title"], value["sentences"]))
    if isinstance(value, list):
        pieces = [_piece(v) for v in value]
        if pieces and None not in pieces:
            return "\n".join(map(str, pieces))
    return as_text(value, where)


def _piece(value: Any) -> str | None:
    """One of several passages: a text; HotpotQA's [title, sentences]; {title, text}. None where it is none."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        value = {"title": value[0], "text": "".join(map(str, value[1])) if isinstance(value[1], list) else value[1]}
    if isinstance(value, dict):
        text = next((value[k] for k in PIECES if isinstance(value.get(k), str)), None)
        title = value.get("title")
        return f"{title}: {text}" if text and isinstance(title, str) and title else text
    return value if isinstance(value, str) else None
