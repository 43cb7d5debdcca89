"""Scores by a causal language model: perplexity, and how much the prompt helps (instruction-following difficulty).

IFD is the mean loss of the response's tokens given the prompt over their mean loss alone (Li et al. 2024, "From
Quantity to Quality"). Near 0 the prompt gives the answer away; above 1 it does not fit the answer at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from instdata.corpus.rows import Rows
from instdata.util.build_context import Context
from instdata.util.errors import InputError, MissingExtra
from instdata.util.file_digests import files_digest
from instdata.util.paths import expanded

LOCAL = "local:"
BATCH_TOKENS = 4096  # of a padded batch
# Parameters times tokens that two cores get through in a second (SmolLM2-135M: 300 tokens), for estimates.
PACE = 300 * 135e6


class CausalModel(BaseModel):
    """A causal language model."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    path: str = Field(
        description="A folder or a .gguf file (relative to the recipe), local:NAME, or the Hub's owner/name[@revision]."
    )
    max_tokens: int = Field(
        1024, ge=8, le=32_768, description="Tokens of a row that are looked at; half of them at most for the prompt."
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="float32 where the machine has no fast bfloat16."
    )


def weights(model: CausalModel, context: Context) -> Path | str:
    """The file or folder of the weights, or the Hub's name. Raises InputError where a path does not exist."""
    if model.path.startswith(LOCAL):
        from instdata.llm.local_models import pull

        return pull(model.path.removeprefix(LOCAL), context.say)
    path = (context.base / expanded(model.path)).resolve()
    if path.exists():
        return path
    if model.path.count("/") != 1 or model.path.startswith(("/", ".", "~")) or model.path.endswith(".gguf"):
        raise InputError(f"quality: model: {model.path}: no such file or folder")
    return model.path


def digest(model: CausalModel, context: Context) -> str:
    """Names the weights: a registered model by its sha256, one of the Hub by its commit, files by their names and
    bytes."""
    if model.path.startswith(LOCAL):
        from instdata.llm.local_models import MODELS

        known = MODELS.get(model.path.removeprefix(LOCAL))
        return f"{model.path} {known.sha256}" if known else model.path
    found = weights(model, context)
    if isinstance(found, str):
        from instdata.llm.hub_revisions import pinned

        return pinned(found)
    files = [found] if found.is_file() else sorted(p for p in found.iterdir() if p.is_file())
    return files_digest(files)


def fixed(model: CausalModel, context: Context) -> CausalModel:
    """The model with its commit, where it is one of the Hub: what a resolved recipe holds, and every worker loads."""
    if model.path.startswith(LOCAL) or isinstance(weights(model, context), Path):
        return model
    return model.model_copy(update={"path": digest(model, context)})


def score(model: CausalModel, rows: Rows) -> dict[str, np.ndarray]:
    """perplexity (of the response given the prompt) and ifd of each row (float32, NaN without a response)."""
    context = rows.context
    tokenizer, net = load(weights(model, context), model.dtype)
    pairs = encode(tokenizer, rows.prompt.to_pylist(), rows.response.to_pylist(), model.max_tokens)
    given = losses(net, [(p, r) for p, r in pairs])
    alone = losses(net, [(p[:1], r) for p, r in pairs])  # behind the first token only, which has no loss of its own
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return {
            "perplexity": np.round(np.exp(given), 2).astype(np.float32),
            "ifd": np.round(given / alone, 3).astype(np.float32),
        }


