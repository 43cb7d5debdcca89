"""The columns of evaluation files: which hold the question, what is given with it, the options, the answer, and in what
shapes.

Names are compared as `normalise_key` spells them. A record may hold several questions about one text, and a question's
parts may lie in an object of their own: `unfolded` makes plain items of such records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

from instdata.read.column_names import normalise_keys
from instdata.read.field_text import BadRow, json_text
from instdata.read.formats import OPTIONS as SOURCE_OPTIONS
from instdata.read.formats import PASSAGE
from instdata.read.question_sets import nested

Record = dict[str, Any]

QUESTION = (
    "question", "question_stem", "prompt", "instruction", "problem", "query", "stem", "goal", "turns",
    "问题", "提问", "题目", "题干", "指令", "sentence", "hypothesis", "text", "input",
)  # fmt: skip
GIVEN = tuple(dict.fromkeys((
    "passage", "context", "article", "story", "document", "paragraph", "dialogue", "background", "premise", "ctx",
    "body", *PASSAGE, "阅读材料", "短文", "背景", "对话", "text", "input",
)))  # fmt: skip
OPTIONS = (*SOURCE_OPTIONS, "endings", "candidates", "mc1_targets")
ANSWER = (
    "answer", "answers", "label", "answerkey", "answer_key", "target", "output", "response", "completion", "reference",
    "std_answer", "solution", "canonical_solution", "correct", "correct_answer", "correct answer", "best_answer",
    "gold", "answer_index", "answer_idx", "ideal", "summary", "highlights", "code",
    "答案", "正确答案", "标准答案", "参考答案", "输出", "回答",
)  # fmt: skip
# Options in columns of their own: A and B; option_a, choice1, ending0, sol1, opa; a right answer and wrong ones.
SPREAD = (
    re.compile(r"()([a-j])"),
    re.compile(r"(option|choice|answer|ending|sol|op|opt|选项)[ _]?([a-j]|\d)"),
)
WRONG = re.compile(r"(?:distractor|incorrect[ _]answers?|wrong[ _]answers?)[ _]?\d*")
RIGHT = ("correct_answer", "correct answer", "correct", "answer", "best_answer")
MARK = re.compile(r"(?:^|(?<=[\s;；,，]))(?:[(（]\s*([A-Ja-j])\s*[)）]|([A-Ja-j])\s*[.．、:：)）])\s*")
LETTER = re.compile(r"^\s*[(（]?\s*([A-Ja-j])\s*[)）.．]?\s*$")


class ListedOptions(NamedTuple):
    """Options as they stand; what the file calls each of them, where it says so; the number of the first."""

    shown: tuple[str, ...] = ()
    labels: tuple[Any, ...] = ()
    first: int = 0


def unfolded(value: Any) -> list[Record]:
    """The items of one record, as objects with normalised keys. Raises BadRow for what is no object."""
    if not isinstance(value, dict):
        raise BadRow("not an object")
    record: Record = normalise_keys(value)
    for key in ("doc", "question"):  # lm-eval's samples; {stem, choices}
        if isinstance(record.get(key), dict) and not any(k in record[key] for k in ("text", "content", "value")):
            record = {k: v for k, v in record.items() if k != key} | normalise_keys(record[key])
    if isinstance(record.get("translation"), dict):
        return [{"passage": as_text(list(record["translation"].values()))}]
    if not record.keys().isdisjoint(("paragraphs", "qas", "qa_pairs")) and (several := nested(record)):
        return [dict(flat) for flat in several[1]]
    asked = record.get("questions")
    if not isinstance(asked, list) or not asked or record.get("question"):
        return [record]
    return [_one_of(record, n, question, len(asked)) for n, question in enumerate(asked)]


def _one_of(record: Record, n: int, question: Any, of: int) -> Record:
    """One of several questions about the same text: what is a list as long as theirs is shared out."""
    own = {k: v[n] if isinstance(v, list) and len(v) == of else v for k, v in record.items() if k != "questions"}
    if isinstance(question, dict):
        question = normalise_keys(question)
        return own | question | ({"question": question["input_text"]} if "input_text" in question else {})
    return own | {"question": question}


def as_text(value: Any) -> str:
    """Any value as text: numbers and truth values as JSON writes them, the parts of a list a line each."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        held = next((value[k] for k in ("text", "content", "value", "input_text", "spans") if k in value), None)
        return as_text(json.dumps(value, ensure_ascii=False) if held is None else held)
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(as_text, value)))
    return json.dumps(value, default=str)


