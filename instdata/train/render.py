"""Conversations as token ids, with a mask of what the model is to learn: the assistant's words and its end of turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from instdata.corpus.rows import Messages
from instdata.read.thoughts import take_out
from instdata.train.chat_template import WORDS, TemplateForm, form_of, parsed_call, special_texts, tools_of
from instdata.util.errors import InputError
from instdata.util.thought_marks import MARKS, either

Reasoning = Literal["learn", "mask", "drop"]
# Why an assistant's turn is not learned.
FORGED = "its text holds special tokens"
WEIGHT = "its weight is 0"
HIDDEN = "the chat template does not show it as it is"
CUT = "it lies behind the length"
NONE = "no turn of an assistant"
UNASKED = "it begins the conversation, and the template shows thoughts in a prompt only"
NO_JSON = "its tools are no JSON"
# Thoughts without a word, as templates write them where a turn has none.
EMPTY = re.compile(r"\s*" + either([*(rf"{opens}\s*{closes}" for opens, closes in MARKS), "</think>"]) + r"\s*")


@dataclass(frozen=True)
class Encoded:
    """One conversation: `ids` and, for each of them, whether its prediction counts in the loss. `truncated`: its end
    was cut off at the length asked for. `parts`: where further sequences begin that see nothing of what stands before
    them: turns that the template writes otherwise once others follow are learned apart. `turns`: of the assistant;
    `unlearned`: why, for each that is not learned; `thoughts`: turns whose thoughts are learned."""

    ids: list[int]
    mask: list[bool]
    truncated: bool = False
    parts: tuple[int, ...] = ()
    turns: int = 0
    unlearned: tuple[str, ...] = ()
    thoughts: int = 0

    @property
    def supervised(self) -> int:
        """Tokens that are learned. A sequence's first token is predicted from nothing, so it never counts."""
        return sum(self.mask) - sum(self.mask[i] for i in (0, *self.parts) if i < len(self.mask))

    def pieces(self) -> list[Encoded]:
        """Its sequences, each by itself."""
        edges = [0, *self.parts, len(self.ids)]
        return [Encoded(self.ids[a:b], self.mask[a:b]) for a, b in zip(edges, edges[1:])] if self.parts else [self]


@dataclass(frozen=True)
class Segment:
    """A rendered text and the parts of it that are learned."""

    text: str
    spans: list[tuple[int, int]]


def encode(
    tokenizer: Any,
    conversations: Sequence[Messages],
    length: int | None = None,
    last_only: bool = False,
    reasoning: Reasoning = "learn",
) -> list[Encoded]:
    """Each conversation's tokens, cut after `length`. Learned are the words of every assistant turn (of the last one
    with `last_only`), its end of turn included, but for turns of weight 0. `reasoning`: thoughts are learned, shown but
    not learned, or left out.

    Stock templates do not mark the assistant's words, and rewrite earlier turns once others follow (Qwen3 drops their
    thoughts). So each turn is found by rendering the conversation with a word of ours in its place: what stands before
    and behind that word frames the turn. A turn whose thoughts are not shown that way becomes a sequence of its own, of
    the conversation up to it."""
    form = form_of(tokenizer)
    plans = [_plan(form, messages, last_only, reasoning) for messages in conversations]
    texts = [p.text for pieces, *_ in plans for p in pieces]
    if not texts:
        return [_joined([], plan, length) for plan in plans]
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    tokens = iter(zip(found["input_ids"], found["offset_mapping"]))
    out = []
    for plan in plans:
        encoded = []
        for piece in plan[0]:
            ids, offsets = next(tokens)
            encoded.append((ids, _mask(piece, offsets)))
        out.append(_joined(encoded, plan, length))
    return out


def prompt_ids(tokenizer: Any, messages: Messages, thinking: bool = False) -> list[int]:
    """The tokens that an answer to these messages follows, as in training: where the template writes an empty block of
    thoughts before an answer without any, that stands in the prompt; with `thinking` the template's own prompt."""
    form = form_of(tokenizer)
    _refuse_forged(tokenizer, messages)
    asked = form.render(messages, ask=True)
    if not thinking:
        text = form.render([*messages, {"role": "assistant", "content": WORDS}])
        before = text[: text.rfind(WORDS)]
        asked = asked if before.startswith(asked) and not before[len(asked) :].strip() else before
    return tokenizer(asked, add_special_tokens=False)["input_ids"]


def stop_ids(tokenizer: Any, thinking: bool = False) -> list[int]:
    """The tokens after which an answer is over: the end of text, and the ends of an assistant's turn. A model that
    thinks may write what ends an earlier turn between its thoughts and its answer (gpt-oss)."""
    form = form_of(tokenizer)
    ends = {form.last} if thinking and form.last is not None else form.ends
    return sorted({tokenizer.eos_token_id, *ends})


