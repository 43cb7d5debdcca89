"""One evaluation item."""

from __future__ import annotations

from dataclasses import dataclass

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of choices


@dataclass(frozen=True)
class Item:
    """One question to a model and how its answer is scored.

    `messages` ends with the turn to answer (role and content each). `reference`: the right answer, for a choice its
    letter or text. `choices`: the options' texts, in the order of their letters. `scorer`: one of taxonomy.SCORERS.
    `tests`: Python that raises where an answer's code is wrong. `fine`, `coarse`: the two distractors, `fine_kind` how
    the fine one was made ("given" where the suite brought it). `cluster`: names what the item shares with others, a
    passage or a source document.
    """

    id: str
    ability: str
    messages: list[dict[str, str]]
    reference: str | None
    choices: list[str] | None
    scorer: str
    tests: str | None
    suite: str
    out_of_domain: bool = False
    fine: str | None = None
    coarse: str | None = None
    fine_kind: str | None = None
    cluster: str | None = None

    @property
    def right(self) -> str:
        """The reference, of an item that is scored against one (`missing` says of which items there is none)."""
        if self.reference is None:
            raise ValueError(f"item {self.id} has no reference")
        return self.reference

    @property
    def question(self) -> str:
        """The last turn's text."""
        return self.messages[-1]["content"]
