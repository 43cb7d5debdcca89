"""Rows as an audit shows them: a page that is handed on holds no key, address, phone or card number of anybody."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from instdata.corpus.corpus import Corpus
from instdata.corpus.rows import told
from instdata.report.build_facts import shortened
from instdata.steps.quality.personal_data import real_card, real_email, real_id, real_phone
from instdata.util.redaction import redact

SHOWN = 10  # rows of each finding
CHARS = 600  # of a turn
MASK = "▇▇▇"
HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
PERSONAL = (real_email, real_id, real_card, real_phone)


def masked(value: Any) -> Any:
    """A text without keys and personal data; in lists and mappings, every text, names included."""
    if isinstance(value, dict):
        return {masked(k): masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v) for v in value]
    if not isinstance(value, str):
        return value
    text = redact(value)
    for place in PERSONAL:
        while found := place(text):
            text = text[: found[0]] + MASK + text[found[1] :]
    return text


def visible(text: str) -> str:
    """The text with characters that show nothing, or move others, spelled out: a finding about them can be seen."""
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in HIDDEN and c not in "\n\t" else c for c in text)


def some(mask: np.ndarray) -> list[int]:
    """At most SHOWN rows of a mask, spread over the set evenly."""
    at = np.flatnonzero(mask)
    return at[np.unique(np.linspace(0, len(at) - 1, min(SHOWN, len(at))).astype(int))].tolist() if len(at) else []


def rows_shown(corpus: Corpus, wanted: set[int]) -> dict[int, dict[str, Any]]:
    """{rid, source_file, source_row, lang, license, turns} of rows by number, masked and shortened."""
    positions = np.array(sorted(wanted), np.int64)
    if not len(positions):
        return {}
    names = ["rid", "source_file", "source_row", "lang", "license", "messages"]
    found = {}
    for at, row in zip(positions.tolist(), corpus.view(positions).table.select(names).to_pylist()):
        talk = [_spoken(told(turn)) for turn in row.pop("messages")]
        found[at] = {**{k: masked(v) for k, v in row.items()}, "turns": shortened(talk, CHARS)}
    return found


def _spoken(turn: dict[str, Any]) -> dict[str, str]:
    """A turn as one text: its reasoning, its content, the tools that it calls."""
    calls = [f"{c['function']['name']}({c['function'].get('arguments') or ''})" for c in turn.get("tool_calls", [])]
    parts = [
        f"<think>{turn['reasoning_content']}</think>" if turn.get("reasoning_content") else "",
        turn["content"],
        *calls,
    ]
    # Masked before it is cut: half of a key is not told for one.
    return {"role": turn["role"], "content": masked("\n".join(p for p in parts if p))}
