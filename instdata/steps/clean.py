"""clean: mend the text of rows instead of dropping them. Each change is noted with what stood there before and
after."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.corpus.rows import MESSAGES, TEXT, Rows
from instdata.steps.base import RewriteStep, Rewritten
from instdata.steps.preference_columns import PAIR, Found, Mended, with_pairs
from instdata.steps.quality import wording
from instdata.steps.quality.piece_search import Search
from instdata.steps.quality.rule_text import BATCH, Sought, Text, asks, filled, has, search_of

Kind = Literal["mojibake", "invisible", "entities", "escapes", "leftovers", "full_width"]
KINDS: tuple[Kind, ...] = ("mojibake", "invisible", "entities", "escapes", "leftovers", "full_width")  # in this order
SHOWN = 20  # changes of one kind in one turn that are noted one by one; `times` counts all
EXCERPT = 200  # characters of a change that are noted
FIELDS = ("content", "reasoning_content")  # of a turn

# Looser than the rule: ftfy says itself whether the text is broken.
PERHAPS_MOJIBAKE = r"[\x{c2}-\x{ef}][\x{80}-\x{bf}\x{2010}-\x{2122}ŒœŠšŽžŸƒˆ˜]"
PERHAPS_INVISIBLE = rf"{wording.CONTROL}|{wording.EMBEDDING}|[\x{{200b}}\x{{2060}}\x{{feff}}]"
PERHAPS_FULL_WIDTH = r"[\x{ff10}-\x{ff19}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}]"
PERHAPS = "|".join(
    f"(?:{p})" for p in (PERHAPS_MOJIBAKE, PERHAPS_INVISIBLE, wording.ENTITY, wording.ESCAPE, PERHAPS_FULL_WIDTH)
)
SOURCE = r"</?[a-z][a-z0-9]*(?: [^<>]{0,100})?>|\\[nu]"
CALL = r"\w\([\"']"  # code in passing: printf("a.\nB")
QUOTED_BREAK = r"[\"'`“][^\"'`“”\n]{0,80}\\n[^\"'`“”\n]{0,80}[\"'`”]"
BREAK_ASKED = r"(?i)line ?break|new ?line|backslash|\bregex|\bstring|换行|转义|反斜|字符串|正则"

Change = tuple[int, str, str]  # place in the text, before, after
Mend = Callable[[str], tuple[str, list[Change]]]


class Clean(RewriteStep):
    """Mend broken encoding, invisible characters, HTML entities and escapes in prose, leftovers of prompts and
    templates at a response's end, and full-width letters. Texts that are about such things, and code, are left
    alone."""

    kind: ClassVar[str] = "clean"
    version: ClassVar[int] = 2
    together: ClassVar[int] = BATCH  # each pattern is compiled anew for every call

    kinds: list[Kind] = Field(list(KINDS), min_length=1, description="What to mend; all kinds unless named.")

    def rewrite(self, rows: Rows) -> Rewritten:
        kinds, start = [k for k in KINDS if k in self.kinds], 0
        found: dict[int, Mended] = {}
        for batch in rows.batches(BATCH) if len(rows) else []:
            mended = partial(_mended, kinds=kinds)
            found |= {start + row: m for row, m in sorted(with_pairs(batch, mended).items())}
            start += len(batch)
        return Rewritten(
            np.array(list(found), np.int64),
            pa.array([m.messages for m in found.values()], rows.messages.type),
            [m.edits for m in found.values()],
            pairs={name: pa.array([m.pair.get(name) for m in found.values()], MESSAGES) for name in PAIR},
        )


SOUGHT: Sought = (
    PERHAPS_MOJIBAKE, PERHAPS_INVISIBLE, PERHAPS_FULL_WIDTH, wording.ENTITY, wording.ESCAPE, wording.NUMBERED_TASK,
    wording.TASK_HEADER, wording.template_mark, wording.NO_INPUT_SAID, wording.CHAT_MARK, wording.CHAT_TURN,
)  # fmt: skip


@cache
def search() -> Search:
    """What SOUGHT is searched for by: whatever is mended has one of these patterns."""
    return search_of(SOUGHT)


def _mended(all_rows: Rows, kinds: list[Kind]) -> Found:
    """(the rows that change, their new conversations, what was changed in each)."""
    perhaps = np.flatnonzero(_perhaps(all_rows))
    if not len(perhaps):
        return perhaps, [], []
    changed, messages, edits = _mended_of(all_rows.take(perhaps, TEXT), kinds)
    return perhaps[changed], messages, edits


def _perhaps(rows: Rows) -> np.ndarray:
    """The rows that are looked at: those in whose text one of the patterns may occur."""
    parts = (rows.prompt, rows.response, rows.tools, _thoughts(rows))
    some = [filled(part) for part in parts if part is not None and part.null_count < len(part)]
    return np.bitwise_or.reduce([search().of(part)[0] for part in some]) > 0


def _mended_of(rows: Rows, kinds: list[Kind]) -> Found:
    """The same of the rows that are looked at."""
    wanted, places = _candidates(rows)
    at = np.flatnonzero(np.any([wanted[kind] for kind in kinds], axis=0))
    changed, messages, edits = [], [], []
    for row, turns in zip(at.tolist(), rows.messages.take(pa.array(at)).to_pylist()):
        noted: list[dict[str, Any]] = []
        exchange = np.cumsum([0, *(t["role"] == "assistant" for t in turns)]).tolist()  # of each turn, from 0
        for kind in kinds:
            for number, turn in enumerate(turns) if wanted[kind][row] else ():
                side = (row, exchange[number] + 1, turn["role"] == "assistant")
                if kind not in places or side in places[kind]:
                    noted += _mend_turn(turn, kind, number)
        if noted:
            changed.append(row)
            messages.append(turns)
            edits.append(noted)
    return np.array(changed, np.int64), messages, edits


Place = tuple[int, int, bool]  # row, exchange (an assistant's turn and what came before it) from 1, whether the answer


def _candidates(rows: Rows) -> tuple[dict[Kind, np.ndarray], dict[Kind, set[Place]]]:
    """(for each kind the rows in which there may be something to mend, seen in columns; for some the places, too)."""
    text, row, number = Text.of_turns(rows)
    full = _all_text(rows)
    met = has(full, PERHAPS)  # few rows: what they are about is asked of them alone
    about = np.isin(np.arange(len(rows)), row[text.only(met[row], lambda f: asks(f.ask, "about_encoding"))])
    prose = ~np.isin(np.arange(len(rows)), row[text.only(met[row], lambda f: f.code)]) & ~about

    def anywhere(pattern: str) -> np.ndarray:
        found = np.zeros(len(full), bool)
        found[met] = has(full.filter(pa.array(met)), pattern)
        return found

    def sides(asked: np.ndarray, said: np.ndarray) -> set[Place]:
        masks = ((False, asked), (True, said))
        return {(int(row[i]), int(number[i]), answer) for answer, mask in masks for i in np.flatnonzero(mask)}

    escaped = (anywhere(wording.ESCAPE) & prose & ~anywhere(CALL))[row]
    asked = text.only(escaped, _asked_escaped)
    places: dict[Kind, set[Place]] = {
        "escapes": sides(asked, asked | text.unless(escaped, lambda f: has(f.prompt, SOURCE))),
        "leftovers": sides(
            _trailing(text), wording.merged_task(text) | wording.template_token(text) | wording.chat_marker(text)
        ),
    }
    rest: dict[Kind, np.ndarray] = {
        "mojibake": anywhere(PERHAPS_MOJIBAKE) & ~about,
        "invisible": anywhere(PERHAPS_INVISIBLE) & ~about,
        "entities": anywhere(wording.ENTITY) & prose,
        "full_width": anywhere(PERHAPS_FULL_WIDTH) & ~about,
    }
    return rest | {k: np.isin(np.arange(len(rows)), [at for at, _, _ in v]) for k, v in places.items()}, places


def _all_text(rows: Rows) -> pa.Array:
    """The full text of each row, and the reasoning of its earlier turns."""
    thoughts = _thoughts(rows)
    return rows.full if thoughts is None else pc.binary_join_element_wise(rows.full, thoughts, "\n")


def _thoughts(rows: Rows) -> pa.Array | None:
    """The reasoning of each row's turns, in a field of its own; None where there is none."""
    turns = rows.messages.flatten()
    thought = turns.field("reasoning_content") if turns.type.get_field_index("reasoning_content") >= 0 else None
    if thought is None or thought.null_count == len(thought):
        return None
    ends = np.concatenate([[0], np.cumsum(np.asarray(pc.list_value_length(rows.messages)))])
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pc.fill_null(thought, "")), "\n")


