"""Rows of DoIT's abilities from public sets in their own formats: one JSON line each, with ability and origin.

    python docs/examples/doit_rows.py FOLDER --out doit_rows.jsonl --rows 60

FOLDER holds gaokao-biology.jsonl, gaokao-history.jsonl, gaokao-chinese.jsonl, c3-d-dev.json, logiqa-zh.jsonl (folder
doit), gsm8k/train.jsonl, doit/gpteacher_roleplay.json and code/gpteacher_codegen.json. The licences are theirs: see
each set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def lines(path: Path) -> Iterator[Row]:
    yield from (json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip())


def exam(path: Path, ability: str) -> Iterator[Row]:
    """AGIEval's records: passage, question, lettered options, the letter."""
    for r in lines(path):
        asked = "\n".join(x for x in [r["passage"], r["question"], *(r["options"] or [])] if x)
        if r["label"] and len(asked) < 700:
            yield {"instruction": asked, "output": r["label"], "ability": ability, "origin": "human"}


def dialogues(path: Path) -> Iterator[Row]:
    """C3's records: the turns, the questions, each with choices and the right one."""
    for turns, questions, _ in json.loads(path.read_text("utf-8")):
        for q in questions:
            shown = [f"{letter}. {c}" for letter, c in zip("ABCD", q["choice"])]
            answer = "ABCD"[q["choice"].index(q["answer"])]
            asked = "\n".join([*turns, q["question"], *shown])
            if len(asked) < 700:
                yield {"instruction": asked, "output": answer, "ability": "dialogue_understanding", "origin": "human"}


def answered(rows: list[Row], answer: str, ability: str) -> Iterator[Row]:
    """GPTeacher's records, which GPT-4 wrote."""
    for r in rows:
        asked = "\n".join(x for x in (r["instruction"], r.get("input")) if x)
        yield {"instruction": asked, "output": r[answer], "ability": ability, "origin": "gpt-4"}


def sums(path: Path) -> Iterator[Row]:
    """GSM8K: the way there, then the number."""
    for r in lines(path):
        answer = r["answer"].replace("\n#### ", "\nThe answer is ")
        yield {"instruction": r["question"], "output": answer, "ability": "cot", "origin": "human"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=60, help="of each set")
    args = parser.parse_args()
    doit = args.folder / "doit"
    sets = [
        *(exam(doit / f"gaokao-{a}.jsonl", a) for a in ("biology", "history", "chinese")),
        exam(doit / "logiqa-zh.jsonl", "logical_reasoning"),
        dialogues(doit / "c3-d-dev.json"),
        sums(args.folder / "gsm8k" / "train.jsonl"),
        answered(json.loads((doit / "gpteacher_roleplay.json").read_text("utf-8")), "response", "role_play"),
        answered(json.loads((args.folder / "code" / "gpteacher_codegen.json").read_text("utf-8")), "response", "code"),
    ]
    with args.out.open("w", encoding="utf-8") as file:
        for rows in sets:
            for _, row in zip(range(args.rows), rows):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
