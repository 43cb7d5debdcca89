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
    return f"(?:{OURS.group(*names)})".replace(r"\pP", r"*_#>\"'(")


@cache
def found(*names: str, before: str = "", after: str = "") -> re.Pattern[str]:
    """A pattern that finds any phrase of some lists, between two given patterns."""
    return re.compile(before + group(*names) + after, FLAGS)


@cache
def _denied() -> re.Pattern[str]:
    return found("denied", after=r"[\s\"'“‘(*_]*(?:an?\s|the\s|option\s|choice\s|choose\s|be\s|为|是)?[\s\"'(*_$]*$")


def is_denied(text: str, at: int) -> bool:
    """Whether what stands at a place of a text is denied right before it: not 4, 不是负面."""
    return bool(_denied().search(text[max(0, at - 28) : at]))
