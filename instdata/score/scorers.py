"""Scoring an answer without a judge: exact, number, choice, label, contains, json, f1, unit_tests.

An answer that says nothing of the kind asked for is wrong: 0. What cannot be scored (no usable reference, tests that
could not run, a choice whose letter cannot be read) has no value: it is missing, and counted as missing, never 0.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instdata.score.extract.choice import chosen_letters, letter_set, reference_letters
from instdata.score.extract.number import Number, same_number
from instdata.score.extract.number_reference import Reference, reference_of
from instdata.score.extract.stated_result import final_numbers, final_part, last_marked, without_stop_words
from instdata.score.extract.text import blanks, code_in, fences, named, normalise, spans, tokens
from instdata.score.extract.thoughts import without_thoughts
from instdata.score.extract.yes_no import verdict_in, verdict_of, verdicts
from instdata.score.item import LETTERS, Item


@dataclass(frozen=True)
class Scored:
    """A score, 0 to 1, and why. `value` is None where there is none: missing, not 0."""

    value: float | None
    reason: str


def score_answer(item: Item, answer: str) -> Scored:
    """Score a model's answer by the item's scorer. `distractors` and `judge` are not scored here."""
    scorer = SCORERS.get(item.scorer)
    if scorer is None:
        return Scored(None, f"{item.scorer} is not scored from the answer's text")
    if item.scorer != "unit_tests" and (problem := unusable(item.scorer, item.reference, item.choices)):
        return Scored(None, problem)
    said = without_thoughts(answer)
    if said is None:
        return Scored(None, "the answer ends within its thoughts")
    return scorer(item, without_stop_words(said))


def unusable(scorer: str, reference: str | None, choices: list[str] | None) -> str | None:
    """Why a scorer cannot compare anything with this reference; None where it can."""
    if scorer in ("judge", "unit_tests"):
        return None
    if reference is None or not reference.strip():
        return "there is no reference"
    if scorer == "number":
        return _no_number(reference_of(reference))
    if scorer == "choice" and reference_letters(reference, choices) is None:
        known = f"a letter of A to {LETTERS[len(choices) - 1]} or one of the choices" if choices else "a letter"
        return f'the reference "{_short(reference)}" is not {known}'
    if scorer == "json" and _json(reference) is None:
        return "the reference is not JSON"
    if scorer in ("exact", "label", "contains", "f1") and not tokens(reference) and not normalise(reference):
        return "the reference holds no word"
    if scorer == "f1" and not tokens(reference):
        return "the reference holds no word"
    return None


def chance(item: Item, metric: str | None = None) -> float | None:
    """What guessing scores; None where nobody knows. `metric`: by default the item's scorer; also distractor_fine,
    distractor_coarse (one against one)."""
    metric = metric or item.scorer
    if metric == "distractors":
        return 1 / 3
    if metric in ("distractor_fine", "distractor_coarse"):
        return 1 / 2
    if metric == "choice" and item.choices and item.reference:
        letters = reference_letters(item.reference, item.choices) or ""
        return 1 / len(item.choices) if len(letters) == 1 else 1 / (2 ** len(item.choices) - 1)
    if metric == "label" and item.choices:
        return 1 / len(item.choices)
    return None


# ---- text


def _final(answer: str) -> str | None:
    return final_part(unicodedata.normalize("NFKC", answer))


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


# ---- scorers


def exact(item: Item, answer: str) -> Scored:
    """The whole answer, or the part that it marks as its result, equals the reference once normalised. A reference of
    letters alone (AC) is a set; yes and no may be said in other words (√ for 正确); several blanks (北京；上海) may be
    numbered or separated in any way, in their order."""
    wanted = normalise(item.right)
    parts = [p for p in (answer, _final(answer)) if p is not None]
    if any(normalise(p) == wanted for p in parts):
        return Scored(1.0, "equal")
    if re.fullmatch(r"[A-J]{1,10}", item.right.strip()) and any(letter_set(p) == letter_set(item.right) for p in parts):
        return Scored(1.0, "the same letters")
    meant = verdict_of(item.right)
    if meant is not None and any(verdict_of(p) == meant for p in parts):
        return Scored(1.0, "the same verdict")
    filled = blanks(item.right)
    if len(filled) > 1 and any(blanks(p) == filled for p in parts):
        return Scored(1.0, "the same blanks")
    return Scored(0.0, "no answer" if not answer.strip() else "differs")


def _no_number(reference: Reference) -> str | None:
    """Why nothing can be compared with a reference of `number`."""
    if reference.expression is None:
        return reference.problem
    from instdata.score.extract import mathematics

    if not mathematics.available():
        return f"the reference is not one plain number: {_short(reference.expression)} (pip install instdata[math])"
    if not mathematics.readable(reference.expression):
        return f"the reference is neither a number nor mathematics that can be read: {_short(reference.expression)}"
    return None


def number(item: Item, answer: str) -> Scored:
    """The answer's final number equals the reference's (extract.result, extract.number.same_number); a reference that
    is mathematics beyond one number is compared by math-verify."""
    reference = reference_of(item.right)
    if reference.expression is not None:
        from instdata.score.extract import mathematics

        right, said = mathematics.same(reference.expression, answer)
        return Scored(float(right), f"math-verify: {_short(said) or 'no mathematics'}")
    wanted, found = reference.number, final_numbers(answer)
    if wanted is None:
        return Scored(None, reference.problem or "the reference is no number")
    if not found:
        return Scored(0.0, "no number")
    if not found[0].plain:
        return Scored(0.0, "no plain number")
    got = next((n for n in found if n.plain and same_number(wanted, n)), found[0])
    right = same_number(wanted, got)
    return Scored(float(right), f"{_written(got)}" if right else f"{_written(got)}, not {_written(wanted)}")


def _written(n: Number) -> str:
    value = n.value
    text = (
        str(value.numerator) if value.denominator == 1 else str(value) if n.places is None else f"{float(value):.12g}"
    )
    return _short(text) + ("%" if n.percent else "")


def choice(item: Item, answer: str) -> Scored:
    """The letter or letters that the answer settles on are the reference's. No value where none can be read."""
    wanted = reference_letters(item.right, item.choices) or ""
    got = chosen_letters(answer, item.choices, wanted)
    if got is None:
        return Scored(None, "no letter")
    return Scored(float(got == wanted), got if got == wanted else f"{got}, not {wanted}")