def template_notes(tokenizer: Any, talks: Sequence[Messages] = ()) -> tuple[str, ...]:
    """What people should know of the tokenizer's template: replaced, completed, without a system turn, and in how many
    of these conversations it shows less than there is."""
    form = form_of(tokenizer)
    hidden = 0 if form.tools else sum(bool(t and t[0].get("tools")) for t in talks)
    more = (f"its chat template shows no tools: those of {hidden:,} rows are left out",) if hidden else ()
    return (*form.notes, *more)


# ---- what is learned of a text

Plan = tuple[list[Segment], int, list[str], int]  # pieces, assistant turns, why some are not learned, thoughts learned


def _plan(form: TemplateForm, messages: Messages, last_only: bool, reasoning: Reasoning) -> Plan:
    """The texts of a conversation and what is learned of each. One bad row costs one row: its turns say why."""
    turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    wanted = turns[-1:] if last_only else turns
    if not turns:
        return [], 0, [NONE], 0
    talk = [_own_thoughts(m, reasoning) for m in messages]
    try:
        _refuse_forged(form.tokenizer, talk)
        whole = form.render(talk)
    except InputError as e:
        return [], len(wanted), [str(e)] * len(wanted), 0
    spans: list[tuple[int, int]] = []
    alone: list[Segment] = []
    why: list[str] = []
    thoughts = 0
    for i in wanted:
        if talk[i].get("weight", 1) == 0:
            why.append(WEIGHT)
            continue
        try:
            span = _span(form, talk, i, whole, reasoning)
            piece = _apart(form, talk, i, reasoning) if span is None else None
        except InputError as e:  # of a part of the conversation
            why.append(str(e))
            continue
        if span is None and piece is None:
            why.append(HIDDEN)
            continue
        spans += [span] if span else []
        alone += [piece] if piece else []
        thoughts += bool(talk[i].get("reasoning_content")) and reasoning == "learn"
    pieces = [Segment(whole, spans)] if spans or not alone else []
    return [*pieces, *alone], len(wanted), why, thoughts


def _refuse_forged(tokenizer: Any, messages: Messages) -> None:
    """Raises InputError where a text holds the tokenizer's special tokens: they would be read as the real ones."""
    special = special_texts(tokenizer)
    try:
        tools = tools_of(messages)
    except ValueError as e:
        raise InputError(NO_JSON) from e
    calls = [parsed_call(c) for m in messages for c in m.get("tool_calls") or ()]
    turns = [{k: v for k, v in m.items() if k not in ("role", "tools", "tool_calls")} for m in messages]
    if any(s in text for text in _texts([tools, calls, turns]) for s in special):
        raise InputError(FORGED)


def _texts(found: Any) -> Iterator[str]:
    """Every text in nested values, names of keys too: what is JSON in a row may hide a special token behind \\u003c."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _texts(value)


def _own_thoughts(turn: Any, reasoning: Reasoning) -> dict[str, Any]:
    """A turn with its thoughts in a field of their own, however they came, or without them."""
    out = dict(turn)
    if out["role"] != "assistant":
        return out
    if not out.get("reasoning_content"):
        inside, rest = take_out(out["content"])
        if inside is not None:
            out["content"] = rest
            out["reasoning_content"] = inside
    if reasoning == "drop" or not (out.get("reasoning_content") or "").strip():
        out.pop("reasoning_content", None)
    return out


def _apart(form: TemplateForm, talk: list[dict[str, Any]], i: int, reasoning: Reasoning) -> Segment | None:
    """The conversation up to a turn, of which that turn alone is learned."""
    shorter = talk[: i + 1]
    if form.key == "prompt" and talk[i].get("reasoning_content"):
        return _written_by_us(form, shorter, reasoning)
    text = form.render(shorter)
    span = _span(form, shorter, i, text, reasoning) or _added(form, shorter, text)
    return Segment(text, [span]) if span else None


def _written_by_us(form: TemplateForm, talk: list[dict[str, Any]], reasoning: Reasoning) -> Segment | None:
    """A last turn with thoughts for a template whose prompt opens them and which leaves them out: the prompt, the
    thoughts, and what the template writes from the answer on."""
    i = len(talk) - 1
    if not i:
        raise InputError(UNASKED)
    plain = [*talk[:i], {k: v for k, v in talk[i].items() if k != "reasoning_content"}]
    text = form.render(plain)
    span = _span(form, plain, i, text, reasoning)
    framed = _frame(form, plain, i, "content", text)
    if span is None or framed is None:
        return None
    asked = form.render(talk[:i], ask=True)
    before = asked + talk[i]["reasoning_content"].strip() + "\n</think>\n\n"
    start = len(asked) if reasoning == "learn" else len(before)
    return Segment(before + text[framed[0] :], [(start, len(before) + span[1] - framed[0])])


def _span(
    form: TemplateForm, talk: list[dict[str, Any]], i: int, whole: str, reasoning: Reasoning
) -> tuple[int, int] | None:
    """Where a turn's learned words and end stand in the rendered conversation; None where the template writes it
    otherwise than it is."""
    framed = _frame(form, talk, i, "content", whole)
    if framed is None:
        return None
    start, stop = framed
    if talk[i]["content"].strip() not in whole[start:stop]:
        return None
    thoughts = talk[i].get("reasoning_content") if form.key else None
    if thoughts and form.key == "prompt":
        return None
    if thoughts:
        before = _frame(form, talk, i, "reasoning_content", whole)
        if before is None or thoughts.strip() not in whole[before[0] : start]:
            return None
        start = before[0] if reasoning == "learn" else start
    if not thoughts or reasoning == "learn":
        start = _led(form, talk[:i], whole, start, form.thought_lead if thoughts else form.lead)
    end = _end(form, talk, i, whole, stop)
    return (start, end) if all(name in whole[start:end] for name in _called(talk[i])) else None


def _led(form: TemplateForm, before: list[dict[str, Any]], whole: str, start: int, lead: str) -> int:
    """Where the model's part begins: what the prompt does not write before its words (`lead`), it has to."""
    at = start - len(lead)
    if not lead or EMPTY.fullmatch(lead) or not whole[:start].endswith(lead):
        return start
    return at if not before or whole[:at] == form.render(before, ask=True) else start