def _unescaped(prompts: pa.Array) -> pa.Array:
    """Prompts without line breaks that were written as escapes between two sentences or lines."""
    return pc.replace_substring_regex(prompts, r"([\pL.!?,;:。，])(?:(?:\\r)?\\n){1,2}([A-Z\d\p{Han}-])", r"\1 \2")


def _asked_escaped(text: Text) -> np.ndarray:
    """Prompts that hold line breaks as escapes, and neither another backslash nor a quoted one nor markup."""
    rest = _unescaped(text.prompt)
    odd = has(rest, r"\\") | has(rest, SOURCE) | has(text.prompt, QUOTED_BREAK) | has(text.prompt, BREAK_ASKED)
    return has(text.prompt, wording.ESCAPE) & ~odd


def _trailing(text: Text) -> np.ndarray:
    """Prompts that end with a template's token."""
    ends = text.only(text.has("prompt", wording.template_mark()), _ends_with_mark)
    return text.unless(ends, lambda f: asks(f.ask, "format_asked"))


def _ends_with_mark(text: Text) -> np.ndarray:
    return has(text.prompt, f"(?:{wording.template_mark()})\\s*$")


def _mend_turn(turn: dict[str, Any], kind: Kind, number: int) -> list[dict[str, Any]]:
    """Mend one turn in place; what was changed. A turn is never emptied."""
    noted = []
    for field in FIELDS:
        text = turn.get(field)
        if not text or (kind == "leftovers" and field != "content"):
            continue
        new, changes = _leftovers(text, turn["role"]) if kind == "leftovers" else MENDS[kind](text)
        if not changes or not new.strip():
            continue
        turn[field] = new
        noted += [
            {"kind": kind, "turn": number, "field": field, "at": at, "before": old[:EXCERPT], "after": to[:EXCERPT]}
            for at, old, to in changes[:SHOWN]
        ]
        noted[-1]["times"] = len(changes)
    return noted


