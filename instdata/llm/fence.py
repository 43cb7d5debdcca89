"""How text that nobody vouches for is shown to a model: between marks that it cannot write itself.

A response that is judged, a task that is labelled: each may have been written to fool whoever reads it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

JOINERS = "\u200c\u200d"  # invisible, but emoji and several scripts are spelled with them
# Local servers read these in a message as the end of a turn and the start of the next.
TURNS = re.compile(
    r"<([|｜])([^<>|｜\s]{1,64})\1>|<(/?(?:s|bos|eos|pad|unk|(?:start|end)_of_turn))>|\[(/?INST)\]|<<(/?SYS)>>"
)


def fence(parts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """(code, text): named texts, each between two lines that carry the code.

    The code must be new to whoever wrote the texts, yet the same whenever the same is asked, or no answer would ever
    come from the cache. It is 96 bits of a hash over all that is fenced: to close a fence, a text would have to hold
    the hash of a whole that it is itself a part of, and each guess it makes changes that hash. So no secret is kept,
    and another machine asks in the same bytes."""
    cleaned = [(name, clean(text)) for name, text in parts]
    code = hashlib.blake2b(json.dumps(cleaned).encode(), digest_size=12).hexdigest()
    blocks = [f"===== {name} {code} =====\n{text}\n===== /{name} {code} =====" for name, text in cleaned]
    return code, "\n\n".join(blocks)


def clean(text: str) -> str:
    """The text without invisible characters, and with the control tokens of chat formats broken by a blank."""
    seen = "".join(
        c for c in text if c in "\n\t" or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    return TURNS.sub(lambda m: f"{m[0][0]} {m[0][1:-1]} {m[0][-1]}", seen)


def clip(texts: Sequence[str], size: int) -> list[str]:
    """Texts cut so that all together have at most about `size` bytes of UTF-8: short ones stay whole, and what they
    leave is shared by the longer ones. A cut text keeps its start and its end, and says how much is missing."""
    sizes = [len(t.encode()) for t in texts]
    most, left = size, size
    for n, length in enumerate(sorted(sizes)):
        most = left // (len(sizes) - n)
        if length > most:
            break
        left -= length
    return [t if length <= most else _cut(t, most * len(t) // length) for t, length in zip(texts, sizes, strict=True)]


def _cut(text: str, characters: int) -> str:
    head, tail = characters * 2 // 3, characters // 3
    return f"{text[:head]} […{len(text) - head - tail:,} characters left out…] {text[len(text) - tail :]}"
