"""The real thing, small: SmolLM2-135M from its GGUF learns, saves, loads and writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from instdata.llm.causal_models import load, save
from instdata.train.forward import answer_losses
from instdata.train.generation import answers
from instdata.train.loop import begin, ladder
from instdata.train.render import encode, stop_ids
from instdata.train.training_recipe import RECIPES

pytestmark = pytest.mark.slow


def test_smollm2_learns_saves_and_writes(realdata, tmp_path):
    rows = [r for r in json.loads((realdata / "alpaca_en_52k.json").read_text("utf-8"))[:400] if r["output"].strip()]
    talks = [
        [
            {"role": "user", "content": f"{r['instruction']}\n{r['input']}".strip()},
            {"role": "assistant", "content": r["output"]},
        ]
        for r in rows
    ]
    model = load("auto", lambda line: None)
    assert model.tokenizer.convert_ids_to_tokens(stop_ids(model.tokenizer)) == ["<|im_end|>"]
    learned, held = talks[:32], talks[-20:]
    before = answer_losses(model.net, model.tokenizer, held, model.context)
    run = begin(model, RECIPES["proxy"], 0)
    for _ in ladder(run, encode(model.tokenizer, learned, 1024), [32]):
        after = answer_losses(run.net, model.tokenizer, held, model.context)
        assert np.nansum(after[:, 0]) < np.nansum(before[:, 0])
        save(run.net, model.tokenizer, tmp_path / "saved")
    again = load(str(tmp_path / "saved"))
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(again.net(ids).logits, load(str(tmp_path / "saved")).net(ids).logits)
    assert np.allclose(answer_losses(again.net, again.tokenizer, held, again.context), after, rtol=1e-3)
    [(text, ended)] = answers(
        again.net, again.tokenizer, [[{"role": "user", "content": "What is the capital of France?"}]], 8192
    )
    assert "Paris" in text and ended
