"""Yes and no, true and false, right and wrong: the same two answers in the words of different exams."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from instdata.score.extract.phrases import FLAGS, group


@cache
def _whole() -> re.Pattern[str]:
    """A text that says yes or no and nothing else."""
    return re.compile(
        rf"[\s*_#>\"'(]*{group('subject')}?[\s,:]*(?P<not>\bnot\s|不|并非|并不)?\s?(?:(?P<no>{group('negative')})|(?P<yes>{group('positive')}))"
        r"[的了]?[\s.。!!,*_\"')]*",
        FLAGS,
    )


def verdict_of(text: str) -> bool | None:
    """True for yes, False for no, None for anything else; of the whole text (a choice, a label, a short answer)."""
    found = _whole().fullmatch(unicodedata.normalize("NFKC", text).strip())
    return None if found is None else bool(found["yes"]) != bool(found["not"])


def verdict_in(answer: str) -> bool | None:
    """The same of the first clause of an answer, else of its first sentence."""
    text = unicodedata.normalize("NFKC", answer).strip()
    for cut in (r"[,，.。;；:\n!!]", r"[.。;；\n]"):
        first = re.split(cut, text, maxsplit=1)[0]
        if (found := verdict_of(first)) is not None:
            return found
    return None


def verdicts(choices: list[str] | None) -> dict[bool, int] | None:
    """The places of yes and no among choices; None where they are not among them, or several of a kind."""
    if not choices or len(choices) > 4:
        return None
    places = [(v, i) for i, c in enumerate(choices) if (v := verdict_of(c)) is not None]
    return dict(places) if len(places) == 2 and len(dict(places)) == 2 else None