def _replaced(pattern: re.Pattern[str], new: Callable[[re.Match[str]], str], text: str) -> tuple[str, list[Change]]:
    """A text with every match replaced, and the replacements."""
    changes: list[Change] = []

    def replace(m: re.Match[str]) -> str:
        after = new(m)
        if after != m[0]:
            changes.append((m.start(), m[0], after))
        return after

    return pattern.sub(replace, text), changes


def _mojibake(text: str) -> tuple[str, list[Change]]:
    """ftfy's mending of encodings (Speer 2019), and nothing else that it could do."""
    import ftfy

    new = ftfy.fix_encoding(text)
    if new == text:
        return text, []
    start = next((i for i, (a, b) in enumerate(zip(text, new)) if a != b), min(len(text), len(new)))
    ends = zip(reversed(text[start:]), reversed(new[start:]))
    same = next((i for i, (a, b) in enumerate(ends) if a != b), 0)
    return new, [(start, text[start : len(text) - same], new[start : len(new) - same])]


CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202d\u202e\ufffe\uffff]")
ZERO_WIDTH = re.compile("[\u200b\u2060\ufeff\u202a-\u202c]")


def _invisible(text: str) -> tuple[str, list[Change]]:
    """Control characters go; zero-width ones too, but where a script has no spaces or runs from right to left."""
    new, changes = _replaced(CONTROLS, lambda m: "", text)
    if not has(pa.array([new]), wording.SPACELESS)[0]:
        new, more = _replaced(ZERO_WIDTH, lambda m: "", new)
        changes += more
    return new, changes


