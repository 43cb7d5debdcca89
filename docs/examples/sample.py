"""A small set of our own with the faults that real ones have, for docs/tutorial.md: near copies, empty answers, a
refusal, a phrase of another model, broken encoding. `python docs/examples/sample.py > alpaca_zh.jsonl`"""

from __future__ import annotations

import json
from pathlib import Path

SEEDS = Path(__file__).parents[2] / "recipes/seeds/belle_zh.jsonl"


def records() -> list[dict[str, str]]:
    """The shipped Chinese seed tasks as Alpaca records, and the faults after them."""
    found = []
    for line in SEEDS.read_text("utf-8").splitlines():
        seed = json.loads(line)
        for instance in seed["instances"]:
            found.append(
                {"instruction": seed["instruction"], "input": instance.get("input", ""), "output": instance["output"]}
            )
    copies = [{**r, "instruction": r["instruction"] + "！"} for r in found[:6]]
    faults = [
        {"instruction": "介绍一下你自己。", "input": "", "output": "作为一个人工智能语言模型，我没有个人身份。"},
        {"instruction": "写一首关于秋天的诗。", "input": "", "output": ""},
        {
            "instruction": "Explain café culture.",
            "input": "",
            "output": "A cafÃ© is where people meet, and the coffee is not the point.",
        },
    ]
    return found + copies + faults


if __name__ == "__main__":
    for record in records():
        print(json.dumps(record, ensure_ascii=False))
