"""What quality's rules look for: the lists of the YAML files beside this module (their notation: util/phrases.py)."""

from pathlib import Path

from instdata.util.phrases import NEEDS_EXAMPLE, Phrase, Phrases, simplest

_OURS = Phrases(Path(__file__).parent)
lists, pattern, matcher, listed = _OURS.lists, _OURS.pattern, _OURS.matcher, _OURS.listed

__all__ = ["NEEDS_EXAMPLE", "Phrase", "listed", "lists", "matcher", "pattern", "simplest"]