def estimate(model: CausalModel, rows: Rows) -> dict[str, Any]:
    """{requests, tokens, usd, minutes} for these rows on two cores, of a size that the weights' files tell (a model on
    the Hub or not yet pulled: 135M). The response is read twice, its prompt once; a token is about four bytes."""
    context = rows.context
    bytes_of = [
        pc.fill_null(pc.binary_length(c), 0).to_numpy(zero_copy_only=False) // 4 for c in (rows.prompt, rows.response)
    ]
    prompt, response = (np.minimum(b, model.max_tokens) for b in bytes_of)
    tokens = int((np.where(response > 0, prompt, 0) + 2 * response).sum())
    parameters = 135e6
    if not model.path.startswith(LOCAL):
        found = weights(model, context)
        files = [] if isinstance(found, str) else [found] if found.is_file() else list(found.glob("*.safetensors"))
        # two bytes a parameter, or in a packed file about 4.8 bits
        parameters = sum(f.stat().st_size / (0.6 if f.suffix == ".gguf" else 2) for f in files) or parameters
    return {"requests": 0, "tokens": tokens, "usd": 0.0, "minutes": round(tokens * parameters / PACE / 60, 1)}


def load(path: Path | str, dtype: str) -> tuple[Any, Any]:
    """(tokenizer, network in eval mode on the fastest device). Weights come from safetensors or GGUF, never pickles."""
    from instdata.llm.causal_models import fast_device
    from instdata.llm.causal_models import load as read

    try:
        import torch
    except ImportError as e:
        raise MissingExtra("quality: model", "train") from e
    model = read(str(path), lambda line: None)
    return model.tokenizer, model.net.to(fast_device(), getattr(torch, dtype)).eval()


def encode(
    tokenizer: Any, prompts: list[str], responses: list[str | None], most: int
) -> list[tuple[list[int], list[int]]]:
    """(prompt tokens, response tokens) of each row, together at most `most`. A prompt keeps its end, a response its
    start; a prompt begins with the model's start token, and ends with a line break."""
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    pairs = []
    for prompt, response in zip(prompts, responses, strict=True):
        before = tokenizer(prompt[-8 * most :] + "\n", add_special_tokens=False)["input_ids"]
        after = tokenizer((response or "")[: 8 * most], add_special_tokens=False)["input_ids"]
        before = [start, *before[-(max(most // 2, most - len(after)) - 1) :]]
        pairs.append((before, after[: most - len(before)]))
    return pairs


def losses(net: Any, pairs: list[tuple[list[int], list[int]]]) -> np.ndarray:
    """The mean loss, in nats, of each pair's second tokens after its first (float64, NaN where there are none)."""
    import torch

    found = np.full(len(pairs), np.nan)
    device = next(net.parameters()).device
    with torch.inference_mode():
        for batch in batches(pairs):
            width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in batch)
            ids = torch.zeros((len(batch), width), dtype=torch.long)
            seen = torch.zeros((len(batch), width), dtype=torch.long)
            scored = torch.zeros((len(batch), width), dtype=torch.bool)
            for row, i in enumerate(batch):
                before, after = pairs[i]
                n = len(before) + len(after)
                ids[row, :n] = torch.tensor(before + after)
                seen[row, :n] = 1
                scored[row, len(before) : n] = True
            ids, scored = ids.to(device), scored.to(device)
            kept = (
                width - min(len(pairs[i][0]) for i in batch) + 1
            )  # positions from the first that predicts a response token
            logits = net(input_ids=ids, attention_mask=seen.to(device), logits_to_keep=kept).logits[:, :-1]
            ids, target = ids[:, 1 - kept :], scored[:, 1 - kept :]
            # in float32, and only where a response token is predicted: the vocabulary is wide
            loss = torch.nn.functional.cross_entropy(logits[target].float(), ids[target], reduction="none")
            row = target.nonzero()[:, 0]
            total = torch.zeros(len(batch), device=device).index_add_(0, row, loss)
            found[batch] = (total / target.sum(1)).double().cpu().numpy()
    return found


def batches(pairs: list[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
    """Rows of like length together, at most BATCH_TOKENS with the padding; rows without a response are left out."""
    order = sorted((i for i, p in enumerate(pairs) if p[1]), key=lambda i: (len(pairs[i][0]) + len(pairs[i][1]), i))
    batch: list[int] = []
    for i in order:
        width = len(pairs[i][0]) + len(pairs[i][1])
        if batch and (len(batch) + 1) * width > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
