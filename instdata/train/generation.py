"""Answers of a model: greedy, batched, until the end of turn or a cap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instdata.llm.causal_models import dtype_of
from instdata.train.pack import NAME
from instdata.train.render import Messages, prompt_ids, stop_ids
from instdata.util.errors import InputError
from instdata.util.progress import part

BATCH_TOKENS = 8192  # of prompts and answers in a batch, on a CPU
CARD_TOKENS = 131_072  # the same on a GPU, as far as a quarter of its memory holds their keys and values
MOST = 256  # tokens of an answer, where its reference does not ask for more
LONGEST = 4096  # however long the reference is
THINKING = 2048  # tokens more, for thoughts


def limits(tokenizer: Any, like: Sequence[str | None], most: int | None = None, thinking: bool = False) -> list[int]:
    """How many tokens each answer may have: `most` where that is given; else twice its reference and 64 more, between
    MOST and LONGEST, in steps of MOST so that answers share batches."""
    if most is not None:
        return [most] * len(like)
    ids = tokenizer([t or "" for t in like], add_special_tokens=False)["input_ids"] if like else []
    found = [min(LONGEST, max(MOST, -(-(2 * len(i) + 64) // MOST) * MOST)) for i in ids]
    return [n + THINKING * thinking for n in found]


def answers(
    net: Any,
    tokenizer: Any,
    prompts: Sequence[Messages],
    context: int,
    most: int | Sequence[int] = MOST,
    thinking: bool = False,
    dtype: str = "auto",
) -> list[tuple[str | None, bool]]:
    """(answer, whether it ended by itself) for each prompt; None where the prompt leaves no room in `context`. `most`:
    tokens of an answer, of all or of each.

    Greedy decoding: the same model gives the same answers. Prompts of like length share a batch, padded on the left."""
    import torch

    done = 0
    each = [most] * len(prompts) if isinstance(most, int) else list(most)
    ids = [_ids(tokenizer, p, context, thinking) for p in prompts]
    found: list[tuple[str | None, bool]] = [(None, False)] * len(ids)
    stops = _stops(net, tokenizer, thinking)
    device = next(net.parameters()).device
    multiplied = dtype_of(dtype, device)
    was_training, was = net.training, net.config._attn_implementation
    net.eval()
    if was == NAME:  # made for packed rows, without a cache
        net.set_attn_implementation(net.instdata_attention)
    for batch in _batches([len(i) for i in ids], each, context, _at_once(net, device)):
        width = max(len(ids[i]) for i in batch)
        padded = torch.tensor([[stops[0]] * (width - len(ids[i])) + ids[i] for i in batch], device=device)
        seen = torch.tensor([[0] * (width - len(ids[i])) + [1] * len(ids[i]) for i in batch], device=device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=multiplied, enabled=multiplied != torch.float32):
            out = net.generate(
                input_ids=padded, attention_mask=seen, do_sample=False, num_beams=1, temperature=None, top_p=None,
                top_k=None,
                repetition_penalty=1.0, max_new_tokens=min(each[batch[0]], context - width), eos_token_id=stops,
                pad_token_id=stops[0],
            )  # fmt: skip
        for i, tokens in zip(batch, out[:, width:].tolist()):
            end = next((n for n, t in enumerate(tokens) if t in stops), None)
            found[i] = (_text(tokenizer, ids[i], tokens[:end], thinking), end is not None)
        done += len(batch)
        part(done, len(ids), "answers")
    net.set_attn_implementation(was)
    net.train(was_training)
    return found


def _text(tokenizer: Any, prompt: list[int], tokens: list[int], thinking: bool) -> str:
    """An answer as text. With thoughts their marks stay, and the one that the prompt wrote comes back, so that the
    reader can tell them from the answer (score.extract.thoughts)."""
    text = tokenizer.decode(tokens, skip_special_tokens=not thinking).strip()
    opened = thinking and tokenizer.decode(prompt[-8:]).rstrip().endswith("<think>")
    return f"<think>\n{text}" if opened else text


def _stops(net: Any, tokenizer: Any, thinking: bool) -> list[int]:
    """The tokens that end an answer: the template's, and those that the model itself was published with."""
    own = getattr(getattr(net, "generation_config", None), "eos_token_id", None)
    own = own if isinstance(own, list) else [] if own is None else [own]
    return sorted({*stop_ids(tokenizer, thinking), *own})


def _ids(tokenizer: Any, messages: Messages, context: int, thinking: bool) -> list[int]:
    """A prompt's tokens; as many as leave no room where the template does not take such a conversation."""
    try:
        return prompt_ids(tokenizer, messages, thinking)
    except InputError:
        return [0] * context


def _at_once(net: Any, device: Any) -> int:
    """Tokens that a batch may have: by the card's whole memory, not by what is free, so that the same card always
    makes the same batches."""
    import torch

    if device.type != "cuda":
        return BATCH_TOKENS
    config = net.config.get_text_config() if hasattr(net.config, "get_text_config") else net.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    bytes_each = 2 * config.num_hidden_layers * heads * width * next(net.parameters()).element_size()
    room = torch.cuda.get_device_properties(device).total_memory // 4 // bytes_each
    return max(BATCH_TOKENS, min(CARD_TOKENS, room))


def _batches(lengths: list[int], most: list[int], context: int, at_once: int) -> list[list[int]]:
    """Prompts (numbers) that are answered together, of one limit each; those that leave no room are left out."""
    order = sorted((i for i, n in enumerate(lengths) if n < context), key=lambda i: (most[i], lengths[i], i))
    found: list[list[int]] = []
    for i in order:
        full = found and (len(found[-1]) + 1) * (lengths[i] + most[i]) > at_once
        if not found or full or most[found[-1][0]] != most[i]:
            found.append([])
        found[-1].append(i)
    return found
