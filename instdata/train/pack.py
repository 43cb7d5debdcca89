"""Rows packed into bins of at most `length` tokens, and attention that keeps them apart.

A packed row must not see its neighbours: positions restart with each row and attention stays within it. Then packed
logits equal separate ones, and no token is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instdata.train.render import Encoded
from instdata.util.kernels import jit

NAME = "instdata_packed"  # our attention, in transformers' registry


def best_fit(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Rows (numbers) in bins of at most `capacity` tokens: longest row first, each into the fullest bin that holds it
    (best-fit decreasing; Johnson 1973: at most 11/9 of the fewest bins). A longer row gets a bin of its own."""
    order = np.argsort(-lengths, kind="stable")
    bins = _best_fit(np.minimum(lengths[order], capacity).astype(np.int64), capacity)
    by_bin = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[by_bin], np.arange(bins.max() + 2)) if len(bins) else [0]
    return [order[by_bin[a:b]].tolist() for a, b in zip(edges, edges[1:])]


@jit
def _best_fit(lengths, capacity):
    """The bin of each row. Bins are kept in stacks by the room that they have left."""
    n = len(lengths)
    where = np.empty(n, np.int64)
    head = np.full(capacity + 1, -1, np.int64)
    below = np.empty(n, np.int64)
    bins = 0
    for i in range(n):
        need = lengths[i]
        room = need
        while room <= capacity and head[room] < 0:
            room += 1
        if room > capacity:
            b, room = bins, capacity
            bins += 1
        else:
            b = head[room]
            head[room] = below[b]
        where[i] = b
        left = room - need
        below[b] = head[left]
        head[left] = b
    return where


def pack(rows: Sequence[Encoded], device: Any) -> dict[str, Any]:
    """What `forward` needs for rows side by side: input_ids and position_ids [1, tokens], where each row (and each
    further sequence of one) starts, which positions predict a supervised token, and those tokens (targets), with the
    row that each belongs to."""
    import torch

    pieces = [p for r in rows for p in r.pieces()]
    lengths = [len(p.ids) for p in pieces]
    ids = torch.tensor([t for p in pieces for t in p.ids])
    # A sequence's first token is predicted by nothing: the position before it belongs to its neighbour.
    learned = torch.tensor([m and i > 0 for p in pieces for i, m in enumerate(p.mask)])
    at = learned.nonzero()[:, 0]
    row = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(r.ids) for r in rows]))
    starts = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    return {
        "input_ids": ids[None].to(device),
        "position_ids": torch.cat([torch.arange(n) for n in lengths])[None].to(device),
        "starts": starts.to(device),
        "longest": max(lengths),
        "predicts": (at - 1).to(device),
        "targets": ids[at].to(device),
        "row": row[at].to(device),
    }


def token_losses(net: Any, packed: dict[str, Any]) -> Any:
    """The loss, in nats and float32, of each supervised token [supervised]. Logits are computed there only: the
    vocabulary is wide."""
    import torch

    apart = {}
    if net.config._attn_implementation == NAME:
        apart = {"cu_seq_lens_q": packed["starts"], "max_length_q": packed["longest"]}
    logits = net(
        input_ids=packed["input_ids"],
        position_ids=packed["position_ids"],  # and no mask: with one, or with a cache, rows would see each other
        use_cache=False,
        logits_to_keep=packed["predicts"],
        **apart,
    ).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), packed["targets"], reduction="none")


def losses_of(net: Any, rows: Sequence[Encoded], device: Any, apart: bool) -> Any:
    """token_losses of some rows. Of a network that does not keep packed rows apart, a row's further sequences go
    through it by themselves."""
    import torch

    if apart or not any(r.parts for r in rows):
        return token_losses(net, pack(rows, device))
    pieces = [p for r in rows for p in r.pieces() if p.supervised]
    return torch.cat([token_losses(net, pack([p], device)) for p in pieces])


def keep_apart(net: Any) -> bool:
    """Let this network attend within each packed row only, at the cost of the rows' own lengths; returns whether it
    keeps packed rows apart at all. Networks with windows, caps or layers of other kinds keep transformers' attention,
    which reads the restarting positions. Some do not (ALiBi, state spaces): what a network does is tried out once."""
    if not hasattr(net, "instdata_apart"):
        net.instdata_attention = net.config._attn_implementation
        _attend_within_rows(net)
        net.instdata_apart = _is_apart(net)
        if not net.instdata_apart and net.config._attn_implementation == NAME:
            net.set_attn_implementation(net.instdata_attention)
    elif net.instdata_apart and net.instdata_within:
        net.set_attn_implementation(NAME)
    return net.instdata_apart


def _is_apart(net: Any) -> bool:
    """Whether a packed row's losses stay the same when its neighbour is another one."""
    import torch

    device, training = next(net.parameters()).device, net.training
    vocabulary = net.get_input_embeddings().num_embeddings
    own = Encoded([(7 * i + 3) % vocabulary for i in range(12)], [True] * 12)
    neighbours = [Encoded([(k * i + k) % vocabulary for i in range(9)], [True] * 9) for k in (5, 11)]
    net.eval()
    with torch.inference_mode():
        a, b = (token_losses(net, pack([n, own], device))[-11:] for n in neighbours)
    net.train(training)
    return bool((a - b).abs().max() < 1e-4)


def _attend_within_rows(net: Any) -> None:
    """Give the network our attention, where it is of the plain kind."""
    import torch
    from transformers import AttentionInterface

    config = net.config.get_text_config() if hasattr(net.config, "get_text_config") else net.config
    plain = not getattr(config, "sliding_window", None) or not getattr(config, "use_sliding_window", True)
    plain = plain and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    plain = plain and not getattr(config, "attn_logit_softcapping", None)
    net.instdata_within = plain and getattr(net, "_supports_attention_backend", False)
    if not net.instdata_within:
        return
    AttentionInterface.register(NAME, _attend_varlen if torch.cuda.is_available() else _attend_each)
    net.set_attn_implementation(NAME)


def _attend_each(module, query, key, value, attention_mask, scaling=None, dropout=0.0, cu_seq_lens_q=None, **_):
    """Causal attention of each row by itself. query [1, heads, tokens, dim] -> [1, tokens, heads, dim]."""
    import torch

    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    sizes = cu_seq_lens_q.diff().tolist()
    parts = [
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, dropout_p=dropout)
        for q, k, v in zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2))
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _attend_varlen(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, cu_seq_lens_q=None, max_length_q=0, **_
):
    """The same on a GPU, by torch's variable-length kernel (half precision; no flash-attn package), where torch has
    it.

    Under autocast the rotary embedding gives back float32 queries and keys beside half precision values: they are
    multiplied in autocast's type, as torch's own attention would. torch 2.10 and 2.11 have the kernel without
    `enable_gqa`, so heads that share a key get a copy of it, as in _attend_each."""
    import torch

    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch < 2.10
        varlen_attn = None
    kind = query.device.type
    multiplied = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    if varlen_attn is None or multiplied == torch.float32:
        return _attend_each(module, query, key, value, attention_mask, scaling, dropout, cu_seq_lens_q)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    q, k, v = (x[0].transpose(0, 1).to(multiplied).contiguous() for x in (query, key, value))
    out = varlen_attn(
        q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling, window_size=(-1, 0)
    )
    return out[None], None
