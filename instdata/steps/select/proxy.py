"""What a causal language model says of a row for a target: how near it represents the row, how much the target helps
it.

The model is the one that will be trained, or a smaller proxy. Rows and queries are read the same way: prompt, line
break, answer (quality/perplexity_and_ifd.py), cut to `max_tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instdata.steps.quality.perplexity_and_ifd import batches, losses

Pair = tuple[list[int], list[int]]  # tokens of a prompt, of its answer
TUNED, TOGETHER, RATE = 256, 8, 5e-5  # queries learned from at most; queries a step; learning rate


def representations(net: Any, pairs: Sequence[Pair]) -> np.ndarray:
    """Unit vectors, float32[pairs, width]: the last hidden states, averaged with weights that grow with the position
    (RDS+, Ivison et al. 2025: later tokens have seen more of the text). Zero for an empty text."""
    import torch

    device = next(net.parameters()).device
    whole: list[Any] = [([], [*before, *after]) for before, after in pairs]
    found = np.zeros((len(whole), net.get_input_embeddings().weight.shape[1]), np.float32)
    with torch.inference_mode():
        for batch in batches(whole):
            ids, seen, _ = padded([whole[i] for i in batch], device)
            hidden = net.base_model(input_ids=ids, attention_mask=seen).last_hidden_state.float()
            weight = seen * torch.arange(1, ids.shape[1] + 1, device=device)
            mean = (hidden * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
            found[batch] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
    return found


def drops(net: Any, rows: Sequence[Pair], queries: Sequence[Pair]) -> np.ndarray:
    """How much each row's answer becomes likelier when the network has learned from the queries: nats a token
    (float64[rows], NaN without an answer). The network is changed.

    To first order that is the inner product of a row's gradient with the queries', which LESS (Xia et al. 2024)
    estimates by projected gradients; here it is measured, for two passes over the rows and no store of gradients."""
    before = losses(net, list(rows))
    tune(net, queries)
    return before - losses(net, list(rows))


def tune(net: Any, queries: Sequence[Pair]) -> None:
    """One pass of AdamW over the queries' answers, the first TUNED of them."""
    import torch

    chosen = [q for q in queries if q[1]][:TUNED]
    device = next(net.parameters()).device
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.0)
    for at in range(0, len(chosen), TOGETHER):
        ids, seen, learned = padded(chosen[at : at + TOGETHER], device)
        logits = net(input_ids=ids, attention_mask=seen).logits[:, :-1]
        target = learned[:, 1:]
        torch.nn.functional.cross_entropy(logits[target].float(), ids[:, 1:][target]).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def padded(pairs: Sequence[Pair], device: Any) -> tuple[Any, Any, Any]:
    """(ids, which are no padding, which are an answer's) [pairs, longest] of pairs, padded on the right."""
    import torch

    width = max(len(a) + len(b) for a, b in pairs)
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    seen = torch.zeros((len(pairs), width), dtype=torch.long)
    learned = torch.zeros((len(pairs), width), dtype=torch.bool)
    for row, (before, after) in enumerate(pairs):
        n = len(before) + len(after)
        ids[row, :n] = torch.tensor([*before, *after])
        seen[row, :n] = 1
        learned[row, len(before) : n] = True
    return ids.to(device), seen.to(device), learned.to(device)
