"""The one reader of replies: thoughts taken out, JSON found however it is wrapped, keys in either language.

Every judge, labeller and writer reads through it. What no person could read raises Unusable with a few words why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import unescape
from typing import Any

from instdata.llm.lenient_json import Object, Piece, find
from instdata.util.thought_marks import CHANNEL_END, FRAME, MARKS, channel
from instdata.util.thought_marks import FINAL as FINAL_MARK

VERSION = 2  # raise it when a reply is read otherwise: steps that ask models score anew, from the answers they have


class Unusable(ValueError):
    """Raised by a reader: this answer cannot be used; the message says why in a few words."""


# What models put around their thoughts: opening and closing marks.
THOUGHTS = tuple(
    (re.compile(opens, re.I), re.compile(closes, re.I))
    for opens, closes in (
        *MARKS,
        (channel("analysis|commentary"), rf"{CHANNEL_END}|(?=<\|start\|>|<\|channel\|>final)"),
    )
)
FINAL = re.compile(
    rf"^\s*{FINAL_MARK}|<\|(?:return|end|im_end|endoftext)\|>\s*$|^\s*</?(?:answer|response)>|</answer>\s*$|{FRAME}"
)
PREFACE = 300  # characters that a model may say before it opens its thoughts
MATERIAL = re.compile(r"[{\[`\"“「]")  # what follows is the answer itself, where a mark is quoted

ALIASES = {
    "instruction": [
        "instruction",
        "user",
        "用户指令",
        "题目内容",
        "问题描述",
        "任务描述",
        "question",
        "prompt",
        "task",
        "query",
        "problem",
        "指令",
        "问题",
        "任务",
        "题目",
        "提问",
        "题干",
        "指示",
    ],
    "response": [
        "response",
        "answer",
        "output",
        "completion",
        "reply",
        "assistant",
        "参考答案",
        "标准答案",
        "回答",
        "答案",
        "回复",
        "输出",
        "解答",
        "响应",
    ],
    "reason": [
        "reason",
        "reasoning",
        "rationale",
        "explanation",
        "justification",
        "理由",
        "原因",
        "说明",
        "解释",
        "分析",
    ],
    "grade": ["grade", "final_grade", "等级", "评级", "级别", "评定", "评定等级", "最终等级"],
    "better": ["better", "better_answer", "winner", "verdict", "更好", "更好的回答", "胜者", "结论", "较好"],
    "ability": ["ability", "category", "label", "class", "能力", "类别", "分类", "标签"],
    "quality": ["quality", "质量"],
    "complexity": ["complexity", "difficulty", "复杂度", "难度", "复杂性"],
    "helpfulness": ["helpfulness", "helpful", "有用性", "有用", "帮助性", "帮助"],
    "best": ["best", "choice", "最佳", "最好", "选择"],
}
CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


def thoughts(text: str) -> tuple[str, str]:
    """(what a reply thought, what it answers). Marks are taken for thoughts where they stand at the start or after a
    few words, not inside of an answer that speaks of them. Thoughts that never end leave no answer."""
    thought: list[str] = []
    while True:
        opened = [(m.start(), m, close) for o, close in THOUGHTS if (m := o.search(text, 0, PREFACE + 40))]
        opened = [o for o in opened if not MATERIAL.search(text, 0, o[0])]
        if not opened:
            break
        start, mark, close = min(opened, key=lambda o: o[0])
        end = _last(close, text, mark.end())
        thought.append(text[mark.end() : end.start() if end else len(text)])
        text = text[:start] + (text[end.end() :] if end else "")
        if not end:
            break
    if not re.match(r"\s*[{\[`]", text):  # templates that open the thoughts themselves show only their end
        closed = [m for _, close in THOUGHTS[: len(MARKS)] if (m := close.search(text))]
        if closed:
            last = min(closed, key=lambda m: m.start())
            thought.append(text[: last.start()])
            text = text[last.end() :]
    return "\n".join(t.strip() for t in thought if t.strip()), FINAL.sub("", FINAL.sub("", text)).strip()


def _last(close: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    """Where thoughts end. They may quote the mark (a judge that thinks about an answer which forges it), so its last
    one counts; not so where JSON or code begins after the first, which may quote it, too."""
    ends = list(close.finditer(text, start))
    if not ends or ends[0][0] in ("", "<|end|>") or MATERIAL.match(text[ends[0].end() :].lstrip()):
        return ends[0] if ends else None
    return ends[-1] if text[ends[-1].end() :].strip() else ends[0]


def answer(text: str) -> str:
    """A reply without its thoughts. Raises Unusable where nothing is left, or what no file can hold."""
    body = thoughts(text)[1]
    if not body:
        raise Unusable("used up by thinking" if text.strip() else "empty answer")
    if why := undecodable(body):
        raise Unusable(why)
    return body


def undecodable(text: str) -> str | None:
    """Why a text cannot be kept: half a character or NUL, which come of broken decoding."""
    if re.search("[\ud800-\udfff]", text):
        return "half a character (a lone surrogate)"
    return "a NUL character" if "\0" in text else None


def named(value: Any) -> Any:
    """The value with keys in our names (`问题` → `instruction`), all the way down; a name that is there stays."""
    if isinstance(value, list):
        return [named(v) for v in value]
    if not isinstance(value, dict):
        return value
    known = {k: CANONICAL.get(_plain(k), k) for k in value}
    # A plain text is a field, anything else under such a key (tasks: […], answer: {…}) a wrapping.
    return {
        (known[k] if known[k] not in value and not isinstance(v, (dict, list)) else k): named(v)
        for k, v in value.items()
    }


def _plain(key: str) -> str:
    return re.sub(r"[\s-]+", "_", unicodedata.normalize("NFKC", str(key)).strip(" *：:\"'").casefold())


def _twice(value: Any) -> Iterator[str]:
    """Our names of keys that an object of a value gives two different values, by one name or by two of its names."""
    for one in dicts(value):
        seen: dict[str, Any] = {}
        for key, inner in one.items():
            name = CANONICAL.get(_plain(key), key)
            if seen.setdefault(name, inner) != inner or (isinstance(one, Object) and key in one.others):
                yield name


def once(one: Piece, *keys: str) -> None:
    """Raises Unusable where a value says two different things under one of these keys: neither is the reply's."""
    if key := next((k for k in keys if k in one.twice), None):
        raise Unusable(f"two different values of {key}")


def dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a value, outer ones first."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, (dict, list)):
            yield from dicts(inner)


def whole(one: Piece) -> Iterator[dict[str, Any]]:
    """The objects in a value that were not cut, outer ones first."""
    return dicts(one.value) if not one.cut else _uncut(one.value)


def _uncut(value: Any) -> Iterator[dict[str, Any]]:
    """Those of a value that was cut: it lacks what followed, as may the last thing in it, but an object in a list is
    there only where it is whole."""
    inner = list(value.values()) if isinstance(value, dict) else value
    for n, one in enumerate(inner):
        if n < len(inner) - 1 or (isinstance(one, dict) and isinstance(value, list)):
            yield from dicts(one)
        elif isinstance(one, (dict, list)):
            yield from _uncut(one)


def found(text: str) -> tuple[str, list[Piece]]:
    """(the answer without thoughts, the JSON values in it with keys in our names). Raises Unusable."""
    body = thoughts(text)[1]
    if not body:
        raise Unusable("used up by thinking" if text.strip() else "empty answer")
    pieces = find(body)
    if not pieces and (plain := _unwrapped(body)) != body:
        body, pieces = plain, find(plain)
    values = [Piece(f.start, f.end, named(f.value), f.cut, frozenset(_twice(f.value))) for f in pieces]
    return body, [f for f in values if undecodable(_flat(f.value)) is None]


def _unwrapped(text: str) -> str:
    """JSON that was written as a text of JSON, or of a page."""
    if re.match(r'\s*"?\s*[{\[].{0,40}?\\"', text, re.S):
        text = re.sub(r'^\s*"|"\s*$', "", text)
        return re.sub(r'\\(["\\n])', lambda m: "\n" if m[1] == "n" else m[1], text)
    return unescape(text) if "&quot;" in text or "&#34;" in text else text


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"{k}{_flat(v)}" for k, v in value.items())
    return "".join(map(_flat, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


def read_items(text: str, key: str = "instruction") -> list[Any]:
    """The items of a reply that should be {name: [{key: …}, …]}: fenced, with words around, a bare list, one object a
    line, or cut off in the last item (whole items are kept). Raises Unusable where there is none."""
    _, values = found(text)
    if not values:
        raise Unusable("no JSON" if not re.search(r"[{\[]", text) else "broken JSON")
    items: list[Any] = []
    for one in values:
        mine = [d for d in whole(one) if key in d]
        items += [d for d in mine if d not in items]
    if not items:
        lists = [v for f in values for v in _lists(f.value) if any(isinstance(i, dict) for i in v)]
        items = [i for i in lists[0] if isinstance(i, dict)] if lists else []
    if not items:
        raise Unusable("no items")
    return items


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(inner)


def read_object(text: str) -> dict[str, Any]:
    """The one object of a reply, or the first of a list; a wrapping around it is taken off. Raises Unusable."""
    _, values = found(text)
    for one in values:
        for value in dicts(one.value):
            inner = list(value.values())
            if value and not one.cut and not (len(inner) == 1 and isinstance(inner[0],
                (dict, list)) and any(dicts(inner[0]))):  # fmt: skip
                return value
    raise Unusable("no JSON object" if values else "no JSON" if not re.search(r"[{\[]", text) else "broken JSON")


def sole_object(text: str, *keys: str) -> dict[str, Any]:
    """The JSON object of a reply that has all these keys; where several do, they must agree in them, for one of them is
    quoted from the material or was thought better of. Raises Unusable where there is none, or two differ."""
    named: list[dict[str, Any]] = []
    for one in found(text)[1]:
        having = [value for value in whole(one) if all(k in value for k in keys)]
        outer = [v for v in having if not any(v is not o and any(v is d for d in dicts(o)) for o in having)]
        if outer:
            once(one, *keys)
        named += outer
    if any(other[k] != named[-1][k] for other in named for k in keys):
        raise Unusable(f"two objects with different {' and '.join(keys)}")
    if named:
        return named[-1]
    raise Unusable(f"no JSON with {' and '.join(keys)}")
