"""Whatever answers: a network here, an endpoint, or vLLM, behind one function.

`http(s)://host/v1#model` is an endpoint of OpenAI's API, `vllm:NAME` a model in vLLM, anything else what
`llm.causal.load` takes. Endpoints and vLLM write answers; likelihoods (bits, distractors) need the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instdata.corpus.rows import Messages
from instdata.llm.causal_models import digest_of, dtype_of, fast_device, load
from instdata.llm.endpoint import public
from instdata.llm.request import Request
from instdata.llm.structured_asks import Options, ask
from instdata.score.model import Model
from instdata.train.forward import Network
from instdata.train.generation import LONGEST, MOST, THINKING
from instdata.util.build_context import Context
from instdata.util.errors import InputError

VLLM = "vllm:"
Say = Callable[[str], None]


def is_endpoint(spec: str) -> bool:
    return spec.startswith(("http://", "https://"))


def only_writes(spec: str) -> bool:
    """Whether a model's answers are all that one gets."""
    return is_endpoint(spec) or spec.startswith(VLLM)


def named(spec: str, say: Say = print) -> tuple[str, str]:
    """(the name for people, what names its weights) of a model, without loading it. An endpoint's weights are known by
    its address and model only. Raises InputError."""
    if is_endpoint(spec):
        url, _, model = spec.partition("#")
        if not model:
            raise InputError(f"{public(url)}: say which of its models: {public(url)}#MODEL")
        return model, f"{public(url)}#{model}"
    if spec.startswith(VLLM):
        model = spec.removeprefix(VLLM)
        if not Path(model).exists():
            return model.rpartition("/")[2], spec
        name, digest = digest_of(model, say)  # a folder may hold other weights tomorrow
        return name, VLLM + digest
    return digest_of(spec, say)


def computed(spec: str, dtype: str) -> list[str]:
    """[device, dtype] by which a model's numbers are computed here; of an endpoint nothing is known, nor computed
    here."""
    if is_endpoint(spec):
        return []
    device = fast_device()
    return [device.type, str(dtype_of(dtype, device)).removeprefix("torch.")]


def open_model(
    spec: str, say: Say = print, dtype: str = "auto", most: int | None = None, thinking: bool = False
) -> tuple[str, Model]:
    """(its name for people, the model) that a spec names. `most`: tokens of an answer, by default as many as its
    reference suggests; `thinking`: it thinks before it answers. Raises InputError, MissingExtra."""
    if is_endpoint(spec):
        name, _ = named(spec)
        return name, Served(Options(model=name, base_url=spec.partition("#")[0]), most, thinking, say)
    if spec.startswith(VLLM):
        return named(spec)[0], Vllm(_vllm(spec.removeprefix(VLLM), dtype), most, thinking)
    loaded = load(spec, say)
    return loaded.name, replace(Network.of(loaded, dtype), most=most, thinking=thinking)


def room(like: str | None, most: int | None, thinking: bool) -> int:
    """Tokens that an answer may have, where its tokenizer is not here: as generation.limits, with two bytes a token."""
    if most is not None:
        return most
    wanted = len((like or "").encode()) + 64
    return min(LONGEST, max(MOST, -(-wanted // MOST) * MOST)) + THINKING * thinking


@dataclass(frozen=True)
class Served:
    """A model behind an endpoint: through the one client, so cached, paced and within its budget."""

    options: Options
    most: int | None = None
    thinking: bool = False
    say: Say = print

    def losses(self, conversations: Sequence[Messages]) -> np.ndarray:
        """None: endpoints do not tell how likely a given answer is."""
        raise InputError(f"{self.options.model}: an endpoint tells no likelihoods: choose --metric accuracy or a judge")

    def answers(self, prompts: Sequence[Messages], like: Sequence[str | None] = ()) -> list[tuple[str | None, bool]]:
        """Greedy answers. One that was cut at its limit, or refused, has ended by itself as far as is known."""
        requests = [
            Request(tuple((m["role"], m["content"]) for m in p), room(r, self.most, self.thinking), 0.0, seed=0)
            for p, r in zip(prompts, like or [None] * len(prompts))
        ]
        found = ask(
            self.options, requests, str, name="answers", shapes=self.options.model, context=Context(say=self.say)
        )
        return [(a.value, True) for a in found]


@dataclass(frozen=True)
class Vllm:
    """A model in vLLM, which batches continuously."""

    engine: Any
    most: int | None = None
    thinking: bool = False

    def losses(self, conversations: Sequence[Messages]) -> np.ndarray:
        """None: its prompt log-probabilities do not mark the answer's tokens; load the model without vllm: for
        these."""
        raise InputError("vLLM is used for answers only: leave vllm: out where bits or distractors are asked for")

    def answers(self, prompts: Sequence[Messages], like: Sequence[str | None] = ()) -> list[tuple[str | None, bool]]:
        """Greedy answers, and whether each ended by itself."""
        from vllm import SamplingParams

        limits = [room(r, self.most, self.thinking) for r in like or [None] * len(prompts)]
        talks = [[{"role": m["role"], "content": m["content"]} for m in p] for p in prompts]
        how = [SamplingParams(temperature=0.0, max_tokens=n, seed=0) for n in limits]
        found = self.engine.chat(talks, how, use_tqdm=False)
        return [(r.outputs[0].text.strip(), r.outputs[0].finish_reason == "stop") for r in found]


def _vllm(name: str, dtype: str) -> Any:
    try:
        from vllm import LLM
    except ImportError as e:
        raise InputError(f"vllm:{name}: vLLM is not installed here (pip install vllm, on a machine with a GPU)") from e
    return LLM(model=name, dtype=dtype, seed=0)