ENTITIES = re.compile(wording.ENTITY.removeprefix("(?i)"), re.IGNORECASE)


def _entities(text: str) -> tuple[str, list[Change]]:
    return _replaced(ENTITIES, lambda m: html.unescape(m[0].lower()).replace("\xa0", " "), text)


AHEAD = r"(?=[A-Z\d\u4e00-\u9fff-])"
BREAKS = r"((?:(?:\\r)?\\n){1,2})"
ESCAPES = re.compile(rf"(?<=[^\W\d_.!?,;:。，]){BREAKS}{AHEAD}|(?<=[.!?,;:。，]){BREAKS}{AHEAD}")
CODE_POINTS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def _escapes(text: str) -> tuple[str, list[Change]]:
    """Line breaks and characters that were written as escapes."""
    new, changes = _replaced(ESCAPES, lambda m: m[0].replace("\\r", "").replace("\\n", "\n"), text)
    new, more = _replaced(CODE_POINTS, _code_points, new)
    return new, changes + more


def _code_points(m: re.Match[str]) -> str:
    units = bytes.fromhex(m[0].replace("\\u", ""))
    try:
        text = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return m[0]
    return text if text.isprintable() else m[0]


def _full_width(text: str) -> tuple[str, list[Change]]:
    return _replaced(FULL_WIDTH, lambda m: "".join(chr(ord(c) - 0xFEE0) for c in m[0]), text)


FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]+")
MENDS: dict[str, Mend] = {
    "mojibake": _mojibake,
    "invisible": _invisible,
    "entities": _entities,
    "escapes": _escapes,
    "full_width": _full_width,
}

NO_TEXT = re.compile(
    r"(?i)\s*(?:<|&lt;|\[)\s*(?:no ?(?:input|output)|无输入|无输出|没有输入|没有输出)\s*(?:>|&gt;|\])\s*"
)
END_TOKENS = re.compile(r"(?:\s*(?:<\|(?:im_end|endoftext|end|eot_id|end_of_text|eom_id)\|>|</s>|\[/?INST\]))+\s*$")
NEXT_TASK = re.compile(r"(?i)\n\s*(?:#{1,4}\s*)?(?:\d{1,3}\s*[.)．、]\s*)?\**(?:instruction|指令|任务指令)\**\s*[:：]")
NEXT_TURN = re.compile(r"\n\s*(?:###\s*)?(?:Human|User|用户|人类)\s*[:：]|\n\s*<\|(?:im_start|user|start_header_id)\|>")


def _leftovers(text: str, role: str) -> tuple[str, list[Change]]:
    """Tokens of templates at a turn's ends go; from a response goes what a model wrote on as the next task or turn."""
    new, changes = text, []
    for pattern in (NEXT_TASK, NEXT_TURN) if role == "assistant" else ():
        found = pattern.search(new)
        if found and new[: found.start()].strip():
            changes.append((found.start(), new[found.start() :], ""))
            new = new[: found.start()].rstrip()
    found = END_TOKENS.search(new) if role == "assistant" else None
    if found and new[: found.start()].strip():
        changes.append((found.start(), found[0], ""))
        new = new[: found.start()]
    for found in (NO_TEXT.match(new), _at_end(NO_TEXT, new)):
        if found and new.replace(found[0], "", 1).strip() and found[0] in new:
            changes.append((found.start(), found[0], ""))
            new = new.replace(found[0], "", 1)
    return new, changes


def _at_end(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next((m for m in pattern.finditer(text) if m.end() == len(text)), None)