def label(item: Item, answer: str) -> Scored:
    """The answer names the reference's label and no other: of the item's choices where it has them, else the label
    stands in the marked result or in the first line. Yes and no may be said in other words; of two labels the one that
    is denied means the other."""
    wanted = normalise(item.right)
    parts = [normalise(p) for p in (_final(answer), answer) if p]
    if wanted in parts or (tokens(answer) and tokens(answer) == tokens(item.right)):
        return Scored(1.0, "equal")
    if not parts:
        return Scored(0.0, "no answer")
    known = list(dict.fromkeys([*(normalise(c) for c in item.choices or []), wanted]))
    polar = verdicts(item.choices)
    meant = verdict_in(_final(answer) or answer) if polar else None
    if polar and meant is not None:
        return _label_is(known[polar[meant]], wanted)
    places = (_final(answer), _leading(answer, known), _first_line(answer), answer if item.choices else None)
    for part in dict.fromkeys(normalise(p) for p in places if p):
        found = named(part, known)
        if len(found) > 1:
            return Scored(0.0, f"names several labels: {', '.join(sorted(found))}")
        if found:
            return _label_is(found.pop(), wanted)
    denied = named(normalise(answer), known, denied=True)
    if item.choices and len(known) == 2 and len(denied) == 1:
        return _label_is(next(k for k in known if k not in denied), wanted)
    return Scored(0.0, "names no label" if item.choices else f"does not name {_short(wanted)}")


def _label_is(got: str, wanted: str) -> Scored:
    return Scored(float(got == wanted), got if got == wanted else f"{_short(got)}, not {_short(wanted)}")


def _leading(answer: str, known: list[str]) -> str | None:
    """The label that an answer begins with, where reasons follow it behind a mark (Positive - the user liked it)."""
    first = re.split(r"\s[-–—]\s|[—:：.。;；(（\n]|[,，]\s?(?:因为|由于|because|since|as)", answer.strip(), maxsplit=1)[
        0
    ]
    return first if normalise(first) in known else None


def contains(item: Item, answer: str) -> Scored:
    """Every line of the reference stands in the answer, once both are normalised; words as whole words."""
    text = normalise(answer)
    wanted = [line for line in map(normalise, item.right.splitlines()) if line]
    missing = [line for line in wanted if not spans(line, text)]
    return Scored(0.0, f"lacks {_short(missing[0])}") if missing else Scored(1.0, "contains it")


