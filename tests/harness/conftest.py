"""A tiny language model, made here: random weights, one token per byte."""

from __future__ import annotations

import pytest

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
        num_key_value_heads=2, max_position_embeddings=2048, eos_token_id=257, bos_token_id=256, tie_word_embeddings=True, **more,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    pytest.importorskip("transformers", reason="the harness needs instdata[train]")
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    tiny_net().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """A fresh copy each time: training happens in place."""
    from instdata.harness.models import load

    return load(str(tiny_folder))


def conversations(n: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Little sums, asked and answered: learnable, of different lengths."""
    import random

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
