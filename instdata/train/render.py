"""Conversations as token ids, with a mask of what the model is to learn: the assistant's words and its end of turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from instdata.corpus.rows import Messages
from instdata.util.errors import InputError

# Our own ChatML, for tokenizers without a template. A turn ends with the tokenizer's end-of-text token.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Encoded:
    """One conversation: `ids` and, for each of them, whether its prediction counts in the loss. `truncated`: its end was
    cut off at the length asked for."""

    ids: list[int]
    mask: list[bool]
    truncated: bool = False

    @property
    def supervised(self) -> int:
        """Tokens that are learned. The first token is predicted from nothing, so it never counts."""
        return sum(self.mask[1:])


@cache
def template_of(tokenizer: Any) -> str | None:
    """None where the tokenizer's own template ends an assistant's turn with a token of its own; else ChatML, behind the
    start token where the tokenizer writes one."""
    if tokenizer.chat_template:
        try:
            if _turn_end(tokenizer, None) is not None:
                return None
        except InputError:
            return None
    starts = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
    return ("{{ bos_token }}" if starts else "") + CHATML


def encode(
    tokenizer: Any, conversations: Sequence[Messages], length: int | None = None, last_only: bool = False
) -> list[Encoded]:
    """Each conversation's tokens, cut after `length`. Supervised are the tokens of every assistant turn (of the last one
    with `last_only`), its end-of-turn token included.

    Stock templates do not mark the assistant's words, so each turn is found by rendering the conversation before and
    after it: what was added is the turn. A turn whose template rewrites what came before it is not supervised."""
    texts, spans = [], []
    for messages in conversations:
        turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        try:
            text = render(tokenizer, messages)
            mine = [_span(tokenizer, messages, i, text) for i in (turns[-1:] if last_only else turns)]
        except InputError:  # one bad row costs one row: it has nothing to learn, and is counted as such
            text, mine = "", []
        texts.append(text)
        spans.append(mine)
    if not texts:
        return []
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    end = set(stop_ids(tokenizer))
    return [
        _cut(ids, _mask(ids, offsets, mine, end), length)
        for ids, offsets, mine in zip(found["input_ids"], found["offset_mapping"], spans)
    ]


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """The tokens that an answer to these messages follows."""
    return tokenizer(render(tokenizer, messages, ask=True), add_special_tokens=False)["input_ids"]


def render(tokenizer: Any, messages: Messages, ask: bool = False) -> str:
    """The conversation as the template writes it; with `ask`, up to where the assistant's answer would begin.

    Raises InputError where the template does not take it, or its text holds the tokenizer's special tokens: they would
    be read as the real ones."""
    if any(special in m["content"] for m in messages for special in tokenizer.all_special_tokens):
        raise InputError("the text holds special tokens of the tokenizer")
    return _render(tokenizer, messages, ask, template_of(tokenizer))


def _render(tokenizer: Any, messages: Messages, ask: bool, template: str | None) -> str:
    try:
        return tokenizer.apply_chat_template(
            [dict(m) for m in messages], chat_template=template, tokenize=False, add_generation_prompt=ask
        )
    except Exception as e:
        raise InputError(f"the model's chat template does not take such a conversation: {e}") from e


def _span(tokenizer: Any, messages: Messages, turn: int, text: str) -> tuple[int, int]:
    """Where a turn's words and end stand in the rendered conversation; (0, 0) where the template rewrote the past."""
    before = render(tokenizer, messages[:turn], ask=True)
    after = text if turn == len(messages) - 1 else render(tokenizer, messages[: turn + 1])
    return (len(before), len(after)) if after.startswith(before) and text.startswith(after) else (0, 0)


def _turn_end(tokenizer: Any, template: str | None) -> int | None:
    """The special token that the template puts behind an assistant's words (<|im_end|>, <|eot_id|>, </s>)."""
    words = "instdata"
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": words}]
    tail = _render(tokenizer, talk, False, template).rpartition(words)[2]
    special = set(tokenizer.all_special_ids)
    return next((t for t in tokenizer(tail, add_special_tokens=False)["input_ids"] if t in special), None)


def stop_ids(tokenizer: Any) -> list[int]:
    """The tokens after which an answer is over: the end of text, and the end of an assistant's turn."""
    end = _turn_end(tokenizer, template_of(tokenizer))
    return sorted({tokenizer.eos_token_id, tokenizer.eos_token_id if end is None else end})


def _mask(ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int]], end: set[int]) -> list[bool]:
    mask = [False] * len(ids)
    for start, stop in spans:
        mine = [i for i, (a, b) in enumerate(offsets) if a >= start and b <= stop and b > a]
        ends = [i for i in mine if ids[i] in end]
        if ends:  # what the template writes behind the end of turn (a line break) is never generated
            mine = [i for i in mine if i <= ends[-1]]
        for i in mine:
            mask[i] = True
    return mask


def _cut(ids: list[int], mask: list[bool], length: int | None) -> Encoded:
    if length is None or len(ids) <= length:
        return Encoded(ids, mask)
    return Encoded(ids[:length], mask[:length], truncated=True)
