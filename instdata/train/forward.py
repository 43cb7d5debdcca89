"""What a network makes of conversations: the loss of given answers, and answers of its own. Scoring sees it through
score.model.Model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instdata.corpus.rows import Messages
from instdata.llm.causal_models import Loaded, dtype_of, fast_device
from instdata.score.item import Item
from instdata.train.generation import answers, limits
from instdata.train.pack import best_fit, keep_apart, pack, token_losses
from instdata.train.render import encode
from instdata.util.errors import InputError
from instdata.util.progress import part

BIN = 2048  # tokens that are scored at once


@dataclass(frozen=True)
class Network:
    """A network with its tokenizer, as scoring sees it (score.model.Model); `context` is the number of tokens it takes.
    `most`: tokens of an answer; by default as many as the item's reference suggests. `thinking`: it thinks before it
    answers. `dtype`: what matrices are multiplied in, the training recipe's."""

    net: Any
    tokenizer: Any
    context: int
    most: int | None = None
    thinking: bool = False
    dtype: str = "auto"

    @classmethod
    def of(cls, loaded: Loaded, dtype: str = "auto") -> Network:
        """The network of a loaded model, on the fastest device here."""
        return cls(loaded.net.to(fast_device()), loaded.tokenizer, loaded.context, dtype=dtype)

    def losses(self, conversations: Sequence[Messages]) -> np.ndarray:
        """See answer_losses."""
        return answer_losses(self.net, self.tokenizer, conversations, self.context, self.dtype)

    def answers(self, prompts: Sequence[Messages], like: Sequence[str | None] = ()) -> list[tuple[str | None, bool]]:
        """See generation.answers."""
        most = limits(self.tokenizer, like or [None] * len(prompts), self.most, self.thinking)
        return answers(self.net, self.tokenizer, prompts, self.context, most, self.thinking, self.dtype)


def answer_losses(
    net: Any, tokenizer: Any, conversations: Sequence[Messages], context: int, dtype: str = "auto"
) -> np.ndarray:
    """[conversations, 2]: the loss in nats of each conversation's last turn, summed over its tokens (its end of turn
    included), and the number of those tokens. NaN where the answer does not fit into `context`."""
    import torch

    rows = encode(tokenizer, conversations, context, last_only=True)
    found = np.full((len(rows), 2), np.nan)
    fits = np.array([i for i, r in enumerate(rows) if r.supervised and not r.truncated], np.int64)
    if not len(fits):
        return found
    device = next(net.parameters()).device
    multiplied = dtype_of(dtype, device)
    was_training, was = net.training, net.config._attn_implementation
    net.eval()
    capacity = BIN if keep_apart(net) else 1  # one row a bin where the network would mix them
    lengths, done = np.array([len(rows[i].ids) for i in fits]), 0
    with torch.inference_mode(), torch.autocast(device.type, dtype=multiplied, enabled=multiplied != torch.float32):
        for bin_ in best_fit(lengths, capacity):
            mine = fits[bin_]
            packed = pack([rows[i] for i in mine], device)
            losses = token_losses(net, packed).double()
            done += len(mine)
            part(done, len(fits), "likelihoods")
            sums = torch.zeros(len(mine), dtype=torch.double, device=device).index_add_(0, packed["row"], losses)
            found[mine, 0] = sums.cpu().numpy()
            found[mine, 1] = [rows[i].supervised for i in mine]
    net.set_attn_implementation(was)
    net.train(was_training)
    return found


@dataclass(frozen=True)
class Validation:
    """The mean loss per token of a run on the references of items that it is not scored on."""

    items: Sequence[Item]

    def __call__(self, run: Any) -> float:
        talks = [[*i.messages, {"role": "assistant", "content": i.reference}] for i in self.items if i.reference]
        found = answer_losses(run.net, run.tokenizer, talks, run.context, run.recipe.dtype)
        loss = float(np.nansum(found[:, 0]) / np.nansum(found[:, 1])) if np.isfinite(found).any() else math.nan
        if math.isnan(loss):
            raise InputError(
                "no held out row is left to choose an epoch by: hold more rows out, or choose a recipe without "
                "best_after"
            )
        return loss
