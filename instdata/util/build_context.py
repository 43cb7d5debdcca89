"""What reading, steps and judges may know of the build around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Context:
    """What a step may know of the build around it: its seed, taxonomy, places, and how to speak."""

    seed: int = 0
    taxonomy: Any = None  # instdata.corpus.taxonomy.Taxonomy, or None where the recipe names none
    base: Path = Path(".")  # the recipe's folder: relative paths in options start here
    cache: Path | None = None  # where a step may keep resumable state (the request cache lives here)
    jobs: int = 1
    fresh: bool = False  # score again even what is cached
    seed_sources: frozenset[str] = frozenset()  # names of the sources in seeds format: examples for generation
    say: Callable[[str], None] = lambda line: None  # a line for the user: progress, warnings
    bars: bool = False  # someone watches a terminal: its last line tells what is being done
    build: str = ""  # the build's name: budgets belong to it and a step's name, over all its variants
    usage: dict[str, Any] = field(default_factory=dict)  # what was spent, by step name; ends up in run.json
    lost: dict[str, str] = field(
        default_factory=dict
    )  # source/file -> what was lost of a damaged file (empty: nothing)
    beside: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # … -> what it holds that is in no record, for the manifest

    @property
    def silent(self) -> Context:
        """The same for workers: what they say would come in no order."""
        return replace(self, say=_unsaid)

    @property
    def folder(self) -> Path:
        """The cache's folder, for what needs one: a build has it always."""
        if self.cache is None:
            raise ValueError("this context has no cache folder")
        return self.cache


def _unsaid(line: str) -> None:
    """A line that nobody reads."""
