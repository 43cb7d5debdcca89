"""Arms for other trainers, and cells that come back from them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from instdata.compare.arm import Count
from instdata.compare.export_arms import TRAINERS, _lost, _one_answer, _schedule
from instdata.train.training_recipe import training
from instdata.util.errors import InputError

from .conftest import SET, run

ARMS = f"arms planted --filter filter --model ./tiny --sizes 16,32 --seeds 2 {SET}"
KEYS = yaml.safe_load(Path(__file__).with_name("trainer_keys.yaml").read_text())
ABLATE = f"ablate planted --filter filter --model ./tiny --yes {SET}"


@pytest.mark.parametrize("trainer", ["trl", "axolotl", "llamafactory"])
def test_arms_are_written_with_a_config_each_and_a_table_of_cells(home, trainer):
    found = run(f"{ARMS} --export {trainer} --out mine")
    out = home / "mine"
    assert len(found["cells"]) == 3 * 2 * 2
    with open(out / "cells.csv") as file:
        table = list(csv.DictReader(file))
    assert [{k: str(c[k]) for k in ("arm", "size", "seed", "model")} for c in found["cells"]] == table
    by_size: dict[tuple[int, int], set[int]] = {}
    for cell in found["cells"]:
        name = f"{cell['arm']}-{cell['size']}-s{cell['seed']}"
        rows = [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]
        # one answer a row: for TRL apart, since it refuses templates that do not mark the assistant's words
        key, word = {"trl": ("completion", "role"), "llamafactory": ("conversations", "from")}.get(
            trainer, ("messages", "role")
        )
        last = [r[key][-1][word] for r in rows]
        assert trainer != "trl" or all(r["prompt"][-1]["role"] == "user" for r in rows)
        assert len(rows) == cell["rows"] and set(last) == {"gpt" if trainer == "llamafactory" else "assistant"}
        config = yaml.safe_load((out / f"{name}.yaml").read_text())
        assert config["max_steps"] == cell["steps"] and config["seed"] == cell["seed"]
        # the model alone: axolotl left a checkpoint with its optimizer beside it
        assert config["save_strategy"] == "no"
        assert config.get("assistant_only_loss", False) is False
        assert config["learning_rate"] == 0.003 and str(home / "tiny") in config.values()
        assert f"{name}.jsonl" in json.dumps(config) or trainer == "llamafactory"
        by_size.setdefault((cell["size"], cell["seed"]), set()).add(cell["steps"])
        assert not unknown(trainer, config), "a key that the trainer's own parser does not know"
    assert all(len(steps) == 1 for steps in by_size.values())  # arms make equally many steps
    if trainer == "llamafactory":
        entry = json.loads((out / "dataset_info.json").read_text())["with-16-s0"]
        assert entry["file_name"] == "with-16-s0.jsonl" and entry["columns"] == {"messages": "conversations"}
        assert set(entry) <= set(KEYS[trainer]["dataset"].split())
    with pytest.raises(InputError, match="holds something"):
        run(f"{ARMS} --export {trainer} --out mine")


def unknown(trainer: str, config: dict) -> set[str]:
    """Keys of a config, and of its data sets, that the trainer has not; and a schedule that transformers has not."""
    found = set(config) - set(KEYS[trainer]["keys"].split())
    for entry in config.get("datasets", []):
        found |= set(entry) - set(KEYS[trainer]["dataset"].split())
    schedule = config["lr_scheduler" if trainer == "axolotl" else "lr_scheduler_type"]
    return found | {schedule} - set(KEYS["schedules"].split())


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    "changes",
    [["lora=8", "dtype=bfloat16"], ["schedule=linear", "final_lr=1e-6", "checkpointing=true"], ["schedule=constant"]],
)
def test_every_recipe_is_written_in_words_that_the_trainer_knows(trainer, changes):
    config = TRAINERS[trainer]("a", "m", training("proxy", changes), 256, Count(16, 16, 900, 300, 2), 0)
    assert not unknown(trainer, config)
    assert unknown(trainer, config | {"lerning_rate": 1}) == {"lerning_rate"}


@pytest.mark.parametrize(
    "changes", [["final_lr=1e-5"], [], ["schedule=constant"], ["schedule=linear", "final_lr=1e-5"]]
)
def test_their_schedule_is_ours(changes):
    """Step by step, as transformers computes it; of linear, which ends a step later there, to within that step."""
    import torch
    from transformers import get_scheduler

    recipe, steps = training("proxy", ["warmup=0", *changes]), 20
    told = _schedule(recipe, steps)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    theirs = get_scheduler(
        told["lr_scheduler_type"], optimizer, 0, steps, scheduler_specific_kwargs=told.get("lr_scheduler_kwargs")
    )
    for step in range(steps):
        room = recipe.lr / steps if recipe.schedule == "linear" else 1e-12
        assert theirs.get_last_lr()[0] == pytest.approx(recipe.rate(step, steps), abs=room)
        optimizer.step()
        theirs.step()


def test_what_a_trainer_does_otherwise_is_counted():
    plain = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    unlearned = [plain[0], {**plain[1], "weight": 0}, *plain]
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    twice = [plain[0], {"role": "assistant", "content": "I look.", "tool_calls": [call]}, plain[1]]
    talks = [plain, unlearned, twice]
    assert list(_lost(talks, "axolotl")) == []
    assert list(_lost(talks, "trl")) == ["learns answers of weight 0"]
    assert list(_lost(talks, "llamafactory")) == [
        "learns answers of weight 0",
        "skips rows whose turns do not alternate",
    ]


def test_only_rows_whose_last_turn_alone_is_learned_are_parted():
    user, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    assert _one_answer([user, answer]) and _one_answer([user, {**answer, "weight": 0}, user, answer])
    assert not _one_answer([user, answer, user, answer]) and not _one_answer([answer])
    assert not _one_answer([user, {**answer, "weight": 0}])


def test_what_does_not_fit_is_said(home):
    with pytest.raises(InputError, match='Did you mean "axolotl"'):
        run(f"{ARMS} --export axolotel --out other")
    with pytest.raises(InputError, match="--match token"):
        run(f"{ARMS} --match token --out other")
    assert not (home / "other").exists()


def test_a_length_filter_does_not_double_what_is_learned(home):
    """Matched in all tokens, arms of short and long answers had 2.03 times as many learned ones."""
    tokens = run(f"{ARMS} --out a --match tokens")["cells"]
    learned = run(f"{ARMS} --out b")["cells"]

    def ratio(cells):
        by = {c["arm"]: c["supervised"] for c in cells if (c["size"], c["seed"]) == (32, 0)}
        return max(by.values()) / min(by.values())

    assert ratio(learned) < 1.1
    assert ratio(tokens) >= ratio(learned)


def test_cells_from_outside_are_scored_and_never_trained(home, monkeypatch):
    """Two models, one trained by us and saved: the table compares what it names."""
    from instdata.train import loop

    for seed in (0, 1):
        run(f"train planted --config 64 --model ./tiny --seed {seed} --out runs/good{seed} {SET}")
    lines = ["arm,size,seed,model"]
    for seed in (0, 1):
        lines += [f"with,64,{seed},runs/good{seed}", f"without,64,{seed},./tiny"]
    (home / "cells.csv").write_text("\n".join(lines))
    monkeypatch.setattr(loop, "train", lambda *a: pytest.fail("nothing is trained"))
    found = run(f"{ABLATE} --cells cells.csv", None)
    assert found["effects"][-1]["effect"] < 0 and found["model"] == "outside" and found["aa"] == []
    assert found["seeds"] == 2 and found["sizes"] == [64] and found["arms"] == []
    (home / "cells.yaml").write_text(
        "cells:\n"
        + "".join(f"- {{arm: {a}, size: {s}, seed: {e}, model: {m}}}\n" for a, s, e, m in csv.reader(lines[1:]))
    )
    again = run(f"{ABLATE} --cells cells.yaml", None)
    assert again["effects"] == found["effects"]
    assert run(f"{ABLATE} --cells cells.yaml --plan")["to_train"] == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("arm,size,seed,model\nwith,64,0,a\nwithuot,64,0,b", r':3: unknown arm "withuot"\. Did you mean "without"'),
        ("arm,size,seed\nwith,64,0", "a cell has arm, size, seed, model"),
        ("arm,size,seed,model\nwith,many,0,a", 'size "many" is not a whole number'),
        ("arm,size,seed,model\nwith,64,0,a\nwith,64,0,b", ":3: .*stands here twice"),
        ("arm,size,seed,model\nwith,64,0,a\nwith,64,1,b\nwithout,64,0,c", "arm without lacks size 64, seed 1"),
        ("arm,size,seed,model\nwith,64,0,a", "needs cells of the arms with and without"),
    ],
)
def test_a_broken_table_says_where(home, table, message):
    (home / "cells.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        run(f"{ABLATE} --cells cells.csv")


PEERS = Path(os.environ.get("INSTDATA_HOME") or "~/.cache/instdata").expanduser() / "peers"
TRAIN = {
    "trl": """
