"""What only a GPU can show: skipped without one (no CI has one; docs/results names the cards that these ran on)."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture
def network(tiny_folder):
    from instdata.llm.causal_models import load

    return load(str(tiny_folder))


def encoded(sizes, vocabulary):
    from instdata.train.render import Encoded

    draw = np.random.default_rng(3)
    return [Encoded(draw.integers(5, vocabulary, n).tolist(), [True] * n) for n in sizes]


def test_the_kernel_runs_under_autocast_and_equals_each_row_alone(network, monkeypatch):
    from torch.nn.attention import varlen

    from instdata.train.pack import keep_apart, pack, token_losses

    calls, kernel = [], varlen.varlen_attn
    monkeypatch.setattr(varlen, "varlen_attn", lambda *a, **k: calls.append(1) or kernel(*a, **k))
    net = network.net.to("cuda")
    assert keep_apart(net)
    rows = encoded((7, 30, 64, 3), net.get_input_embeddings().num_embeddings)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        packed = token_losses(net, pack(rows, "cuda"))
        alone = torch.cat([token_losses(net, pack([r], "cuda")) for r in rows])
    assert calls and (packed - alone).abs().max() < 0.05
    packed.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    net.zero_grad()
    exact = torch.cat([token_losses(net, pack([r], "cuda")) for r in rows])  # float32: no kernel
    assert (packed - exact).abs().max() < 0.1


def test_a_run_on_a_card_says_what_it_used(network):
    from instdata.train.loop import batches, begin, train
    from instdata.train.training_recipe import training

    recipe = training("proxy", ["batch=4", "length=256"])
    run = begin(network, recipe, 0)
    assert run.device.type == "cuda"
    rows = encoded([40] * 16, run.net.get_input_embeddings().num_embeddings)
    steps, lines = batches(rows, [16], recipe, 0), []
    train(run, rows, steps, len(steps), len(steps), lines.append)
    assert lines[-1]["loss"] < lines[0]["loss"] + 1 and 0 < lines[-1]["mfu"] < 1 and lines[-1]["memory"] > 0


def test_larger_batches_of_answers_on_a_card(network):
    from instdata.train.generation import BATCH_TOKENS, CARD_TOKENS, _at_once

    assert _at_once(network.net, torch.device("cpu")) == BATCH_TOKENS
    assert BATCH_TOKENS < _at_once(network.net, torch.device("cuda")) <= CARD_TOKENS
