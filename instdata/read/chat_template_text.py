"""One text that holds a conversation as a chat template or a paper's prompt wrote it, into turns."""

from __future__ import annotations

import re
from typing import Any

from instdata.read.harmony import is_harmony
from instdata.read.harmony import turns as harmony
from instdata.read.roles import role_of

# How a turn begins (its speaker in `who`) and what ends its text.
TEMPLATES = (
    (r"<\|im_start\|>(?P<who>\w+)[ \t]*\n?", r"<\|im_end\|>"),  # ChatML
    (r"<\|start_header_id\|>(?P<who>\w+)<\|end_header_id\|>\s*", r"<\|eo[tm]_id\|>|<\|end_of_text\|>"),  # Llama 3
    # Zephyr, Phi 3
    (r"<\|(?P<who>system|user|assistant|prompter|tool)\|>[ \t]*\n?", r"</s>|<\|(?:end|endoftext|eot_id)\|>"),
    (r"<start_of_turn>(?P<who>\w+)[ \t]*\n?", r"<end_of_turn>"),  # Gemma
    # Alpaca's prompt
    (r"###\s*(?P<who>System|Instruction|Input|Response|Question|Answer)\s*:[ \t]*\n?", r"</s>|<\|endoftext\|>|### End"),
    # RefGPT
    (
        r"<(?P<who>[Uu]ser|[Aa]ssistant)(?: \d{1,3})?>[ \t]*:?[ \t]*(?:\(word count: [^()]{1,40}\))?",
        r"</(?:user|assistant)>",
    ),
    # Vicuna, Glaive
    (r"(?<![^\s>])(?P<who>SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE)\s*:[ \t]*", r"</s>|<\|endoftext\|>"),
)
MARKS = [(re.compile(begins), re.compile(ends)) for begins, ends in TEMPLATES]
START = re.compile(r"\s*(?:<s>|<\|begin_of_text\|>|<bos>)?\s*")
INST = re.compile(r"\[(/?)INST\]")  # Llama 2 and Mistral: <s>[INST] <<SYS>> … <</SYS>> … [/INST] … </s>
SYS = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.S)
LATE = ("Instruction", "USER")  # what a preamble may stand before: the system's
LOOK = 50_000  # characters of a text that tell
TOLD = 600  # characters that a prompt may say before its first turn ("Below is an instruction …")


def looks_rendered(text: str) -> bool:
    """Whether a text begins with a user's and an assistant's turn."""
    return rendered(text[:LOOK]) is not None


def may_be_rendered(text: str) -> bool:
    """Whether a text begins as a template's marks do: a quick look."""
    return text.lstrip()[:1] in ("<", "[", "#")


def rendered_prompt(text: str) -> list[dict[str, Any]] | None:
    """The turns of a prompt as a template wrote it, up to where the assistant is to answer (an empty turn)."""
    return rendered(text) if may_be_rendered(text) else None


def _start(text: str) -> int:
    found = START.match(text)
    return found.end() if found else 0


def rendered(text: str) -> list[dict[str, Any]] | None:
    """The turns of such a text; None where it is none, or where they do not go from user to assistant."""
    if is_harmony(text):
        return harmony(text)
    found = _inst(text)
    for begins, ends in MARKS if found is None else ():
        if _begins(text, begins):
            found = _marked(text, begins, ends)
            break
    roles = [t["role"] for t in found or () if t["role"] in ("user", "assistant")]
    return found if roles[:2] == ["user", "assistant"] else None


def _begins(text: str, begins: re.Pattern[str]) -> bool:
    """Whether a text begins with a turn's mark; one of LATE may have a few words before it."""
    mark = begins.search(text, 0, TOLD)
    return mark is not None and (mark.start() <= _start(text) or mark["who"] in LATE)


def _marked(text: str, begins: re.Pattern[str], ends: re.Pattern[str]) -> list[dict[str, Any]] | None:
    turns: list[dict[str, Any]] = []
    marks = list(begins.finditer(text))
    before = text[_start(text) : marks[0].start()].strip()
    if before:
        turns.append({"role": "system", "content": before})
    for mark, after in zip(marks, [*marks[1:], None]):
        said = text[mark.end() : after.start() if after else len(text)]
        end = ends.search(said)
        said = (said[: end.start()] if end else said).strip()
        who = mark["who"].casefold()
        role = "user" if who == "input" else role_of(who.replace(" ", "_"))
        if role is None:
            return None
        if who == "input" and turns and turns[-1]["role"] == "user":
            turns[-1]["content"] += f"\n\n{said}"
        else:
            turns.append({"role": role, "content": said})
    return turns


def _inst(text: str) -> list[dict[str, Any]] | None:
    """The turns of Llama 2's prompt; None where its marks do not take turns, or it is none."""
    marks = list(INST.finditer(text))
    if not marks or marks[0].start() > _start(text) or any((m[1] == "/") != (i % 2 == 1) for i, m in enumerate(marks)):
        return None
    turns: list[dict[str, Any]] = []
    for mark, after in zip(marks, [*marks[1:], None]):
        said = text[mark.end() : after.start() if after else len(text)].strip()
        if mark[1]:
            turns.append(
                {"role": "assistant", "content": said.removesuffix("<s>").strip().removesuffix("</s>").strip()}
            )
            continue
        told = SYS.match(said) if not turns else None
        if told:
            turns.append({"role": "system", "content": told[1].strip()})
            said = said[told.end() :].strip()
        turns.append({"role": "user", "content": said})
    return turns
