"""What scoring needs of a model, whatever runs it: a network here (train.forward.Network), an endpoint, another
engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from instdata.corpus.rows import Messages


class Model(Protocol):
    """A model that can be examined."""

    def losses(self, conversations: Sequence[Messages]) -> np.ndarray:
        """[conversations, 2]: the loss in nats of each conversation's last turn, summed over its tokens, and their
        number; NaN where it does not fit."""
        ...

    def answers(self, prompts: Sequence[Messages], like: Sequence[str | None] = ()) -> list[tuple[str | None, bool]]:
        """(answer, whether it ended by itself) for each prompt; None where the prompt leaves no room. `like`: for each,
        a right answer: room for one as long, and more, is given."""
        ...
