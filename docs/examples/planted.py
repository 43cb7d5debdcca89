"""Plant a known fault: copies of rows with other rows' answers, so that an ablation has a truth to find.

    python docs/examples/planted.py recipes/seeds/belle_en.jsonl --out planted [--rows N]

writes planted/clean.jsonl (the rows) and planted/shuffled.jsonl (each question with another row's answer). A recipe
that reads both and drops the second with a filter step is then ablated: see docs/examples/planted.yaml and `make
ablate`.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any


def rows_of(path: Path) -> list[dict[str, Any]]:
    """instruction, input, output and, where given, ability of each row: Alpaca's format or Self-Instruct's."""
    text = path.read_text(encoding="utf-8")
    records = (
        json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line]
    )
    found = []
    for record in records:
        task = (record.get("instances") or [record])[0]
        row = {"instruction": record["instruction"], "input": task.get("input", ""), "output": task["output"]}
        if row["output"].strip():
            found.append(row | ({"ability": record["ability"]} if "ability" in record else {}))
    return found


def shuffled(rows: list[dict[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """The rows, each with the answer of the next one in a random order: nobody keeps its own."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    answers = {a: rows[b]["output"] for a, b in zip(order, [*order[1:], order[0]])}
    return [row | {"output": answers[i]} for i, row in enumerate(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="take the first N rows only")
    args = parser.parse_args()
    rows = [row for path in args.files for row in rows_of(path)][: args.rows]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in (("clean", rows), ("shuffled", shuffled(rows))):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        (args.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{args.out}: {len(rows)} rows, and as many with another row's answer")


if __name__ == "__main__":
    main()