def _called(turn: dict[str, Any]) -> list[str]:
    """The functions that a turn calls."""
    return [c["function"]["name"] or "" for c in turn.get("tool_calls") or ()]


def _frame(form: TemplateForm, talk: list[dict[str, Any]], i: int, key: str, whole: str) -> tuple[int, int] | None:
    """The place of a turn's text (its content or its thoughts): the conversation is rendered with a word of ours
    instead of it, and what stands around that word has to be what stands around the text."""
    word = WORDS
    while word in whole:  # a text of the row's own
        word += "s"
    try:
        marked = form.render([*talk[:i], {**talk[i], key: word}, *talk[i + 1 :]])
    except InputError:
        return None
    before, found, behind = marked.partition(word)
    if (
        not found
        or not whole.startswith(before)
        or not whole.endswith(behind)
        or len(before) + len(behind) > len(whole)
    ):
        return None
    return len(before), len(whole) - len(behind)


def _end(form: TemplateForm, talk: list[dict[str, Any]], i: int, whole: str, stop: int) -> int:
    """The end of a turn behind its words: its end token, right there or behind tool calls, before anything that
    follows."""
    last = len(whole)
    if talk[i].get("tool_calls") and i + 1 < len(talk):
        last = _common(whole, form.render(talk[: i + 1]))
    ends = [(at, text) for text in form.end_texts if 0 <= (at := whole.find(text, stop)) <= last - len(text)]
    if not ends:
        return max(stop, last) if talk[i].get("tool_calls") else stop
    at, text = min(ends)
    return at + len(text) if not whole[stop:at].strip() or talk[i].get("tool_calls") else stop


def _common(a: str, b: str) -> int:
    """How many characters two texts begin alike with."""
    return next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def _added(form: TemplateForm, talk: list[dict[str, Any]], text: str) -> tuple[int, int] | None:
    """Where the last turn stands by what it adds to the prompt: for turns whose text the template writes in no one
    place."""
    asked = form.render(talk[:-1], ask=True) if talk[:-1] else text
    if not text.startswith(asked) or len(text) == len(asked):
        return None
    empty = EMPTY.match(text, len(asked))
    start = empty.end() if empty else len(asked)
    end = len(text.rstrip())
    shown = [talk[-1]["content"].strip(), *_called(talk[-1])]
    return (start, end) if all(w in text[start:end] for w in shown) else None


# ---- tokens


def _mask(piece: Segment, offsets: list[tuple[int, int]]) -> list[bool]:
    """Which tokens are learned: those of the spans. A token that begins with the blank before a span belongs to it."""
    mask = [False] * len(offsets)
    for start, stop in piece.spans:
        for i, (a, b) in enumerate(offsets):
            if b > a and b > start and b <= stop and (a >= start or not piece.text[a:start].strip(" ")):
                mask[i] = True
    return mask


def _joined(pieces: list[tuple[list[int], list[bool]]], plan: Plan, length: int | None) -> Encoded:
    """A conversation's sequences behind each other, each cut at the length."""
    _, turns, why, thoughts = plan
    ids: list[int] = []
    mask: list[bool] = []
    starts: list[int] = []
    truncated = False
    lost = 0
    for one, learned in pieces:
        cut = length is not None and len(one) > length
        truncated |= cut
        if cut:
            lost += _runs(learned) - _runs(learned[:length])
            one, learned = one[:length], learned[:length]
        starts.append(len(ids))
        ids, mask = ids + list(one), mask + learned
    found = Encoded(ids, mask, truncated, tuple(starts[1:]), turns, (*why, *[CUT] * lost), thoughts)
    return found if found.supervised or not pieces else replace(found, thoughts=0)


def _runs(mask: list[bool]) -> int:
    """How many runs of learned tokens there are."""
    return sum(m and (i == 0 or not mask[i - 1]) for i, m in enumerate(mask))
