"""What each rule found in a row: the view, the span in it (characters) and its words, with counts where a rule counts.

Computed for rows on which a rule fired, and only those. Personal data and keys are named by their place and their ends:
the ledger is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality import arithmetic, code_and_json, form, personal_data, wording
from instdata.steps.quality.phrases import pattern
from instdata.steps.quality.repeats import NGRAM
from instdata.steps.quality.rule_text import Found, Text, count, piece

Shows = Callable[[Text], list[Found]]
VIEWS = ("prompt", "answer", "reasoning")


def found(text: Text, masks: dict[str, np.ndarray], row: np.ndarray, turn: np.ndarray | None, rows: int) -> pa.Array:
    """For each of `rows` rows, a JSON object {rule: evidence} of the rules that fired on it; null for none.

    `row` says which row each text belongs to; of several texts of a row the first on which a rule fired is shown, with
    its number in `turn`."""
    shown: dict[int, dict[str, dict[str, Any]]] = {}
    for name, mask in masks.items():
        fired = np.flatnonzero(mask)
        owners, first = np.unique(row[fired], return_index=True)
        at = fired[first]
        for i, owner, evidence in zip(at.tolist(), owners.tolist(), SHOWS[name](text.take(at)) if len(at) else []):
            facts = {"rule": name, "view": "answer", **(evidence or {})}
            shown.setdefault(owner, {})[name] = facts if turn is None else {**facts, "turn": int(turn[i])}
    values: list[str | None] = [None] * rows
    for owner, facts in shown.items():
        values[owner] = orjson.dumps(facts).decode()
    return pa.array(values, pa.string())


def _view(text: Text, view: str) -> Any:
    return {"prompt": text.prompt, "answer": text.response, "reasoning": text.reasoning}[view]


def located(texts: pa.Array, regex: str) -> Iterator[Found]:
    """The first match of a pattern in each text, None where it does not occur."""
    around = pc.extract_regex(texts, rf"^(?P<before>(?s:.*?))(?P<hit>{_unnamed(regex)})")
    starts = pc.utf8_length(pc.struct_field(around, "before"))
    lengths = pc.utf8_length(pc.struct_field(around, "hit"))
    for text, start, length in zip(texts.to_pylist(), starts.to_pylist(), lengths.to_pylist()):
        yield None if start is None else piece(text, start, start + length)


def _unnamed(regex: str) -> str:
    """A pattern whose groups do not capture."""
    out, i, inside = [], 0, False
    while i < len(regex):
        char = regex[i]
        if char == "\\":
            out.append(regex[i : i + 2])
            i += 2
            continue
        if char == "(" and not inside and regex[i + 1 : i + 2] != "?":
            char = "(?:"
        inside = (char == "[" and not inside) or (inside and char != "]")
        out.append(char)
        i += 1
    return "".join(out)


def spans(*places: tuple[str, str | Callable[[], str]]) -> Shows:
    """The first match of the first of these (view, pattern, or what gives it) that occurs."""

    def show(text: Text) -> list[Found]:
        shown: list[Found] = [None] * len(text)
        for view, regex in places:
            texts, at = _view(text, view), [i for i, hit in enumerate(shown) if hit is None]
            if texts is None or not at:
                continue
            for i, hit in zip(at, located(texts.take(pa.array(at)), regex if isinstance(regex, str) else regex())):
                if hit is not None:
                    shown[i] = {"view": view, **hit}
        return shown

    return show


def anywhere(regex: str, *, masked: bool = False) -> Shows:
    """The first match in the prompt, the answer or the reasoning."""
    show = spans(*((view, regex) for view in VIEWS))
    return (lambda text: [_masked(hit) for hit in show(text)]) if masked else show


def _masked(hit: Found) -> Found:
    """A finding that shows only the ends of what was found."""
    if hit is None:
        return None
    words = hit["text"]
    return {**hit, "text": words[:3] + "…" + words[-2:] if len(words) > 8 else "…"}


def lists(view: str, *names: str) -> Shows:
    """The first phrase of these lists, in their order."""
    return spans(*((view, lambda name=name: pattern(name)) for name in names))  # type: ignore[misc]


def whole(view: str, *numbers: str) -> Shows:
    """The whole view, with numbers that the text has by these names."""

    def show(text: Text) -> list[Found]:
        columns = {name: getattr(text, name).tolist() for name in numbers}
        return [
            {"view": view, **piece(t, 0, len(t)), **{name: values[i] for name, values in columns.items()}}
            for i, t in enumerate(_view(text, view).to_pylist())
        ]

    return show


def tested(test: Callable[..., Found], columns: Callable[[Text], list[pa.Array]]) -> Shows:
    """What a test of single texts found."""
    return lambda text: [test(*values) for values in zip(*(c.to_pylist() for c in columns(text)))]


def personal(test: Callable[[str], tuple[int, int] | None]) -> Shows:
    """Where personal data stands, in any view."""

    def show(text: Text) -> list[Found]:
        shown: list[Found] = [None] * len(text)
        for view in VIEWS:
            for i, t in enumerate(c.to_pylist() if (c := _view(text, view)) is not None else []):
                place = test(t) if shown[i] is None else None
                if place is not None:
                    shown[i] = _masked({"view": view, **piece(t, *place)})
        return shown

    return show


def _cut_off(text: Text) -> list[Found]:
    ends = [r.rstrip() for r in pc.fill_null(text.responses, "").to_pylist()]
    return [piece(r, max(0, len(r) - 40), len(r)) for r in ends]


def _languages(text: Text) -> list[Found]:
    asked, given = (lang.to_pylist() for lang, _ in (text.prompt_language, text.response_language))
    heads = [piece(r, 0, min(len(r), 100)) for r in text.response.to_pylist()]
    return [{**head, "lang": g, "prompt_lang": a} for head, g, a in zip(heads, given, asked)]


def _mixed(text: Text) -> list[Found]:
    chinese = count(text.response, r"\p{Han}") >= 10
    latin, han = (list(located(text.response, run)) for run in (form.LATIN_RUN, form.HAN_RUN))
    return [(a or b) if zh else (b or a) for zh, a, b in zip(chinese, latin, han)]


def _echo(text: Text) -> list[Found]:
    return [{**piece(r, 0, len(r)), "same_as": "prompt"} for r in text.response.to_pylist()]


def repeats(response: str) -> Found:
    """The first eight words (or Chinese characters) in a row that came before."""
    words = [*form.WORDS.finditer(response)]
    seen: set[tuple[str, ...]] = set()
    for i in range(len(words) - NGRAM + 1):
        gram = tuple(w[0] for w in words[i : i + NGRAM])
        if gram in seen:
            return piece(response, words[i].start(), words[i + NGRAM - 1].end())
        seen.add(gram)
    return None


def answer(text: Text) -> list[pa.Array]:
    return [text.response]


SHOWS: dict[str, Shows] = {
    "empty_prompt": whole("prompt"),
    "no_response": whole("answer"),
    "empty_response": whole("answer"),
    "replacement_char": anywhere(wording.LOST),
    "mojibake": anywhere(wording.MOJIBAKE),
    "invisible_chars": spans(("prompt", wording.INVISIBLE), ("answer", wording.INVISIBLE)),
    "merged_task": spans(("answer", wording.NUMBERED_TASK), ("answer", wording.TASK_HEADER)),
    "template_token": spans(("answer", wording.template_mark), ("answer", wording.NO_INPUT_SAID)),
    "chat_marker": spans(("answer", wording.CHAT_MARK), ("answer", wording.CHAT_TURN)),
    "leaked_prompt": lists("answer", "leaked_prompt"),
    "self_reference": lists("answer", "self_reference"),
    "refusal": lists("answer", "task_refused", "stock_refusal", "self_refused"),
    "missing_input": lists("answer", "input_wanted", "input_missing", "input_asked"),
    "needs_media": spans(
        ("prompt", lambda: pattern("media_stand_in")),
        ("prompt", wording.MEDIA_LINK),
        ("prompt", lambda: pattern("media_pointed")),
    ),
    "needs_link": spans(("prompt", wording.LINK)),
    "placeholder": lists("answer", "placeholder"),
    "echo": _echo,
    "repeated_char": tested(form.run_of_one, answer),
    "repeated_line": tested(form.stuck_line, answer),
    "unbalanced_fence": spans(("answer", code_and_json.FENCE_LINE)),
    "invalid_python": tested(code_and_json.bad_python, answer),
    "invalid_json": tested(code_and_json.bad_json, answer),
    "false_arithmetic": tested(arithmetic.false_sum, lambda t: [t.prompt, t.response]),
    "list_count": tested(form.fewer_items, lambda t: [pc.fill_null(form.items_asked(t), ""), t.response]),
    "word_limit": tested(form.more_words, lambda t: [*form.limits_asked(t)[1], t.response]),
    "truncated": _cut_off,
    "short_for_task": whole("answer", "chars"),
    "wrong_target": _languages,
    "wrong_language": _languages,
    "mixed_language": _mixed,
    "markup_debris": spans(("answer", wording.ENTITY), ("answer", wording.ESCAPE), ("answer", wording.TAG)),
    "secret": anywhere(personal_data.CREDENTIAL, masked=True),
    "id_number": personal(personal_data.real_id),
    "card_number": personal(personal_data.real_card),
    "email": personal(personal_data.real_email),
    "phone": personal(personal_data.real_phone),
    "gpt_name": lists("answer", "gpt_names"),
    "url": spans(("answer", personal_data.URL)),
    "belle_word": anywhere(wording.BELLE_WORDS + "|GPT"),
    "repetition": tested(repeats, answer),
}
