"""Answers of a model: greedy, batched, until the end of turn or a cap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instdata.llm.causal import fast_dtype
from instdata.train.pack import NAME
from instdata.train.render import Messages, prompt_ids, stop_ids
from instdata.util.errors import InputError

BATCH_TOKENS = 8192  # of prompts and answers in a batch
MOST = 256  # tokens of an answer


def answers(
    net: Any, tokenizer: Any, prompts: Sequence[Messages], context: int, most: int = MOST
) -> list[tuple[str | None, bool]]:
    """(answer, whether it ended by itself) for each prompt; None where the prompt leaves no room in `context`.

    Greedy decoding: the same model gives the same answers. Prompts of like length share a batch, padded on the left."""
    import torch

    ids = [_ids(tokenizer, p, context) for p in prompts]
    found: list[tuple[str | None, bool]] = [(None, False)] * len(ids)
    stops = stop_ids(tokenizer)
    device = next(net.parameters()).device
    dtype = fast_dtype(device)
    was_training, was = net.training, net.config._attn_implementation
    net.eval()
    if was == NAME:  # made for packed rows, without a cache
        net.set_attn_implementation(net.instdata_attention)
    for batch in _batches([len(i) for i in ids], context, most):
        width = max(len(ids[i]) for i in batch)
        padded = torch.tensor([[stops[0]] * (width - len(ids[i])) + ids[i] for i in batch], device=device)
        seen = torch.tensor([[0] * (width - len(ids[i])) + [1] * len(ids[i]) for i in batch], device=device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            out = net.generate(
                input_ids=padded, attention_mask=seen, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
                repetition_penalty=1.0, max_new_tokens=min(most, context - width), eos_token_id=stops, pad_token_id=stops[0],
            )  # fmt: skip
        for i, tokens in zip(batch, out[:, width:].tolist()):
            end = next((n for n, t in enumerate(tokens) if t in stops), None)
            text = tokenizer.decode(tokens[:end], skip_special_tokens=True).strip()
            found[i] = (text, end is not None)
    net.set_attn_implementation(was)
    net.train(was_training)
    return found


def _ids(tokenizer: Any, messages: Messages, context: int) -> list[int]:
    """A prompt's tokens; as many as leave no room where the template does not take such a conversation."""
    try:
        return prompt_ids(tokenizer, messages)
    except InputError:
        return [0] * context


def _batches(lengths: list[int], context: int, most: int) -> list[list[int]]:
    """Prompts (numbers) that are answered together; those that leave no room are left out."""
    order = sorted((i for i, n in enumerate(lengths) if n < context), key=lambda i: (lengths[i], i))
    found: list[list[int]] = []
    for i in order:
        if not found or (len(found[-1]) + 1) * (lengths[i] + most) > BATCH_TOKENS:
            found.append([])
        found[-1].append(i)
    return found
