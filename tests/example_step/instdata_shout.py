from typing import ClassVar

import pyarrow.compute as pc

from instdata.steps.base import Step, Threshold, drop


class Shout(Step):
    """Drop rows whose response is mostly capital letters ("shouting")."""

    kind: ClassVar[str] = "shout"

    max_share: float = Threshold(0.7, ge=0, le=1, description="Largest share of capital letters.")

    def score(self, rows):
        letters = pc.utf8_length(pc.replace_substring_regex(rows.response, r"[^\pL]", ""))
        capitals = pc.utf8_length(pc.replace_substring_regex(rows.response, r"[^\p{Lu}]", ""))
        return {"capitals": pc.divide(capitals.cast("float32"), pc.max_element_wise(letters, 1).cast("float32"))}

    def decide(self, scores):
        return drop(scores.capitals > self.max_share, "shouting")
