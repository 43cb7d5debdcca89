"""What answers: an endpoint (on loopback), vLLM and GPUs (fakes: none was at hand)."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from instdata.score.evaluate import score
from instdata.score.item import Item
from instdata.train.backend import named, open_model, room
from instdata.util.errors import InputError

from .conftest import SET, run


def item(n: int) -> Item:
    return Item(
        f"{n:032x}", "sums", [{"role": "user", "content": f"What is {n} plus 1?"}], "5", None, "number", None, "s"
    )


def test_an_endpoint_answers_and_tells_no_likelihoods(tmp_path, monkeypatch):
    pytest.importorskip("openai")
    from tests.llm.server import running

    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path))
    with running(fixed="The sum is 5.") as server:
        url = server.url
        name, model = open_model(f"{url}#some-model", print)
        table = score(model, [item(n) for n in range(4)], ["answers"], {"cell": name})
        assert name == "some-model" and table["value"].to_pylist() == [1.0] * 4
        with pytest.raises(InputError, match="tells no likelihoods"):
            score(model, [item(1)], ["bits"], {})
        with pytest.raises(InputError, match="say which of its models"):
            open_model(url, print)
    assert named("http://user:secret@host/v1#m") == ("m", "http://host/v1#m")  # no secret names a cell


def test_evaluate_takes_an_endpoint(home):
    pytest.importorskip("openai")
    from tests.llm.server import running

    with running(fixed="The sum is 5.") as server:
        url = server.url
        found = run(f"evaluate {url}#m --build planted --max-items 6")
    assert found["model"] == "m" and {s["metric"] for s in found["scores"]} == {"number", "exact"}


def test_cells_from_outside_may_be_endpoints(home):
    pytest.importorskip("openai")
    from tests.llm.server import running

    with running(fixed="The sum is 5.") as server:
        url = server.url
        lines = [f"{arm},64,{seed},{url}#{arm}" for seed in (0, 1) for arm in ("with", "without")]
        (home / "cells.csv").write_text("\n".join(["arm,size,seed,model", *lines]))
        line = f"ablate planted --filter filter --cells cells.csv --yes --metric accuracy {SET}"
        found = run(line, None)
        assert found["effects"][-1]["effect"] == 0 and not found["leaking_rows_left_out"]
        with pytest.raises(InputError, match="tells no likelihoods"):
            run(line.replace("accuracy", "bits"))


def fake_vllm(monkeypatch):
    asked = []

    class LLM:
        def __init__(self, model, dtype, seed):
            asked.append((model, dtype))

        def chat(self, talks, how, use_tqdm):
            asked.append([h.max_tokens for h in how])
            say = SimpleNamespace
            return [say(outputs=[say(text=" 5 ", finish_reason="stop" if i else "length")]) for i in range(len(talks))]

    module = SimpleNamespace(LLM=LLM, SamplingParams=lambda **k: SimpleNamespace(**k))
    monkeypatch.setitem(sys.modules, "vllm", module)
    return asked


def test_vllm_where_it_is_installed(monkeypatch):
    """A fake with vLLM's names; the real one needs a GPU and was not run."""
    asked = fake_vllm(monkeypatch)
    name, model = open_model("vllm:some/model", print)
    assert name == "model" and asked == [("some/model", "auto")]
    assert model.answers([[{"role": "user", "content": "?"}]] * 2, ["x", "y" * 3000]) == [("5", False), ("5", True)]
    assert asked[-1] == [256, room("y" * 3000, None, False)] and asked[-1][1] > 3000
    with pytest.raises(InputError, match="leave vllm: out"):
        model.losses([])


def test_vllm_where_it_is_not():
    with pytest.raises(InputError, match="vLLM is not installed"):
        open_model("vllm:some/model", print)


@pytest.mark.parametrize(("real", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_only_where_the_card_has_it(monkeypatch, real, wanted):
    import torch

    from instdata.llm.causal_models import fast_dtype

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or real)
    assert fast_dtype(torch.device("cuda")) == getattr(torch, wanted)


@pytest.mark.parametrize("there", [True, False])
def test_packed_attention_on_a_card_equals_each_row_alone(monkeypatch, there):
    """The kernel by a fake that does what it promises (and takes what torch 2.10's takes, which knows no shared heads);
    without it rows are attended one by one. tests/harness/test_card_path.py asks a real one."""
    import torch

    from instdata.train import pack

    calls = []

    def varlen_attn(q, k, v, cu_q, cu_k, most_q, most_k, scale=None, window_size=None):
        assert q.dtype == k.dtype == v.dtype == torch.bfloat16 and q.shape == k.shape
        calls.append(window_size)
        out, _ = pack._attend_each(None, *(x.transpose(0, 1)[None] for x in (q, k, v)), None, scale, 0.0, cu_q)
        return out[0]

    name = "torch.nn.attention.varlen"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(varlen_attn=varlen_attn) if there else None)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 10, 8, dtype=torch.bfloat16) for heads in (4, 2, 2))
    starts = torch.tensor([0, 4, 10], dtype=torch.int32)
    one, _ = pack._attend_varlen(None, q, k, v, None, None, 0.0, starts, 6)
    two, _ = pack._attend_each(None, q, k, v, None, None, 0.0, starts)
    assert torch.equal(one, two) and calls == ([(-1, 0)] if there else [])
    pack._attend_varlen(None, q.float(), k.float(), v.float(), None, None, 0.0, starts, 6)
    assert len(calls) == there  # the kernel takes half precision only
    with torch.autocast("cpu", dtype=torch.bfloat16):  # rotated queries and keys are float32 there, values are not
        mixed, _ = pack._attend_varlen(None, q.float(), k.float(), v, None, None, 0.0, starts, 6)
    assert len(calls) == 2 * there and torch.allclose(mixed.float(), one.float(), atol=1e-2)


def test_the_parent_lets_go_of_its_model_before_children_train(home, monkeypatch):
    from instdata.compare import cell
    from instdata.grow.curve import grids
    from instdata.train.training_recipe import training

    [(grid, streams)] = grids(home / "builds/planted", ["./tiny"], 2, training("proxy"), ["bits"], sizes="16")
    seen = []

    class Pool:
        def __init__(self, *a):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *a):
            return False

        def submit(self, function, alone, stream, places):
            seen.append((grid.loaded, alone.loaded, stream.seed))
            return SimpleNamespace(result=lambda: None)

    monkeypatch.setattr(cell, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(cell, "run_stream", lambda grid, stream: [])
    cell.run_streams(grid, streams, workers=2)
    assert seen == [(None, None, 0), (None, None, 1)]