def options_of(record: Record, names: Sequence[str] = OPTIONS) -> ListedOptions:
    """The options of an item, from one column or from several."""
    for name in names:
        if found := _listed(record.get(name)):
            return found
    for family in SPREAD:
        members = [(m[1], m[2], record[k]) for k in record if (m := family.fullmatch(k)) and record[k] is not None]
        for stem in dict.fromkeys(stem for stem, _, _ in members):
            own = [(mark, as_text(value)) for s, mark, value in members if s == stem]
            if len(own) > 1:
                first = int(own[0][0]) if own[0][0].isdigit() else 0
                return ListedOptions(tuple(text for _, text in own), (), first)
    wrong = [v for k, v in record.items() if WRONG.fullmatch(k) and v is not None]
    right = next((record[k] for k in RIGHT if record.get(k) is not None), None)
    if wrong and right is not None:
        each = [text for v in wrong for text in (map(as_text, v) if isinstance(v, list) else [as_text(v)])]
        return ListedOptions((as_text(right), *each))
    return ListedOptions()


def _listed(value: Any) -> ListedOptions | None:
    """Options of one column: a list of texts or of {label, text}, {text: [...], label: [...]}, {"A": …, "B": …}, or one
    text with their letters."""
    if isinstance(value, str):
        parsed = json_text(value)
        value = _cut(value) if isinstance(parsed, str) else parsed
    if isinstance(value, dict):
        texts = next((value[k] for k in ("text", "choices", "options") if isinstance(value.get(k), list)), None)
        labels = next((value[k] for k in ("label", "labels") if isinstance(value.get(k), list)), ())
        if texts is None:
            return ListedOptions(tuple(map(as_text, value.values())), tuple(value)) if value else None
        return ListedOptions(tuple(map(as_text, texts)), tuple(labels)) if texts else None
    if not isinstance(value, list) or not value:
        return None
    labels = [v.get("label", v.get("key")) for v in value if isinstance(v, dict)]
    return ListedOptions(tuple(map(as_text, value)), tuple(labels) if len(labels) == len(value) and all(labels) else ())


def _cut(text: str) -> list[str]:
    """The options that one text lists by letters from A on; [] where it lists none."""
    marks = list(MARK.finditer(text))
    ordered = list(takewhile(lambda pair: (pair[1][1] or pair[1][2]).upper() == chr(65 + pair[0]), zip(count(), marks)))
    if len(ordered) < 2 or len(ordered) < len(marks):
        return [line for line in text.splitlines() if line.strip()] if "\n" in text else []
    ends = [m.start() for m in marks[1:]] + [len(text)]
    return [text[m.start() : end].strip(" \t\n;；,，") for m, end in zip(marks, ends)]


def answer_of(value: Any, options: Sequence[str], seen: ListedOptions) -> str:
    """The answer's text; of an option's label, letter or place the option's."""
    if not options:
        return as_text(value)
    if value is None:  # the options themselves say which are right
        right = [o for o, label in zip(options, seen.labels) if label in (1, True) and not isinstance(label, str)]
        return "\n".join(right)
    if value in seen.labels:
        return options[seen.labels.index(value)]
    place = None
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        place = int(value) - seen.first
    elif isinstance(value, str) and value.strip() not in options:
        if letter := LETTER.match(value):
            place = ord(letter[1].upper()) - 65
        elif re.fullmatch(r"\s*\d\s*", value):
            place = int(value) - seen.first
    return options[place] if place is not None and 0 <= place < len(options) else as_text(value)
