"""GRAPE: of several answers the one that the student finds likeliest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context
from tests.generate.conftest import accepted, rows
from tests.harness.conftest import tiny_folder as tiny_folder  # a fixture
from tests.llm.server import han, number
from tests.verify.conftest import model as model  # a fixture


def step_of(folder: Path, **more) -> Generate:
    student = {"path": str(folder), "max_tokens": 64, "dtype": "float32"}
    return Generate(**{"name": "generate", "model": "m", "method": "respond", "best_of": 3, "student": student, **more})


def test_the_likeliest_answer_is_taken(tiny_folder, model, tmp_path):
    pytest.importorskip("torch")
    from instdata.steps.quality.perplexity_and_ifd import encode, load, losses

    def given(context):
        return rows([[("user", "请回答：什么是山")]], [None], context, "mine")

    context = Context(seed=0, cache=tmp_path)
    with model(lambda prompt, body: han(3 + number(body["seed"]) % 9, body["seed"])):
        made = step_of(tiny_folder).resolve(context).produce(given(context))
    (row,) = accepted(made)
    assert json.loads(row["meta"])["generate"]["chosen_by"] == "student"
    said = [han(3 + number(seed) % 9, seed) for seed in (0, 7919, 2 * 7919)]
    tokenizer, net = load(tiny_folder, "float32")
    alone = [losses(net, encode(tokenizer, ["请回答：什么是山"], [text], 64))[0] for text in said]
    assert row["messages"][1]["content"] == said[min(range(3), key=alone.__getitem__)]
    assert len(set(alone)) == 3


def test_what_a_student_needs(tiny_folder):
    for wrong in ({"best_of": 1}, {"judge": "j"}, {"method": "evolve", "target": 3}):
        with pytest.raises(ValidationError, match="student chooses among answers"):
            step_of(tiny_folder, **wrong)
