"""What a tokenizer's chat template does, found out by trying it: how turns end, where thoughts go, whether it takes a
system turn. Stock templates differ in all of these, and none says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from instdata.corpus.rows import Messages
from instdata.read.thoughts import put_back
from instdata.util.errors import InputError

# Our own ChatML, for tokenizers without a template. A turn ends with the tokenizer's end-of-text token.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}{{ '\\n<tool_call>\\n' + call['function'] | tojson + "
    "'\\n</tool_call>' }}{% endfor %}"
    "{{ eos_token + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WORDS, MORE = "Qinstdatawords", "Qinstdatamore"  # in place of a text, to see where a template writes it
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # the keys under which templates look for a turn's thoughts
# Templates that ask for today's date get this one: the same rows are to give the same tokens on any day.
DATE = (
    "{% macro strftime_now(how) %}{{ {'%d %b %Y': '01 Jan 2026', '%B %d, %Y': 'January 01, 2026'}.get(how, "
    "'2026-01-01') }}"
    "{% endmacro %}"
)


@dataclass(frozen=True)
class TemplateForm:
    """A tokenizer with a template, and what was found out about it.

    `template`: None where it is the tokenizer's own. `ends`: the special tokens that may end an assistant's turn,
    `last` the one that ends it where nothing follows; `closing`: what has to be written behind the last turn for it to
    end. `key`: where thoughts go (one of THOUGHTS, "inline", "prompt" where the prompt opens them and the template
    leaves them out, or None where it shows none). `lead`, `thought_lead`: what it writes between its prompt and an
    answer, or an answer's thoughts. `parts`: contents have to be lists of parts. `folds`: a system turn is not taken,
    and goes into a user's; `folds_later`: so do those that are not the first turn. `tools`: it shows the functions that
    may be called. `notes`: what people should know of it."""

    tokenizer: Any
    template: str | None = None
    ends: frozenset[int] = frozenset()
    last: int | None = None
    closing: str = ""
    end_texts: tuple[str, ...] = ()
    key: str | None = "inline"
    folds: bool = False
    folds_later: bool = False
    tools: bool = False
    appends: str = ""
    parts: bool = False
    lead: str = ""
    thought_lead: str = ""
    notes: tuple[str, ...] = field(default=())

    def render(self, messages: Messages, ask: bool = False) -> str:
        """The conversation as the template writes it; with `ask`, up to where the assistant's answer would begin.
        Raises InputError with the template's own words where it does not take it."""
        talk = folded(messages) if self.folds else messages
        if self.folds_later:
            talk = [*messages[:1], *folded(messages[1:])]
        try:
            tools = tools_of(messages)
            text = self._written(talk, ask, tools, parsed=True)
        except Exception as e:
            try:  # some templates want arguments as they came, as text
                if not any(m.get("tool_calls") for m in talk):
                    raise
                text = self._written(talk, ask, tools, parsed=False)
            except Exception:
                said = str(e).strip().splitlines()[0][:120] if str(e).strip() else type(e).__name__
                raise InputError(f"the chat template refuses such a conversation: {said}") from e
        closes = bool(self.closing) and not ask and not (talk and talk[-1].get("tool_calls"))
        return text.rstrip("\n") + self.closing if closes and not text.endswith(self.closing) else text

    def _written(self, messages: Messages, ask: bool, tools: list[Any] | None, parsed: bool) -> str:
        return self.tokenizer.apply_chat_template(
            [self._turn(m, parsed) for m in messages], chat_template=self.template, tokenize=False,
            add_generation_prompt=ask, tools=tools,
        )  # fmt: skip

    def _turn(self, turn: Mapping[str, Any], parsed: bool) -> dict[str, Any]:
        """A turn as the template wants it: thoughts under its key, arguments of tool calls as objects, no weight."""
        out = {k: v for k, v in turn.items() if k not in ("weight", "reasoning_content", "extra", "tools")}
        thoughts = turn.get("reasoning_content")
        if thoughts and self.key == "inline":
            out["content"] = put_back(thoughts, out["content"])
        elif thoughts and self.key in THOUGHTS:
            out[self.key] = thoughts
        if out["role"] == "assistant" and self.appends:
            out["content"] += self.appends
        if self.parts:
            out["content"] = [{"type": "text", "text": out["content"]}]
        if out.get("tool_calls") and parsed:
            out["tool_calls"] = [parsed_call(c) for c in out["tool_calls"]]
        return out


def tools_of(messages: Messages) -> list[Any] | None:
    """The functions that a conversation may call, from its first turn (corpus.rows.with_tools). Raises ValueError where
    they are no JSON."""
    text = messages[0].get("tools") if messages else None
    return json.loads(text) if text else None


def parsed_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments as an object, where they are JSON of one: templates write them as JSON
    themselves."""
    function = dict(call["function"])
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        arguments = None
    if isinstance(arguments, dict):
        function["arguments"] = arguments
    return {**call, "function": function}


def folded(messages: Messages) -> list[Mapping[str, Any]]:
    """The conversation with each system turn written into a user's: at the head of the next, behind the one just
    before, or as a turn of its own where neither stands beside it."""
    out: list[Mapping[str, Any]] = []
    waiting: list[str] = []
    for turn in [*messages, None]:
        if turn and turn["role"] == "system":
            waiting.append(turn["content"])
            continue
        if waiting and turn and turn["role"] == "user":
            turn = {**turn, "content": "\n\n".join([*waiting, turn["content"]])}
        elif waiting and out and out[-1]["role"] == "user":
            out[-1] = {**out[-1], "content": "\n\n".join([out[-1]["content"], *waiting])}
        elif waiting:
            out.append({"role": "user", "content": "\n\n".join(waiting)})
        waiting = []
        out += [turn] if turn else []
    return out


@cache
def form_of(tokenizer: Any) -> TemplateForm:
    """What the tokenizer's template does, or our ChatML where it has none."""
    if not tokenizer.chat_template:
        starts = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
        form = TemplateForm(tokenizer, ("{{ bos_token }}" if starts else "") + CHATML,
            ends=frozenset({tokenizer.eos_token_id}), last=tokenizer.eos_token_id,
                    end_texts=(tokenizer.eos_token,), notes=("it has no chat template: ChatML is used",))  # fmt: skip
        return form
    own = tokenizer.chat_template
    dated = isinstance(own, str) and "strftime_now" in own
    form = TemplateForm(tokenizer, DATE + own if dated else None, key=None)
    return _with_tools(_with_leads(_with_thoughts(_with_system(_with_ends(_with_parts(form))))))


