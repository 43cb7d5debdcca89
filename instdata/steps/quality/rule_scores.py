"""What the quality step scores by its rules: columns as long as the rows, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import TEXT, Rows
from instdata.steps.quality.evidence import found
from instdata.steps.quality.form import repetition
from instdata.steps.quality.rule_table import fired, flags, search
from instdata.steps.quality.rule_text import BATCH, Text

SHOWN_REPETITION = 0.3  # from where a row's repeated words are looked up, whatever bound decides


def by_rules(rows: Rows, turns: str) -> dict[str, Any]:
    """What the rules score, a batch at a time; see Quality.score."""
    parts = [_batch_by_rules(part, turns) for part in (rows.batches(BATCH) if len(rows) else [rows])]
    return {k: pa.concat_arrays([pa.array(p[k]) for p in parts]) for k in parts[0]}


def _batch_by_rules(rows: Rows, turns: str) -> dict[str, Any]:
    last, n = Text.of(rows, search()), len(rows)
    text, row, turn = (last, np.arange(n), None) if turns == "last" else Text.of_turns(rows, search())
    repeated = repetition(text)
    masks = fired(text)
    of_rows = {name: _any_of(mask, row, n) for name, mask in masks.items()}
    shown = found(text, {**masks, "repetition": repeated > SHOWN_REPETITION}, row, turn, n)
    share = np.zeros(n, np.float32)
    np.maximum.at(share, row, repeated)
    asked, sure_asked = last.prompt_language
    given, sure = last.response_language
    undecided = np.asarray(given.is_null())
    spoken = pc.coalesce(given, asked)
    return {
        "chars": last.chars.astype(np.int32),
        "repetition": share,
        "lang_confidence": np.where(undecided, sure_asked, sure).astype(np.float32),
        "flags": flags(of_rows),
        "_found": shown,
        "_lang": spoken,
        "_prompt_lang": asked,
        "_row_lang": rows.lang,
        "_kanji": _perhaps_kanji(rows, np.asarray(pc.fill_null(pc.equal(spoken, "zh"), False))),
    }


def _any_of(mask: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    """Of texts, whether any of each row's has the mark."""
    marked = np.zeros(n, bool)
    marked[row[mask]] = True
    return marked


KANJI_CHARS = 60  # longer Japanese has kana
# Everyday words of Chinese that are not in Japanese, besides the simplified forms that Shift JIS lacks.
CHINESE_ONLY = frozenset("是你這麼沒說還嗎妳哪誰很")


def _perhaps_kanji(rows: Rows, chinese: np.ndarray) -> np.ndarray:
    """Of rows that are Chinese by their script, those that may be Japanese written in kanji alone."""
    may = np.zeros(len(rows), bool)
    at = np.flatnonzero(chinese)
    begun = pc.utf8_slice_codeunits(rows.take(at, TEXT).full, 0, 400).to_pylist() if len(at) else []
    for i, text in zip(at.tolist(), begun):
        han = [c for c in text if "\u4e00" <= c <= "\u9fff"]
        if len(han) <= KANJI_CHARS and not CHINESE_ONLY.intersection(han):
            try:
                "".join(han).encode("shift_jis")
            except UnicodeEncodeError:
                continue
            may[i] = True
    return may
