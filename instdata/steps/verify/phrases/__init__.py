"""What verification looks for: the lists of the YAML files beside this module (their notation: util/phrases.py)."""

from pathlib import Path

from instdata.util.phrases import Phrases

_OURS = Phrases(Path(__file__).parent)
lists, pattern, listed = _OURS.lists, _OURS.pattern, _OURS.listed
