"""Training is right when every row is seen as planned, and no branch, restart or shortcut shows in the weights."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from instdata.llm.causal_models import load, save
from instdata.train import loop as training_module
from instdata.train.checkpoint import read_checkpoint, write_checkpoint
from instdata.train.loop import batches, begin, ladder, tokens_of, train, usable
from instdata.train.render import Encoded
from instdata.train.training_recipe import RECIPES, training
from instdata.util.errors import BuildError, InputError

from .conftest import rows_of, tiny_net


def recipe(**changes):
    return RECIPES["proxy"].model_copy(update={"dtype": "float32", "length": 256, "lr": 1e-3, **changes})


def weights(run) -> dict:
    return {n: p.detach().clone() for n, p in zip(run.names, run.parameters())}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- the schedule


def test_the_schedule_is_a_pure_function_that_takes_every_row_once_an_epoch():
    rows = rows_of(100, 256)
    steps = batches(rows, [20, 50, 100], recipe(epochs=2), 3)
    assert steps == batches(rows, [20, 50, 100], recipe(epochs=2), 3)
    assert steps != batches(rows, [20, 50, 100], recipe(epochs=2), 4)
    flat = [i for s in steps for b in s for i in b]
    assert sorted(flat) == sorted([*range(100), *range(100)])
    once = batches(rows, [20, 50, 100], recipe(), 3)
    assert batches(rows[:50], [20, 50], recipe(), 3) == once[: len(batches(rows[:50], [20, 50], recipe(), 3))]
    assert len(once) == 3 + 4 + 7  # rows of a rung / batch, rounded up


def test_rows_without_supervised_tokens_are_left_out_and_counted():
    rows = [*rows_of(5), Encoded([1, 2, 3], [False] * 3)]
    assert 5 not in [i for s in batches(rows, [6], recipe(), 0) for b in s for i in b]
    assert usable(rows, 256)["without_supervised"] == 1
    with pytest.raises(InputError, match="none of 1 rows"):
        usable(rows[-1:], 256)


def test_arms_of_other_row_counts_make_as_many_steps():
    rows = rows_of(140, 256)
    counts = {
        len(batches(rows[: rungs[-1]], rungs, recipe(), 0, planned=(64, 128)))
        for rungs in ([64, 128], [66, 139], [60, 121])
    }
    assert counts == {16}


@pytest.mark.parametrize("name", ["belle", "doit", "proxy"])
def test_learning_rates(name):
    r = RECIPES[name]
    rates = [r.rate(s, 50) for s in range(50)]
    assert max(rates) == r.lr
    assert all(a >= b for a, b in zip(rates[r.warmup :], rates[r.warmup + 1 :]))
    if name == "belle":
        assert set(rates) == {3e-6}
    if name == "doit":
        assert rates[0] == 1e-5 and rates[-1] == pytest.approx(1e-6)
    if name == "proxy":
        assert rates[:40] == [r.rate(s, 1000) for s in range(40)] and 0 < rates[-1] < rates[40] < r.lr


def test_changed_recipes_say_so_and_mistakes_are_explained():
    assert training("proxy", ["lr=1e-4"]).name == "proxy,lr=1e-4"
    with pytest.raises(InputError, match='Did you mean "belle"'):
        training("bele")
    with pytest.raises(InputError, match='Did you mean "epochs"'):
        training("proxy", ["epoch=3"])
    with pytest.raises(InputError, match="lr"):
        training("proxy", ["lr=-1"])


# --- training


def run_ladder(folder, rungs, checkpoint=None, log=lambda m: None, wanted=None, **changes):
    """The weights at each rung that was asked for."""
    run = begin(load(str(folder)), recipe(**changes), 1)
    rows = rows_of(max(rungs), 256)
    return {rung: weights(run) for rung, _ in ladder(run, rows, rungs, log, checkpoint, wanted=wanted)}


def test_the_loss_falls(tiny_folder):
    lines = []
    run_ladder(tiny_folder, [256], log=lines.append)
    assert np.mean([m["loss"] for m in lines[-3:]]) < 0.7 * np.mean([m["loss"] for m in lines[:3]])
    told = "loss tokens supervised fill tokens_per_second mfu grad_norm memory"
    assert lines[0].keys() >= set(told.split())
    assert {m["mfu"] for m in lines} == {None}, "a CPU's peak is whatever others leave of it: 515 % once"


def test_no_share_of_a_peak_is_above_one(monkeypatch):
    from instdata.llm import causal_models

    monkeypatch.setattr(causal_models, "matmul_peak", lambda device, dtype: 4e12)
    card, cpu = torch.device("cuda"), torch.device("cpu")
    assert causal_models.mfu(1e12, card, torch.bfloat16) == 0.25
    assert causal_models.mfu(5e12, card, torch.bfloat16) is None  # the peak was measured beside other work
    assert causal_models.mfu(1e12, cpu, torch.float32) is None


def test_a_branch_is_bitwise_a_separate_run_and_saves_tokens(tiny_folder):
    together = run_ladder(tiny_folder, [16, 32, 64, 128])
    assert same(run_ladder(tiny_folder, [16])[16], together[16])
    for rungs in ([16], [16, 32], [16, 32, 64]):
        alone = run_ladder(tiny_folder, rungs, wanted={rungs[-1]})
        assert list(alone) == rungs[-1:] and same(alone[rungs[-1]], together[rungs[-1]])
    rows, rungs = rows_of(512, 256), [64, 128, 256, 512]
    shared, separate = tokens_of(rows, rungs, recipe(), 1)
    assert separate / shared >= 1.5
    shared, separate = tokens_of(rows, rungs, recipe(epochs=2), 1)
    assert separate == shared


@pytest.mark.parametrize("changes", [{}, {"epochs": 2, "schedule": "linear"}])
def test_an_interrupted_run_goes_on_bitwise(tiny_folder, tmp_path, changes):
    whole = run_ladder(tiny_folder, [32, 96], **changes)

    def interrupt(metrics):
        if metrics["step"] == 5:
            signal.raise_signal(signal.SIGINT)

    at = (tmp_path / "run.safetensors", "this run")
    with pytest.raises(KeyboardInterrupt):
        run_ladder(tiny_folder, [32, 96], checkpoint=at, log=interrupt, **changes)
    seen = []
    again = run_ladder(tiny_folder, [32, 96], checkpoint=at, log=seen.append, wanted={96}, **changes)
    assert list(again) == [96] and same(again[96], whole[96])
    assert not at[0].exists()
    if not changes:  # the trunk's checkpoint was taken up
        assert seen[0]["step"] == 6


def test_another_runs_checkpoint_is_not_taken_up(tiny_folder, tmp_path):
    run = begin(load(str(tiny_folder)), recipe(), 1)
    rows = rows_of(32, 256)
    train(run, rows, batches(rows, [32], recipe(), 1), 2, 4)
    write_checkpoint(run, tmp_path / "c", "a")
    fresh = begin(load(str(tiny_folder)), recipe(), 1)
    assert not read_checkpoint(fresh, tmp_path / "c", "b", 4)
    assert not read_checkpoint(fresh, tmp_path / "c", "a", 1)
    assert not read_checkpoint(fresh, tmp_path / "missing", "a", 4)
    (tmp_path / "broken").write_bytes(b"\0" * 64)
    assert not read_checkpoint(fresh, tmp_path / "broken", "a", 4)
    assert read_checkpoint(fresh, tmp_path / "c", "a", 4) and fresh.step == 2


def test_a_full_disk_leaves_the_old_checkpoint(tiny_folder, tmp_path, monkeypatch):
    run = begin(load(str(tiny_folder)), recipe(), 1)
    write_checkpoint(run, tmp_path / "c", "a")
    before = (tmp_path / "c").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(BuildError, match="free some disk space"):
        write_checkpoint(run, tmp_path / "c", "a")
    assert (tmp_path / "c").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_run_that_chose_its_epoch_resumes_to_the_same_model(tiny_folder, tmp_path):
    """Killed after any epoch, or after the choice but before anybody took the model."""
    how = {"epochs": 4, "schedule": "linear", "best_after": 1}
    losses = {2: 0.5, 3: 0.2, 4: 0.9}

    def finished(at, stop_after=5):
        run = begin(load(str(tiny_folder)), recipe(**how), 1)
        seen = []

        def validate(run):
            epoch = run.step // 4
            if epoch > stop_after:
                raise KeyboardInterrupt
            seen.append(epoch)
            return losses[epoch]

        stream = ladder(run, rows_of(32, 256), [32], checkpoint=at, validate=validate)
        try:
            next(stream)
        except KeyboardInterrupt:
            return None, seen
        return weights(run), seen

    whole, seen = finished(None)
    assert seen == [2, 3, 4]
    for stop_after in (2, 3):
        at = (tmp_path / f"{stop_after}.safetensors", "x")
        assert finished(at, stop_after)[0] is None
        again, seen = finished(at)
        assert same(again, whole) and seen == list(range(stop_after + 1, 5))
        again, seen = finished(at)  # killed before the model was taken
        assert same(again, whole) and seen == []


def test_a_loss_that_is_not_a_number_stops_and_names_the_row(tiny_folder):
    run = begin(load(str(tiny_folder)), recipe(), 1)
    rows = rows_of(8, 256)
    with torch.no_grad():
        run.net.get_input_embeddings().weight[ord("7") - 33] = float("nan")
    with pytest.raises(BuildError, match=r"step \d+: the loss is not a number, on row-\d"):
        train(run, rows, batches(rows, [8], recipe(), 1), 1, 1, names=[f"row-{i}" for i in range(8)])


def test_running_out_of_memory_says_what_to_change(tiny_folder, monkeypatch):
    run = begin(load(str(tiny_folder)), recipe(), 1)
    rows = rows_of(8, 256)

    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(training_module, "losses_of", full)
    with pytest.raises(BuildError, match="length=128"):
        train(run, rows, batches(rows, [8], recipe(), 1), 1, 1)


def test_checkpointing_changes_nothing_but_memory(tiny_folder):
    a, b = run_ladder(tiny_folder, [16]), run_ladder(tiny_folder, [16], checkpointing=True)
    assert all(torch.allclose(a[16][k], b[16][k], atol=1e-6) for k in a[16])


def test_lora_trains_adapters_only_and_saves_a_plain_model(tiny_folder, tmp_path):
    loaded = load(str(tiny_folder))
    before = copy.deepcopy(loaded.net.state_dict())
    run = begin(loaded, recipe(lora=4), 1)
    assert all("lora" in n for n in run.names)
    rows = rows_of(32, 256)
    for _ in ladder(run, rows, [32]):
        save(run.net, loaded.tokenizer, tmp_path / "out")
    again = load(str(tmp_path / "out")).net.state_dict()
    assert again.keys() == before.keys() and not all(torch.equal(again[k], before[k]) for k in before)


# --- loading


def test_a_saved_model_loads_equal(tiny, tmp_path):
    save(tiny.net, tiny.tokenizer, tmp_path / "m")
    again = load(str(tmp_path / "m"))
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(again.net(ids).logits, tiny.net(ids).logits) and again.context == 2048
    assert again.tokenizer.chat_template == tiny.tokenizer.chat_template


@pytest.mark.parametrize("what", ["no/such/folder", "smollm2", "./nothing.gguf"])
def test_no_such_model(what):
    with pytest.raises(InputError, match="no such model"):
        load(what)


def test_a_model_without_a_tokenizer(tmp_path):
    tiny_net().save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match="tokenizer"):
        load(str(tmp_path / "bare"))


SHARDED = """
import sys
from pathlib import Path
from instdata.cli.main import main
sys.argv = ["instdata", "train", "planted", "--config", "32", "--model", sys.argv[1], "--set", "dtype=float32", "--set", "length=256", "--out", sys.argv[2], "--quiet"]
main()
"""


@pytest.mark.slow
def test_a_sharded_run_learns_what_a_single_one_does(planted, tiny_folder, tmp_path):
    """FSDP2 over two processes (gloo, on this machine's CPU) against one process: equal but for the order of sums."""
    script = tmp_path / "train.py"
    script.write_text(SHARDED)
    env = {**os.environ, "INSTDATA_CACHE": str(planted / "cache"), "PYTHONPATH": str(Path(__file__).parents[2])}
    for name, launcher in (
        ("one", []),
        ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]),
    ):
        done = subprocess.run(
            [sys.executable, *launcher, str(script), str(tiny_folder), str(tmp_path / name)],
            cwd=planted, env=env, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load(str(tmp_path / n)).net.state_dict() for n in ("one", "two"))
    assert all(torch.allclose(one[k], two[k], atol=2e-6) for k in one)
    assert not torch.equal(one["lm_head.weight"], load(str(tiny_folder)).net.state_dict()["lm_head.weight"])