def overlap(item: Item, answer: str) -> Scored:
    """F1 of the words (characters of unspaced scripts) that answer and reference share, each counted as often as it
    occurs (Rajpurkar et al. 2016, but articles count)."""
    wanted, got = Counter(tokens(item.right)), Counter(tokens(answer))
    if not got:
        return Scored(0.0, "no words")
    shared = sum((wanted & got).values())
    value = 2 * shared / (wanted.total() + got.total())
    return Scored(value, f"{shared} shared of {wanted.total()} and {got.total()}")


def as_json(item: Item, answer: str) -> Scored:
    """The answer's JSON equals the reference's, whatever the order of keys. A reference {"$required": [keys]} asks for
    an object with those keys, whatever they hold. JSON may stand in a fence or between words."""
    expected, found = _json(item.right), _json_in(answer)
    if found is None or expected is None:
        return Scored(0.0, "no JSON")
    wanted, got = expected[0], found[0]
    if isinstance(wanted, dict) and list(wanted) == ["$required"]:
        keys = wanted["$required"] if isinstance(wanted["$required"], list) else [wanted["$required"]]
        missing = [k for k in keys if not isinstance(got, dict) or k not in got]
        return Scored(0.0, f"lacks key {_short(str(missing[0]))}") if missing else Scored(1.0, "has all keys")
    where = _difference(wanted, got)
    return Scored(1.0, "equal") if where is None else Scored(0.0, f"differs at {_short(where)}")


def _difference(wanted: Any, got: Any, at: str = "$") -> str | None:
    """The first place where two JSON values differ. true is not 1; 1 is 1.0."""
    if isinstance(wanted, bool) != isinstance(got, bool):
        return at
    if isinstance(wanted, dict) and isinstance(got, dict):
        if wanted.keys() != got.keys():
            return f"{at}.{min(map(str, wanted.keys() ^ got.keys()))}"
        pairs = ((wanted[k], got[k], f"{at}.{k}") for k in wanted)
    elif isinstance(wanted, list) and isinstance(got, list):
        if len(wanted) != len(got):
            return f"{at}, {len(got)} elements, not {len(wanted)}"
        pairs = ((w, g, f"{at}[{i}]") for i, (w, g) in enumerate(zip(wanted, got)))
    else:
        return None if wanted == got else at
    return next((d for w, g, where in pairs if (d := _difference(w, g, where)) is not None), None)


def _json(text: str) -> tuple[Any] | None:
    """(value,) of a text that is JSON; None for what is not."""
    try:
        return (DECODER.decode(text.strip()),)
    except (ValueError, RecursionError):
        return None


def _json_in(answer: str) -> tuple[Any] | None:
    """(value,) of the JSON in an answer: all of it, else its last fence that holds some, else what follows "answer:",
    else the only object or list that stands in it (of several different ones nobody knows which is meant)."""
    if found := _json(answer):
        return found
    for block in reversed(fences(answer)[-20:]):
        if found := _json(block[1]):
            return found
    marked = last_marked(answer)
    for text in ([marked] if marked else []) + [answer]:
        values = _values_in(text)
        if values:
            return (values[0],) if all(_difference(values[0], v) is None for v in values) else None
    return None


def _values_in(text: str) -> list[Any]:
    """The objects and lists that stand in a text, none inside another."""
    values, at = [], 0
    for start in [m.start() for m, _ in zip(re.finditer(r"[{\[]", text), range(20))]:
        if start < at:
            continue
        try:
            value, at = DECODER.raw_decode(text, start)
            values.append(value)
        except (ValueError, RecursionError):
            continue
    return values


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_no_constant)


def unit_tests(item: Item, answer: str) -> Scored:
    """The answer's code passes the item's tests, in the sandbox. No value where the tests could not be run."""
    from instdata.score.sandbox.run import run_tests

    if not item.tests or not item.tests.strip():
        return Scored(None, "there are no tests")
    code = code_in(answer)
    if not code.strip():
        return Scored(0.0, "no code")
    result = run_tests(code, item.tests)
    return Scored(None if result.passed is None else float(result.passed), result.reason)


SCORERS: dict[str, Callable[[Item, str], Scored]] = {
    "exact": exact, "number": number, "choice": choice, "label": label, "contains": contains, "json": as_json,
    "f1": overlap, "unit_tests": unit_tests,
}  # fmt: skip
