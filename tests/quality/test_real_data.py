"""The known defects of real data are caught, and little else goes."""

import collections
import json
import re

import numpy as np
import pyarrow as pa
import pytest

from instdata.steps.quality.rule_samples import sample
from instdata.steps.quality.rule_table import SETS, fired, select
from instdata.steps.quality.rule_text import Text


@pytest.fixture(scope="module")
def alpaca(realdata):
    rows = json.loads((realdata / "alpaca_en_52k.json").read_text("utf-8"))
    return rows, Text(
        pa.array(["\n\n".join(r[k] for k in ("instruction", "input") if r[k]) for r in rows]),
        pa.array([r["output"] for r in rows]),
    )


def test_alpaca_in_english(alpaca):
    rows, text = alpaca
    masks = fired(text)
    empty = np.array([not r["output"].strip() for r in rows])
    merged = np.array([bool(re.search(r"\d+\.\s*Instruction\s*:", r["output"])) for r in rows])
    assert (empty.sum(), merged.sum()) == (28, 37)
    assert (masks["no_response"] == empty).all()
    assert (masks["merged_task"] == merged).all()
    dropped = np.any([masks[name] for name in SETS["default"] if name in masks], axis=0)
    assert 0.005 < dropped.mean() < 0.015
    counts = collections.Counter({name: int(mask.sum()) for name, mask in masks.items()})
    # read: docs/quality.md
    for name, at_least in {
        "refusal": 38,
        "template_token": 95,
        "empty_response": 40,
        "needs_media": 100,
        "needs_link": 140,
        "false_arithmetic": 12,
    }.items():
        assert counts[name] >= at_least, name


def test_alpaca_in_chinese(realdata):
    rows = [json.loads(line) for line in (realdata / "alpaca_zh" / "human_checked_9251.jsonl").open(encoding="utf-8")]
    prompts = pa.array(["\n\n".join(r[k] for k in ("instruction", "input") if r.get(k)) for r in rows])
    masks = fired(Text(prompts, pa.array([r["output"] for r in rows])))
    assert {
        name
        for name in ("echo", "refusal", "mixed_language", "wrong_target", "word_limit", "merged_task")
        if masks[name].sum() < 2
    } == set()
    assert np.any([masks[name] for name in SETS["default"] if name in masks], axis=0).mean() < 0.03


def test_clean_data_stays(realdata):
    """Rows people wrote: nothing but a few."""
    for file, prompt, response in (
        ("gsm8k/train.jsonl", "question", "answer"),
        ("dolly/dolly_dev.jsonl", "instruction", "output"),
    ):
        rows = [json.loads(line) for line in (realdata / file).open(encoding="utf-8")]
        answers = [re.sub(r"<<.*?>>", "", r[response]) for r in rows]
        masks = fired(Text(pa.array([r[prompt] for r in rows]), pa.array(answers)))
        assert np.any([masks[name] for name in SETS["default"] if name in masks], axis=0).mean() < 0.006, file


def test_sample_of_a_ledger():
    reasons = ["refusal", "refusal", "echo", None, "refusal", "not_zh"]
    ledger = pa.table(
        {
            "rid": [f"r{i}" for i in range(6)],
            "step": ["quality", "quality", "quality", None, "other", "quality"],
            "verdict": ["dropped", "dropped", "dropped", "kept", "dropped", "dropped"],
            "reason": reasons,
        }
    )
    found = sample(ledger, "quality", rows=1)
    assert [(s.reason, s.count, len(s.rids)) for s in found] == [("refusal", 2, 1), ("echo", 1, 1), ("not_zh", 1, 1)]
    assert found[0].about.startswith("The response declines")
    assert sample(ledger.take(pa.array([5, 4, 3, 2, 1, 0])), "quality", rows=1) == found
    assert select(["default"]) == SETS["default"]
