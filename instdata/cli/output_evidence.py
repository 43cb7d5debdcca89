"""Evidence for people: what a step found in a row, the span marked in its text; what a step changed, before and
after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

AROUND = 60  # characters of the text before and after a span
MARKED = 200  # characters of a span
PLACE = (
    "rule",
    "view",
    "span",
    "text",
    "turn",
    "changes",
    "overrides",
)  # keys that are told in other ways than `key: value`


def evidence_lines(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(word, text) lines for a row of `history`."""
    found = row["evidence"] or {}
    for name, value in found.items():
        if name not in PLACE:
            yield "evidence", f"{name}: {value}"
    if "span" in found:
        turn = f", assistant turn {found['turn']}" if "turn" in found else ""
        yield "found", f"{_marked(row, found)} ({found.get('view', 'answer')}{turn}, characters {_span(found)})"
    elif "text" in found:
        yield "found", str(found["text"])
    for decision in found.get("overrides", []):
        yield "override", ", ".join(f"{k} {v}" for k, v in decision.items())
    for change in found.get("changes", []):
        yield "was", change["derived_from"]
        for edit in change["edits"]:
            more = f", {edit['times']} times in all" if edit.get("times", 1) > 1 else ""
            yield "changed", f"{edit['kind']}: {_shown(edit['before'])} -> {_shown(edit['after'])}{more}"


def _span(found: dict[str, Any]) -> str:
    return "{} to {}".format(*found["span"])


def _marked(row: dict[str, Any], found: dict[str, Any]) -> str:
    """The span between 【 and 】 with what stands around it; the words alone where the text is not to be had, or was
    masked."""
    text = _view(row, found)
    start, end = found["span"]
    if text is None or not text[start:end].startswith(found["text"][:MARKED].rstrip("…")):
        return f"【{found['text']}】"
    before, hit, after = text[max(0, start - AROUND) : start], text[start:end], text[end : end + AROUND]
    hit = hit if len(hit) <= MARKED else hit[:MARKED] + "…"
    return ("…" if start > AROUND else "") + f"{before}【{hit}】{after}" + ("…" if len(text) > end + AROUND else "")


def _view(row: dict[str, Any], found: dict[str, Any]) -> str | None:
    """The text of the view that the evidence is about."""
    if not row.get("messages"):
        return None
    import pyarrow as pa

    from instdata.corpus.rows import MESSAGES, Rows
    from instdata.corpus.views import thought_of

    view, turn = found.get("view", "answer"), found.get("turn")
    if turn is not None and view != "prompt":
        said = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        return (
            thought_of(pa.array([said[turn - 1]], pa.string()))[view == "answer"][0].as_py()
            if turn <= len(said)
            else None
        )
    if turn is not None:
        return None
    turns = [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    return Rows(pa.table({"messages": pa.array([turns], MESSAGES)})).view(view)[0].as_py()


def _shown(text: str | None) -> str:
    return "nothing" if not text else repr(text)
