"""A tiny language model, made here: random weights, one token per byte."""

from __future__ import annotations

import json
import os
import random
import shutil
import string

import pytest
from typer.testing import CliRunner

# Tiny matrices gain nothing from threads, and pytest-xdist already uses every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What effects.json says of each ability, in this order.
EFFECT_KEYS = ["ability", "metric", "unit", "without", "with", "effect", "low", "high", "p_holm", "n", "seeds", "mde",
    "verdict"]  # fmt: skip
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokenizer(template: str | None = CHATML):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = template
    return fast


def tiny_net(width: int = 64, layers: int = 2, seed: int = 0, **more):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, eos_token_id=257, bos_token_id=256,
        tie_word_embeddings=True, **more,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    tiny_net().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """A fresh copy each time: training happens in place."""
    from instdata.llm.causal_models import load

    return load(str(tiny_folder))


def conversations(n: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Little sums, asked and answered: learnable, of different lengths."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        a, b = rng.randrange(100), rng.randrange(100)
        filler = " please" * rng.randrange(12)
        found.append(
            [
                {"role": "user", "content": f"{i}: what is {a} plus {b}{filler}?"},
                {"role": "assistant", "content": f"{a} + {b} = {a + b}."},
            ]
        )
    return found


def rows_of(n: int, length: int | None = None, seed: int = 0):
    """n of those conversations as training rows (Encoded); `length`: of at most so many tokens each."""
    from instdata.train.render import encode

    return encode(byte_tokenizer(), conversations(n, seed), length)


TAXONOMY = """
name: small
abilities:
  - {name: sums, description: Adding two numbers, scorer: number}
  - {name: echo, description: Saying a word again, scorer: exact}
"""
RECIPE = """
name: planted
taxonomy: ./small.yaml
sources:
  - {path: clean.jsonl, name: clean, origin: human, license: cc0-1.0}
  - {path: noisy.jsonl, name: noisy, origin: some-model, license: cc0-1.0}
steps:
  - holdout: {per_ability: 12, threshold: 1.0}
  - filter: {where: "source = 'clean'"}
subsets: {sizes: [32, 64, 128]}
ablate: {seeds: 2}
"""


def rows(n: int, noisy: bool, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    found = []
    for i in range(n):
        a, b = rng.randrange(100), rng.randrange(100)
        word = "".join(rng.choice(string.ascii_lowercase) for _ in range(6))
        asked, answer, ability = (
            (f"What is {a} plus {b}? ({word})", f"The sum is {a + b}.", "sums")
            if i % 2
            else (f"Say {word} again, number {a}.", f"I say {word} again.", "echo")
        )
        noise = "".join(rng.choice(string.ascii_uppercase + string.digits) for _ in range(20))
        found.append({"instruction": asked, "output": noise if noisy else answer, "ability": ability})
    return found


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """A build whose last step drops planted noise: half of the rows answer nonsense. Its folder is builds/planted of a
    folder that tests may work in."""
    from instdata.build import build, prepare

    home = tmp_path_factory.mktemp("planted")
    (home / "small.yaml").write_text(TAXONOMY)
    for name, noisy, seed in (("clean", False, 1), ("noisy", True, 2)):
        lines = [json.dumps(r) for r in rows(300, noisy, seed)]
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (home / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        patch.chdir(home)
        build(prepare(home / "recipe.yaml"), home / "builds" / "planted")
    return home


# What makes the tiny model learn in a few steps, in float32.
SET = "--set lr=3e-3 --set dtype=float32 --set length=256"


@pytest.fixture
def home(planted, tiny_folder, tmp_path, monkeypatch):
    """A working folder of this test's own with a copy of the build, and ./tiny, the model to train."""
    shutil.copytree(planted / "builds", tmp_path / "builds")
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    shutil.copy(planted / "small.yaml", tmp_path / "small.yaml")
    monkeypatch.setenv("INSTDATA_CACHE", str(planted / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, code: int | None = 0):
    """The JSON of a command line after `instdata`, which exits with `code` (None: with any)."""
    from instdata.cli.main import app

    done = CliRunner().invoke(app, [*line.split(), "--quiet", "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert code in (None, done.exit_code), done.output
    return json.loads(done.stdout)