from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser, DatasetMixtureConfig
from trl.scripts.sft import main
parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
for config in sys.argv[1:]:
    main(*parser.parse_args_and_config(["--config", config, "--use_cpu", "true"]))
""",
    "llamafactory": """
import yaml
from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
from llamafactory.train.tuner import run_exp
def learn(self, model, inputs, *a, **k):
    learned[-1] += [[t for t in row if t != -100] for row in inputs["labels"].tolist()]
    return whole(self, model, inputs, *a, **k)
whole, CustomSeq2SeqTrainer.compute_loss, learned = CustomSeq2SeqTrainer.compute_loss, learn, []
for config in sys.argv[1:]:
    learned.append([])
    run_exp(yaml.safe_load(open(config)))
json.dump(learned, open("learned.json", "w"))
""",
}


def trained_by(trainer: str, home: Path) -> list[dict]:
    """Train the six arms of 16 rows with somebody else's trainer, score them, and return the cells; skips where it is
    not installed (docs/harness.md says how)."""
    if not (PEERS / trainer / trainer).is_dir():
        pytest.skip(f"no {trainer} in {PEERS / trainer}: pip install --no-deps --target (docs/harness.md)")
    cells = [c for c in run(f"{ARMS} --export {trainer} --out mine")["cells"] if c["size"] == 16]
    shim = home / "shim"  # LLaMA-Factory imports torchaudio, of which text rows use nothing; there is none for a CPU
    shim.mkdir()
    (shim / "torchaudio.py").write_text("")
    env = {**os.environ, "PYTHONPATH": f"{PEERS / trainer}{os.pathsep}{shim}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "import json, sys\n" + TRAIN[trainer], *(f"{_name(c)}.yaml" for c in cells)],
        cwd=home / "mine", env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in (home / "mine/cells.csv").read_text().splitlines() if ",16," in line or "arm" in line]
    (home / "mine/cells16.csv").write_text("\n".join(lines))
    assert run(f"{ABLATE} --cells mine/cells16.csv", None)["effects"]
    return cells


def _name(cell: dict) -> str:
    return f"{cell['arm']}-{cell['size']}-s{cell['seed']}"


@pytest.mark.slow
def test_trl_trains_from_the_config_and_its_models_come_back(home):
    assert trained_by("trl", home)


@pytest.mark.slow
def test_llamafactory_learns_the_tokens_that_we_count(home):
    """And the line break that its template puts behind the end of a turn."""
    from transformers import AutoTokenizer

    from instdata.train.render import encode

    cells = trained_by("llamafactory", home)
    tokenizer = AutoTokenizer.from_pretrained(home / "tiny")
    [line_break] = tokenizer.encode("\n", add_special_tokens=False)
    for cell, learned in zip(cells, json.loads((home / "mine/learned.json").read_text()), strict=True):
        records = map(json.loads, (home / f"mine/{_name(cell)}.jsonl").read_text().splitlines())
        roles = {"human": "user", "gpt": "assistant"}
        talks = [[{"role": roles[t["from"]], "content": t["value"]} for t in r["conversations"]] for r in records]
        ours = [[i for i, m in zip(r.ids, r.mask, strict=True) if m] for r in encode(tokenizer, talks, 256)]
        assert sum(map(len, ours)) == cell["supervised"]
        assert sorted(learned) == sorted([*row, line_break] for row in ours)
