"""A model in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from instdata.train.training_recipe import Training


@dataclass
class Run:
    """A model in training: network, optimiser, and how many steps it has made. `names` are the trained parameters."""

    net: Any
    optimizer: Any
    recipe: Training
    seed: int
    device: Any
    dtype: Any
    step: int = 0
    names: list[str] = field(default_factory=list)
    tokenizer: Any = None
    context: int = 0
    packs: bool = True  # whether the network keeps packed rows apart

    def parameters(self) -> list[Any]:
        """The trained parameters, in the order of `names`."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]
