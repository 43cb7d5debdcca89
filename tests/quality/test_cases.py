"""Every rule against its cases: rows that it must catch and look-alikes that it must not."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from instdata.steps.quality.form import repetition
from instdata.steps.quality.rule_table import RULES, fired
from instdata.steps.quality.rule_text import Text

CASES = Path(__file__).parents[1] / "cases" / "quality"
BY_NAME = {rule.name: rule for rule in RULES}


def read(name):
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text("utf-8").splitlines()]


def fires(name, text):
    return repetition(text) > 0.8 if name == "repetition" else fired(text, [BY_NAME[name]])[name]


@pytest.mark.parametrize("name", [*BY_NAME, "repetition"])
def test_cases(name):
    cases = read(name)
    wanted = np.array([case["fires"] for case in cases])
    assert wanted.sum() >= 5
    assert (~wanted).sum() >= 5
    assert any("\u4e00" <= c <= "\u9fff" for case in cases for c in case["prompt"] + case["response"])
    got = fires(name, Text(pa.array([c["prompt"] for c in cases]), pa.array([c["response"] for c in cases])))
    wrong = [
        (c["fires"], c["prompt"][:80], c["response"][:80]) for c, g in zip(cases, got, strict=True) if c["fires"] != g
    ]
    assert not wrong


def test_every_rule_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")
    for rule in RULES:
        assert f"| `{rule.name}` | {rule.about} |" in text


def test_every_file_of_cases_belongs_to_a_rule():
    assert {path.stem for path in CASES.iterdir()} == {*BY_NAME, "repetition"}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_examples_of_the_table(rule):
    for example, wanted in ((rule.catches, True), (rule.spares, False)):
        assert fired(Text(pa.array([example[0]]), pa.array([example[1]])), [rule])[rule.name][0] == wanted, example
