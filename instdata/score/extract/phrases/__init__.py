"""What scorers look for in answers: the lists of the YAML files beside this module (their notation: util/phrases.py).

Read when first asked for; patterns are of Python's engine, with ASCII word edges: 所以answer has an edge before the a."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from instdata.util.phrases import Phrases

OURS = Phrases(Path(__file__).parent)
FLAGS = re.IGNORECASE | re.ASCII


def group(*names: str) -> str:
    """The phrases of some lists as a group that does not capture."""
    return f"(?:{OURS.group(*names)})"


@cache
def found(*names: str, before: str = "", after: str = "") -> re.Pattern[str]:
    """A pattern that finds any phrase of some lists, between two given patterns."""
    return re.compile(before + group(*names) + after, FLAGS)
