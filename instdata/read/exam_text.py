"""LogiQA's text files (file_kind.EXAM): blocks of lines, a blank one between them: the letter of the answer, the text,
the question, the options with their letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instdata.read.bytes_to_records import Bad, lines

OPTION = re.compile(r"\s*[(（]?([A-F])\s*[.．、:：)）]\s*(.*)", re.S)


def exam_records(path: Path, encoding: str) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """{text, question, options, answer} of each block, the answer as the option's letter; or (error, its text)."""
    block: list[str] = []
    for found in lines(path, encoding):
        for line in found:
            if isinstance(line, Bad):
                yield line.error, line.raw
                continue
            text = line.decode("utf-8", "backslashreplace").removeprefix("\ufeff").strip()
            if text:
                block.append(text)
            elif block:
                yield _record(block)
                block = []
    if block:
        yield _record(block)


def _record(block: list[str]) -> dict[str, Any] | tuple[str, str]:
    options = [OPTION.match(line) for line in block[3:]]
    named = [m[1] for m in options if m]
    if not re.fullmatch(r"[a-fA-F]", block[0]) or len(named) < max(2, len(options)) or named != sorted(set(named)):
        wrong = "not the letter of an answer, a text, a question and its options (LogiQA's text format)"
        return wrong, "\n".join(block)
    shown = [m[2] for m in options if m]
    return {"text": block[1], "question": block[2], "options": shown, "answer": block[0].upper()}