def special_ids(tokenizer: Any) -> set[int]:
    """Every token that the tokenizer calls special, named or only added (<|end|> of Phi, <|eot_id|> of Llama)."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def special_texts(tokenizer: Any) -> list[str]:
    """The texts of those tokens: in a row's text they would be read as the real ones."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted({*added, *tokenizer.all_special_tokens})


def _talk(*turns: str | dict[str, Any]) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [t if isinstance(t, dict) else {"role": roles[i % 2], "content": t} for i, t in enumerate(turns)]


def _with_parts(form: TemplateForm) -> TemplateForm:
    """The form for a template that takes contents as lists of parts only (of models that see pictures)."""
    for tried in (form, replace(form, parts=True)):
        if _shows(tried, _talk(WORDS, "x")):
            return tried
    return form


def _with_ends(form: TemplateForm) -> TemplateForm:
    """The form with the tokens that end its turns: what follows an answer that is the last, and one that is not. A
    template that writes none behind an answer (GLM) ends it with what begins the next turn; one that writes no special
    token at all gets the end-of-text token behind each answer."""
    tokenizer = form.tokenizer
    last = _first_special(form, _talk("x", WORDS))
    between = _first_special(form, _talk("x", WORDS, MORE))
    if last is None and between is None:
        end = tokenizer.eos_token
        note = f"its chat template does not end a turn: {end} is put behind each answer"
        return replace(form, ends=frozenset({tokenizer.eos_token_id}), last=tokenizer.eos_token_id, end_texts=(end,),
            appends=end, notes=(*form.notes, note))  # fmt: skip
    ends = {t for t in (last, between) if t is not None}
    texts = tuple(tokenizer.convert_ids_to_tokens(t) for t in sorted(ends))
    closing = "" if last is not None else tokenizer.convert_ids_to_tokens(between)
    return replace(form, ends=frozenset(ends), last=between if last is None else last, end_texts=texts, closing=closing)


def _first_special(form: TemplateForm, talk: list[dict[str, Any]]) -> int | None:
    """The first special token behind the answer."""
    try:
        tail = form.render(talk).rpartition(WORDS)[2].partition(MORE)[0]
    except InputError:
        return None
    special = special_ids(form.tokenizer)
    return next((t for t in form.tokenizer(tail, add_special_tokens=False)["input_ids"] if t in special), None)


def _with_system(form: TemplateForm) -> TemplateForm:
    system = {"role": "system", "content": WORDS}
    if not _shows(form, [system, *_talk("x", "y")]):
        note = "its chat template takes no system turn: it is written into the first user's"
        return replace(form, folds=True, notes=(*form.notes, note))
    if not _shows(form, [*_talk("x", "y"), system, *_talk("x", "y")]):
        note = "its chat template takes a system turn at the beginning only: later ones are written into a user's"
        return replace(form, folds_later=True, notes=(*form.notes, note))
    return form


def _with_tools(form: TemplateForm) -> TemplateForm:
    """Whether it shows the functions that may be called."""
    function = {"name": WORDS, "description": "x", "parameters": {"type": "object", "properties": {}}}
    tools = json.dumps([{"type": "function", "function": function}])
    first, *rest = _talk("x", "y")
    return replace(form, tools=_shows(form, [{**first, "tools": tools}, *rest]))


def _shows(form: TemplateForm, talk: list[dict[str, Any]]) -> bool:
    """Whether the template takes a conversation and writes our word in it."""
    try:
        return WORDS in form.render(talk)
    except InputError:
        return False


def _with_leads(form: TemplateForm) -> TemplateForm:
    """What the prompt leaves to the model: <|channel|>final<|message|> of gpt-oss, <think> of Qwen3."""
    try:
        asked = form.render(_talk("x"), ask=True)
        answer = form.render(_talk("x", WORDS)).partition(WORDS)[0]
        thought = {"role": "assistant", "content": MORE, "reasoning_content": WORDS}
        before = form.render(_talk("x", thought)).partition(WORDS)[0]
    except InputError:
        return form
    leads = [t[len(asked) :] if t.startswith(asked) else "" for t in (answer, before)]
    return replace(form, lead=leads[0], thought_lead=leads[1])


def _with_thoughts(form: TemplateForm) -> TemplateForm:
    """Where thoughts have to stand for the template to show them in the last turn."""
    for key in (*THOUGHTS, "inline"):
        tried = replace(form, key=key)
        try:
            text = tried.render(_talk("x", {"role": "assistant", "content": MORE, "reasoning_content": WORDS}))
        except InputError:
            continue
        if WORDS in text and MORE in text:
            return tried
    try:
        opens = form.render(_talk("x"), ask=True).rstrip().endswith("<think>")
    except InputError:
        opens = False
    if opens:  # DeepSeek-R1
        return replace(form, key="prompt")
    return replace(form, key=None, notes=(*form.notes, "its chat template shows no thoughts: they are left out"))
