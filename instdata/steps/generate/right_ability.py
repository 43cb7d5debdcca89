"""Whether a new task is of the ability that was asked for, as a model learned from the rows given sees it.

Asked for a question about a passage, a small model likes to leave the passage out; asked for code, it writes about
text. The label that such a row would carry is wrong, so it is refused and another one is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.rows import Rows
from instdata.util.errors import InputError

LEAST = 10  # examples of an ability below which nothing is said about it
SURE = 0.6  # the calibrated chance that the other ability is right …
LEAD = 0.1  # … and by how much it must lead: close calls are the asker's

Other = Callable[[str, str, str | None], dict[str, Any] | None]


def anything(instruction: str, response: str, ability: str | None) -> None:
    """Nothing is known of the abilities: everything is of the one asked for."""


def other_ability(rows: Rows) -> Other:
    """A function of (instruction, response, ability asked for): {ability, confidence} of the ability that the row is of
    instead, None where that is not sure. It learns from what categorize would: labelled rows, and the taxonomy's
    examples where those are few."""
    from instdata.steps.ability.linear import train
    from instdata.steps.ability.training_examples import labelled

    try:
        examples = labelled(rows, None)
    except InputError:  # fewer than two abilities
        return anything
    count = np.bincount(examples.labels, minlength=len(examples.classes))
    known = {name for name, n in zip(examples.classes, count) if n >= LEAST}
    if len(known) < 2:
        return anything
    model = train(examples.prompts, examples.responses, examples.labels, examples.classes)

    def other(instruction: str, response: str, ability: str | None) -> dict[str, Any] | None:
        scores = model.scores(pa.array([instruction]), pa.array([response]))
        # Rounded: the last digits of a matrix inverse depend on the number of threads.
        number, confidence = model.calibration.best(scores)
        best, sure = model.classes[int(number[0])], round(float(confidence[0]), 4)
        if ability == best or ability not in known or best not in known or sure < SURE:
            return None
        lead = round(float(scores[0].max() - scores[0][model.classes.index(ability)]), 4)
        return {"ability": best, "confidence": sure} if lead >= LEAD else None

    return other
