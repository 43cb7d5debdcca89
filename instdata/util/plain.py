"""Text from data, files, labels or recipes as it may stand in a terminal or on a card: nothing in it is a command."""

from __future__ import annotations

import re
import unicodedata

# Escape sequences go whole: what an ANSI colour, a title (OSC) or a device string leaves behind would be noise.
SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ "
    "-/]*[@-~]|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\\\|\x9c)|\x1b[ -/]*[0-~]"
)
JOINERS = "\u200c\u200d"  # invisible, but emoji and several scripts are spelled with them
CELL = 1000  # characters of one table cell


def plain(text: object) -> str:
    """The text without escape sequences, control and bidirectional characters; lone surrogates are shown as U+FFFD.
    Line ends and tabs stay."""
    value = str(text)
    if value.isascii() and value.isprintable():
        return value
    kept = []
    for c in SEQUENCE.sub("", value):
        kind = unicodedata.category(c)
        if c in "\n\t" or c in JOINERS or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            kept.append(c)
        elif kind == "Cs":
            kept.append("\ufffd")
    return "".join(kept)


def bounded(text: object, most: int = CELL) -> str:
    """`plain` text of at most `most` characters, for one cell of a table; what was cut off is said."""
    found = plain(text)
    return found if len(found) <= most else f"{found[:most]} … ({len(found):,} characters)"
