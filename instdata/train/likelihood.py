"""How likely a model finds given answers: the low-noise scores, without generation and without a judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instdata.llm.causal import fast_dtype
from instdata.train.pack import best_fit, keep_apart, pack, token_losses
from instdata.train.render import Messages, encode

BIN = 2048  # tokens that are scored at once


def answer_losses(net: Any, tokenizer: Any, conversations: Sequence[Messages], context: int) -> np.ndarray:
    """[conversations, 2]: the loss in nats of each conversation's last turn, summed over its tokens (its end of turn
    included), and the number of those tokens. NaN where the answer does not fit into `context`."""
    import torch

    rows = encode(tokenizer, conversations, context, last_only=True)
    found = np.full((len(rows), 2), np.nan)
    fits = np.array([i for i, r in enumerate(rows) if r.supervised and not r.truncated], np.int64)
    if not len(fits):
        return found
    device = next(net.parameters()).device
    dtype = fast_dtype(device)
    was_training, was = net.training, net.config._attn_implementation
    net.eval()
    capacity = BIN if keep_apart(net) else 1  # one row a bin where the network would mix them
    lengths = np.array([len(rows[i].ids) for i in fits])
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        for bin_ in best_fit(lengths, capacity):
            mine = fits[bin_]
            packed = pack([rows[i] for i in mine], device)
            losses = token_losses(net, packed).double()
            sums = torch.zeros(len(mine), dtype=torch.double, device=device).index_add_(0, packed["row"], losses)
            found[mine, 0] = sums.cpu().numpy()
            found[mine, 1] = [rows[i].supervised for i in mine]
    net.set_attn_implementation(was)
    net.train(was_training)
    return found
